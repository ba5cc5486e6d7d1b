"""Recordings, pipes and microphones, good and bad."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.functional import resample

from sb_alexa.corpora.audio import AudioError
from sb_alexa.inference.audio_sources import (
    chunks,
    microphone_chunks,
    pcm_chunks,
    read_recording,
)
from sb_alexa.inference.resampling import StreamingResampler
from tests.tiny_model import noise


@pytest.mark.parametrize(
    ("rate_hz", "new_rate_hz"), [(44100, 16000), (8000, 16000), (48000, 16000), (16000, 11025)]
)
@pytest.mark.parametrize("num_samples", [1, 100, 5003])
def test_resampling_in_pieces_equals_the_whole(rate_hz, new_rate_hz, num_samples) -> None:
    samples = noise(num_samples)
    expected = resample(samples.double(), rate_hz, new_rate_hz)
    for cuts in ([], [0, 1, 7, 50, 51], list(range(37, num_samples, 37))):
        resampler = StreamingResampler(rate_hz=rate_hz, new_rate_hz=new_rate_hz)
        pieces = [resampler.push(piece) for piece in samples.tensor_split(cuts)]
        found = torch.cat([*pieces, resampler.finish()])
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5


def test_resampling_delay() -> None:
    resampler = StreamingResampler(rate_hz=44100, new_rate_hz=16000)
    owed = 16000 - len(resampler.push(torch.zeros(44100)))
    assert 0 < owed < 16000 * 0.011, "a block of 441 samples at the old rate, and the filter"


def test_equal_rates_pass_through() -> None:
    resampler = StreamingResampler(rate_hz=16000, new_rate_hz=16000)
    samples = noise(100)
    assert torch.equal(resampler.push(samples), samples) and len(resampler.finish()) == 0
    with pytest.raises(ValueError, match="must be > 0"):
        StreamingResampler(rate_hz=0, new_rate_hz=16000)


def test_chunks() -> None:
    assert [len(chunk) for chunk in chunks(torch.zeros(10), 4)] == [4, 4, 2]
    with pytest.raises(ValueError, match="at least 1 sample"):
        list(chunks(torch.zeros(10), 0))


def test_pcm() -> None:
    integers = np.array([0, 1, -32768, 32767] * 100, dtype="<i2")
    found = torch.cat(
        list(
            pcm_chunks(io.BytesIO(integers.tobytes()), rate_hz=16000, sample_rate=16000, chunk_ms=1)
        )
    )
    assert torch.equal(found, torch.from_numpy(integers.astype(np.float32)) / 32768)


class Dripping(io.RawIOBase):
    """A pipe that delivers a few bytes at a time, cutting samples in two."""

    def __init__(self, data: bytes) -> None:
        self.data, self.turn = data, 0

    def read(self, size: int = -1) -> bytes:
        self.turn += 1
        piece, self.data = self.data[: min(size, self.turn % 3 + 1)], self.data[self.turn % 3 + 1 :]
        return piece


def test_pcm_that_drips_and_has_another_rate() -> None:
    integers = (noise(3000).numpy() * 20000).astype("<i2")
    pieces = pcm_chunks(Dripping(integers.tobytes()), rate_hz=8000, sample_rate=16000, chunk_ms=100)
    expected = resample(torch.from_numpy(integers.astype(np.float32)) / 32768, 8000, 16000)
    assert (torch.cat(list(pieces)) - expected).abs().max() < 1e-5


def test_pcm_that_is_something_else() -> None:
    with pytest.raises(ValueError, match="in the middle of a 16-bit sample; send raw"):
        list(pcm_chunks(io.BytesIO(b"abc"), rate_hz=16000, sample_rate=16000, chunk_ms=100))


def test_no_pcm_at_all() -> None:
    found = pcm_chunks(io.BytesIO(b""), rate_hz=16000, sample_rate=16000, chunk_ms=100)
    assert sum(len(piece) for piece in found) == 0


def write(path: Path, num_samples: int = 16000, **options) -> Path:
    soundfile.write(path, noise(num_samples).numpy(), 16000, **options)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_truncated_recordings(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}")
    assert len(read_recording(path, 16000)) == 16000
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(AudioError, match=str(path)):
        read_recording(path, 16000)


def test_a_wav_written_to_a_pipe_has_no_length(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert len(read_recording(path, 16000)) == 16000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"hello, this is text", "a.wav"),
        (b"RIFF\x04\x00\x00\x00WAVE", "a.wav"),
    ],
)
def test_files_that_are_no_audio(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        read_recording(path, 16000)


def test_zero_length_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        read_recording(write(tmp_path / "a.wav", num_samples=0), 16000)
    with pytest.raises(AudioError, match="missing"):
        read_recording(tmp_path / "b.wav", 16000)
    with pytest.raises(AudioError, match="is a folder"):
        read_recording(tmp_path, 16000)


class PortAudioError(Exception):
    """As sounddevice raises it."""


def fake_sounddevice(rates: tuple[int, ...]) -> SimpleNamespace:
    """A microphone that hears 1000 samples of noise at the first of its rates."""

    class InputStream:
        def __init__(self, *, samplerate, channels, dtype, blocksize, callback) -> None:
            self.samplerate, self.blocksize, self.callback = samplerate, blocksize, callback

        def __enter__(self) -> None:
            heard = noise(1000).numpy()[:, None]
            for start in range(0, 1000, self.blocksize):
                self.callback(heard[start : start + self.blocksize], 0, None, None)

        def __exit__(self, *error: object) -> None:
            pass

    def check_input_settings(*, samplerate, channels, dtype) -> None:
        if samplerate not in rates:
            raise PortAudioError("Invalid sample rate")

    def query_devices(kind: str) -> dict:
        if not rates:
            raise PortAudioError("no device")
        return {"default_samplerate": float(rates[0])}

    return SimpleNamespace(
        InputStream=InputStream,
        PortAudioError=PortAudioError,
        check_input_settings=check_input_settings,
        query_devices=query_devices,
    )


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_microphone(monkeypatch: pytest.MonkeyPatch, rate_hz: int) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice((rate_hz,)))
    heard = microphone_chunks(sample_rate=16000, chunk_ms=500 * 1000 / rate_hz)
    found = torch.cat([next(heard), next(heard)])
    expected = resample(noise(1000), rate_hz, 16000)
    assert len(found) >= len(expected) - 20
    assert (found - expected[: len(found)]).abs().max() < 1e-5


def test_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(()))
    with pytest.raises(OSError, match="the microphone cannot be opened: no device"):
        next(microphone_chunks(sample_rate=16000, chunk_ms=100))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ImportError, match="sb-alexa\\[microphone\\]"):
        next(microphone_chunks(sample_rate=16000, chunk_ms=100))
