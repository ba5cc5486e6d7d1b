"""Confidence intervals of error rates by resampling speakers or utterances."""

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
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    if num_samples < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}; 2000 is usual")
    if len(counts_by_group) < 2:
        raise ValueError(
            f"resampling needs at least two groups, got {len(counts_by_group)}; "
            "with a single speaker pass its utterances as the groups"
        )
    errors = np.array([counts.errors for counts in counts_by_group])
    words = np.array([counts.words for counts in counts_by_group])
    if not words.sum():
        raise ValueError("the groups hold no reference words, so there is no error rate")

    generator = np.random.default_rng(seed)
    num_groups = len(counts_by_group)
    rates = np.empty(num_samples)
    block = max(1, _BLOCK_CELLS // num_groups)
    for start in range(0, num_samples, block):
        stop = min(start + block, num_samples)
        drawn = generator.integers(num_groups, size=(stop - start, num_groups))
        # A sample made of groups without words only would have no rate: it counts as one word.
        rates[start:stop] = errors[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1)
    low, high = np.quantile(100.0 * rates, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
