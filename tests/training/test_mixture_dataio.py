"""Loading of simulated and recorded mixtures: the same bits however they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.corpora.alignments import AlignmentFolder
from sb_alexa.corpora.mixture_manifest import RecordedMixture
from sb_alexa.corpora.mixture_series import MixtureSeries
from sb_alexa.corpora.mixture_settings import MixtureSettings
from sb_alexa.corpora.room_responses import RoomFolder
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler
from sb_alexa.training.mixture_batch import MixtureBatch
from sb_alexa.training.mixture_dataio import (
    MixtureBatchSampler,
    MixtureDataset,
    RecordedMixtureDataset,
    mixture_loader,
)
from sb_alexa.turn import Turn
from tests.corpora.mixture_cases import write_utterances

TOKENS = TurnTokens(num_word_pieces=5)
NUM_MIXTURES = 10


def encode(text: str) -> list[int]:
    return ["_ABCDE".index(word) for word in text.split()]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> MixtureSeries:
    utterances = write_utterances(tmp_path_factory.mktemp("speech"))
    settings = MixtureSettings(max_duration_s=3.0, noise_snr_db=(10.0, 20.0))
    return MixtureSeries(utterances, num_mixtures=NUM_MIXTURES, settings=settings, seed=5)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> RoomFolder:
    folder = tmp_path_factory.mktemp("rooms")
    for place in range(3):
        random = np.random.default_rng(place)
        response = 0.2 * random.standard_normal(800) * np.exp(-np.arange(800) / 200)
        response[20] = 0.9
        soundfile.write(folder / f"{place}.wav", response, 16_000)
    return RoomFolder(folder)


def make_dataset(series: MixtureSeries, rooms: RoomFolder, **arguments: object) -> MixtureDataset:
    return MixtureDataset(series, tokens=TOKENS, encode=encode, rooms=rooms, **arguments)  # type: ignore[arg-type]


def load(
    dataset: MixtureDataset, *, epoch: int = 1, rank: int = 0, size: int = 1, num_workers: int = 0
) -> list[MixtureBatch]:
    plan = BatchPlan(dataset.series, batch_size=4, num_processes=size, seed=2)
    sampler = MixtureBatchSampler(plan, rank=rank, num_processes=size)
    sampler.set_epoch(epoch)
    return list(mixture_loader(dataset, sampler, num_workers=num_workers))


def contents(batches: list[MixtureBatch]) -> Iterator[tuple[str, bytes, list[list[int]]]]:
    """Name, sound and labels of every mixture, without padding."""
    for batch in batches:
        for row, info in enumerate(batch.mixtures):
            sound = batch.wavs[row, : batch.num_samples[row]].numpy().tobytes()
            labels = [
                one[row, : counts[row]].tolist()
                for one, counts in zip(batch.labels, batch.num_labels, strict=True)
            ]
            yield info.id, sound, labels


def test_workers_cache_and_the_order_of_epochs_change_no_bit(
    series: MixtureSeries, rooms: RoomFolder
) -> None:
    expected = list(contents(load(make_dataset(series, rooms), epoch=2)))
    assert sorted(name for name, _, _ in expected) == [f"mixture-5-2-{n}" for n in range(10)]
    assert len({sound for _, sound, _ in expected}) == NUM_MIXTURES
    assert list(contents(load(make_dataset(series, rooms), epoch=2, num_workers=2))) == expected
    cached = make_dataset(series, rooms, cache_audio=True)
    first = list(contents(load(cached, epoch=1)))
    assert list(contents(load(cached, epoch=2))) == expected
    assert not {sound for _, sound, _ in first} & {sound for _, sound, _ in expected}


def test_workers_that_live_on_load_the_next_epoch(series: MixtureSeries, rooms: RoomFolder) -> None:
    dataset = make_dataset(series, rooms, cache_audio=True)
    sampler = MixtureBatchSampler(BatchPlan(series, batch_size=4, seed=2))
    loader = mixture_loader(dataset, sampler, num_workers=1)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        # An epoch that was interrupted goes on at a batch.
        sampler.first_batch = epoch - 1
        expected = list(contents(load(dataset, epoch=epoch)[epoch - 1 :]))
        assert list(contents(list(loader))) == expected


def test_processes_share_every_global_batch(series: MixtureSeries, rooms: RoomFolder) -> None:
    dataset = make_dataset(series, rooms)
    whole = load(dataset)
    shards = [load(dataset, rank=rank, size=2) for rank in range(2)]
    for step, batch in enumerate(whole):
        parts = [row for shard in shards for row in contents([shard[step]])]
        assert sorted(parts) == sorted(contents([batch]))


def test_batches_obey_the_durations_of_their_epoch(series: MixtureSeries) -> None:
    plan = BatchPlan(series, batch_size=8, max_batch_seconds=7.0, seed=2)
    for epoch in (1, 2):
        durations_s = series.of_epoch(epoch)
        batches = plan.batches(epoch)
        assert sorted(index for batch in batches for index in batch) == list(range(NUM_MIXTURES))
        assert all(max(durations_s[i] for i in b) * len(b) <= 7.0 for b in batches)
    other = MixtureSeries(series.utterances, num_mixtures=NUM_MIXTURES, seed=6)
    assert BatchPlan(other, batch_size=8).fingerprint() != BatchPlan(series, 8).fingerprint()


def test_batches_last_as_long_as_planned(series: MixtureSeries, rooms: RoomFolder) -> None:
    for batch in load(make_dataset(series, rooms)):
        planned = [info.duration_s * 16_000 for info in batch.mixtures]
        assert batch.num_samples.tolist() == [round(samples) for samples in planned]
        assert batch.seconds == pytest.approx(sum(planned) / 16_000)
        # 3 s and 1 turn at least: the first channel always has something to say.
        assert (batch.num_labels[0] > 0).all()


def test_turns_carry_words_and_can_be_trimmed_to_them(
    series: MixtureSeries, rooms: RoomFolder, tmp_path: Path
) -> None:
    rows = ["utterance,word,start_s,end_s"]
    for utterance in series.utterances:
        times = np.linspace(0.1, 0.5, len(utterance.text.split()) + 1)
        for word, start, end in zip(utterance.text.split(), times[:-1], times[1:], strict=True):
            rows.append(f"{utterance.id},{word},{start:.4f},{end:.4f}")
    for speaker in range(3):
        chosen = [row for row in rows if row.startswith((f"{speaker}-", "utterance"))]
        (tmp_path / f"{speaker}-1.words.csv").write_text("\n".join(chosen) + "\n")
    times = AlignmentFolder(tmp_path)
    plain = make_dataset(series, rooms, word_times=times)[NUM_MIXTURES + 3].info
    trimmed = make_dataset(series, rooms, word_times=times, trim_turns=True)[NUM_MIXTURES + 3].info
    assert [len(turn.words) for turn in plain.turns] == [len(t.text.split()) for t in plain.turns]
    for before, after in zip(plain.turns, trimmed.turns, strict=True):
        assert after.start_s == pytest.approx(before.start_s + 0.1)
        assert after.end_s == pytest.approx(before.start_s + 0.5)
        assert after.words == before.words
    with pytest.raises(ValueError, match="trim_turns=True needs word_times"):
        make_dataset(series, rooms, trim_turns=True)


def recordings(folder: Path) -> list[RecordedMixture]:
    path = folder / "session.wav"
    samples = 0.1 * np.random.default_rng(0).standard_normal((48_000, 2))
    soundfile.write(path, samples, 16_000)
    talk = (Turn("a", 0.0, 0.6, "A B"), Turn("b", 0.5, 1.0, "C"))
    crowd = (*talk, Turn("c", 0.55, 0.9, "D"))
    rows = ((0.5, 1.5, talk), (1.5, 2.5, crowd))
    return [
        RecordedMixture(f"m{n}", "s", "OV40", str(path), 1, start_s, end_s, turns)
        for n, (start_s, end_s, turns) in enumerate(rows)
    ]


def test_recorded_mixtures_go_through_the_same_batches(tmp_path: Path) -> None:
    dataset = RecordedMixtureDataset(
        recordings(tmp_path), tokens=TOKENS, encode=encode, allow_collisions=True
    )
    plan = BatchPlan(dataset.durations_s, batch_size=2, shuffle=False)
    (batch,) = mixture_loader(dataset, ShardedBatchSampler(plan))
    stored = torch.from_numpy(soundfile.read(tmp_path / "session.wav", dtype="float32")[0])
    assert torch.equal(batch.wavs[0], stored[8_000:24_000, 1])
    assert [(m.id, m.session, m.condition) for m in batch.mixtures] == [
        ("m0", "s", "OV40"),
        ("m1", "s", "OV40"),
    ]
    assert batch.arranged.tolist() == [True, False]
    assert batch.labels[0].tolist() == [[1, 2, TOKENS.end], [0, 0, 0]]
    assert batch.labels[1].tolist() == [[TOKENS.start, 3], [0, 0]]
    assert len(batch.mixtures[1].turns) == 3


def test_three_talkers_at_once_are_refused_unless_allowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 mixtures have three talkers at once.*: m1; leave"):
        RecordedMixtureDataset(recordings(tmp_path), tokens=TOKENS, encode=encode)
    one = RecordedMixtureDataset(recordings(tmp_path), tokens=TOKENS, encode=encode, num_channels=1)
    assert one[1].arranged and len(one[1].targets) == 1


def test_a_sampler_must_fit_its_dataset(
    series: MixtureSeries, rooms: RoomFolder, tmp_path: Path
) -> None:
    dataset = make_dataset(series, rooms)
    with pytest.raises(ValueError, match="MixtureDataset does not go with a ShardedBatchSampler"):
        mixture_loader(dataset, ShardedBatchSampler(BatchPlan(series, batch_size=2)))
    recorded = RecordedMixtureDataset(recordings(tmp_path)[:1], tokens=TOKENS, encode=encode)
    with pytest.raises(ValueError, match="does not go with a MixtureBatchSampler"):
        mixture_loader(recorded, MixtureBatchSampler(BatchPlan(series, batch_size=2)))
    with pytest.raises(ValueError, match="the batch plan is for 3 mixtures, but the dataset has 1"):
        mixture_loader(recorded, ShardedBatchSampler(BatchPlan((1.0,) * 3, batch_size=2)))
