"""Confidence intervals of anything that is derived from addable records, such as a median."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np

Record = TypeVar("Record")


def bootstrap_statistic(
    records_by_group: Sequence[Record],
    statistic: Callable[[Record], float],
    *,
    level: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic of pooled records, with whole groups resampled.

    For ratios of sums `bootstrap_ratio` is faster; this is for quantiles and for the best of many
    policies.

    Arguments
    ---------
    records_by_group : sequence of records
        One addable record (`TurnLatency`, `EndpointCounts`, ...) for each session, at least two.
    statistic : callable
        From the sum of records to a number. NaN marks a sample that has none and is passed over.
    level : float
        Probability that the interval is to cover, between 0 and 1.
    num_samples : int
        Bootstrap samples.
    seed : int
        The same records and seed give the same interval.

    Returns
    -------
    low, high : float
        In the unit of the statistic; NaN where no sample has one.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or an argument is out of range.

    Example
    -------
    >>> from sb_alexa.metrics.turn_latency import Latencies
    >>> sessions = [Latencies((value,)) for value in (100.0, 200.0, 300.0, 400.0, 500.0)]
    >>> bootstrap_statistic(sessions, lambda latencies: latencies.p50_ms)
    (100.0, 500.0)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    if num_samples < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}; 1000 is usual")
    num_groups = len(records_by_group)
    if num_groups < 2:
        raise ValueError(
            f"resampling needs at least two groups, got {num_groups}; "
            "with a single session pass its utterance groups"
        )
    generator = np.random.default_rng(seed)
    values = np.empty(num_samples)
    for sample in range(num_samples):
        drawn = generator.integers(num_groups, size=num_groups)
        values[sample] = statistic(reduce(add, [records_by_group[group] for group in drawn]))
    values = values[~np.isnan(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
