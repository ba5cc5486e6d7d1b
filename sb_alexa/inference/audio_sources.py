"""Where a recogniser's audio comes from: files, raw samples on a pipe, a microphone."""

from __future__ import annotations

import os
import queue
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from sb_alexa.corpora.audio import AudioError, read_audio
from sb_alexa.inference.resampling import StreamingResampler

# Sizes that programs write into the header of a WAV whose length they do not know yet.
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)


def read_recording(path: str | os.PathLike[str], sample_rate: int) -> Tensor:
    """Read a recording for recognition: one channel at the model's rate.

    Arguments
    ---------
    path : str or path-like
        Any file libsndfile reads (FLAC, WAV, OGG, MP3...). Channels are averaged, another sample
        rate is converted.
    sample_rate : int
        Samples per second of the model.

    Returns
    -------
    Tensor
        (N,) float32 in [-1, 1].

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, truncated or damaged.
    """
    if Path(path).is_dir():
        raise AudioError("is a folder, not an audio file", path)
    samples = read_audio(path, sample_rate)
    _check_wav_length(path)
    return samples


def chunks(samples: Tensor, chunk_samples: int) -> Iterator[Tensor]:
    """Cut a recording as a live source would deliver it.

    Arguments
    ---------
    samples : Tensor
        (N,).
    chunk_samples : int
        Length of a chunk; the last one may be shorter.

    Yields
    ------
    Tensor
        (n,).
    """
    if chunk_samples < 1:
        raise ValueError(f"a chunk must have at least 1 sample, got {chunk_samples}")
    for start in range(0, len(samples), chunk_samples):
        yield samples[start : start + chunk_samples]


def pcm_chunks(
    stream: BinaryIO, *, rate_hz: int, sample_rate: int, chunk_ms: float
) -> Iterator[Tensor]:
    """Read raw 16-bit little-endian mono samples from a pipe as they arrive.

    Arguments
    ---------
    stream : BinaryIO
        For example ``sys.stdin.buffer``.
    rate_hz : int
        Sampling rate of the pipe; converted without seams where it is not the model's.
    sample_rate : int
        Samples per second of the model.
    chunk_ms : float
        The longest chunk, in milliseconds; what has arrived is passed on without waiting for more.

    Yields
    ------
    Tensor
        (n,) float32 in [-1, 1) at the model's rate.

    Raises
    ------
    ValueError
        If the pipe ends within a sample: then it does not carry 16-bit samples.
    """
    resampler = StreamingResampler(rate_hz=rate_hz, new_rate_hz=sample_rate)
    chunk_bytes = 2 * max(round(chunk_ms * rate_hz / 1000), 1)
    # read1 returns what is there; read would wait until the chunk is full.
    read = getattr(stream, "read1", stream.read)
    rest = b""
    while data := read(chunk_bytes):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield resampler.push(_from_pcm(data[:whole]))
    if rest:
        raise ValueError(
            "standard input ended in the middle of a 16-bit sample; send raw signed 16-bit "
            "little-endian mono samples, for example `ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -`"
        )
    yield resampler.finish()


def microphone_chunks(*, sample_rate: int, chunk_ms: float) -> Iterator[Tensor]:
    """Listen to the default microphone until the caller stops.

    Arguments
    ---------
    sample_rate : int
        Samples per second of the model. A microphone that does not offer it is read at its own rate
        and converted.
    chunk_ms : float
        Length of a chunk in milliseconds.

    Yields
    ------
    Tensor
        (n,) float32 in [-1, 1].

    Raises
    ------
    ImportError
        If sounddevice or the PortAudio library is not installed.
    OSError
        If there is no microphone, or it cannot be opened.
    """
    sounddevice = _import_sounddevice()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive(samples: Any, frames: int, time: Any, status: Any) -> None:
        waiting.put(samples[:, 0].copy())

    try:
        rate_hz = _microphone_rate(sounddevice, sample_rate)
        resampler = StreamingResampler(rate_hz=rate_hz, new_rate_hz=sample_rate)
        with sounddevice.InputStream(
            samplerate=rate_hz,
            channels=1,
            dtype="float32",
            blocksize=max(round(chunk_ms * rate_hz / 1000), 1),
            callback=receive,
        ):
            while True:
                yield resampler.push(torch.from_numpy(waiting.get()))
    except sounddevice.PortAudioError as error:
        raise OSError(
            f"the microphone cannot be opened: {error}; `python -m sounddevice` lists the devices"
        ) from error


def _microphone_rate(sounddevice: Any, sample_rate: int) -> int:
    try:
        sounddevice.check_input_settings(samplerate=sample_rate, channels=1, dtype="float32")
        return sample_rate
    except sounddevice.PortAudioError:
        return int(sounddevice.query_devices(kind="input")["default_samplerate"])


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, the C library not
        raise ImportError(
            f"the microphone needs sounddevice and PortAudio ({error}): pip install "
            "'sb-alexa[microphone]', and on Linux `apt install libportaudio2`"
        ) from error
    return sounddevice


def _from_pcm(data: bytes) -> Tensor:
    if not data:
        return torch.zeros(0)
    samples = torch.frombuffer(bytearray(data), dtype=torch.int16)
    return samples.float() / 32768.0


def _check_wav_length(path: str | os.PathLike[str]) -> None:
    """Refuse a WAV with fewer bytes than its header announces, which libsndfile reads silently."""
    with open(path, "rb") as file:
        riff = file.read(12)
        if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            return
        end = os.fstat(file.fileno()).st_size
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            start = file.tell()
            if name == b"data":
                if size not in _UNKNOWN_SIZES and start + size > end:
                    raise AudioError(
                        f"truncated: {end - start} of the {size} bytes of samples announced", path
                    )
                return
            file.seek(start + size + size % 2)
