from __future__ import annotations

import pytest

from sb_alexa.turn import Turn, Word


def test_a_turn_moves_with_its_words() -> None:
    turn = Turn("anna", 1.0, 2.0, "GO UP", (Word("GO", 1.0, 1.5), Word("UP", 1.5, 2.0)))
    later = turn.shifted(0.25)
    assert (later.start_s, later.end_s, later.duration_s) == (1.25, 2.25, 1.0)
    assert [(word.start_s, word.end_s) for word in later.words] == [(1.25, 1.75), (1.75, 2.25)]


def test_turns_that_touch_do_not_overlap() -> None:
    first = Turn("anna", 0.0, 1.0, "GO")
    assert not first.overlaps(Turn("ben", 1.0, 2.0, "UP"))
    assert first.overlaps(Turn("ben", 0.9, 2.0, "UP"))


def test_an_end_before_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="of anna ends at 1.0 s, before its start at 2.0 s"):
        Turn("anna", 2.0, 1.0, "GO")
    with pytest.raises(ValueError, match="'GO' ends at 1.0 s"):
        Word("GO", 2.0, 1.0)


def test_times_of_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="times of other words: 'UP'"):
        Turn("anna", 0.0, 1.0, "GO", (Word("UP", 0.0, 1.0),))
