"""Labels of all channels with frames become turns: events with times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sb_alexa.multitalker.turn_events import TurnEvent, WordSpoken
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.multitalker.turn_tracker import TurnTracker
from sb_alexa.transducer.channel_search import ChannelHypotheses
from sb_alexa.transducer.timed_words import WordPieceText


@dataclass(frozen=True)
class TurnUpdate:
    """What a stretch of audio added to the turns of a mixture.

    Arguments
    ---------
    events : tuple of TurnEvent
        New events of all channels, as `events_in_order` sorts them.
    audio_s : float
        Audio pushed so far, in seconds.
    is_final : bool
        Whether the stream has ended, and with it every open turn.
    """

    events: tuple[TurnEvent, ...]
    audio_s: float
    is_final: bool = False


def events_in_order(events: Iterable[TurnEvent]) -> tuple[TurnEvent, ...]:
    """Sort events by their times (of a word its start), and by channel where times are equal.

    Arguments
    ---------
    events : iterable of TurnEvent
        Those of each channel in the order in which its `TurnTracker` gave them, which they keep.

    Returns
    -------
    tuple of TurnEvent
        The same for any interleaving of the channels.

    Example
    -------
    >>> from sb_alexa.multitalker.turn_events import TurnEnded, TurnStarted
    >>> events = [TurnStarted(1, 0.5), TurnEnded(1, 0.9), TurnStarted(0, 0.5)]
    >>> [(event.channel, event.time_s) for event in events_in_order(events)]
    [(0, 0.5), (1, 0.5), (1, 0.9)]
    """
    return tuple(sorted(events, key=lambda event: (_time_s(event), event.channel)))


class TurnTranscript:
    """Follows the turns of every channel of one mixture; what it has reported it does not keep.

    Arguments
    ---------
    word_pieces : WordPieceText
        Labels to text.
    tokens : TurnTokens
        Labels of the turn tokens.
    num_channels : int
        Output channels of the model.
    seconds_per_frame : float
        Hop of the encoder's output.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import WordPieces, train_word_pieces
    >>> from sb_alexa.transducer.hypothesis import Hypothesis
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> num_word_pieces = train_word_pieces(["GO"], path, num_word_pieces=4, model_type="char")
    >>> pieces = WordPieces(path)
    >>> transcript = TurnTranscript(
    ...     pieces, TurnTokens(num_word_pieces), num_channels=2, seconds_per_frame=0.1
    ... )
    >>> go = Hypothesis(tuple(pieces.encode("GO")), frames=(5, 6, 6), log_probs=(0.0,) * 3)
    >>> decoded = ChannelHypotheses((Hypothesis(), go))
    >>> update = transcript.update([decoded], audio_s=0.8, is_final=True)
    >>> for event in update.events:
    ...     print(event.as_dict())
    {'event': 'turn_started', 'channel': 1, 'time': 0.5}
    {'event': 'word', 'channel': 1, 'text': 'GO', 'start': 0.5, 'end': 0.7, 'confidence': 1.0}
    {'event': 'turn_ended', 'channel': 1, 'time': 0.8}
    """

    def __init__(
        self,
        word_pieces: WordPieceText,
        tokens: TurnTokens,
        *,
        num_channels: int,
        seconds_per_frame: float,
    ) -> None:
        self._trackers = [
            TurnTracker(word_pieces, tokens, channel=channel, seconds_per_frame=seconds_per_frame)
            for channel in range(num_channels)
        ]

    def update(
        self, decoded: Sequence[ChannelHypotheses], *, audio_s: float, is_final: bool
    ) -> TurnUpdate:
        """Take the labels that a stretch of audio added, and end what is open with the stream.

        Arguments
        ---------
        decoded : sequence of ChannelHypotheses
            New labels of the mixture, in order; frames count from the beginning of the stream.
        audio_s : float
            Audio so far, in seconds.
        is_final : bool
            Whether the stream has ended.

        Returns
        -------
        TurnUpdate
            What is new.
        """
        events: list[TurnEvent] = []
        for channel, tracker in enumerate(self._trackers):
            for one in decoded:
                events += tracker.push(one.channels[channel])
            if is_final:
                events += tracker.finish(audio_s)
        return TurnUpdate(events_in_order(events), audio_s, is_final)


def _time_s(event: TurnEvent) -> float:
    return event.start_s if isinstance(event, WordSpoken) else event.time_s
