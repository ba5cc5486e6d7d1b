"""Labels of one output channel become events, as they arrive."""

from __future__ import annotations

from sb_alexa.multitalker.turn_events import TurnEnded, TurnEvent, TurnStarted, WordSpoken
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.timed_words import OpenWord, WordPieceText


class TurnTracker:
    """Follow the turns of one output channel in constant memory, however long the stream is.

    Tokens that a recogniser forgets or repeats do no harm: a word without <sot> before it starts a
    turn (the first turn of a mixture has none), a <sot> ends the turn before it, and an <eot> or
    <cot> without a turn is dropped and counted in `num_dropped_tokens`. Times never go
    back: a turn starts no earlier than the one before it ended, and its words lie within it.

    Arguments
    ---------
    word_pieces : WordPieceText
        Labels to text, for example `WordPieces`.
    tokens : TurnTokens
        Labels of the turn tokens.
    channel : int
        Output channel, counted from 0.
    seconds_per_frame : float
        Hop of the encoder's output.
    delay_s : float
        How much later than the sound the model emits its labels, subtracted from the times of
        labels. 0 gives the times of emission.

    Raises
    ------
    ValueError
        If the channel or the delay is negative, or the frames have no length.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import WordPieces, train_word_pieces
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> num_word_pieces = train_word_pieces(["GO"], path, num_word_pieces=4, model_type="char")
    >>> tokens = TurnTokens(num_word_pieces)
    >>> tracker = TurnTracker(WordPieces(path), tokens, channel=0, seconds_per_frame=0.1)
    >>> labels = (*WordPieces(path).encode("GO"), tokens.end)
    >>> decoded = Hypothesis(labels, frames=(1, 2, 2, 6), log_probs=(0.0,) * 4)
    >>> for event in tracker.push(decoded):
    ...     print(event.as_dict())
    {'event': 'turn_started', 'channel': 0, 'time': 0.1}
    {'event': 'word', 'channel': 0, 'text': 'GO', 'start': 0.1, 'end': 0.3, 'confidence': 1.0}
    {'event': 'turn_ended', 'channel': 0, 'time': 0.7}
    >>> tracker.finish(end_s=1.0)
    []
    """

    def __init__(
        self,
        word_pieces: WordPieceText,
        tokens: TurnTokens,
        *,
        channel: int,
        seconds_per_frame: float,
        delay_s: float = 0.0,
    ) -> None:
        if channel < 0:
            raise ValueError(f"channel={channel}: channels are counted from 0")
        if not seconds_per_frame > 0:
            raise ValueError(f"seconds_per_frame={seconds_per_frame}: it must be above 0")
        if not delay_s >= 0:
            raise ValueError(
                f"delay_s={delay_s}: labels cannot come before the sound; use 0 or more"
            )
        self.tokens = tokens
        self.channel = channel
        self.seconds_per_frame = seconds_per_frame
        self.delay_s = delay_s
        self.num_dropped_tokens = 0
        self._word = OpenWord(word_pieces, seconds_per_frame)
        self._in_turn = False
        self._latest_s = 0.0

    def push(self, hypothesis: Hypothesis) -> list[TurnEvent]:
        """Take the labels that a stretch of audio added.

        Arguments
        ---------
        hypothesis : Hypothesis
            New labels of the channel; frames count from the beginning of the stream.

        Returns
        -------
        events : list of TurnEvent
            What they say. A word comes when it is complete: the next word or a token has arrived.
        """
        events: list[TurnEvent] = []
        for label, frame, confidence in zip(
            hypothesis.tokens, hypothesis.frames, hypothesis.confidences, strict=True
        ):
            if label in self.tokens.labels:
                events += self._take_token(label, frame)
                continue
            if self._word.is_completed_by(label):
                events += self._close_word()
            events += self._open_turn(self._start_s(frame))
            self._word.extend(label, frame, confidence)
        return events

    def finish(self, end_s: float) -> list[TurnEvent]:
        """End the stream, and with it the open word and the open turn.

        Arguments
        ---------
        end_s : float
            Length of the stream in seconds.

        Returns
        -------
        events : list of TurnEvent
            At most a word and the end of its turn.
        """
        return self._close_turn(end_s)

    def _take_token(self, label: int, frame: int) -> list[TurnEvent]:
        if label == self.tokens.start:
            start_s = self._start_s(frame)
            return self._close_turn(start_s) + self._open_turn(start_s)
        if label in (self.tokens.end, self.tokens.change) and self._in_turn:
            return self._close_turn(self._start_s(frame + 1))
        self.num_dropped_tokens += 1
        return []

    def _start_s(self, frame: int) -> float:
        return frame * self.seconds_per_frame - self.delay_s

    def _forward_s(self, time_s: float) -> float:
        """The time, or the latest one so far: a frame may end one turn and start another."""
        self._latest_s = max(self._latest_s, time_s)
        return self._latest_s

    def _open_turn(self, start_s: float) -> list[TurnEvent]:
        if self._in_turn:
            return []
        self._in_turn = True
        return [TurnStarted(self.channel, self._forward_s(start_s))]

    def _close_word(self) -> list[TurnEvent]:
        word = self._word.close()
        if word is None:
            return []
        start_s = self._forward_s(word.start_s - self.delay_s)
        end_s = self._forward_s(word.end_s - self.delay_s)
        return [WordSpoken(self.channel, word.word, start_s, end_s, word.confidence)]

    def _close_turn(self, end_s: float) -> list[TurnEvent]:
        if not self._in_turn:
            return []
        self._in_turn = False
        last_word = self._close_word()
        return [*last_word, TurnEnded(self.channel, self._forward_s(end_s))]
