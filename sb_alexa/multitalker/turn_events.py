"""What a multi-talker recogniser reports while it listens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sb_alexa.multitalker.arrangement import turns_in_order
from sb_alexa.turn import Turn, Word


@dataclass(frozen=True)
class TurnStarted:
    """A turn has begun.

    Arguments
    ---------
    channel : int
        Output channel, counted from 0.
    time_s : float
        Start of the encoder frame that emitted <sot>, or the first word piece where there is no
        token, in seconds from the start of the stream.
    """

    channel: int
    time_s: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `event`, `channel` (from 0) and `time` (seconds, 3 digits)."""
        return {
            "event": "turn_started",
            "channel": self.channel,
            "time": round(self.time_s, 3),
        }


@dataclass(frozen=True)
class WordSpoken:
    """A word of the open turn is complete.

    Arguments
    ---------
    channel : int
        Output channel, counted from 0.
    text : str
        The word.
    start_s, end_s : float
        Start of the encoder frame that emitted its first piece and end of the one that emitted its
        last, in seconds from the start of the stream.
    confidence : float
        The lowest probability among its pieces, in [0, 1].
    """

    channel: int
    text: str
    start_s: float
    end_s: float
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `event`, `channel` (from 0), `text`, `start`, `end` and `confidence`."""
        return {
            "event": "word",
            "channel": self.channel,
            "text": self.text,
            "start": round(self.start_s, 3),
            "end": round(self.end_s, 3),
            "confidence": round(self.confidence, 3),
        }


@dataclass(frozen=True)
class TurnEnded:
    """A turn is over.

    Arguments
    ---------
    channel : int
        Output channel, counted from 0.
    time_s : float
        End of the encoder frame that emitted <eot> or <cot>, the start of the next turn where a
        <sot> came without them, or the end of the stream; in seconds from its start.
    """

    channel: int
    time_s: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `event`, `channel` (from 0) and `time` (seconds, 3 digits)."""
        return {
            "event": "turn_ended",
            "channel": self.channel,
            "time": round(self.time_s, 3),
        }


TurnEvent = TurnStarted | WordSpoken | TurnEnded


def turns_from_events(events: Iterable[TurnEvent]) -> list[Turn]:
    """Collect events into turns.

    Arguments
    ---------
    events : iterable of TurnEvent
        Of one stream, each channel in the order in which its `TurnTracker` gave them; channels may
        alternate in any way.

    Returns
    -------
    turns : list of Turn
        By start. The speaker of channel 0 is "channel 1". A turn that has not ended yet lasts until
        its last word; one without words has an empty text.

    Raises
    ------
    ValueError
        If a turn starts while the channel has another one, or a word or an end has no turn.

    Example
    -------
    >>> events = [TurnStarted(0, 0.0), WordSpoken(0, "GO", 0.1, 0.4, 0.9), TurnEnded(0, 0.5)]
    >>> [(turn.speaker, turn.end_s, turn.text) for turn in turns_from_events(events)]
    [('channel 1', 0.5, 'GO')]
    """
    turns: list[Turn] = []
    open_turns: dict[int, _OpenTurn] = {}
    for event in events:
        if isinstance(event, TurnStarted):
            if event.channel in open_turns:
                raise ValueError(f"{event} comes before the end of the channel's turn")
            open_turns[event.channel] = _OpenTurn(event.channel, event.time_s)
            continue
        if event.channel not in open_turns:
            raise ValueError(f"{event} belongs to no turn: none has started on its channel")
        if isinstance(event, WordSpoken):
            open_turns[event.channel].words.append(Word(event.text, event.start_s, event.end_s))
        else:
            turns.append(open_turns.pop(event.channel).closed(event.time_s))
    turns += [turn.closed(turn.latest_s) for turn in open_turns.values()]
    return list(turns_in_order(turns))


@dataclass
class _OpenTurn:
    channel: int
    start_s: float
    words: list[Word] = field(default_factory=list)

    @property
    def latest_s(self) -> float:
        return self.words[-1].end_s if self.words else self.start_s

    def closed(self, end_s: float) -> Turn:
        text = " ".join(word.text for word in self.words)
        speaker = f"channel {self.channel + 1}"
        return Turn(speaker, self.start_s, end_s, text, tuple(self.words))
