from __future__ import annotations

import pytest

from sb_alexa.corpora.word_times import END, PHONEME, WORD, Event, intervals


def _times(words: str, events: list[Event]) -> list[tuple[str, float, float]]:
    found, _ = intervals(words.split(), events, num_samples=1000, rate_hz=1000)
    return [(word.label, word.start_s, word.end_s) for word in found]


def test_a_final_sonorant_belongs_to_its_word() -> None:
    """The engine announces "anna" at the time at which the l of "call" begins."""
    events = [
        Event(WORD, 1, 0, ""),
        Event(PHONEME, 1, 48, "k"),
        Event(PHONEME, 1, 95, "'O:"),
        Event(PHONEME, 1, 289, "l"),
        Event(WORD, 7, 289, ""),
        Event(PHONEME, 7, 321, "'a"),
        Event(PHONEME, 7, 396, "n"),
        Event(PHONEME, 7, 446, "@"),
        Event(PHONEME, 7, 472, "_:"),
        Event(END, 12, 500, ""),
    ]
    assert _times("call anna", events) == [("call", 0.048, 0.321), ("anna", 0.321, 0.472)]


def test_the_closure_of_a_stop_belongs_to_its_word() -> None:
    events = [
        Event(WORD, 1, 0, ""),
        Event(PHONEME, 1, 10, "D"),
        Event(PHONEME, 1, 60, "@2"),
        Event(WORD, 6, 106, ""),
        Event(PHONEME, 6, 155, "k"),
        Event(PHONEME, 6, 210, "i"),
        Event(END, 8, 400, ""),
    ]
    assert _times("the key", events) == [("the", 0.01, 0.106), ("key", 0.106, 0.4)]


def test_a_pause_belongs_to_no_word() -> None:
    events = [
        Event(WORD, 1, 0, ""),
        Event(PHONEME, 1, 10, "i"),
        Event(PHONEME, 1, 100, "_:"),
        Event(END, 3, 150, ""),
        Event(WORD, 4, 200, ""),
        Event(PHONEME, 4, 200, "u"),
    ]
    assert _times("e u", events) == [("e", 0.01, 0.1), ("u", 0.2, 1.0)]
    _, phonemes = intervals(["e", "u"], events, num_samples=1000, rate_hz=1000)
    assert [(sound.label, sound.end_s) for sound in phonemes] == [("i", 0.1), ("u", 1.0)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ab cd", [("ab", 0.1, 0.2), ("cd", 0.2, 0.3)]),
        ("ab c defg", [("ab", 0.1, 0.1 + 0.4 / 7), ("c", 0.1 + 0.4 / 7, 0.1 + 0.6 / 7)]),
    ],
)
def test_a_word_without_a_sound_shares_its_neighbour(
    words: str, expected: list[tuple[str, float, float]]
) -> None:
    events = [Event(PHONEME, 1, 100, "a"), Event(END, 9, 300, "")]
    found = _times(words, events)
    assert len(found) == len(words.split())
    for (word, *times), (label, *bounds) in zip(found, expected, strict=False):
        assert word == label and times == pytest.approx(bounds)
    assert found[-1][2] == pytest.approx(0.3)


def test_no_sound_at_all() -> None:
    with pytest.raises(RuntimeError, match="no sound in 'a b'"):
        _times("a b", [Event(WORD, 1, 0, ""), Event(END, 1, 10, "")])
