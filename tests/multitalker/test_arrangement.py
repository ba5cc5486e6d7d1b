from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.multitalker.arrangement import (
    Arrangement,
    arrange_turns,
    overlaps_at_most,
    turns_in_order,
)
from sb_alexa.turn import Turn
from tests.multitalker.turn_cases import any_turns, group_at_once, two_at_once, unhurried


@unhurried
@given(two_at_once)
def test_no_channel_says_two_turns_at_once(turns: list[Turn]) -> None:
    for channel in arrange_turns(turns).by_channel:
        assert not any(one.overlaps(other) for one, other in combinations(channel, 2))


@unhurried
@given(two_at_once)
def test_the_channel_switches_exactly_where_a_turn_starts_before_the_previous_end(
    turns: list[Turn],
) -> None:
    arrangement = arrange_turns(turns)
    assert arrangement.channels[:1] in ((), (0,))
    for (before, old), (turn, new) in pairwise(
        zip(arrangement.turns, arrangement.channels, strict=True)
    ):
        assert (new != old) == (turn.start_s < before.end_s)


@unhurried
@given(two_at_once, st.integers(1, 2))
def test_order_is_kept_and_the_turns_come_back(turns: list[Turn], num_channels: int) -> None:
    arrangement = arrange_turns(turns, num_channels)
    assert sorted(map(repr, arrangement.turns)) == sorted(map(repr, turns))
    for channel in arrangement.by_channel:
        assert channel == turns_in_order(channel)
    merged = [turn for channel in reversed(arrangement.by_channel) for turn in channel]
    assert turns_in_order(merged) == arrangement.turns
    assert arrange_turns(merged, num_channels) == arrangement


@unhurried
@given(two_at_once, st.integers(1, 2))
def test_the_order_given_does_not_matter(turns: list[Turn], num_channels: int) -> None:
    arrangement = arrange_turns(turns, num_channels)
    assert arrange_turns(turns[::-1], num_channels) == arrangement
    assert arrange_turns(sorted(turns, key=lambda turn: turn.text), num_channels) == arrangement


@unhurried
@given(any_turns)
def test_it_refuses_three_at_once_and_nothing_else(turns: list[Turn]) -> None:
    if group_at_once(turns, 3) is None:
        assert len(arrange_turns(turns).turns) == len(turns)
        return
    with pytest.raises(ValueError, match="three turns overlap") as caught:
        arrange_turns(turns)
    named = re.findall(r"(\w+) from (\S+) to (\S+) s: '([A-C ]+)'", str(caught.value))
    culprits = [Turn(name, float(start), float(end), text) for name, start, end, text in named]
    assert len(culprits) == 3
    assert group_at_once(culprits, 3) is not None
    assert all(culprit in turns for culprit in culprits)


@unhurried
@given(any_turns, st.integers(1, 4))
def test_the_most_at_once_against_every_group(turns: list[Turn], count: int) -> None:
    assert overlaps_at_most(turns, count) == (group_at_once(turns, count + 1) is None)


def test_turns_that_start_together_have_one_order() -> None:
    turns = [
        Turn("ben", 0.0, 2.0, "B"),
        Turn("ben", 0.0, 1.0, "B"),
        Turn("anna", 0.0, 2.0, "B"),
        Turn("anna", 0.0, 2.0, "A"),
    ]
    assert turns_in_order(turns) == (turns[1], turns[3], turns[2], turns[0])


def test_a_single_channel_takes_all_by_start() -> None:
    turns = [Turn(name, 0.0, 5.0, "GO") for name in ("cleo", "ben", "anna")]
    arrangement = arrange_turns(turns, num_channels=1)
    assert [turn.speaker for turn in arrangement.channel(0)] == ["anna", "ben", "cleo"]


def test_arrangements_that_make_no_sense_are_refused() -> None:
    anna, ben = Turn("anna", 0.0, 2.0, "GO"), Turn("ben", 1.0, 3.0, "UP")
    with pytest.raises(ValueError, match="2 turns and 1 channels"):
        Arrangement((anna, ben), (0,), 2)
    with pytest.raises(ValueError, match=r"channels \[2\] do not exist: num_channels=2"):
        Arrangement((anna, ben), (0, 2), 2)
    with pytest.raises(ValueError, match="out of order"):
        Arrangement((ben, anna), (0, 1), 2)
    with pytest.raises(ValueError, match="channel 2 does not exist"):
        arrange_turns([anna, ben]).channel(2)
    with pytest.raises(ValueError, match="num_channels=3"):
        arrange_turns([anna, ben], num_channels=3)
