"""Live transcription: audio is handed over at the speed at which it would be spoken."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sb_alexa.metrics.latency import EmissionLatency, emission_latency


@dataclass(frozen=True)
class SpokenWord:
    """A word of the reference and when it is said, seconds after the start of the audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ShownWord:
    """A recognised word and when it stood complete on the screen, seconds after the start."""

    text: str
    shown_s: float


@dataclass(frozen=True)
class LiveTranscript:
    """One utterance transcribed live.

    Arguments
    ---------
    utterance : str
        Its name.
    duration_s : float
        Length of the audio.
    chunk_ms : float
        Audio handed over at a time.
    spoken : tuple of SpokenWord
        What was said.
    shown : tuple of ShownWord
        What was recognised.
    compute_ms : tuple of float
        Time each chunk took to process.
    """

    utterance: str
    duration_s: float
    chunk_ms: float
    spoken: tuple[SpokenWord, ...]
    shown: tuple[ShownWord, ...]
    compute_ms: tuple[float, ...]

    @property
    def reference(self) -> str:
        """The words said."""
        return " ".join(word.text for word in self.spoken)

    @property
    def hypothesis(self) -> str:
        """The words recognised."""
        return " ".join(word.text for word in self.shown)

    @property
    def latency(self) -> EmissionLatency:
        """From the end of a word to the whole word on the screen, of the words that are right."""
        return emission_latency(
            [word.text for word in self.spoken],
            [word.end_s for word in self.spoken],
            [word.text for word in self.shown],
            [word.shown_s for word in self.shown],
        )

    @property
    def real_time_factor(self) -> float:
        """Processing time per second of audio."""
        return sum(self.compute_ms) / 1000.0 / self.duration_s


def transcribe_live(
    samples: torch.Tensor,
    *,
    push: Callable[[torch.Tensor], str],
    finish: Callable[[], str],
    chunk_samples: int,
    sample_rate: int = 16_000,
    on_text: Callable[[str, float], None] = lambda text, seconds: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[tuple[ShownWord, ...], tuple[float, ...]]:
    """Feed audio chunk by chunk, each at the moment its last sample would have been spoken.

    Arguments
    ---------
    samples : Tensor
        (N,) float32.
    push : callable
        Takes a chunk, returns the text recognised so far.
    finish : callable
        Returns the whole text after the last chunk.
    chunk_samples : int
        Samples in a chunk; the last one may be shorter.
    sample_rate : int
        Samples per second.
    on_text : callable
        Told the text so far and the time since the start after every chunk, in seconds.
    clock, sleep : callable
        Seconds; for tests.

    Returns
    -------
    shown : tuple of ShownWord
        Words and when each was complete on the screen.
    compute_ms : tuple of float
        Processing time of each chunk; that of `finish` is part of the last one's.
    """
    shown: list[ShownWord] = []
    compute_ms: list[float] = []
    start = clock()
    chunks = samples.split(chunk_samples)
    num_spoken = 0
    for number, chunk in enumerate(chunks, start=1):
        num_spoken += len(chunk)
        wait = start + num_spoken / sample_rate - clock()
        if wait > 0:
            sleep(wait)
        begun = clock()
        text = push(chunk)
        if number == len(chunks):
            text = finish()
        now = clock()
        compute_ms.append(1000.0 * (now - begun))
        shown = _with_times(text.split(), shown, now - start)
        on_text(text, now - start)
    return tuple(shown), tuple(compute_ms)


def _with_times(words: Sequence[str], before: Sequence[ShownWord], now_s: float) -> list[ShownWord]:
    """Words that have not changed keep their time; a word that has grown is complete only now."""
    times = [
        before[i].shown_s if i < len(before) and before[i].text == word else now_s
        for i, word in enumerate(words)
    ]
    return [ShownWord(word, time_s) for word, time_s in zip(words, times, strict=True)]


def read_spoken_words(path: Path, utterance: str) -> tuple[SpokenWord, ...]:
    """Read the word times of one utterance from the corpus's `alignments/`.

    Arguments
    ---------
    path : Path
        A CSV with the columns utterance, word, start_s and end_s.
    utterance : str
        Its name.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.words.csv"
    >>> _ = path.write_text("utterance,word,start_s,end_s\\nu1,STOP,0.25,0.75\\n")
    >>> read_spoken_words(path, "u1")
    (SpokenWord(text='STOP', start_s=0.25, end_s=0.75),)
    """
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            SpokenWord(row["word"], float(row["start_s"]), float(row["end_s"]))
            for row in csv.DictReader(file)
            if row["utterance"] == utterance
        )
