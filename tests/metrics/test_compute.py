from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.compute import (
    MacCounts,
    compute_reduction,
    compute_share,
    dense_macs,
    gated_macs,
)
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape
from tests.metrics.slow_compute import all_gates, random_gates, slow_macs

PAPER = TransformerShape(
    input_size=192, d_model=516, nhead=4, num_layers=12, d_ffn=1024, output_size=512
)
# Odd sizes that all differ, so that no two of them can be mixed up unseen.
SMALL = TransformerShape(
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
windows = st.one_of(st.none(), st.integers(0, 12))


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    window=windows,
    keep=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    nhead=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 1000),
)
def test_hard_gates_equal_the_loops(
    lengths: list[int], window: int | None, keep: float, nhead: int, seed: int
) -> None:
    shape = replace(SMALL, left_context_frames=window, nhead=nhead)
    # Two frames of padding behind the longest utterance, with gates that must not count.
    gates = random_gates(len(lengths), max(lengths) + 2, shape, keep, seed)
    counted = gated_macs(shape, gates, torch.tensor(lengths))
    assert counted == slow_macs(shape, gates, lengths)
    assert all(type(count) is int for count in asdict(counted).values())


@pytest.mark.parametrize("window", [None, 0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_soft_gates_give_expectations(window: int | None, dtype: torch.dtype) -> None:
    shape = replace(SMALL, left_context_frames=window)
    soft = [torch.rand(size, dtype=dtype) for size in [(2, 9, 3, 2)] * 3]
    lengths = [9, 5]
    for gate in soft:
        gate[1, 5:] = math.nan
    counted = asdict(gated_macs(shape, Gates(*soft), torch.tensor(lengths)))
    assert counted == pytest.approx(asdict(slow_macs(shape, Gates(*soft), lengths)), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 20), min_size=1, max_size=4), window=windows)
def test_all_on_is_dense_and_arbitrators(lengths: list[int], window: int | None) -> None:
    shape = replace(SMALL, left_context_frames=window)
    num_frames = torch.tensor(lengths)
    dense = dense_macs(shape, num_frames)
    gated = gated_macs(shape, all_gates(len(lengths), 20, shape, on=True), num_frames)
    assert gated == replace(dense, arbitrator=13 * sum(lengths))
    assert dense.arbitrator == 0


def test_all_off_leaves_the_input_path() -> None:
    num_frames = torch.tensor([6, 2])
    gated = gated_macs(SMALL, all_gates(2, 6, SMALL, on=False), num_frames)
    assert gated == MacCounts(
        input_projection=8 * 7 * 6, arbitrator=8 * 13, output_projection=8 * 6 * 5, frames=8
    )


def test_batches_add_up() -> None:
    gates = random_gates(3, 8, SMALL)
    parts = [
        gated_macs(
            SMALL,
            Gates(*(g[i : i + 1] for g in (gates.feed_forward, gates.query, gates.key))),
            torch.tensor([n]),
        )
        for i, n in enumerate((8, 5, 1))
    ]
    whole = gated_macs(SMALL, gates, torch.tensor([8, 5, 1]))
    assert sum(parts, MacCounts()) == whole
    assert whole.frames == 14
    # The share of the whole is not the mean of the shares.
    dense = dense_macs(SMALL, torch.tensor([8, 5, 1]))
    assert compute_share(whole, dense) == sum(p.total for p in parts) / dense.total
    assert compute_reduction(whole, dense) == pytest.approx(100 * (1 - whole.total / dense.total))


def test_paper_size() -> None:
    dense = dense_macs(PAPER, torch.tensor([400]))
    assert dense.total - dense.scores == 400 * 25_824_768  # 25.8 M multiply-adds per frame
    assert dense.scores == 12 * 4 * 2 * 129 * (400 * 401 // 2)


def test_paper_size_sliding_window() -> None:
    num_frames = torch.tensor([400])
    window = dense_macs(replace(PAPER, left_context_frames=10), num_frames)
    # The first 10 frames see 1..10 frames, each later one 11.
    assert window.scores == 12 * 4 * 2 * 129 * (55 + 390 * 11)
    # How much that saves depends on the utterance; 20 s come near the 12.93 % of the paper.
    twenty_seconds = torch.tensor([20_000 // 30])
    window = dense_macs(replace(PAPER, left_context_frames=10), twenty_seconds)
    assert compute_reduction(window, dense_macs(PAPER, twenty_seconds)) == pytest.approx(
        13.3, abs=0.1
    )


def test_hours_of_audio_are_exact() -> None:
    frames = 200_000  # 100 minutes in frames of 30 ms; float32 is exact up to 16.8 M only
    shape = replace(SMALL, num_layers=1, nhead=1, left_context_frames=None)
    gates = all_gates(1, frames, shape, on=True)
    counted = gated_macs(shape, gates, torch.tensor([frames]))
    assert counted.scores == 2 * 6 * (frames * (frames + 1) // 2)
    dense = dense_macs(shape, torch.tensor([frames]))
    assert counted == replace(dense, arbitrator=13 * frames)
    assert all(type(count) is int for count in asdict(dense).values())
    every_other = (torch.arange(frames) % 2 == 1).view(1, -1, 1, 1)
    thinned = Gates(gates.feed_forward, gates.query, every_other)
    assert gated_macs(shape, thinned, torch.tensor([frames])).scores == 12 * (frames // 2) ** 2
    windowed = replace(shape, left_context_frames=10)
    assert gated_macs(windowed, gates, torch.tensor([frames])) == replace(
        dense_macs(windowed, torch.tensor([frames])), arbitrator=13 * frames
    )


def test_refusals() -> None:
    gates = random_gates(2, 4, SMALL)
    with pytest.raises(ValueError, match="3 blocks with 2 heads .* 4 blocks with 2"):
        gated_macs(replace(SMALL, num_layers=4), gates, torch.tensor([4, 4]))
    with pytest.raises(ValueError, match="num_frames of item 1 is 5, expected 0..4"):
        gated_macs(SMALL, gates, torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="absolute_lengths"):
        gated_macs(SMALL, gates, torch.tensor([1.0, 0.5]))
    with pytest.raises(ValueError, match="count both on the same utterances"):
        compute_share(MacCounts(query=1, frames=1), MacCounts(query=1, frames=2))
    with pytest.raises(ValueError, match="query must not be negative, got -1"):
        MacCounts(query=-1)
    with pytest.raises(TypeError):
        MacCounts() + 1  # type: ignore[operator]


def test_without_frames_there_is_no_share() -> None:
    assert math.isnan(compute_share(MacCounts(), MacCounts()))
    assert math.isnan(MacCounts().per_frame)
