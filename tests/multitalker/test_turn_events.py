from __future__ import annotations

import json

import pytest

from sb_alexa.multitalker.turn_events import (
    TurnEnded,
    TurnEvent,
    TurnStarted,
    WordSpoken,
    turns_from_events,
)
from sb_alexa.turn import Turn, Word


def test_channels_may_alternate() -> None:
    events: list[TurnEvent] = [
        TurnStarted(1, 0.5),
        TurnStarted(0, 1.0),
        WordSpoken(1, "GO", 0.5, 1.25, 0.9),
        WordSpoken(0, "UP", 1.0, 1.5, 0.8),
        TurnEnded(1, 1.75),
        WordSpoken(0, "NOW", 1.5, 2.0, 0.7),
        TurnStarted(1, 2.0),
        TurnEnded(1, 2.25),
        TurnEnded(0, 2.5),
    ]
    assert turns_from_events(events) == [
        Turn("channel 2", 0.5, 1.75, "GO", (Word("GO", 0.5, 1.25),)),
        Turn("channel 1", 1.0, 2.5, "UP NOW", (Word("UP", 1.0, 1.5), Word("NOW", 1.5, 2.0))),
        Turn("channel 2", 2.0, 2.25, ""),
    ]


def test_a_turn_that_goes_on_lasts_until_its_last_word() -> None:
    word = WordSpoken(0, "GO", 0.0, 0.5, 1.0)
    events: list[TurnEvent] = [TurnStarted(0, 0.0), word, TurnStarted(1, 3.0)]
    assert [(turn.start_s, turn.end_s) for turn in turns_from_events(events)] == [
        (0.0, 0.5),
        (3.0, 3.0),
    ]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([WordSpoken(0, "GO", 0.0, 0.5, 1.0)], "'GO'.* belongs to no turn"),
        ([TurnStarted(1, 0.0), TurnEnded(0, 1.0)], "TurnEnded.*channel=0.* belongs to no turn"),
        ([TurnStarted(0, 0.0), TurnStarted(0, 1.0)], "before the end of the channel's turn"),
    ],
)
def test_events_out_of_order_are_refused(events: list[TurnEvent], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        turns_from_events(events)


def test_json_lines() -> None:
    word = WordSpoken(1, "GO", 0.1 + 0.2, 0.51239, 0.98765)
    assert [json.dumps(e.as_dict()) for e in (TurnStarted(0, 1 / 3), word, TurnEnded(1, 2.0))] == [
        '{"event": "turn_started", "channel": 0, "time": 0.333}',
        '{"event": "word", "channel": 1, "text": "GO", "start": 0.3, "end": 0.512, '
        '"confidence": 0.988}',
        '{"event": "turn_ended", "channel": 1, "time": 2.0}',
    ]
