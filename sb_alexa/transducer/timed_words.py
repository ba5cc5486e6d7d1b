"""Word pieces with frames become words with times, one word at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class WordPieceText(Protocol):
    """Text of labels, as `sb_alexa.corpora.word_pieces.WordPieces` gives it."""

    def piece(self, label: int) -> str:
        """The word piece of a label, with U+2581 where a word starts."""
        ...

    def decode(self, labels: Sequence[int]) -> str:
        """Text of a label sequence."""
        ...

    def decode_delta(self, labels: Sequence[int], *, at_start: bool) -> str:
        """Text that further labels add, with a space in front where they start a word."""
        ...


@dataclass(frozen=True)
class TimedToken:
    """A recognised word piece.

    Arguments
    ---------
    label : int
        1 to V - 1.
    piece : str
        Its text, with U+2581 where a word starts.
    time_s : float
        End of the encoder frame that emitted it, in seconds from the start of the stream: the
        earliest moment at which a causal model can know it.
    confidence : float
        Probability that the model gave it, in [0, 1].
    """

    label: int
    piece: str
    time_s: float
    confidence: float


@dataclass(frozen=True)
class TimedWord:
    """A recognised word.

    Arguments
    ---------
    word : str
        Its text.
    start_s : float
        Start of the encoder frame that emitted its first piece, in seconds. A transducer may emit a
        piece any time after hearing it, so this is the time of recognition, shortly after the
        acoustic one.
    end_s : float
        End of the encoder frame that emitted its last piece, in seconds.
    confidence : float
        The lowest probability among its pieces: a word is as sure as its least sure piece.
    """

    word: str
    start_s: float
    end_s: float
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `word`, `start`, `end` (seconds) and `confidence`, rounded to 3 digits."""
        return {
            "word": self.word,
            "start": round(self.start_s, 3),
            "end": round(self.end_s, 3),
            "confidence": round(self.confidence, 3),
        }


class OpenWord:
    """The word that further labels of a stream may still extend; nothing before it is kept.

    Arguments
    ---------
    word_pieces : WordPieceText
        Labels to text.
    seconds_per_frame : float
        Hop of the encoder's output.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import WordPieces, train_word_pieces
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> _ = train_word_pieces(["TEA TWO"], path, num_word_pieces=9, model_type="char")
    >>> word = OpenWord(WordPieces(path), seconds_per_frame=0.03)
    >>> labels = WordPieces(path).encode("TEA TWO")
    >>> for frame, label in enumerate(labels[:4], start=10):
    ...     _ = word.extend(label, frame, confidence=0.9)
    >>> word.text, word.is_completed_by(labels[4])
    ('TEA', True)
    >>> word.close().as_dict(), word.text
    ({'word': 'TEA', 'start': 0.3, 'end': 0.42, 'confidence': 0.9}, '')
    """

    def __init__(self, word_pieces: WordPieceText, seconds_per_frame: float) -> None:
        self.word_pieces = word_pieces
        self.seconds_per_frame = seconds_per_frame
        self._tokens: list[TimedToken] = []

    def is_completed_by(self, label: int) -> bool:
        """Whether a label starts the next word."""
        return self.word_pieces.decode_delta([label], at_start=False).startswith(" ")

    def extend(self, label: int, frame: int, confidence: float) -> TimedToken:
        """Add a label of this word.

        Arguments
        ---------
        label : int
            A word piece.
        frame : int
            Encoder frame that emitted it, counted from the beginning of the stream.
        confidence : float
            Probability that the model gave it.

        Returns
        -------
        TimedToken
            The label as a word piece.
        """
        time_s = (frame + 1) * self.seconds_per_frame
        token = TimedToken(label, self.word_pieces.piece(label), time_s, confidence)
        self._tokens.append(token)
        return token

    def close(self) -> TimedWord | None:
        """The finished word, None if it has no text; the next label begins another one."""
        word = self.timed
        self._tokens.clear()
        return word

    @property
    def timed(self) -> TimedWord | None:
        """The word so far, None if it has no text."""
        text = self.text
        if not text:
            return None
        return TimedWord(
            word=text,
            start_s=self._tokens[0].time_s - self.seconds_per_frame,
            end_s=self._tokens[-1].time_s,
            confidence=min(token.confidence for token in self._tokens),
        )

    @property
    def text(self) -> str:
        """The text so far."""
        return self.word_pieces.decode([token.label for token in self._tokens]).strip()
