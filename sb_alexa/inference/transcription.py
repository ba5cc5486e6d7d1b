"""Labels with frames become words with times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.timed_words import OpenWord, TimedToken, TimedWord


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
    _open: OpenWord = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._open = OpenWord(self.word_pieces, self.seconds_per_frame)

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
            if self._open.is_completed_by(label):
                self.finish()
            tokens.append(self._open.extend(label, frame, confidence))
        return tokens

    def update(self, decoded: Sequence[Hypothesis], *, audio_s: float, is_final: bool) -> Update:
        """Append what a stretch of audio added, and close the transcript with the stream.

        Arguments
        ---------
        decoded : sequence of Hypothesis
            New labels of the stream, in order.
        audio_s : float
            Audio so far, in seconds.
        is_final : bool
            Whether the stream has ended.

        Returns
        -------
        Update
            What is new, and the text so far.
        """
        num_before = len(self.words)
        tokens = tuple(token for one in decoded for token in self.add(one))
        if is_final:
            self.finish()
        return Update(tokens, tuple(self.words[num_before:]), self.text, audio_s, is_final)

    def finish(self) -> None:
        """Close the last word."""
        self._closed_text = self.text
        word = self._open.close()
        if word is not None:
            self.words.append(word)

    @property
    def text(self) -> str:
        """All words, the unfinished one included, with single spaces between them."""
        last = self._open.text
        return (
            f"{self._closed_text} {last}"
            if self._closed_text and last
            else self._closed_text + last
        )

    @property
    def open_word(self) -> TimedWord | None:
        """The word that further labels may still extend."""
        return self._open.timed
