from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.losses.compute_cost import ComputeCostLoss
from sb_alexa.metrics.compute import compute_share, dense_macs, gated_macs
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape
from tests.metrics.slow_compute import all_gates, random_gates, slow_macs

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
KINDS = ("feed_forward", "query", "key")


def soft_gates(batch: int, num_frames: int, shape: TransformerShape = SHAPE) -> Gates:
    """Float64 gates that want gradients."""
    blocks = (batch, num_frames, shape.num_layers)
    groups, heads = (*blocks, shape.feed_forward_groups), (*blocks, shape.nhead)
    return Gates(
        *(
            torch.rand(size, dtype=torch.float64, requires_grad=True)
            for size in (groups, heads, heads)
        )
    )


def cast(gates: Gates, dtype: torch.dtype) -> Gates:
    return Gates(gates.feed_forward.to(dtype), gates.query.to(dtype), gates.key.to(dtype))


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    window=st.one_of(st.none(), st.integers(0, 9)),
    keep=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_metric_on_hard_gates(
    lengths: list[int], window: int | None, keep: float, seed: int
) -> None:
    shape = replace(SHAPE, left_context_frames=window)
    gates = random_gates(len(lengths), max(lengths), shape, keep, seed)
    num_frames = torch.tensor(lengths)
    counted = compute_share(gated_macs(shape, gates, num_frames), dense_macs(shape, num_frames))
    cost = ComputeCostLoss()(gates, num_frames, shape)
    assert cost.share.item() == pytest.approx(counted, rel=1e-6)
    exact = ComputeCostLoss()(cast(gates, torch.float64), num_frames, shape)
    assert exact.share.item() == pytest.approx(counted, rel=1e-14)
    assert exact.loss.item() == exact.share.item()


@pytest.mark.parametrize("window", [None, 0, 4])
def test_soft_share_and_gradient_equal_the_loops(window: int | None) -> None:
    shape = replace(SHAPE, left_context_frames=window)
    gates, lengths = soft_gates(2, 7), [7, 4]
    num_frames = torch.tensor(lengths)
    share = ComputeCostLoss()(gates, num_frames, shape).share
    dense = dense_macs(shape, num_frames).total
    assert share.item() == pytest.approx(slow_macs(shape, gates, lengths).total / dense, rel=1e-12)
    gradients = torch.autograd.grad(share, [getattr(gates, kind) for kind in KINDS])
    # The share is linear in each single gate, so a whole unit gives its derivative exactly.
    for kind, gradient in zip(KINDS, gradients, strict=True):
        for frame in ((0, 0, 0), (0, 6, 2), (1, 3, 1), (1, 4, 1)):
            index = (*frame, 1)
            totals = []
            for value in (0.0, 1.0):
                moved = getattr(gates, kind).detach().clone()
                moved[index] = value
                totals.append(slow_macs(shape, replace(gates, **{kind: moved}), lengths).total)
            expected = (totals[1] - totals[0]) / dense
            assert gradient[index].item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("target", [None, 0.4])
@pytest.mark.parametrize("window", [None, 2])
def test_gradient_check(window: int | None, target: float | None) -> None:
    shape = replace(SHAPE, left_context_frames=window, num_layers=1)
    loss = ComputeCostLoss(target_compute=target, coherence_weight=0.3, coherence_frames=3)

    def value(*gates: Tensor) -> Tensor:
        return loss(Gates(*gates), torch.tensor([5, 3]), shape).loss

    gates = soft_gates(2, 5, shape)
    assert torch.autograd.gradcheck(value, [getattr(gates, kind) for kind in KINDS])


def test_padding_has_no_influence_and_no_gradient() -> None:
    gates, num_frames = soft_gates(2, 6), torch.tensor([6, 3])
    loss = ComputeCostLoss(target_compute=0.2, coherence_weight=1.0, coherence_frames=2)
    padded = []
    for kind in KINDS:
        gate = getattr(gates, kind).detach()
        longer = torch.cat([gate, torch.full_like(gate, math.nan)], 1)
        longer[1, 3:] = math.nan
        padded.append(longer.requires_grad_())
    expected, cost = (
        loss(gates, num_frames, SHAPE),
        loss(Gates(*padded), num_frames, SHAPE),
    )
    torch.testing.assert_close(cost.loss, expected.loss, rtol=1e-12, atol=0)
    cost.loss.backward()
    for gate in padded:
        assert gate.grad is not None
        assert gate.grad[0, :6].abs().sum() > 0
        assert not gate.grad[0, 6:].any()
        assert not gate.grad[1, 3:].any()


def test_all_on_costs_the_dense_model_and_the_arbitrators() -> None:
    num_frames = torch.tensor([8, 5])
    cost = ComputeCostLoss()(all_gates(2, 8, SHAPE, on=True), num_frames, SHAPE)
    arbitrators = 13 * 13 / dense_macs(SHAPE, num_frames).total
    assert cost.share.item() == pytest.approx(1 + arbitrators, rel=1e-6)
    assert cost.coherence.item() == 0


def test_share_of_a_batch_is_the_ratio_of_sums() -> None:
    shape = replace(SHAPE, left_context_frames=None)
    gates, num_frames = random_gates(2, 30, shape, keep=0.3), torch.tensor([30, 2])
    share = ComputeCostLoss()(gates, num_frames, shape).share.item()
    dense = dense_macs(shape, num_frames).total
    assert share == pytest.approx(gated_macs(shape, gates, num_frames).total / dense, rel=1e-6)


@pytest.mark.parametrize(("target", "sign"), [(0.1, 1.0), (0.95, -1.0)])
def test_target_pulls_from_both_sides(target: float, sign: float) -> None:
    gates, num_frames = soft_gates(1, 6), torch.tensor([6])
    cost = ComputeCostLoss(target_compute=target)(gates, num_frames, SHAPE)
    assert cost.loss.item() == pytest.approx(abs(cost.share.item() - target))
    (gradient,) = torch.autograd.grad(cost.loss, gates.feed_forward)
    assert (gradient.sign() == sign).all()


def test_coherence_counts_changes_inside_chunks_only() -> None:
    on = torch.tensor([1, 1, 0, 1, 1, 0, 0, 1]).bool().view(1, 8, 1, 1).expand(1, 8, 3, 2)
    gates = Gates(on, on, on)
    # Changes lie between frames 1-2, 2-3, 4-5 and 6-7.
    for chunk, frames, expected in ((2, 8, 3 / 4), (3, 8, 3 / 5), (4, 8, 4 / 6), (3, 5, 1 / 3)):
        loss = ComputeCostLoss(coherence_frames=chunk, coherence_weight=2.0)
        cost = loss(gates, torch.tensor([frames]), SHAPE)
        assert cost.coherence.item() == pytest.approx(expected)
        assert cost.loss.item() == pytest.approx(cost.share.item() + 2 * expected)


def test_coherence_weighs_every_toggle_alike() -> None:
    steady = torch.ones(1, 4, 3, 2)
    changing = steady.clone()
    changing[0, 2, 1, 0] = 0.25  # one of 18 toggles, in two of three steps
    cost = ComputeCostLoss()(Gates(steady, steady, changing), torch.tensor([4]), SHAPE)
    assert cost.coherence.item() == pytest.approx(2 * 0.75 / (3 * 18))


def test_one_frame_has_no_neighbour() -> None:
    gates = soft_gates(2, 1)
    cost = ComputeCostLoss(coherence_weight=1.0)(gates, torch.tensor([1, 0]), SHAPE)
    assert cost.coherence.item() == 0
    assert torch.autograd.grad(cost.loss, gates.query)[0].isfinite().all()


def test_the_slope_of_the_target_falls_within_its_margin() -> None:
    """Outside it is that of the plain distance, at the target it is 0; nothing jumps."""
    gates, num_frames = soft_gates(2, 6), torch.tensor([6, 4])
    share = ComputeCostLoss()(gates, num_frames, SHAPE).loss.item()
    offsets = [-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2]
    losses, slopes = [], []
    for offset in offsets:
        loss = ComputeCostLoss(target_compute=share - offset, target_margin=0.1)
        one = Gates(*(getattr(gates, kind).detach().requires_grad_() for kind in KINDS))
        cost = loss(one, num_frames, SHAPE)
        (of_loss,) = torch.autograd.grad(cost.loss, one.feed_forward, retain_graph=True)
        (of_share,) = torch.autograd.grad(cost.share, one.feed_forward)
        losses.append(cost.loss.item())
        slopes.append((of_loss.sum() / of_share.sum()).item())
    assert slopes == pytest.approx([-1, -1, -0.5, 0, 0.5, 1, 1], abs=1e-9)
    assert losses == pytest.approx([0.15, 0.05, 0.0125, 0, 0.0125, 0.05, 0.15], abs=1e-9)


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8)], ids=str
)
def test_long_batches_in_low_precision(dtype: torch.dtype, precision: float) -> None:
    shape, num_frames = replace(SHAPE, left_context_frames=10), torch.tensor([50_000])
    gates = cast(soft_gates(1, 50_000), dtype)
    query = gates.query.detach().requires_grad_()
    share = ComputeCostLoss()(replace(gates, query=query), num_frames, shape).share
    assert share.dtype == torch.float32
    (gradient,) = torch.autograd.grad(share, query)
    # Of a query: its projections, and two multiply-adds per feature with each of 11 keys. A window
    # taken as the difference of two float32 sums of 25,000 would put it off by 2e-4.
    visible = torch.nn.functional.pad(gates.key.double(), (0, 0, 0, 0, 10, 0)).unfold(1, 11, 1)
    macs = 2 * 6 * 3 + 2 * 3 * visible.sum(-1)
    expected = macs / dense_macs(shape, num_frames).total
    torch.testing.assert_close(gradient.double(), expected, rtol=precision, atol=0)


def test_target_that_cannot_be_met() -> None:
    paper = TransformerShape(
        input_size=192,
        d_model=516,
        nhead=4,
        num_layers=12,
        d_ffn=1024,
        output_size=512,
        left_context_frames=10,
        arbitrator_macs=160_000,
    )
    off = gated_macs(paper, all_gates(1, 1000, paper, on=False), torch.tensor([1000]))
    least = compute_share(off, dense_macs(paper, torch.tensor([1000])))
    ComputeCostLoss(target_compute=least * 1.001).check(paper)
    with pytest.raises(ValueError, match=f"still computes {least:.4f} .* smaller arbitrators"):
        ComputeCostLoss(target_compute=least * 0.999).check(paper)
    # Queries that are never skipped cost 2 x 516 x 516 in each of 12 blocks.
    ComputeCostLoss(target_compute=0.2).check(paper)
    with pytest.raises(ValueError, match="0.2 cannot be met"):
        ComputeCostLoss(target_compute=0.2).check(paper, toggles="key")
    with pytest.raises(ValueError, match="cannot be met"):
        ComputeCostLoss(target_compute=0.2).check(paper, toggles="query")
    ComputeCostLoss(target_compute=0.27).check(paper, toggles="key")
    # Attention that is never skipped costs 4 x 516 x 516 in each block, and its scores.
    with pytest.raises(ValueError, match="0.5 cannot be met"):
        ComputeCostLoss(target_compute=0.5).check(paper, toggles="feed_forward")
    ComputeCostLoss(target_compute=0.53).check(paper, toggles="feed_forward")
    ComputeCostLoss().check(paper)
    with pytest.raises(ValueError, match="query, key, query_key or feed_forward, got 'keys'"):
        ComputeCostLoss().check(paper, toggles="keys")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_compute": 0.0}, r"target_compute must lie in \(0, 1\], got 0.0"),
        ({"target_compute": 40}, "got 40; .* 0.4 for 40 %"),
        ({"target_compute": math.nan}, "got nan"),
        ({"target_margin": -0.1}, "target_margin must be >= 0, got -0.1"),
        ({"coherence_weight": -1.0}, "coherence_weight must be >= 0, got -1.0"),
        ({"coherence_frames": 1}, "coherence_frames must be >= 2, got 1"),
    ],
)
def test_refused_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComputeCostLoss(**arguments)  # type: ignore[arg-type]


def test_gates_of_another_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="3 blocks with 2 heads"):
        ComputeCostLoss()(soft_gates(1, 3), torch.tensor([3]), replace(SHAPE, num_layers=4))
    with pytest.raises(ValueError, match="num_frames of item 0 is 4"):
        ComputeCostLoss()(soft_gates(1, 3), torch.tensor([4]), SHAPE)
