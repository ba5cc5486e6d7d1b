from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sb_alexa.metrics.studentized_interval import critical_value, studentized
from sb_alexa.metrics.verification_estimates import Estimate


def test_of_normal_means_it_is_that_of_student() -> None:
    """Draws from a normal sample of 8 reproduce what textbooks say of t with 7 degrees."""
    generator = np.random.default_rng(0)
    drawn = generator.normal(size=(200_000, 8))
    samples = np.concatenate([[0.0], drawn.mean(axis=1)])
    errors = np.concatenate([[1.0], drawn.std(axis=1, ddof=1) / math.sqrt(8)])
    found = critical_value(samples, errors, level=0.95)
    assert found == pytest.approx(stats.t.ppf(0.975, df=7), rel=0.02)


def test_several_at_once_are_wider() -> None:
    generator = np.random.default_rng(1)
    samples = np.vstack([np.zeros(10), generator.normal(size=(50_000, 10))])
    found = critical_value(samples, np.ones_like(samples), level=0.95)
    assert found == pytest.approx(stats.norm.ppf((1 + 0.95**0.1) / 2), rel=0.02)


def test_draws_without_the_statistic_are_passed_over() -> None:
    samples, errors = np.array([1.0, 2.0, np.nan, 3.0]), np.ones(4)
    assert critical_value(samples, errors, level=0.5) == 1.5
    two = np.stack([samples, np.full(4, np.nan)], axis=1)
    assert critical_value(two, np.ones((4, 2)), level=0.5) == 1.5
    nothing = studentized(np.array([1.0, np.nan]), np.ones(2), level=0.9)
    assert nothing.value == 1.0 and math.isnan(nothing.low) and math.isnan(nothing.high)


def test_a_constant_factor_of_the_errors_cancels() -> None:
    samples, errors = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.5, 1.0, 2.0, 3.0])
    one = studentized(samples, errors, level=0.8)
    other = studentized(samples, 7.0 * errors, level=0.8)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert isinstance(one, Estimate)


def test_bad_level() -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        critical_value(np.zeros(3), np.ones(3), level=95)
