from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.emitted_turn import EmittedTurn
from sb_alexa.metrics.endpointing import EndpointCounts, EndpointGrid, endpoint_counts
from sb_alexa.turn import Turn, Word

GRID = EndpointGrid(thresholds=(0.0, 0.5), delays_s=(0.0, 0.25, 1.0), timeout_s=2.0)


def heard(first_s: float, last_s: float, end_s: float | None, confidence: float = 1.0):
    return EmittedTurn(first_s, first_s, last_s, end_s, confidence)


def policies(said: list[Turn], emitted: list[EmittedTurn], grid: EndpointGrid = GRID):
    counts = endpoint_counts([said], [emitted], grid, closed_turns=True)
    return counts.false_cutoff_rates.tolist(), counts.mean_latencies_ms.tolist()


def test_a_prompt_end() -> None:
    rates, latencies_ms = policies([Turn("a", 0.0, 2.0, "X")], [heard(0.5, 1.75, 2.125)])
    assert rates == [0.0] * 6
    assert latencies_ms == [125.0, 375.0, 1125.0] * 2


def test_an_early_unsure_end() -> None:
    """Patience of 0.25 s does not help, as the next word takes longer; the threshold does."""
    emitted = [heard(0.25, 0.5, 1.0, 0.25), heard(1.5, 1.75, 2.5, 0.75)]
    rates, latencies_ms = policies([Turn("a", 0.0, 2.0, "X Y")], emitted)
    assert rates == [100.0, 100.0, 0.0, 0.0, 0.0, 0.0]
    assert latencies_ms == pytest.approx(
        [math.nan, math.nan, 1500.0, 500.0, 750.0, 1500.0], nan_ok=True
    )


def test_the_timeout_bounds_what_is_late_or_missing() -> None:
    said = [Turn("a", 0.0, 2.0, "X")]
    assert policies(said, [])[1] == [2000.0] * 6
    assert policies(said, [heard(0.5, 1.75, None)])[1] == [2000.0] * 6
    assert policies(said, [heard(0.5, 1.75, 9.0)])[1] == [2000.0] * 6


def test_a_turn_ends_with_its_last_word() -> None:
    said = [Turn("a", 0.0, 2.0, "X", (Word("X", 0.5, 1.25),))]
    rates, latencies_ms = policies(said, [heard(0.75, 1.0, 1.5)])
    assert (rates[0], latencies_ms[0]) == (0.0, 250.0)


def test_the_next_turn_ends_the_wait() -> None:
    """Another turn begins on the channel before the delay is over: nobody takes the floor."""
    said = [Turn("a", 0.0, 2.0, "X"), Turn("b", 2.5, 4.0, "Y")]
    emitted = [heard(0.5, 1.75, 2.25), heard(2.75, 3.75, 4.25)]
    rates, latencies_ms = policies(said, emitted)
    assert rates == [0.0] * 6
    assert latencies_ms[:3] == [250.0, 500.0, (2000.0 + 1250.0) / 2]


def test_the_last_turn_counts_only_if_it_is_closed() -> None:
    said = [[Turn("a", 0.0, 2.0, "X")], [Turn("b", 1.0, 4.0, "Y")]]
    emitted = [[heard(0.5, 1.75, 2.25)], [heard(1.5, 3.75, None)]]
    open_ended = endpoint_counts(said, emitted, GRID)
    assert (open_ended.turns, open_ended.mean_latencies_ms[0]) == (1, 250.0)
    closed = endpoint_counts(said, emitted, GRID, closed_turns=True)
    assert (closed.turns, closed.mean_latencies_ms[0]) == (2, 1125.0)


def test_late_words_still_belong_to_their_turn() -> None:
    """The last piece and the end come after the next turn has begun."""
    said = [Turn("a", 0.0, 2.0, "X"), Turn("b", 2.125, 6.0, "Y")]
    emitted = [heard(0.5, 2.25, 2.375), heard(2.5, 5.75, 6.25)]
    rates, latencies_ms = policies(said, emitted)
    assert (rates[0], latencies_ms[0]) == (0.0, (375.0 + 250.0) / 2)


def random_group(seed: int) -> tuple[list[Turn], list[EmittedTurn]]:
    """A channel of turns, each recognised in one to three parts."""
    generator = np.random.default_rng(seed)
    said, emitted, now_s = [], [], 0.0
    for _ in range(generator.integers(1, 5)):
        start_s = now_s + generator.uniform(0.5, 1.5)
        end_s = start_s + generator.uniform(1.0, 3.0)
        said.append(Turn("a", start_s, end_s, "X"))
        edges = np.linspace(start_s, end_s, generator.integers(2, 5))
        for left_s, right_s in zip(edges, edges[1:], strict=False):
            part_s = right_s - left_s
            token_s = left_s + part_s * generator.uniform(0.7, 1.1)
            emitted.append(
                heard(
                    left_s + 0.15 * part_s,
                    left_s + 0.6 * part_s,
                    token_s if generator.random() < 0.8 else None,
                    generator.random(),
                )
            )
        now_s = end_s
    return said, emitted


def one_policy(
    said: list[Turn], emitted: list[EmittedTurn], threshold: float, delay_s: float, timeout_s: float
) -> tuple[int, float]:
    """Turns cut off and summed latency by walking through time."""
    cut_off, latency_s = 0, 0.0
    for turn in said:
        own = [t for t in emitted if turn.start_s <= t.first_s < turn.end_s]
        floor_s = math.inf
        for part in own:
            if part.end_s is None or part.end_confidence < threshold or floor_s < math.inf:
                continue
            goes_on = [t.first_s for t in emitted if t.first_s > part.first_s]
            if not any(time_s <= part.end_s + delay_s for time_s in goes_on):
                floor_s = part.end_s + delay_s
        if floor_s < turn.end_s:
            cut_off += 1
        else:
            latency_s += min(floor_s - turn.end_s, timeout_s)
    return cut_off, latency_s


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_all_policies_against_one_at_a_time(seed: int) -> None:
    said, emitted = random_group(seed)
    grid = EndpointGrid((0.0, 0.3, 0.9), (0.0, 0.2, 0.7), timeout_s=1.0)
    counts = endpoint_counts([said], [emitted], grid, closed_turns=True)
    expected = [
        one_policy(said, emitted, threshold, delay_s, 1.0)
        for threshold in grid.thresholds
        for delay_s in grid.delays_s
    ]
    assert counts.cut_off == tuple(cut_off for cut_off, _ in expected)
    assert counts.latency_s == pytest.approx([latency_s for _, latency_s in expected])
    assert counts.turns == len(said)


def test_operating_points_are_the_best_policies() -> None:
    """Of 20 turns: rates 30, 10, 5, 0 % at 200, 400, 800, 1600 ms."""
    grid = EndpointGrid(thresholds=(0.0,), delays_s=(0.0, 0.1, 0.2, 0.3))
    latency_s = (14 * 0.2, 18 * 0.4, 19 * 0.8, 20 * 1.6)
    counts = EndpointCounts(grid, cut_off=(6, 2, 1, 0), latency_s=latency_s, turns=20)
    assert counts.false_cutoff_rate(latency_ms=300.0) == 30.0
    assert counts.false_cutoff_rate(latency_ms=600.0) == 10.0
    assert counts.latency_ms(false_cutoff_rate=5.0) == pytest.approx(800.0)
    assert counts.latency_ms(false_cutoff_rate=10.0) == pytest.approx(400.0)
    assert math.isnan(counts.false_cutoff_rate(latency_ms=100.0))
    cut_all = EndpointCounts(grid, cut_off=(20,) * 4, latency_s=(0.0,) * 4, turns=20)
    assert math.isnan(cut_all.latency_ms(false_cutoff_rate=10.0))
    assert math.isnan(cut_all.false_cutoff_rate(latency_ms=300.0))


def test_counts_add_up() -> None:
    parts = [endpoint_counts([a], [b], GRID) for a, b in map(random_group, range(5))]
    total = sum(parts, EndpointCounts(GRID))
    assert total.turns == sum(part.turns for part in parts)
    assert np.array_equal(total.cut_off, np.sum([part.cut_off for part in parts], axis=0))
    assert total.latency_s == pytest.approx(np.sum([part.latency_s for part in parts], axis=0))
    with pytest.raises(ValueError, match="one EndpointGrid"):
        total + EndpointCounts()


def test_nothing_counted() -> None:
    empty = endpoint_counts([[], []], [[], [heard(0.0, 1.0, 2.0)]])
    assert empty == EndpointCounts()
    assert math.isnan(empty.false_cutoff_rate(300.0))
    assert math.isnan(empty.latency_ms(5.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thresholds": ()}, "thresholds must"),
        ({"thresholds": (1.5,)}, "thresholds must"),
        ({"delays_s": (-0.1,)}, "delays_s must"),
        ({"delays_s": ()}, "delays_s must"),
        ({"timeout_s": 0.0}, "timeout_s must"),
    ],
)
def test_impossible_grids(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EndpointGrid(**arguments)


def test_impossible_counts() -> None:
    with pytest.raises(ValueError, match="2 numbers for 6 policies"):
        EndpointCounts(GRID, cut_off=(1, 2), turns=3)
    with pytest.raises(ValueError, match="4 of 3 turns"):
        EndpointCounts(GRID, cut_off=(4,) * 6, turns=3)
    with pytest.raises(ValueError, match="on 1 channels, the hypotheses on 2"):
        endpoint_counts([[]], [[], []])
