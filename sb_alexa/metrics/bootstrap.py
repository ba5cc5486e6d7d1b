"""Confidence intervals of ratios of counts by resampling speakers or utterances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sb_alexa.metrics.error_rate import ErrorCounts

# Cells (samples x groups) resampled at once: 2000 samples of 3000 utterances stay below 20 MB.
_BLOCK_CELLS = 1_000_000


def bootstrap_interval(
    counts_by_group: Sequence[ErrorCounts],
    *,
    level: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the pooled error rate, with whole groups as the units of resampling.

    Errors of one speaker are correlated, so utterances as units give an interval that is too narrow
    for the question "what would other speakers have?": pass one `ErrorCounts` for each speaker.

    Arguments
    ---------
    counts_by_group : sequence of ErrorCounts
        One entry for each speaker (or utterance), at least two.
    level : float
        Probability that the interval is to cover, between 0 and 1.
    num_samples : int
        Bootstrap samples.
    seed : int
        The same counts and seed give the same interval.

    Returns
    -------
    low, high : float
        Error rates in percent.

    Raises
    ------
    ValueError
        If there are fewer than two groups, no reference words, or an argument is out of range.

    Reference
    ---------
    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    ICASSP 2004. Here the unit of resampling is whatever group the caller passes.

    Example
    -------
    >>> speakers = [ErrorCounts(substitutions=errors, words=100) for errors in (2, 4, 6, 8)]
    >>> low, high = bootstrap_interval(speakers)
    >>> round(low, 1), round(high, 1)
    (3.0, 7.0)
    """
    if counts_by_group and not any(counts.words for counts in counts_by_group):
        raise ValueError("the groups hold no reference words, so there is no error rate")
    parts = [(counts.errors, counts.words) for counts in counts_by_group]
    low, high = bootstrap_ratio(parts, level=level, num_samples=num_samples, seed=seed)
    return 100.0 * low, 100.0 * high


def bootstrap_ratio(
    counts_by_group: Sequence[tuple[float, float]],
    *,
    level: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a ratio of sums: any two counts that add up over groups.

    Arguments
    ---------
    counts_by_group : sequence of (float, float)
        Part and whole of each speaker (or utterance), at least two: errors and words, executed and
        possible operations, ...
    level : float
        Probability that the interval is to cover, between 0 and 1.
    num_samples : int
        Bootstrap samples.
    seed : int
        The same counts and seed give the same interval.

    Returns
    -------
    low, high : float
        Ratios of the sum of the parts to the sum of the wholes.

    Raises
    ------
    ValueError
        If there are fewer than two groups, all wholes are 0, or an argument is out of range.

    Example
    -------
    >>> low, high = bootstrap_ratio([(2, 100), (4, 100), (6, 100), (8, 100)])
    >>> round(low, 3), round(high, 3)
    (0.03, 0.07)
    """
    _check(level, num_samples)
    ratios = _resampled(counts_by_group, num_samples, np.random.default_rng(seed))
    return _percentiles(ratios, level)


def bootstrap_ratio_difference(
    counts_by_group: Sequence[tuple[float, float]],
    other_counts_by_group: Sequence[tuple[float, float]],
    *,
    level: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the difference of two ratios that have no speaker in common.

    Both sets of speakers are resampled, independently of each other. Whether two intervals of
    ratios overlap does not answer whether the ratios differ; this one does: by more than chance
    where it does not contain 0.

    Arguments
    ---------
    counts_by_group : sequence of (float, float)
        Part and whole of each speaker, at least two.
    other_counts_by_group : sequence of (float, float)
        The same of the speakers to compare with, at least two.
    level : float
        Probability that the interval is to cover, between 0 and 1.
    num_samples : int
        Bootstrap samples.
    seed : int
        The same counts and seed give the same interval.

    Returns
    -------
    low, high : float
        First ratio minus second.

    Raises
    ------
    ValueError
        As `bootstrap_ratio`.

    Example
    -------
    >>> few, many = [(2, 100), (4, 100), (3, 100)], [(12, 100), (14, 100), (13, 100)]
    >>> low, high = bootstrap_ratio_difference(many, few)
    >>> 0.08 < low < 0.10 < high < 0.12
    True
    """
    _check(level, num_samples)
    generator = np.random.default_rng(seed)
    ratios = _resampled(counts_by_group, num_samples, generator)
    return _percentiles(ratios - _resampled(other_counts_by_group, num_samples, generator), level)


def _check(level: float, num_samples: int) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    if num_samples < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}; 2000 is usual")


def _resampled(
    counts_by_group: Sequence[tuple[float, float]],
    num_samples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """(num_samples,) ratios of groups drawn with replacement."""
    num_groups = len(counts_by_group)
    if num_groups < 2:
        raise ValueError(
            f"resampling needs at least two groups, got {num_groups}; "
            "with a single speaker pass its utterances as the groups"
        )
    parts, wholes = np.array(counts_by_group, dtype=np.float64).T
    if not wholes.any():
        raise ValueError("the wholes of all groups are 0, so there is no ratio")
    ratios = np.empty(num_samples)
    block = max(1, _BLOCK_CELLS // num_groups)
    for start in range(0, num_samples, block):
        stop = min(start + block, num_samples)
        drawn = generator.integers(num_groups, size=(stop - start, num_groups))
        sums = wholes[drawn].sum(axis=1)
        # A sample made of empty groups only would have no ratio: its whole counts as 1.
        ratios[start:stop] = parts[drawn].sum(axis=1) / np.where(sums > 0, sums, 1.0)
    return ratios


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
