from __future__ import annotations

import math

import numpy as np
import pytest

from sb_alexa.metrics.emitted_turn import EmittedTurn
from sb_alexa.metrics.turn_latency import Latencies, TurnLatency, turn_latency
from sb_alexa.turn import Turn, Word

SAID = [
    [
        Turn("anna", 0.0, 2.0, "GO ON", (Word("GO", 0.25, 0.5), Word("ON", 1.0, 1.75))),
        Turn("anna", 4.0, 6.0, "STOP"),
    ],
    [Turn("ben", 1.5, 3.0, "NO", (Word("NO", 1.75, 2.5),))],
]
HEARD = [
    [
        EmittedTurn(None, 0.5, 2.0, 2.5),
        EmittedTurn(4.25, 4.5, 5.75, None),
    ],
    [EmittedTurn(1.625, 2.0, 2.25, 3.5)],
]


def test_four_latencies() -> None:
    latency = turn_latency(SAID, HEARD)
    assert latency.end_point == Latencies((500.0, 500.0))
    assert latency.last_piece == Latencies((250.0, -250.0, -250.0))
    assert latency.start_point == Latencies((250.0, 125.0))
    assert latency.first_piece == Latencies((250.0, 500.0, 250.0))
    assert (latency.groups, latency.groups_left_out, latency.measured) == (1, 0, 1.0)


def test_only_groups_with_enough_turns() -> None:
    assert turn_latency(SAID, HEARD, above=3) == TurnLatency()
    assert turn_latency(SAID, [[], []], above=3) == TurnLatency()
    assert turn_latency(SAID, HEARD, above=0) == turn_latency(SAID, HEARD)


@pytest.mark.parametrize(
    "heard", [[[], []], [HEARD[0], []], [HEARD[0] + HEARD[1], []], [HEARD[1], HEARD[0]]]
)
def test_groups_with_other_turns_are_left_out_and_counted(heard: list) -> None:
    assert turn_latency(SAID, heard) == TurnLatency(groups_left_out=1)
    assert (turn_latency(SAID, heard) + turn_latency(SAID, HEARD)).measured == 0.5


def test_what_was_not_emitted_has_no_latency() -> None:
    silent = [[EmittedTurn(0.5, None, None, 2.5), EmittedTurn()], [EmittedTurn()]]
    latency = turn_latency(SAID, silent)
    assert latency.start_point == Latencies((500.0,))
    assert latency.end_point == Latencies((500.0,))
    assert latency.first_piece == latency.last_piece == Latencies()


def test_statistics_are_those_of_all_values() -> None:
    generator = np.random.default_rng(0)
    parts = [generator.normal(300, 100, size=size) for size in (1, 0, 30)]
    total = sum(
        (TurnLatency(end_point=Latencies(tuple(part)), groups=1) for part in parts), TurnLatency()
    )
    pooled = np.concatenate(parts)
    assert total.groups == 3
    assert total.end_point.mean_ms == pytest.approx(pooled.mean())
    assert total.end_point.p50_ms == pytest.approx(np.median(pooled))
    assert total.end_point.p90_ms == pytest.approx(np.percentile(pooled, 90))


def test_nothing_measured() -> None:
    latencies = TurnLatency().end_point
    assert all(math.isnan(x) for x in (latencies.mean_ms, latencies.p50_ms, latencies.p90_ms))
    assert math.isnan(TurnLatency().measured)


def test_channels_must_agree() -> None:
    with pytest.raises(ValueError, match="on 2 channels, the hypotheses on 1"):
        turn_latency(SAID, HEARD[:1])
