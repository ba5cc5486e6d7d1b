"""When a recogniser said that a turn starts, what it held, and that it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EmittedTurn:
    """Emission times of one turn on one output channel; None for what was not emitted.

    A time is the amount of audio, in seconds, that had to be read before the label came out: the
    end of its frame plus the model's look-ahead.

    Arguments
    ---------
    start_s : float | None
        Of the token for the start of the turn.
    first_piece_s, last_piece_s : float | None
        Of its first and last word piece.
    end_s : float | None
        Of the token for its end.
    end_confidence : float
        The recogniser's probability of that token, 0 to 1.
    """

    start_s: float | None = None
    first_piece_s: float | None = None
    last_piece_s: float | None = None
    end_s: float | None = None
    end_confidence: float = 1.0

    @property
    def first_s(self) -> float | None:
        """Of whatever the turn began with."""
        return _first(self.start_s, self.first_piece_s, self.end_s)

    @property
    def words_s(self) -> tuple[float, float] | None:
        """Of its first and last word piece; of a turn without any, twice that of its token."""
        first_s = _first(self.first_piece_s, self.start_s, self.end_s)
        last_s = _first(self.last_piece_s, first_s)
        return None if first_s is None or last_s is None else (first_s, last_s)


def emitted_turns(
    labels: Sequence[int],
    times_s: Sequence[float],
    *,
    start: int | None,
    end: int | None,
    change: int | None = None,
    confidences: Sequence[float] | None = None,
) -> tuple[EmittedTurn, ...]:
    """Cut the labels of one channel into turns.

    A word piece without a turn opens one, as the first turn of a mixture has no start token; a
    start token while a turn is open closes that one; an end token without an open turn is dropped.

    Arguments
    ---------
    labels : sequence of int
        What was emitted on the channel, word pieces and turn tokens, without blanks.
    times_s : sequence of float
        Emission time of each label, in seconds.
    start, end, change : int | None
        Labels of the tokens for start, end and change of turn; None for those the model lacks.
    confidences : sequence of float | None
        Probability of each label, 0 to 1; None where nobody knows.

    Returns
    -------
    tuple of EmittedTurn
        In order; empty where nothing was emitted.

    Raises
    ------
    ValueError
        If labels, times and confidences differ in number.

    Example
    -------
    >>> first, second = emitted_turns([4, 7, 9, 8, 5], [0.3, 0.9, 1.2, 2.1, 2.4], start=8, end=9)
    >>> first
    EmittedTurn(start_s=None, first_piece_s=0.3, last_piece_s=0.9, end_s=1.2, end_confidence=1.0)
    >>> second.start_s, second.end_s
    (2.1, None)
    """
    probabilities = [1.0] * len(labels) if confidences is None else confidences
    if not len(labels) == len(times_s) == len(probabilities):
        raise ValueError(
            f"{len(labels)} labels came with {len(times_s)} times and {len(probabilities)} "
            "confidences; give one for each label"
        )
    turns: list[EmittedTurn] = []
    turn: EmittedTurn | None = None
    for label, time_s, confidence in zip(labels, times_s, probabilities, strict=True):
        if label in (start, change):
            turns += [turn] if turn is not None else []
            turn = EmittedTurn(start_s=time_s) if label == start else None
        elif label == end:
            if turn is not None:
                turns.append(replace(turn, end_s=time_s, end_confidence=confidence))
            turn = None
        else:
            turn = turn or EmittedTurn(first_piece_s=time_s)
            first_s = time_s if turn.first_piece_s is None else turn.first_piece_s
            turn = replace(turn, first_piece_s=first_s, last_piece_s=time_s)
    return (*turns, turn) if turn is not None else tuple(turns)


def _first(*times_s: float | None) -> float | None:
    return next((time_s for time_s in times_s if time_s is not None), None)
