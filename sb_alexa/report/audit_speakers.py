"""How the word error rates of single speakers scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb_alexa.fairness.speaker_totals import SpeakerTotals

_HARDEST = 5
_PERCENTS = (10, 50, 90)


@dataclass(frozen=True)
class SpeakerRate:
    """One speaker's.

    Arguments
    ---------
    speaker : str
        Name.
    errors, words : float
        Their sums.
    """

    speaker: str
    errors: float
    words: float

    @property
    def wer(self) -> float:
        """Percent."""
        return 100.0 * self.errors / self.words


@dataclass(frozen=True)
class SpeakerSpread:
    """All speakers'.

    Arguments
    ---------
    rates : tuple of float
        Percent, of every speaker, from the lowest on.
    hardest : tuple of SpeakerRate
        The five with the highest, the worst first.
    median_words : float
        Words of the median speaker: with few, the rates scatter by chance alone.
    """

    rates: tuple[float, ...]
    hardest: tuple[SpeakerRate, ...]
    median_words: float

    @property
    def percentiles(self) -> tuple[float, float, float]:
        """WER that 10, 50 and 90 % of the speakers do not exceed, percent."""
        low, middle, high = np.percentile(self.rates, _PERCENTS).tolist()
        return low, middle, high


def speaker_spread(totals: SpeakerTotals) -> SpeakerSpread:
    """From sums by speaker; those who say no word are left out.

    Arguments
    ---------
    totals : SpeakerTotals
        Of all utterances.

    Example
    -------
    >>> spread = speaker_spread(SpeakerTotals.of([1, 0, 3], [10, 10, 10], ["a", "b", "c"]))
    >>> spread.rates, spread.hardest[0].speaker, spread.percentiles[1]
    ((0.0, 10.0, 30.0), 'c', 10.0)
    """
    found = [
        SpeakerRate(name, errors, words)
        for name, errors, words in zip(
            totals.names, totals.errors.tolist(), totals.words.tolist(), strict=True
        )
        if words > 0
    ]
    ordered = sorted(found, key=lambda one: (-one.wer, one.speaker))
    return SpeakerSpread(
        tuple(one.wer for one in reversed(ordered)),
        tuple(ordered[:_HARDEST]),
        float(np.median([one.words for one in found])),
    )
