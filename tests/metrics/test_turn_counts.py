from __future__ import annotations

import math

import pytest

from sb_alexa.metrics.bootstrap import bootstrap_ratio
from sb_alexa.metrics.turn_counts import TurnCounts, count_turns_right


def test_groups_above_two_turns_are_counted_apart() -> None:
    pairs = [(1, 1), (1, 2), (2, 2), (3, 3), (3, 2), (4, 5), (5, 5)]
    total = sum((count_turns_right(*pair) for pair in pairs), TurnCounts())
    assert total == TurnCounts(groups=7, right=4, groups_above_two=4, right_above_two=2)
    assert total.accuracy == pytest.approx(400 / 7)
    assert total.accuracy_above_two == 50.0


def test_nothing_counted() -> None:
    assert math.isnan(TurnCounts().accuracy)
    assert math.isnan(count_turns_right(2, 2).accuracy_above_two)


def test_an_empty_hypothesis_is_wrong() -> None:
    assert count_turns_right(1, 0).accuracy == 0.0


def test_interval_by_session() -> None:
    sessions = [TurnCounts(10, right, 5, right - 5) for right in (10, 8, 9, 7)]
    low, high = bootstrap_ratio([(one.right, one.groups) for one in sessions])
    assert 0.7 <= low < 0.85 < high <= 1.0


@pytest.mark.parametrize(("said", "heard"), [(0, 1), (-1, 0), (1, -1)])
def test_impossible_numbers_of_turns(said: int, heard: int) -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        count_turns_right(said, heard)


@pytest.mark.parametrize(
    "counts", [(1, 2, 0, 0), (2, 1, 1, 2), (1, 1, 2, 1), (2, 0, 2, 1), (2, 1, 2, 0), (1, -1, 0, 0)]
)
def test_parts_fit_their_wholes(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="larger than its whole"):
        TurnCounts(*counts)
