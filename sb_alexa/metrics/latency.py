"""How long after the end of a word the recogniser emits it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class EmissionLatency:
    """Emission latencies of the correctly recognised words, of one utterance or of many.

    Quantiles cannot be combined from quantiles, so the latencies themselves are kept.

    Arguments
    ---------
    latencies_ms : tuple of float
        Emission time minus true end of each matched word, in ms; negative where a word is emitted
        before its end.
    words : int
        Words of the reference, matched or not.

    Example
    -------
    >>> both = EmissionLatency((100.0, 300.0), words=2) + EmissionLatency((200.0,), words=2)
    >>> both.median_ms, both.p90_ms, both.matched
    (200.0, 280.0, 0.75)
    """

    latencies_ms: tuple[float, ...] = ()
    words: int = 0

    def __post_init__(self) -> None:
        if len(self.latencies_ms) > self.words:
            raise ValueError(
                f"{len(self.latencies_ms)} latencies were given for {self.words} reference words; "
                "measure with emission_latency(...)"
            )

    def __add__(self, other: EmissionLatency) -> EmissionLatency:
        if not isinstance(other, EmissionLatency):
            return NotImplemented
        return EmissionLatency(self.latencies_ms + other.latencies_ms, self.words + other.words)

    @property
    def matched(self) -> float:
        """Fraction of the reference words that the latencies stand for."""
        return len(self.latencies_ms) / self.words if self.words else math.nan

    @property
    def median_ms(self) -> float:
        """Median latency; NaN without a matched word."""
        return self.quantile_ms(0.5)

    @property
    def p90_ms(self) -> float:
        """Latency that 90 % of the matched words do not exceed; NaN without a matched word."""
        return self.quantile_ms(0.9)

    def quantile_ms(self, probability: float) -> float:
        """Quantile of the latencies, linearly interpolated.

        Arguments
        ---------
        probability : float
            Between 0 and 1.

        Returns
        -------
        float
            Milliseconds; NaN without a matched word.
        """
        return float(np.quantile(self.latencies_ms, probability)) if self.latencies_ms else math.nan


def emission_latency(
    reference_words: Sequence[str],
    reference_ends_s: Sequence[float],
    hypothesis_words: Sequence[str],
    emission_times_s: Sequence[float],
) -> EmissionLatency:
    """Measure one utterance: align its words and compare the times of those that are right.

    The words are aligned by the Levenshtein distance; substituted, deleted and inserted words have
    no latency.

    Arguments
    ---------
    reference_words : sequence of str
        What was said.
    reference_ends_s : sequence of float
        True end of each reference word, in seconds from the start of the audio.
    hypothesis_words : sequence of str
        What was recognised.
    emission_times_s : sequence of float
        When each hypothesis word was complete: the amount of audio, in seconds, that had to be read
        before its last word piece came out (end of its frame plus the model's look-ahead).

    Returns
    -------
    EmissionLatency
        The latencies of the matched words.

    Raises
    ------
    ValueError
        If words and times differ in number.

    Example
    -------
    >>> emission_latency(["turn", "it", "on"], [0.5, 0.7, 1.0], ["turn", "on"], [0.75, 1.5])
    EmissionLatency(latencies_ms=(250.0, 500.0), words=3)
    """
    for words, times, name in (
        (reference_words, reference_ends_s, "reference"),
        (hypothesis_words, emission_times_s, "hypothesis"),
    ):
        if len(words) != len(times):
            raise ValueError(
                f"the {name} has {len(words)} words but {len(times)} times; give one for each word"
            )
    latencies_ms = []
    for block in Levenshtein.opcodes(reference_words, hypothesis_words):
        if block.tag == "equal":
            ends = reference_ends_s[block.src_start : block.src_end]
            emissions = emission_times_s[block.dest_start : block.dest_end]
            latencies_ms += [1000.0 * (e - end) for end, e in zip(ends, emissions, strict=True)]
    return EmissionLatency(tuple(latencies_ms), len(reference_words))
