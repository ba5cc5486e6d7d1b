"""Audio of utterances as it is stored, for those who mix it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import soundfile

from sb_alexa.corpora.audio import AudioError, read_audio
from sb_alexa.corpora.manifest import Utterance

_FULL_SCALE = 32768


@dataclass(frozen=True)
class SourceAudio:
    """Audio of one utterance.

    Arguments
    ---------
    samples : numpy.ndarray
        float32 (N,).
    sample_rate : int
        Samples per second, those of the file.
    """

    samples: np.ndarray
    sample_rate: int


def stored_rate(path: str | os.PathLike[str]) -> int:
    """Samples per second of an audio file.

    Raises
    ------
    AudioError
        If it is missing or not audio.
    """
    if not os.path.exists(path):
        raise AudioError("missing", path)
    try:
        return soundfile.info(os.fspath(path)).samplerate
    except soundfile.LibsndfileError as error:
        raise AudioError(error.error_string, path) from error


def read_source(utterance: Utterance) -> SourceAudio:
    """Read the audio of an utterance as one channel, at the sample rate of the file.

    Raises
    ------
    AudioError
        If it is missing, damaged, or holds NaN or infinity.
    """
    sample_rate = stored_rate(utterance.path)
    return SourceAudio(read_audio(utterance.path, sample_rate).numpy(), sample_rate)


class CachedSources:
    """Reads every utterance once and keeps it as 16-bit integers (115 MB per hour at 16 kHz).

    For small corpora. Each process that reads keeps what it has read.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.wav"
    >>> soundfile.write(path, np.array([0.25, -0.5]), 8000)
    >>> sources = CachedSources()
    >>> utterance = Utterance("a", 0.00025, str(path), "s", "A")
    >>> first = sources(utterance)
    >>> path.unlink()
    >>> sources(utterance).samples.tolist(), sources(utterance).sample_rate
    ([0.25, -0.5], 8000)
    """

    def __init__(self) -> None:
        self._cache: dict[str, tuple[np.ndarray, int]] = {}

    def __call__(self, utterance: Utterance) -> SourceAudio:
        """The audio; the same bits at every call, those of the file if it is of 16 bits."""
        if utterance.path not in self._cache:
            audio = read_source(utterance)
            integers = np.clip(np.round(audio.samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
            self._cache[utterance.path] = (integers.astype(np.int16), audio.sample_rate)
        integers, sample_rate = self._cache[utterance.path]
        return SourceAudio(integers.astype(np.float32) / _FULL_SCALE, sample_rate)
