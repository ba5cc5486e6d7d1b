"""Audio files: reading them as a recogniser wants them, and finding the ones that are damaged."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from sb_alexa.corpora.stamp import Journal

logger = logging.getLogger(__name__)

_BLOCK_SAMPLES = 65_536
# libsndfile's answer for a header without a length; reading such a file to its end fails.
_LENGTH_UNKNOWN = 2**63 - 1
# Files between two writes of the journal: what a kill can lose, about a second of work.
_BATCH_FILES = 512


class AudioError(ValueError):
    """A file that cannot be used as audio.

    Arguments
    ---------
    reason : str
        What is wrong. (It comes first so that one argument rebuilds the error: torch re-raises the
        errors of its data-loading workers that way.)
    path : str or path-like
        The file, which the message names.

    Example
    -------
    >>> str(AudioError("empty file", "1-2-0003.flac"))
    '1-2-0003.flac: empty file'
    """

    def __init__(self, reason: str, path: str | os.PathLike[str] = "") -> None:
        super().__init__(f"{os.fspath(path)}: {reason}" if path else reason)
        self.reason = reason
        self.path = os.fspath(path)


@dataclass(frozen=True)
class AudioInfo:
    """What `inspect_audio` finds: samples per channel, sample rate (Hz) and channels."""

    num_samples: int
    sample_rate: int
    num_channels: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


_said: set[str] = set()


def _say_once(topic: str, message: str) -> None:
    if topic not in _said:
        _said.add(topic)
        logger.warning("%s", message)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """Open audio; what libsndfile says while it is open comes out as AudioError."""
    path = os.fspath(path)
    try:
        if os.stat(path).st_size == 0:
            raise AudioError("empty file", path)
    except FileNotFoundError as error:
        raise AudioError("missing", path) from error
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames <= 0:
                raise AudioError("holds no samples", path)
            if file.frames >= _LENGTH_UNKNOWN:
                raise AudioError("its header does not tell the length; encode it again", path)
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(error.error_string, path) from error


def inspect_audio(path: str | os.PathLike[str], *, full_decode: bool = True) -> AudioInfo:
    """Check that a file is whole, decodable audio.

    A header alone proves nothing: a FLAC cut anywhere after its first block still announces its
    full length.

    Arguments
    ---------
    path : str or path-like
        The file.
    full_decode : bool
        Decode all of it, which finds every damage. Otherwise only the end is decoded: it finds
        truncation wherever the cut is, at a tenth of the time, but not damage in the middle.

    Returns
    -------
    info : AudioInfo
        Length, sample rate and channels.

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, truncated or damaged.
    """
    with _opened(path) as file:
        if full_decode:
            block = np.empty((_BLOCK_SAMPLES, file.channels), dtype=np.int16)
            num_decoded = 0
            while num_read := len(file.read(out=block)):
                num_decoded += num_read
        else:
            file.seek(file.frames - 1)
            num_decoded = file.frames - 1 + len(file.read(1, dtype="int16"))
        if num_decoded != file.frames:
            raise AudioError(f"holds {num_decoded} of the {file.frames} samples announced", path)
        return AudioInfo(file.frames, file.samplerate, file.channels)


def check_audio(
    data_root: str | os.PathLike[str],
    files: Sequence[tuple[str, int]],
    journal: Journal,
    *,
    num_workers: int | None = None,
    full_decode: bool = True,
) -> tuple[dict[str, AudioInfo], dict[str, str]]:
    """Inspect many files in parallel, going on where an interrupted run stopped.

    Arguments
    ---------
    data_root : str or path-like
        Folder to which the names are relative.
    files : sequence of (str, int)
        Name and size in bytes of each file.
    journal : Journal
        Remembers the good ones; bad ones are inspected again, because they may have been repaired.
    num_workers : int, optional
        Threads (decoding releases the interpreter lock); one for every processor, up to 16.
    full_decode : bool
        As for `inspect_audio`.

    Returns
    -------
    infos : dict of str to AudioInfo
        Of every good file.
    reasons : dict of str to str
        What is wrong with every other one.
    """
    infos: dict[str, AudioInfo] = {}
    reasons: dict[str, str] = {}
    unknown: list[tuple[str, int]] = []
    for name, size_bytes in files:
        entry = journal.entries.get(name, {})
        if entry.get("size_bytes") == size_bytes and (entry["full_decode"] or not full_decode):
            infos[name] = AudioInfo(*entry["info"])
        else:
            unknown.append((name, size_bytes))

    def inspect(file: tuple[str, int]) -> AudioInfo | AudioError:
        try:
            return inspect_audio(Path(data_root, file[0]), full_decode=full_decode)
        except AudioError as error:
            return error

    bar = tqdm(
        total=len(files), initial=len(infos), desc="Checking audio", unit="file", disable=None
    )
    num_threads = max(1, min(16, os.cpu_count() or 1) if num_workers is None else num_workers)
    with bar, ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(unknown), _BATCH_FILES):
            batch = unknown[start : start + _BATCH_FILES]
            done = []
            for (name, size_bytes), found in zip(batch, pool.map(inspect, batch), strict=True):
                bar.update()
                if isinstance(found, AudioError):
                    reasons[name] = found.reason
                    continue
                infos[name] = found
                entry = {"size_bytes": size_bytes, "full_decode": full_decode}
                done.append((name, {**entry, "info": astuple(found)}))
            journal.append(done)
    return infos, reasons


def read_audio(
    path: str | os.PathLike[str],
    sample_rate: int = 16_000,
    *,
    channel: int | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> torch.Tensor:
    """Read audio, or a stretch of it, as one channel at one sample rate.

    Channels are averaged unless one is named, and other sample rates converted; each is said once
    per process.

    Arguments
    ---------
    path : str or path-like
        Any file libsndfile reads (FLAC, WAV, OGG, MP3...).
    sample_rate : int
        Samples per second wanted.
    channel : int, optional
        The only channel to read, from 0.
    start_s, end_s : float
        The stretch to read, in seconds; by default everything. Bounds are rounded to the samples
        of the file.

    Shape
    -----
    output : (N,) float32, in [-1, 1] for integer formats

    Returns
    -------
    samples : torch.Tensor
        The waveform.

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, truncated or damaged, holds NaN or infinity, or
        lacks the channel or a part of the stretch.

    Example
    -------
    >>> path = getfixture("tmp_path") / "stereo.wav"
    >>> soundfile.write(path, np.full((8000, 2), (0.5, 0.25)), 8000)
    >>> wav = read_audio(path)
    >>> wav.shape, round(wav[8000].item(), 2)
    (torch.Size([16000]), 0.38)
    >>> second = read_audio(path, 8000, channel=1, start_s=0.5, end_s=0.75)
    >>> second.shape, second[0].item()
    (torch.Size([2000]), 0.25)
    """
    with _opened(path) as file:
        stored_rate = file.samplerate
        first = round(start_s * stored_rate)
        stop = file.frames if end_s is None else round(end_s * stored_rate)
        if not 0 <= first < stop <= file.frames:
            raise AudioError(
                f"lasts {file.frames / stored_rate} s and has nothing from {start_s} to {end_s} s",
                path,
            )
        file.seek(first)
        samples = torch.from_numpy(file.read(stop - first, dtype="float32", always_2d=True))
        if len(samples) != stop - first:
            raise AudioError(
                f"holds {first + len(samples)} of the {file.frames} samples announced", path
            )
    if channel is not None:
        if not 0 <= channel < samples.shape[1]:
            raise AudioError(f"has {samples.shape[1]} channel(s), none is number {channel}", path)
        samples = samples[:, channel : channel + 1]  # (N, 1)
    if not torch.isfinite(samples).all():
        raise AudioError("holds NaN or infinite samples", path)
    if samples.shape[1] > 1:
        _say_once("channels", f"{path} has {samples.shape[1]} channels: channels are averaged")
    wav = samples.mean(dim=1)  # (N,)
    if stored_rate != sample_rate:
        _say_once("rate", f"{path} is at {stored_rate} Hz: audio is resampled to {sample_rate} Hz")
        # Imported here: it is slow to load and most corpora never need it.
        from torchaudio.functional import resample

        wav = resample(wav, stored_rate, sample_rate)
    return wav
