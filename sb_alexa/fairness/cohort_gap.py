"""The gap in word error rate between a bottom cohort and the top cohort, all other speakers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

# With more speakers in the smaller cohort, Student's t is close enough.
_MOST_PERMUTED = 500
_NUM_PERMUTATIONS = 4999
# Enough to know a p-value that is not small (Besag and Clifford).
_ENOUGH_EXCEEDANCES = 100
_BLOCK_KEYS = 2_000_000


@dataclass(frozen=True)
class CohortCounts:
    """Speakers, word errors and reference words of a cohort; they add up over cohorts.

    Arguments
    ---------
    speakers, errors, words : int
        How many.

    Example
    -------
    >>> both = CohortCounts(1, 1, 2) + CohortCounts(1, 1, 8)
    >>> both, both.wer
    (CohortCounts(speakers=2, errors=2, words=10), 20.0)
    """

    speakers: int = 0
    errors: int = 0
    words: int = 0

    def __add__(self, other: CohortCounts) -> CohortCounts:
        if not isinstance(other, CohortCounts):
            return NotImplemented
        return CohortCounts(
            self.speakers + other.speakers, self.errors + other.errors, self.words + other.words
        )

    @classmethod
    def of(cls, errors: np.ndarray, words: np.ndarray) -> CohortCounts:
        """Of arrays (P,) with the counts of each speaker."""
        return cls(len(errors), round(float(errors.sum())), round(float(words.sum())))

    @property
    def wer(self) -> float:
        """Errors per 100 reference words; NaN without any word."""
        return 100.0 * self.errors / self.words if self.words else math.nan


@dataclass(frozen=True)
class CohortGap:
    """How much worse a recogniser serves the bottom cohort than the top one.

    Arguments
    ---------
    bottom, top : CohortCounts
        The cohort that is said to be served worse, and the rest.
    points : float
        Bottom WER minus top WER, negative where the bottom cohort is served better after all.
    low, high : float
        95 % interval of `points`, for this gap alone.
    p_value : float
        One-sided: how often chance gives so large a gap where there is none.

    Example
    -------
    >>> gap = CohortGap(CohortCounts(20, 30, 200), CohortCounts(60, 40, 400), 5.0, 1.0, 9.0, 0.01)
    >>> gap.relative, gap.share_of_speakers, round(gap.share_of_words, 3)
    (0.5, 0.25, 0.333)
    """

    bottom: CohortCounts
    top: CohortCounts
    points: float
    low: float
    high: float
    p_value: float

    @property
    def relative(self) -> float:
        """(bottom - top) / top, infinite where the top cohort has no errors."""
        if not self.top.errors:
            return math.inf if self.bottom.errors else 0.0
        return self.points / self.top.wer

    @property
    def share_of_speakers(self) -> float:
        """The bottom cohort's, 0 to 1."""
        return self.bottom.speakers / (self.bottom + self.top).speakers

    @property
    def share_of_words(self) -> float:
        """The bottom cohort's, 0 to 1."""
        return self.bottom.words / (self.bottom + self.top).words


def measure_gap(
    errors: np.ndarray, words: np.ndarray, in_bottom: np.ndarray, *, seed: int = 0
) -> CohortGap:
    """The gap between speakers inside and outside of a bottom cohort.

    Give it speakers who had no part in choosing the cohort: on those who had, the gap is too large
    (the winner's curse) and so is its significance.

    Arguments
    ---------
    errors, words : numpy.ndarray
        (P,) of each speaker, not of each utterance: speakers are the units that chance draws.
    in_bottom : numpy.ndarray
        (P,) bool.
    seed : int
        Of the permutations.

    Returns
    -------
    CohortGap
        With an interval from Student's t (delta method, Welch's degrees of freedom) and a p-value
        from permutations of the speakers where the smaller cohort has up to 500 of them. Error
        rates of speakers are so skewed that t rejects up to ten times too often when 20 speakers
        stand beside some hundred; permutations of the studentised gap do not.

    Raises
    ------
    ValueError
        If a cohort has fewer than two speakers or no words.

    Reference
    ---------
    Chung and Romano, "Exact and asymptotically robust permutation tests", Annals of Statistics
    41(2), 2013. Besag and Clifford, "Sequential Monte Carlo p-values", Biometrika 78(2), 1991.
    The relative gap as Dheram et al., 2022, arXiv 2207.11345.

    Example
    -------
    >>> errors, words = np.array([10, 12, 11, 4, 5, 6, 5]), np.full(7, 100)
    >>> gap = measure_gap(errors, words, np.arange(7) < 3)
    >>> gap.points, round(gap.low), round(gap.high), gap.p_value < 0.05
    (6.0, 4, 8, True)
    """
    in_bottom = np.asarray(in_bottom, dtype=bool)
    moments = speaker_moments(errors, words)
    inside, outside = moments[in_bottom].sum(axis=0), moments[~in_bottom].sum(axis=0)
    for name, side in (("bottom", inside), ("top", outside)):
        if side[0] < 2 or side[2] <= 0:
            raise ValueError(
                f"the {name} cohort has {side[0]:.0f} speakers and {side[2]:.0f} words; a gap "
                "needs at least two speakers with words on either side"
            )
    points, error, freedom = welch_gap(inside, outside)
    margin = float(stats.t.ppf(0.975, freedom) * error)
    if min(inside[0], outside[0]) < _MOST_PERMUTED:
        p_value = _permuted_p_value(moments, in_bottom, float(points / error), seed)
    else:
        p_value = float(stats.t.sf(points / error, freedom))
    return CohortGap(
        CohortCounts.of(errors[in_bottom], words[in_bottom]),
        CohortCounts.of(errors[~in_bottom], words[~in_bottom]),
        float(points),
        float(points) - margin,
        float(points) + margin,
        p_value,
    )


def speaker_moments(errors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """(P, 6) what adds up to all that `welch_gap` needs: 1, e, w, e e, e w, w w."""
    e, w = np.asarray(errors, dtype=np.float64), np.asarray(words, dtype=np.float64)
    return np.stack([np.ones_like(e), e, w, e * e, e * w, w * w], axis=-1)


def welch_gap(side: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """WER of one side minus that of the other, of many pairs of sides at once.

    Arguments
    ---------
    side, other : numpy.ndarray
        (..., 6) sums of `speaker_moments`; every side has at least two speakers and some words.

    Returns
    -------
    points, standard_error, degrees_of_freedom : numpy.ndarray
        (...) the error from the scatter of speakers around their side's WER, as for a ratio of
        sums.
    """
    rate, variance = _rate(side)
    other_rate, other_variance = _rate(other)
    total = variance + other_variance
    freedom = total**2 / (
        variance**2 / (side[..., 0] - 1) + other_variance**2 / (other[..., 0] - 1)
    )
    return 100 * (rate - other_rate), 100 * np.sqrt(total), freedom


def _rate(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, errors, words, ee, ew, ww = np.moveaxis(side, -1, 0)
    rate = errors / words
    scatter = np.maximum(ee - 2 * rate * ew + rate**2 * ww, 0.0) * count / (count - 1)
    # One error more or less is the least uncertainty: no errors do not prove perfection.
    return rate, np.maximum(scatter, 1.0) / words**2


def _permuted_p_value(
    moments: np.ndarray, in_bottom: np.ndarray, observed: float, seed: int
) -> float:
    """How often as large a studentised gap arises when cohorts are dealt out to the speakers."""
    num_speakers = len(moments)
    size = int(min(in_bottom.sum(), (~in_bottom).sum()))
    sign = 1.0 if in_bottom.sum() == size else -1.0
    total = moments.sum(axis=0)
    generator = np.random.default_rng(seed)
    block = max(1, min(500, _BLOCK_KEYS // num_speakers))
    exceeded, done = 0, 0
    while done < _NUM_PERMUTATIONS and exceeded < _ENOUGH_EXCEEDANCES:
        keys = generator.random((block, num_speakers), dtype=np.float32)
        drawn = np.argpartition(keys, size - 1, axis=1)[:, :size]
        side = moments[drawn].sum(axis=1)
        # A side of speakers without words has no WER: it counts as exceeding, the safe side.
        valid = (side[:, 2] > 0) & (side[:, 2] < total[2])
        points, error, _ = welch_gap(side[valid], total - side[valid])
        # Rounding differs with the order of the sums; equal gaps count as exceeding.
        exceeded += int((sign * points / error >= observed - 1e-9).sum() + (~valid).sum())
        done += block
    return (exceeded + 1) / (done + 1)
