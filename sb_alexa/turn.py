"""Turns: who says what, when. The record that mixtures, corpora, recognisers and metrics share."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Word:
    """A word with its time.

    Arguments
    ---------
    text : str
        The word, without spaces.
    start_s, end_s : float
        Seconds from the start of the recording.
    """

    text: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise ValueError(
                f"the word {self.text!r} ends at {self.end_s} s, before its start at "
                f"{self.start_s} s; check the order of the two times"
            )


@dataclass(frozen=True)
class Turn:
    """What one talker says in one go.

    Arguments
    ---------
    speaker : str
        Who speaks; of a recogniser that does not know speakers, its output channel.
    start_s, end_s : float
        Seconds from the start of the recording.
    text : str
        Words separated by single spaces.
    words : tuple of Word
        The same words with their times; empty where nobody knows them.

    Raises
    ------
    ValueError
        If the turn ends before it starts, or the timed words are not those of the text.

    Example
    -------
    >>> turn = Turn("anna", 1.0, 2.5, "TURN ON")
    >>> turn.shifted(0.5).end_s, turn.overlaps(Turn("ben", 2.5, 3.0, "STOP"))
    (3.0, False)
    """

    speaker: str
    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise ValueError(
                f"the turn {self.text[:40]!r} of {self.speaker} ends at {self.end_s} s, before its "
                f"start at {self.start_s} s; check the order of the two times"
            )
        if self.words and [word.text for word in self.words] != self.text.split():
            raise ValueError(
                f"the turn {self.text[:40]!r} of {self.speaker} comes with times of other words: "
                f"{' '.join(word.text for word in self.words)[:40]!r}"
            )

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s

    def overlaps(self, other: Turn) -> bool:
        """Whether both speak at the same time; turns that only touch do not."""
        return self.start_s < other.end_s and other.start_s < self.end_s

    def shifted(self, delay_s: float) -> Turn:
        """The same turn, later by so many seconds."""
        words = tuple(
            Word(word.text, word.start_s + delay_s, word.end_s + delay_s) for word in self.words
        )
        return replace(
            self, start_s=self.start_s + delay_s, end_s=self.end_s + delay_s, words=words
        )
