"""The labels that mark where turns begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

START_END, CHANGE, NONE = "start_end", "change", "none"
_STYLES = (START_END, CHANGE, NONE)
_NUM_RESERVED = 2


@dataclass(frozen=True)
class TurnTokens:
    """Labels of turn tokens, which follow those of the word pieces.

    Blank is label 0 and word pieces are 1 to P. Labels P + 1 and P + 2 are set aside in every
    style, so that a model of one style can start from the weights of another.

    Arguments
    ---------
    num_word_pieces : int
        P, blank not included.
    style : str
        `start_end`: P + 1 is <sot>, start of turn, and P + 2 is <eot>, end of turn. `change`:
        P + 1 is <cot>, change of turn. `none`: no tokens, for speech of a single talker.
    closed_turns : bool
        With `start_end`, whether the first turn of a mixture has a <sot> and the last an <eot> as
        all others have; for streams that never end, where no turn is the first or the last.

    Raises
    ------
    ValueError
        If there are no word pieces, the style is unknown, or turns are to be closed by a style
        that cannot.

    Example
    -------
    >>> tokens = TurnTokens(num_word_pieces=500)
    >>> tokens.start, tokens.end, tokens.change, tokens.num_labels
    (501, 502, None, 503)
    >>> tokens.strip([7, 8, 502, 501, 9])
    (7, 8, 9)
    >>> TurnTokens(num_word_pieces=500, style="change").change
    501
    """

    num_word_pieces: int
    _: KW_ONLY
    style: str = START_END
    closed_turns: bool = False

    def __post_init__(self) -> None:
        if self.num_word_pieces < 1:
            raise ValueError(
                f"num_word_pieces={self.num_word_pieces}: a vocabulary needs at least one; pass "
                "the number of word pieces without blank"
            )
        if self.style not in _STYLES:
            raise ValueError(
                f"style={self.style!r} of turn tokens is unknown; use one of {_STYLES}"
            )
        if self.closed_turns and self.style != START_END:
            raise ValueError(
                f"closed_turns=True needs tokens for start and end, not style={self.style!r}; use "
                f"style={START_END!r}"
            )

    @property
    def start(self) -> int | None:
        """Label of <sot>, None in a style without it."""
        return self.num_word_pieces + 1 if self.style == START_END else None

    @property
    def end(self) -> int | None:
        """Label of <eot>, None in a style without it."""
        return self.num_word_pieces + 2 if self.style == START_END else None

    @property
    def change(self) -> int | None:
        """Label of <cot>, None in a style without it."""
        return self.num_word_pieces + 1 if self.style == CHANGE else None

    @property
    def labels(self) -> frozenset[int]:
        """Every label set aside, also those that the style does not use: none has text."""
        first = self.num_word_pieces + 1
        return frozenset(range(first, first + _NUM_RESERVED))

    @property
    def num_labels(self) -> int:
        """Size V of the output layer: blank, word pieces and turn tokens."""
        return 1 + self.num_word_pieces + _NUM_RESERVED

    def strip(self, labels: Iterable[int]) -> tuple[int, ...]:
        """The labels without turn tokens: word pieces only, as scoring and decoding want them."""
        tokens = self.labels
        return tuple(label for label in labels if label not in tokens)
