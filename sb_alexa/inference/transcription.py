"""Labels with frames become words with times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.transducer.hypothesis import Hypothesis


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


@dataclass(frozen=True)
class Update:
    """What a stretch of audio added to a transcript.

    Arguments
    ---------
    tokens : tuple of TimedToken
        New word pieces.
    words : tuple of TimedWord
        Words that became complete: the next one has begun, or the stream has ended.
    text : str
        The whole transcript so far, the unfinished word included.
    audio_s : float
        Audio pushed so far, in seconds.
    is_final : bool
        Whether the stream has ended.
    """

    tokens: tuple[TimedToken, ...]
    words: tuple[TimedWord, ...]
    text: str
    audio_s: float
    is_final: bool = False


@dataclass
class Transcript:
    """The growing transcript of one stream.

    Arguments
    ---------
    word_pieces : WordPieces
        Labels to text.
    seconds_per_frame : float
        Hop of the encoder's output.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import train_word_pieces
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> _ = train_word_pieces(["TEA TWO"], path, num_word_pieces=9, model_type="char")
    >>> pieces = WordPieces(path)
    >>> transcript = Transcript(pieces, seconds_per_frame=0.03)
    >>> labels = pieces.encode("TEA TWO")
    >>> frames = tuple(range(10, 10 + len(labels)))
    >>> decoded = Hypothesis(tuple(labels), frames, (-0.1,) * len(labels))
    >>> [token.piece for token in transcript.add(decoded)][:3]
    ['▁', 'T', 'E']
    >>> transcript.finish()
    >>> (
    ...     transcript.text,
    ...     [(w.word, round(w.start_s, 2), round(w.end_s, 2)) for w in transcript.words],
    ... )
    ('TEA TWO', [('TEA', 0.3, 0.42), ('TWO', 0.42, 0.54)])
    """

    word_pieces: WordPieces
    seconds_per_frame: float
    words: list[TimedWord] = field(default_factory=list)
    _closed_text: str = ""
    _open: list[TimedToken] = field(default_factory=list)

    def add(self, decoded: Hypothesis) -> list[TimedToken]:
        """Append labels.

        Arguments
        ---------
        decoded : Hypothesis
            The new labels of the stream.

        Returns
        -------
        list of TimedToken
            The labels as word pieces; `words` has grown by the words that they completed.
        """
        tokens = []
        for label, frame, confidence in zip(
            decoded.tokens, decoded.frames, decoded.confidences, strict=True
        ):
            time_s = (frame + 1) * self.seconds_per_frame
            if self.word_pieces.decode_delta([label], at_start=False).startswith(" "):
                self.finish()
            token = TimedToken(label, self.word_pieces.piece(label), time_s, confidence)
            self._open.append(token)
            tokens.append(token)
        return tokens

    def finish(self) -> None:
        """Close the last word."""
        self._closed_text = self.text
        word = self.open_word
        if word is not None:
            self.words.append(word)
        self._open.clear()

    @property
    def text(self) -> str:
        """All words, the unfinished one included, with single spaces between them."""
        last = self._open_text
        return (
            f"{self._closed_text} {last}"
            if self._closed_text and last
            else self._closed_text + last
        )

    @property
    def open_word(self) -> TimedWord | None:
        """The word that further labels may still extend."""
        text = self._open_text
        if not text:
            return None
        return TimedWord(
            word=text,
            start_s=self._open[0].time_s - self.seconds_per_frame,
            end_s=self._open[-1].time_s,
            confidence=min(token.confidence for token in self._open),
        )

    @property
    def _open_text(self) -> str:
        return self.word_pieces.decode([token.label for token in self._open]).strip()
