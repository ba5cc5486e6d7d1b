from __future__ import annotations

import math

import numpy as np
import pytest

from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.bootstrap_statistic import bootstrap_statistic
from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.metrics.turn_latency import Latencies


def test_agrees_with_the_interval_of_a_ratio() -> None:
    generator = np.random.default_rng(1)
    sessions = [ErrorCounts(substitutions=int(generator.integers(50)), words=100) for _ in range(9)]
    expected = bootstrap_interval(sessions, num_samples=2000, seed=3)
    found = bootstrap_statistic(sessions, lambda c: c.error_rate, num_samples=2000, seed=4)
    assert found == pytest.approx(expected, abs=1.5)


def test_same_seed_same_interval() -> None:
    sessions = [Latencies((float(n), 2.0 * n)) for n in range(8)]
    intervals = [
        bootstrap_statistic(sessions, lambda s: s.p90_ms, num_samples=50, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert intervals[0] == intervals[1] != intervals[2]


def test_sessions_without_a_value_are_passed_over() -> None:
    sessions = [Latencies(), Latencies((5.0,))]
    assert bootstrap_statistic(sessions, lambda s: s.p50_ms) == (5.0, 5.0)
    assert all(map(math.isnan, bootstrap_statistic([Latencies()] * 2, lambda s: s.p50_ms)))


@pytest.mark.parametrize(
    ("num_sessions", "options", "message"),
    [
        (1, {}, "at least two groups, got 1"),
        (2, {"level": 1.0}, "level"),
        (2, {"num_samples": 0}, "num_samples"),
    ],
)
def test_wrong_arguments(num_sessions: int, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_statistic([Latencies()] * num_sessions, lambda s: s.p50_ms, **options)
