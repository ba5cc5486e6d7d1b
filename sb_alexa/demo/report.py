"""What the demo has to report, gathered from the files of a finished one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rapidfuzz.distance import Levenshtein

from sb_alexa.demo.live import LiveTranscript
from sb_alexa.demo.results import RunResults
from sb_alexa.metrics.latency import EmissionLatency

CAVEAT = (
    "The voices are synthetic and the sentences come from a small grammar of household commands. "
    "These figures show that the code learns and streams; they say nothing about people or about "
    "accuracy in the real world."
)


@dataclass(frozen=True)
class DemoReport:
    """A finished demo.

    Arguments
    ---------
    results : RunResults
        Learning curve and test results.
    live : tuple of LiveTranscript
        What was transcribed live; empty where that was left out.
    hours_training_speech : float
        Length of the training set.
    num_training_speakers : int
        Readers of the training set.
    num_parameters : int
        Weights of the model.
    num_steps, ctc_only_steps : int
        Optimiser steps, and those at the beginning with the CTC loss alone.
    seconds_total : float
        Duration of the whole demo.
    command : str
        What was typed.
    model_folder : str
        Where the trained model lies.
    version : str
        Of this package.
    machine : mapping
        Processor, memory, library versions.
    """

    results: RunResults
    live: tuple[LiveTranscript, ...]
    hours_training_speech: float
    num_training_speakers: int
    num_parameters: int
    num_steps: int
    ctc_only_steps: int
    seconds_total: float
    command: str
    model_folder: str
    version: str
    machine: Mapping[str, Any]

    @property
    def longest_live(self) -> LiveTranscript | None:
        """The live utterance that the time line shows."""
        return max(self.live, key=lambda transcript: transcript.duration_s, default=None)

    def figures(self) -> dict[str, float | None]:
        """The flat figures of `--json`."""
        overall = self.results.overall
        latencies = [one.latency for one in self.live]
        latency = sum(latencies, EmissionLatency())
        return {
            "wer": overall.wer,
            "wer_low": overall.low,
            "wer_high": overall.high,
            "seconds_total": self.seconds_total,
            "seconds_training": self.results.seconds_training,
            "num_steps": self.num_steps,
            "num_parameters": self.num_parameters,
            "test_speakers": overall.num_speakers,
            "test_words": overall.num_words,
            "live_latency_ms_p50": latency.median_ms if latency.latencies_ms else None,
        }


Tag = Literal["equal", "replace", "delete", "insert"]


def align(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> list[tuple[Tag, int | None, int | None]]:
    """Pair the words of a reference and a hypothesis by the Levenshtein distance.

    Arguments
    ---------
    reference, hypothesis : sequence of str
        Words.

    Returns
    -------
    pairs : list of (tag, reference index or None, hypothesis index or None)
        In reading order; ``delete`` has no hypothesis index and ``insert`` no reference index.

    Example
    -------
    >>> align("turn the lamp on".split(), "turn lamp on now".split())
    [('equal', 0, 0), ('delete', 1, None), ('equal', 2, 1), ('equal', 3, 2), ('insert', None, 3)]
    """
    pairs: list[tuple[Tag, int | None, int | None]] = []
    for block in Levenshtein.opcodes(reference, hypothesis):
        if block.tag == "delete":
            pairs += [("delete", i, None) for i in range(block.src_start, block.src_end)]
        elif block.tag == "insert":
            pairs += [("insert", None, j) for j in range(block.dest_start, block.dest_end)]
        else:
            tag: Tag = "equal" if block.tag == "equal" else "replace"
            source = range(block.src_start, block.src_end)
            target = range(block.dest_start, block.dest_end)
            pairs += [(tag, i, j) for i, j in zip(source, target, strict=True)]
    return pairs


def accent_name(accent: str) -> str:
    """The name of an accent as people write it.

    Example
    -------
    >>> accent_name("new_york")
    'New York'
    """
    return accent.replace("_", " ").title()
