from __future__ import annotations

from sb_alexa.transducer.timed_words import OpenWord, TimedWord
from tests.multitalker.turn_cases import LetterPieces


def test_a_word_grows_until_the_next_one_starts() -> None:
    pieces = LetterPieces()
    first, second, other = pieces.encode("AB C")
    word = OpenWord(pieces, seconds_per_frame=0.25)
    assert word.timed is None
    token = word.extend(first, frame=4, confidence=0.5)
    assert (token.piece, token.time_s) == ("\u2581A", 1.25)
    assert not word.is_completed_by(second)
    word.extend(second, frame=7, confidence=0.75)
    assert word.is_completed_by(other)
    assert word.close() == TimedWord("AB", start_s=1.0, end_s=2.0, confidence=0.5)
    word.extend(other, frame=9, confidence=0.75)
    assert word.timed == TimedWord("C", start_s=2.25, end_s=2.5, confidence=0.75)


def test_nothing_said_is_no_word() -> None:
    assert OpenWord(LetterPieces(), seconds_per_frame=0.25).close() is None
