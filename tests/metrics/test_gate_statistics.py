from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sb_alexa.metrics.compute import MacCounts, compute_share, dense_macs, gated_macs
from sb_alexa.metrics.gate_statistics import (
    GateCounts,
    ToggleCounts,
    count_all_on,
    count_gates,
    keep_rates,
)
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape
from tests.metrics.slow_compute import all_gates, random_gates

SHAPE = TransformerShape(
    input_size=7,
    d_model=6,
    nhead=2,
    num_layers=3,
    d_ffn=22,
    output_size=5,
    left_context_frames=4,
    arbitrator_macs=13,
    feed_forward_groups=2,
)
NUM_FRAMES = torch.tensor([9, 4, 0])


def test_counts_equal_the_gates() -> None:
    gates = random_gates(3, 9, SHAPE, keep=0.4)
    counts = count_gates(SHAPE, gates, NUM_FRAMES)
    for item, frames in enumerate(NUM_FRAMES.tolist()):
        for kind, per_frame in (("feed_forward", 6), ("query", 6), ("key", 6)):
            kept = int(getattr(gates, kind)[item, :frames].sum())
            assert getattr(counts[item], kind) == ToggleCounts(kept, frames * per_frame)
        assert counts[item].frames == frames


def test_sum_of_utterances_is_the_batch() -> None:
    gates = random_gates(3, 9, SHAPE)
    whole = sum(count_gates(SHAPE, gates, NUM_FRAMES), GateCounts())
    assert whole.gated == gated_macs(SHAPE, gates, NUM_FRAMES)
    assert whole.dense == dense_macs(SHAPE, NUM_FRAMES)
    assert whole.compute_share == compute_share(whole.gated, whole.dense)
    assert whole.compute_reduction == pytest.approx(100 * (1 - whole.compute_share))


def test_a_group_is_not_the_mean_of_its_utterances() -> None:
    on, off = all_gates(1, 8, SHAPE, on=True), all_gates(1, 2, SHAPE, on=False)
    (long,) = count_gates(SHAPE, on, torch.tensor([8]))
    (short,) = count_gates(SHAPE, off, torch.tensor([2]))
    assert (long + short).query.keep_rate == 0.8
    assert (long + short).key.skip_rate == pytest.approx(0.2)


def test_keep_rates_of_utterances() -> None:
    gates = random_gates(3, 9, SHAPE, keep=0.4)
    rates = keep_rates(gates, NUM_FRAMES)
    counts = count_gates(SHAPE, gates, NUM_FRAMES)
    for kind in ("feed_forward", "query", "key"):
        expected = [getattr(count, kind).keep_rate for count in counts]
        assert math.isnan(expected[2])
        torch.testing.assert_close(
            getattr(rates, kind), torch.tensor(expected, dtype=torch.float64), equal_nan=True
        )


def test_without_anything_rates_are_nan() -> None:
    assert math.isnan(GateCounts().key.keep_rate)
    assert math.isnan(GateCounts().compute_share)
    assert math.isnan(GateCounts().compute_reduction)


def test_refusals() -> None:
    gates = random_gates(1, 4, SHAPE)
    soft = Gates(gates.feed_forward, gates.query.float(), gates.key)
    with pytest.raises(ValueError, match="query gates are torch.float32, expected torch.bool"):
        count_gates(SHAPE, soft, torch.tensor([4]))
    with pytest.raises(ValueError, match="query gates are torch.float32"):
        keep_rates(soft, torch.tensor([4]))
    with pytest.raises(ValueError, match="num_frames of item 0 is 5"):
        keep_rates(gates, torch.tensor([5]))
    with pytest.raises(ValueError, match="kept must be in 0..possible"):
        ToggleCounts(kept=3, possible=2)
    with pytest.raises(ValueError, match="2 gated and 1 dense frames"):
        GateCounts(gated=MacCounts(frames=2), dense=MacCounts(frames=1))
    with pytest.raises(TypeError):
        GateCounts() + ToggleCounts()  # type: ignore[operator]


def test_all_on_counts_what_open_gates_count() -> None:
    shape = replace(SHAPE, arbitrator_macs=0)
    on = all_gates(2, 8, shape, on=True)
    num_frames = torch.tensor([8, 0])
    assert count_all_on(shape, num_frames) == count_gates(shape, on, num_frames)
