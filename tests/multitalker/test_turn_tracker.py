from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.multitalker.targets import channel_targets, count_turns
from sb_alexa.multitalker.turn_events import (
    TurnEnded,
    TurnEvent,
    TurnStarted,
    WordSpoken,
    turns_from_events,
)
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.multitalker.turn_tracker import TurnTracker
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.turn import Turn
from tests.multitalker.turn_cases import LetterPieces, two_at_once, unhurried

PIECES = LetterPieces()
OPEN = TurnTokens(PIECES.num_word_pieces)
CLOSED = TurnTokens(PIECES.num_word_pieces, closed_turns=True)
CHANGE = TurnTokens(PIECES.num_word_pieces, style="change")
NONE = TurnTokens(PIECES.num_word_pieces, style="none")
SOT, EOT = PIECES.num_word_pieces + 1, PIECES.num_word_pieces + 2
COT = SOT
A, B = PIECES.encode("A B")


def tracker(tokens: TurnTokens = OPEN, *, delay_s: float = 0.0, channel: int = 0) -> TurnTracker:
    # A power of two keeps the arithmetic of times exact.
    return TurnTracker(PIECES, tokens, channel=channel, seconds_per_frame=0.25, delay_s=delay_s)


def found(labels: Sequence[int], frames: Sequence[int] = ()) -> Hypothesis:
    """Labels one frame apart, unless frames are given."""
    return Hypothesis(tuple(labels), tuple(frames or range(len(labels))), (0.0,) * len(labels))


def test_a_turn_from_token_to_token() -> None:
    events = tracker(channel=1).push(found([SOT, A, B, EOT], [4, 5, 7, 10]))
    assert events == [
        TurnStarted(1, 1.0),
        WordSpoken(1, "A", 1.25, 1.5, 1.0),
        WordSpoken(1, "B", 1.75, 2.0, 1.0),
        TurnEnded(1, 2.75),
    ]


def test_a_word_comes_when_it_is_complete() -> None:
    following = tracker()
    first, second = PIECES.encode("AB")
    assert following.push(found([first], [0])) == [TurnStarted(0, 0.0)]
    assert following.push(found([second], [2])) == []
    assert following.push(found([B], [6])) == [WordSpoken(0, "AB", 0.0, 0.75, 1.0)]


def test_a_start_token_ends_the_turn_before_it() -> None:
    events = tracker().push(found([A, SOT, B], [0, 8, 9]))
    assert events[-3:] == [
        WordSpoken(0, "A", 0.0, 0.25, 1.0),
        TurnEnded(0, 2.0),
        TurnStarted(0, 2.0),
    ]


def test_a_change_token_ends_a_turn_and_the_next_word_starts_another() -> None:
    following = tracker(CHANGE)
    assert following.push(found([A, COT], [0, 4]))[-1] == TurnEnded(0, 1.25)
    assert following.push(found([B], [9])) == [TurnStarted(0, 2.25)]


def test_tokens_without_a_turn_are_dropped_and_counted() -> None:
    following = tracker()
    assert following.push(found([EOT, A, EOT, EOT, EOT]))[-1] == TurnEnded(0, 0.75)
    assert following.num_dropped_tokens == 3
    unknown_to_its_style = tracker(NONE)
    assert len(unknown_to_its_style.push(found([A, SOT, B, EOT]))) == 2
    assert unknown_to_its_style.num_dropped_tokens == 2


def test_the_end_of_the_stream_ends_what_is_open() -> None:
    following = tracker()
    following.push(found([A], [0]))
    assert following.finish(9.0) == [WordSpoken(0, "A", 0.0, 0.25, 1.0), TurnEnded(0, 9.0)]
    assert following.finish(9.0) == []


def test_the_delay_is_taken_off_but_not_beyond_the_start() -> None:
    following = tracker(delay_s=0.5)
    assert following.push(found([A, B], [0, 8])) == [
        TurnStarted(0, 0.0),
        WordSpoken(0, "A", 0.0, 0.0, 1.0),
    ]
    # The stream itself is not delayed.
    assert following.finish(3.0) == [WordSpoken(0, "B", 1.5, 1.75, 1.0), TurnEnded(0, 3.0)]


def test_the_confidence_of_a_word_is_that_of_its_least_sure_piece() -> None:
    decoded = Hypothesis(tuple(PIECES.encode("AB")), (0, 1), (-0.1, -2.0))
    following = tracker()
    following.push(decoded)
    word = following.finish(1.0)[0]
    assert isinstance(word, WordSpoken)
    assert word.confidence == pytest.approx(0.1353, abs=1e-4)


@unhurried
@given(two_at_once, st.sampled_from([OPEN, CLOSED, CHANGE]))
def test_perfect_labels_give_the_turns_back(turns: list[Turn], tokens: TurnTokens) -> None:
    arrangement = arrange_turns(turns)
    targets = channel_targets(arrangement, tokens, PIECES.encode)
    num_turns = 0
    for number, target in enumerate(targets):
        following = tracker(tokens, channel=number)
        events = following.push(found(target.labels)) + following.finish(100.0)
        heard = turns_from_events(events)
        assert [turn.text for turn in heard] == [t.text for t in arrangement.channel(number)]
        assert following.num_dropped_tokens == 0
        num_turns += len(heard)
    assert num_turns == count_turns([target.labels for target in targets], tokens)


# Any labels at any frames, tokens in senseless places included.
LABELS = [A, B, *PIECES.encode("AB"), SOT, EOT]
garbage = st.lists(st.integers(0, 3 * len(LABELS) - 1), max_size=15)


@unhurried
@given(garbage, st.integers(0, 15), st.sampled_from([OPEN, CHANGE, NONE]), st.sampled_from([0, 1]))
def test_whatever_comes_events_are_in_order_and_independent_of_chunks(
    numbers: list[int], cut: int, tokens: TurnTokens, delay_s: float
) -> None:
    labels = [LABELS[number // 3] for number in numbers]
    frames = list(accumulate(number % 3 for number in numbers))
    whole, parts = tracker(tokens, delay_s=delay_s), tracker(tokens, delay_s=delay_s)
    events = whole.push(found(labels, frames)) + whole.finish(6.0)
    pieces = parts.push(found(labels[:cut], frames[:cut]))
    pieces += parts.push(found(labels[cut:], frames[cut:])) + parts.finish(6.0)
    assert pieces == events
    assert_in_order(events)
    heard = "".join(event.text for event in events if isinstance(event, WordSpoken))
    assert heard == PIECES.decode(tokens.strip(labels)).replace(" ", "")


def assert_in_order(events: Sequence[TurnEvent]) -> None:
    """Turns do not overlap, and hold their words."""
    times_s = []
    for event in events:
        times_s += [event.start_s, event.end_s] if isinstance(event, WordSpoken) else [event.time_s]
    assert times_s == sorted(times_s)
    assert all(time_s >= 0 for time_s in times_s)
    marks = [type(event) for event in events if not isinstance(event, WordSpoken)]
    assert marks == [TurnStarted, TurnEnded] * (len(marks) // 2)
    for before, turn in pairwise(turns_from_events(events)):
        assert before.end_s <= turn.start_s
    for turn in turns_from_events(events):
        assert all(turn.start_s <= w.start_s and w.end_s <= turn.end_s for w in turn.words)


@pytest.mark.parametrize("labels", [[A, A], [SOT, A], [EOT, EOT], [A, EOT]])
def test_a_stream_without_end_needs_constant_memory(labels: list[int]) -> None:
    following = tracker()
    sizes_bytes = []
    for minute in range(1, 4):
        for second in range(500):
            frame = 1000 * (500 * minute + second)
            following.push(found(labels, [frame, frame + 1]))
        sizes_bytes.append(len(pickle.dumps(following)))
    # Numbers grow by a digit; 1000 more labels would take kilobytes.
    assert max(sizes_bytes) - min(sizes_bytes) < 16


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="channel=-1"):
        TurnTracker(PIECES, OPEN, channel=-1, seconds_per_frame=0.03)
    with pytest.raises(ValueError, match="seconds_per_frame=0"):
        TurnTracker(PIECES, OPEN, channel=0, seconds_per_frame=0)
    with pytest.raises(ValueError, match="delay_s=-1"):
        TurnTracker(PIECES, OPEN, channel=0, seconds_per_frame=0.03, delay_s=-1)
