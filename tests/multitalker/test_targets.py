from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.multitalker.targets import ChannelTarget, channel_targets, count_turns
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.turn import Turn
from tests.multitalker.turn_cases import LetterPieces, two_at_once, unhurried

PIECES = LetterPieces()
OPEN = TurnTokens(PIECES.num_word_pieces)
CLOSED = TurnTokens(PIECES.num_word_pieces, closed_turns=True)
CHANGE = TurnTokens(PIECES.num_word_pieces, style="change")
NONE = TurnTokens(PIECES.num_word_pieces, style="none")
SOT, EOT = PIECES.num_word_pieces + 1, PIECES.num_word_pieces + 2
COT = SOT
A, B, C, D = PIECES.encode("A B C D")

# The turn of cleo is the last to start, that of ben the last to end.
MIXTURE = [
    Turn("anna", 0.0, 2.0, "A"),
    Turn("ben", 1.0, 9.0, "B"),
    Turn("anna", 3.0, 4.0, "C"),
    Turn("cleo", 5.0, 6.0, "D"),
]


def targets(
    turns: Sequence[Turn], tokens: TurnTokens, num_channels: int = 2
) -> list[ChannelTarget]:
    return list(channel_targets(arrange_turns(turns, num_channels), tokens, PIECES.encode))


def split_turns(target: ChannelTarget, tokens: TurnTokens) -> list[tuple[int, ...]]:
    """Words of each turn, told apart by the tokens alone."""
    turns: list[list[int]] = []
    inside = False
    for label in target.labels:
        if label in (tokens.end, tokens.change):
            inside = False
        elif label == tokens.start or not inside:
            turns.append([] if label == tokens.start else [label])
            inside = True
        else:
            turns[-1].append(label)
    return [tuple(turn) for turn in turns]


def test_the_first_to_start_and_the_last_to_end_lack_a_token() -> None:
    first, second = targets(MIXTURE, OPEN)
    assert first.labels == (A, EOT, SOT, C, EOT, SOT, D, EOT)
    assert first.turn_end_s == (None, 2.0, None, None, 4.0, None, None, 6.0)
    assert second == ChannelTarget((SOT, B), (None, None))


def test_closed_turns_have_both_tokens() -> None:
    first, second = targets(MIXTURE, CLOSED)
    assert first.labels == (SOT, A, EOT, SOT, C, EOT, SOT, D, EOT)
    assert second == ChannelTarget((SOT, B, EOT), (None, None, 9.0))


def test_change_of_turn_stands_between_neighbours_of_a_channel() -> None:
    first, second = targets(MIXTURE, CHANGE)
    assert first.labels == (A, COT, C, COT, D)
    assert second.labels == (B,)
    assert set(first.turn_end_s + second.turn_end_s) == {None}


def test_without_tokens_there_are_words_only() -> None:
    assert [target.labels for target in targets(MIXTURE, NONE)] == [(A, C, D), (B,)]


def test_one_channel_ends_turns_no_earlier_than_it_can() -> None:
    (only,) = targets(MIXTURE, OPEN, num_channels=1)
    # It says B after A, until 9 s, so it cannot have finished C before.
    assert only.labels == (A, EOT, SOT, B, EOT, SOT, C, EOT, SOT, D)
    assert [end_s for end_s in only.turn_end_s if end_s is not None] == [2.0, 9.0, 9.0]


def test_of_turns_that_end_together_the_last_in_order_lacks_its_end() -> None:
    turns = [Turn("anna", 0.0, 3.0, "A"), Turn("ben", 1.0, 3.0, "B")]
    assert [target.labels for target in targets(turns, OPEN)] == [(A, EOT), (SOT, B)]


def test_a_lone_turn_has_no_tokens_and_no_turn_no_labels() -> None:
    assert [target.labels for target in targets(MIXTURE[:1], OPEN)] == [(A,), ()]
    assert targets([], OPEN) == [ChannelTarget(), ChannelTarget()]


@unhurried
@given(two_at_once, st.sampled_from([OPEN, CLOSED, CHANGE]), st.integers(1, 2))
def test_the_tokens_tell_the_turns(
    turns: list[Turn], tokens: TurnTokens, num_channels: int
) -> None:
    arrangement = arrange_turns(turns, num_channels)
    made = channel_targets(arrangement, tokens, PIECES.encode)
    assert count_turns([target.labels for target in made], tokens) == len(turns)
    for target, channel in zip(made, arrangement.by_channel, strict=True):
        assert split_turns(target, tokens) == [tuple(PIECES.encode(t.text)) for t in channel]
        assert tokens.strip(target.labels) == targets_without_tokens(channel)


def targets_without_tokens(channel: Sequence[Turn]) -> tuple[int, ...]:
    return tuple(label for turn in channel for label in PIECES.encode(turn.text))


@unhurried
@given(two_at_once, st.sampled_from([OPEN, CLOSED]))
def test_every_end_knows_its_time_and_nothing_else_does(
    turns: list[Turn], tokens: TurnTokens
) -> None:
    arrangement = arrange_turns(turns)
    made = channel_targets(arrangement, tokens, PIECES.encode)
    for target in made:
        for label, end_s in zip(target.labels, target.turn_end_s, strict=True):
            assert (label == tokens.end) == (end_s is not None)
    found = sorted(end_s for target in made for end_s in target.turn_end_s if end_s is not None)
    ends_s = sorted(turn.end_s for turn in turns)
    assert found == (ends_s if tokens.closed_turns else ends_s[:-1])


@pytest.mark.parametrize("tokens", [OPEN, CLOSED, CHANGE, NONE])
def test_channels_that_say_nothing_have_no_turns(tokens: TurnTokens) -> None:
    assert count_turns([(), ()], tokens) == 0
    assert count_turns([], tokens) == 0


def test_counts_of_imperfect_output() -> None:
    # As the paper counts: a forgotten <sot> is a turn less, a repeated one a turn more.
    assert count_turns([(A, EOT, B), ()], OPEN) == 1
    assert count_turns([(SOT, SOT, A), ()], OPEN) == 3
    assert count_turns([(A, EOT), (SOT, B)], CLOSED) == 1
    assert count_turns([(A,), (B, COT)], CHANGE) == 3
    assert count_turns([(A, B), (C,)], NONE) == 2


def test_a_turn_without_words_is_refused() -> None:
    turns = [Turn("anna", 1.0, 2.0, "")]
    with pytest.raises(ValueError, match="of anna from 1 to 2 s has no words"):
        targets(turns, OPEN)


def test_labels_of_another_vocabulary_are_refused() -> None:
    few = TurnTokens(num_word_pieces=2)
    with pytest.raises(ValueError, match="label 3 in 'C' is no word piece.*num_word_pieces=2"):
        targets([Turn("anna", 1.0, 2.0, "C")], few)


def test_a_target_has_an_entry_for_each_label() -> None:
    with pytest.raises(ValueError, match="2 labels and 1 turn_end_s"):
        ChannelTarget((1, 2), (None,))
