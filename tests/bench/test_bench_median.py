from __future__ import annotations

import random

import pytest

from sb_alexa.bench.median import Median


@pytest.mark.parametrize("number", [6, 9, 11, 15])
def test_interval_covers_the_median_as_often_as_it_says(number: int) -> None:
    """Measurements of a skewed distribution whose median is 1."""
    generator = random.Random(0)
    covered = 0
    for _ in range(2000):
        of = Median.of([2 ** generator.gauss(0.0, 2.0) for _ in range(number)])
        covered += of.low <= 1.0 <= of.high
    assert covered / 2000 > 0.94


def test_interval_is_not_wider_than_necessary() -> None:
    assert Median.of(list(range(1, 12))) == Median(6.0, 2, 10)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_few_measurements_give_their_range(number: int) -> None:
    of = Median.of([float(one) for one in range(number)])
    assert (of.low, of.high) == (0.0, number - 1.0)


def test_order_does_not_matter() -> None:
    values = [3.0, 1.0, 7.0, 2.0, 9.0, 4.0, 5.0]
    assert Median.of(values) == Median.of(sorted(values))
