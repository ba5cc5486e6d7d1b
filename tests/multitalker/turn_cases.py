"""Random turns and simple word pieces for tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from string import ascii_uppercase

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sb_alexa.turn import Turn

NUM_LETTERS = len(ascii_uppercase)
_NAMES = ("anna", "ben", "cleo")
_TEXTS = ("A", "B", "AB", "A B", "CAB A", "B A C")
# A coarse grid: equal starts, turns that touch and turns without length all happen.
_NUM_STARTS, _NUM_LENGTHS, _STEP_S = 20, 8, 0.25

# Machines that are busy are slow, which is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _turn(number: int) -> Turn:
    number, start = divmod(number, _NUM_STARTS)
    number, length = divmod(number, _NUM_LENGTHS)
    text, name = divmod(number, len(_NAMES))
    start_s = start * _STEP_S
    return Turn(_NAMES[name], start_s, start_s + length * _STEP_S, _TEXTS[text])


_num_turns = _NUM_STARTS * _NUM_LENGTHS * len(_NAMES) * len(_TEXTS)
# One number for a turn: drawing four would take most of the time of the tests.
any_turns = st.lists(st.integers(0, _num_turns - 1).map(_turn), max_size=8)
"""Turns in any order with any number of talkers at once."""


class LetterPieces:
    """Labels 1 to 26 begin a word with a letter, 27 to 52 continue one."""

    num_word_pieces = 2 * NUM_LETTERS

    def encode(self, text: str) -> list[int]:
        return [
            1 + ascii_uppercase.index(letter) + (NUM_LETTERS if i else 0)
            for word in text.split()
            for i, letter in enumerate(word)
        ]

    def piece(self, label: int) -> str:
        letter = ascii_uppercase[(label - 1) % NUM_LETTERS]
        return letter if label > NUM_LETTERS else "\u2581" + letter

    def decode(self, labels: Sequence[int]) -> str:
        return self.decode_delta(labels, at_start=True)

    def decode_delta(self, labels: Sequence[int], *, at_start: bool) -> str:
        text = "".join(self.piece(label) for label in labels).replace("\u2581", " ")
        return text.removeprefix(" ") if at_start else text


def group_at_once(turns: Sequence[Turn], count: int) -> tuple[Turn, ...] | None:
    """So many turns of which every two overlap, by trying all groups."""
    for group in combinations(turns, count):
        if all(one.overlaps(other) for one, other in combinations(group, 2)):
            return group
    return None


def _without_a_third(turns: list[Turn]) -> list[Turn]:
    kept: list[Turn] = []
    for turn in turns:
        if group_at_once([*kept, turn], 3) is None:
            kept.append(turn)
    return kept


two_at_once = any_turns.map(_without_a_third)
"""Turns in any order, at most two at once."""
