"""Extraction: each recording for itself, once, whatever the batch, the workers or the processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.inference.audio_sources import read_recording
from sb_alexa.inference.speaker_embeddings import (
    SpeakerEmbeddings,
    check_recordings,
    extract_embeddings,
)
from tests.tiny_speaker_model import tiny_speaker_encoder, write_recordings

LENGTHS = {"a/s/1": 8000, "a/s/2": 6000, "b/s/1": 8000, "b/t/1": 8000, "c/s/1": 7000}


class Counting(nn.Module):
    """Counts its calls and makes embeddings of a waveform's first samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, wavs: Tensor) -> Tensor:
        self.shapes.append(tuple(wavs.shape))
        return wavs[:, :3] * self.weight


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    return write_recordings(tmp_path, LENGTHS)


def extract(encoder: nn.Module, utterances: list[Utterance], **options) -> SpeakerEmbeddings:
    return extract_embeddings(encoder, utterances, sample_rate=16000, **options)


def test_each_recording_as_if_alone(utterances: list[Utterance]) -> None:
    encoder = tiny_speaker_encoder()
    with torch.no_grad():
        alone = torch.cat([encoder(read_recording(u.path, 16000)[None]) for u in utterances])
    assert alone.std(dim=0).min() > 1e-3, "different recordings, different embeddings"
    for options in ({}, {"batch_size": 2}, {"batch_size": 1, "num_workers": 2}):
        found = extract(encoder, utterances, **options)
        assert found.names == tuple(LENGTHS)
        assert found.values.dtype == torch.float32 and not found.values.requires_grad
        torch.testing.assert_close(found.values, alone, rtol=1e-4, atol=1e-5)
    backwards = extract(encoder, utterances[::-1])
    torch.testing.assert_close(backwards.values.flip(0), alone, rtol=1e-4, atol=1e-5)


def test_equal_lengths_go_together_and_nothing_is_padded(utterances: list[Utterance]) -> None:
    encoder = Counting()
    extract(encoder, utterances)
    assert encoder.shapes == [(3, 8000), (1, 7000), (1, 6000)]


def test_the_beginning_of_long_recordings(utterances: list[Utterance]) -> None:
    encoder = Counting()
    extract(encoder, utterances, max_seconds=0.4375)
    assert encoder.shapes == [(4, 7000), (1, 6000)]


def test_modes_of_the_encoder_are_left_as_they_were(utterances: list[Utterance]) -> None:
    """A frozen normalisation must not be switched on by an evaluation."""
    encoder = tiny_speaker_encoder().train()
    encoder.embedding_model.asp_bn.eval()
    modes = [part.training for part in encoder.modules()]
    statistics = [buffer.clone() for buffer in encoder.buffers()]
    extract(encoder, utterances[:2])
    assert [part.training for part in encoder.modules()] == modes
    assert all(map(torch.equal, encoder.buffers(), statistics))


def test_all_bad_recordings_are_named(utterances: list[Utterance], tmp_path: Path) -> None:
    silent, short, broken = (replace(utterances[0], id=f"x/s/{n}") for n in range(3))
    contents = {
        silent: torch.full((8000,), 0.25),
        short: torch.rand(500),
        broken: torch.tensor([0.1, float("nan")]).repeat(4000),
    }
    bad = []
    for utterance, samples in contents.items():
        path = tmp_path / f"{utterance.id[-1]}.wav"
        soundfile.write(path, samples.numpy(), 16000, subtype="FLOAT")
        bad.append(replace(utterance, path=str(path), duration_s=len(samples) / 16000))
    bad.append(replace(utterances[0], id="x/s/9", path=str(tmp_path / "nowhere.wav")))
    cache = tmp_path / "cache.safetensors"
    with pytest.raises(ValueError) as error:
        extract(tiny_speaker_encoder(), [*utterances, *bad], cache=cache)
    message = str(error.value)
    assert message.startswith("4 of 9 recordings cannot be embedded: ")
    assert "x/s/0 (is silent: all samples are equal)" in message
    assert "x/s/1 (recordings of 500 samples give" in message
    assert "x/s/2 (" in message and "holds NaN or infinite samples" in message
    assert "nowhere.wav: missing" in message
    assert not any(f"{u.id} (" in message for u in utterances)
    assert not cache.exists()
    # A look at the recordings alone finds all but what is too short for this encoder.
    with pytest.raises(ValueError, match="3 of 9 recordings cannot be embedded: ") as error:
        check_recordings([*utterances, *bad], sample_rate=16000)
    assert "x/s/0 (is silent" in str(error.value) and "nowhere.wav: missing" in str(error.value)
    check_recordings(utterances, sample_rate=16000)


def test_a_corpus_of_bad_recordings_is_given_up_early(utterances: list[Utterance]) -> None:
    bad = [replace(utterances[0], id=f"x/s/{n}", path="/nowhere.wav") for n in range(60)]
    with pytest.raises(ValueError, match="^20 of 60 recordings"):
        extract(Counting(), bad, batch_size=1)


def test_embeddings_that_are_not_finite(utterances: list[Utterance]) -> None:
    encoder = Counting()
    for value in (float("nan"), float("inf"), 0.0):
        encoder.weight.data.fill_(value)
        with pytest.raises(ValueError, match=r"5 of 5 .* a/s/1 \(its embedding is zero or not"):
            extract(encoder, utterances)


def test_a_cache_saves_the_work_until_something_changes(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    encoder, cache = Counting(), tmp_path / "new" / "cache.safetensors"

    def is_extracted(*, of: list[Utterance] = utterances, **options: object) -> bool:
        encoder.shapes.clear()
        found = extract(encoder, of, cache=cache, **options)
        expected = extract(Counting(), of).values * encoder.weight.detach()
        torch.testing.assert_close(found.values, expected)
        return bool(encoder.shapes)

    assert is_extracted() and not is_extracted()
    assert not is_extracted(batch_size=1)
    assert is_extracted(max_seconds=0.4) and not is_extracted(max_seconds=0.4)
    assert is_extracted() and is_extracted(of=utterances[::-1]) and is_extracted()
    encoder.weight.data[1] = 2.0
    assert is_extracted() and not is_extracted()
    samples, rate = soundfile.read(utterances[1].path)
    soundfile.write(utterances[1].path, samples[::-1], rate, subtype="FLOAT")
    os.utime(utterances[1].path, ns=(1, 1))
    assert is_extracted() and not is_extracted()
    cache.write_bytes(cache.read_bytes()[:-5])
    assert is_extracted() and not is_extracted()


def _one_of_two_processes(rank: int, folder: str, utterances: list[Utterance]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    encoder, cache = Counting(), Path(folder) / "cache.safetensors"
    found = extract(encoder, utterances, cache=cache)
    dist.barrier()
    num_calls = len(encoder.shapes)
    again = extract(encoder, utterances, cache=cache)
    assert torch.equal(again.values, found.values) and len(encoder.shapes) == num_calls
    bad = [*utterances, replace(utterances[0], id="x/s/1", path="/nowhere.wav", duration_s=9.0)]
    message = ""
    try:
        extract(encoder, bad)
    except ValueError as error:
        message = str(error)
    torch.save((found.values, num_calls, message), f"{folder}/result{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_share_the_work(utterances: list[Utterance], tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_of_two_processes, (str(tmp_path), utterances), nprocs=2)
    results = [torch.load(tmp_path / f"result{rank}.pt") for rank in range(2)]
    alone = Counting()
    expected = extract(alone, utterances).values
    for values, _, message in results:
        assert torch.equal(values, expected)
        assert "1 of 6 recordings" in message and "nowhere" in message
    # The three of one length are a batch; the two others go to the other process.
    assert sorted(num_calls for _, num_calls, _ in results) == [1, 2]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda many: {"utterances": []}, "no recordings to embed"),
        (lambda many: {"utterances": [*many, many[0]]}, "1 recordings occur more than once: a/s/1"),
        (lambda many: {"batch_size": 0}, "batch_size must be >= 1, got 0"),
        (lambda many: {"max_seconds": float("nan")}, "max_seconds must be > 0"),
        (lambda many: {"cache": Path(many[0].path).parent}, "is a folder; name a file"),
    ],
)
def test_arguments_are_checked(
    utterances: list[Utterance], change: Callable[[list[Utterance]], dict], match: str
) -> None:
    options = {"utterances": utterances, **change(utterances)}
    with pytest.raises(ValueError, match=match):
        extract_embeddings(Counting(), sample_rate=16000, **options)


def test_absent_names_are_named() -> None:
    embeddings = SpeakerEmbeddings(("a", "b"), torch.eye(2))
    with pytest.raises(ValueError, match=r"2 recordings .* no embedding: c, d;"):
        embeddings.rows(["a", "d", "c", "d"])
    with pytest.raises(ValueError, match=r"need embeddings \(2, E\), got shape \(3, 3\)"):
        SpeakerEmbeddings(("a", "b"), torch.eye(3))
    with pytest.raises(ValueError, match="more than once: a"):
        SpeakerEmbeddings(("a", "a"), torch.eye(2))
