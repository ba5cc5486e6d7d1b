"""Whether two quantities of a few groups go together: Spearman's rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_NUM_PERMUTATIONS = 20_000


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of a handful of pairs.

    Arguments
    ---------
    value : float
        -1 to 1; NaN where all values of one side are equal.
    p_value : float
        How often pairs put together at random correlate as much, in either direction; from 20,000
        permutations, since the usual approximations need more pairs.
    num_pairs : int
        What it rests on.

    Example
    -------
    >>> found = RankCorrelation.of([1.0, 1.1, 1.2, 1.5], [3.0, 4.0, 7.0, 9.0])
    >>> found.value, round(found.p_value, 1), found.num_pairs  # exactly 2 of 24 orders
    (1.0, 0.1, 4)
    """

    value: float
    p_value: float
    num_pairs: int

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
        """Of pairs; ties share their mean rank.

        Raises
        ------
        ValueError
            If the two are not pairs, or fewer than two.
        """
        if len(first) != len(second) or len(first) < 2:
            raise ValueError(
                f"a rank correlation needs two pairs at least, got {len(first)} and {len(second)} "
                "values"
            )
        one, other = _standardised_ranks(first), _standardised_ranks(second)
        value = float(one @ other)
        if math.isnan(value):
            return cls(math.nan, math.nan, len(one))
        orders = np.tile(other, (_NUM_PERMUTATIONS, 1))
        drawn = np.random.default_rng(0).permuted(orders, axis=1) @ one
        # Equal correlations must not be told apart by rounding.
        as_much = int((np.abs(drawn) >= abs(value) - 1e-9).sum())
        p_value = (1 + as_much) / (1 + _NUM_PERMUTATIONS)
        return cls(max(-1.0, min(1.0, round(value, 12))), p_value, len(one))


def _standardised_ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks with mean 0 and sum of squares 1; NaN where all values are equal."""
    ranks = stats.rankdata(values)
    centred = ranks - ranks.mean()
    norm = float(np.linalg.norm(centred))
    return centred / norm if norm > 0 else np.full(len(centred), np.nan)
