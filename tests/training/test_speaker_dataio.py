"""Loading of crops for speaker embeddings: the same bits however they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.training.batching import ShardedBatchSampler
from sb_alexa.training.speaker_batching import SpeakerBatchPlan
from sb_alexa.training.speaker_dataio import (
    SpeakerBatchSampler,
    SpeakerDataset,
    SpeakerSpeechBatch,
    collate_speakers,
    speaker_loader,
)

RATE = 16_000
CROP_S = 0.1
NUMBERS = {"b": 0, "a": 1, "c": 2}


def write_utterances(folder: Path, *, rate: int = RATE) -> list[Utterance]:
    """Twelve recordings of three speakers; sample n of each is n / 32768 at the usual rate."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in range(12):
        num_samples = int(rate * (0.25 + 0.01 * number))
        path = folder / f"{number}.wav"
        soundfile.write(path, np.arange(num_samples, dtype=np.int16), rate)
        speaker = "abc"[number % 3]
        written.append(
            Utterance(f"{speaker}/s/{number}", num_samples / rate, str(path), speaker, "")
        )
    return written


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    return write_utterances(tmp_path_factory.mktemp("speech"))


def make_dataset(utterances: list[Utterance], **changes: Any) -> SpeakerDataset:
    arguments = {"speaker_numbers": NUMBERS, "crop_seconds": CROP_S, "seed": 5, **changes}
    return SpeakerDataset(utterances, **arguments)


def make_sampler(
    dataset: SpeakerDataset, *, epoch: int = 1, rank: int = 0, size: int = 1
) -> SpeakerBatchSampler:
    plan = SpeakerBatchPlan(
        tuple(u.speaker for u in dataset.utterances),
        num_speakers=2,
        utterances_per_speaker=2,
        num_processes=size,
    )
    sampler = SpeakerBatchSampler(plan, rank=rank, num_processes=size)
    sampler.set_epoch(epoch)
    return sampler


def load(dataset: SpeakerDataset, **arguments: int) -> list[SpeakerSpeechBatch]:
    return list(speaker_loader(dataset, make_sampler(dataset, **arguments)))


def contents(batches: list[SpeakerSpeechBatch]) -> list[tuple[str, int, bytes]]:
    """Name, speaker and sound of every row."""
    return [
        (utterance.id, int(speaker), wav.numpy().tobytes())
        for batch in batches
        for utterance, speaker, wav in zip(
            batch.utterances, batch.speakers, batch.wavs, strict=True
        )
    ]


def test_a_batch_holds_crops_and_the_numbers_of_speakers(utterances: list[Utterance]) -> None:
    batches = load(make_dataset(utterances))
    assert len(batches) == 3
    for batch in batches:
        assert len(batch) == 4 and batch.wavs.shape == (4, 1600)
        assert batch.seconds == pytest.approx(0.4)
        assert batch.speakers.dtype == torch.int64
        assert batch.speakers.tolist() == [NUMBERS[u.speaker] for u in batch.utterances]
        steps = (batch.wavs[:, 1:] - batch.wavs[:, :-1]) * 32768
        assert torch.equal(steps, torch.ones_like(steps)), "a crop is not a stretch"


def test_crops_lie_everywhere_and_differ_between_epochs(utterances: list[Utterance]) -> None:
    dataset = make_dataset(utterances)
    starts = [int(dataset[epoch * 12 + 3][1][0] * 32768) for epoch in range(200)]
    last = round(utterances[3].duration_s * RATE) - 1600
    assert 0 <= min(starts) < 0.05 * last and 0.95 * last < max(starts) <= last
    assert starts == [int(dataset[epoch * 12 + 3][1][0] * 32768) for epoch in range(200)]
    other = make_dataset(utterances, seed=6)
    assert starts[1] != int(other[12 + 3][1][0] * 32768)
    # What is said when depends on the utterance, not on its place in the list.
    turned = make_dataset(utterances[::-1])
    assert torch.equal(turned[12 + 8][1], dataset[12 + 3][1])


def test_workers_and_the_cache_change_no_bit(utterances: list[Utterance]) -> None:
    expected = {epoch: contents(load(make_dataset(utterances), epoch=epoch)) for epoch in (1, 2)}
    assert expected[1] != expected[2]
    dataset = make_dataset(utterances, cache_audio=True)
    sampler = make_sampler(dataset)
    loader = speaker_loader(dataset, sampler, num_workers=1)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        # An epoch that was interrupted goes on at a batch.
        sampler.first_batch = epoch - 1
        assert contents(list(loader)) == expected[epoch][4 * (epoch - 1) :]
    assert contents(load(dataset, epoch=1)) == contents(load(dataset, epoch=1)) == expected[1]


def test_processes_share_every_global_batch(utterances: list[Utterance]) -> None:
    dataset = make_dataset(utterances)
    shards = [load(dataset, rank=rank, size=2) for rank in range(2)]
    for step, batch in enumerate(load(dataset)):
        parts = [row for shard in shards for row in contents([shard[step]])]
        assert sorted(parts) == sorted(contents([batch]))


def test_only_the_crop_is_read(tmp_path: Path) -> None:
    samples = np.zeros(RATE, dtype=np.float32)
    samples[:100] = samples[-100:] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    dataset = make_dataset([Utterance("a/s/1", 1.0, str(tmp_path / "a.wav"), "a", "")])
    crops = []
    for epoch in range(20):
        try:
            crops.append(dataset[epoch][1])
        except AudioError as error:
            assert "NaN" in str(error)
    assert len(crops) > 10, "a crop failed for what lies outside of it"


def test_short_recordings_are_repeated(utterances: list[Utterance]) -> None:
    for cache_audio in (False, True):
        dataset = make_dataset(utterances, crop_seconds=0.6, cache_audio=cache_audio)
        wav = dataset[12][1]
        assert (wav * 32768).tolist() == [n % 4000 for n in range(9600)]


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_other_rates_give_crops_of_the_same_length(tmp_path: Path, rate: int) -> None:
    utterances = write_utterances(tmp_path, rate=rate)
    dataset = make_dataset(utterances)
    for number in range(48):
        wav = dataset[number][1]
        assert wav.shape == (1600,)
        slope = (wav[1400] - wav[200]) / 1200 * RATE * 32768  # away from the ends of the filter
        assert slope.item() == pytest.approx(rate, rel=0.01)


def test_whole_recordings_form_batches_of_equal_length(utterances: list[Utterance]) -> None:
    dataset = make_dataset(utterances, crop_seconds=None)
    same = collate_speakers([dataset[2], dataset[2]])
    assert same.wavs.shape == (2, 4320) and same.speakers.tolist() == [2, 2]
    assert torch.equal(
        make_dataset(utterances, crop_seconds=None, cache_audio=True)[2][1], same.wavs[0]
    )
    with pytest.raises(ValueError, match="recordings of 4000 to 4160 samples cannot form a batch"):
        collate_speakers([dataset[0], dataset[1]])


def test_augmentation_keeps_the_rows(utterances: list[Utterance]) -> None:
    (batch, *_) = load(make_dataset(utterances))
    louder = batch.augmented(lambda wavs: 2 * wavs)
    assert torch.equal(louder.wavs, 2 * batch.wavs)
    assert louder.utterances == batch.utterances and louder.to("cpu").seconds == batch.seconds
    with pytest.raises(ValueError, match=r"made \(8, 1600\) of waveforms \(4, 1600\)"):
        batch.augmented(lambda wavs: torch.cat([wavs, wavs]))


def test_arguments_are_checked(utterances: list[Utterance]) -> None:
    with pytest.raises(ValueError, match="crop_seconds=0 must be > 0"):
        make_dataset(utterances, crop_seconds=0)
    with pytest.raises(ValueError, match="there are no utterances"):
        make_dataset([])
    with pytest.raises(ValueError, match="2 speakers have no number: a, c; make"):
        make_dataset(utterances, speaker_numbers={"b": 0})
    dataset = make_dataset(utterances)
    plan = make_sampler(dataset).plan
    with pytest.raises(ValueError, match="does not go with a ShardedBatchSampler"):
        speaker_loader(dataset, ShardedBatchSampler(plan))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the batch plan is for other utterances"):
        speaker_loader(make_dataset(utterances[:-1]), make_sampler(dataset))
