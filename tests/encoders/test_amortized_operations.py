"""What is switched off is not executed: the operations that ran are those of the formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sb_alexa.bench.operations import count_macs
from sb_alexa.encoders.amortized import TOGGLES
from sb_alexa.metrics.compute import MacCounts, dense_macs, gated_macs
from tests.encoders.tiny_transformers import (
    D_MODEL,
    GROUPS,
    INPUT_SIZE,
    KINDS,
    SIZES,
    amortized,
    dense,
    features,
    in_chunks,
)

FRAMES = 25


def executed(function: Callable[[], object]) -> float:
    """Multiply-adds, without gradients."""
    with torch.no_grad():
        return count_macs(function)


def of_matrices(function: Callable[[], object]) -> float:
    """Multiply-adds of products of matrices, those of the attention kernel left out."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        function()
    products = {torch.ops.aten.mm, torch.ops.aten.addmm}
    return sum(n for op, n in counter.get_flop_counts()["Global"].items() if op in products) / 2


@pytest.mark.parametrize("toggles", TOGGLES)
@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", GROUPS)
def test_frame_by_frame_the_formula_is_executed(
    groups: int, kind: str, dual: bool, toggles: str
) -> None:
    encoder = amortized(kind, dual=dual, toggles=toggles, groups=groups)
    x = features(1, FRAMES)
    with torch.no_grad():
        _, gates, _ = in_chunks(encoder, x, (1,))
    counts = gated_macs(encoder.shape, gates, torch.tensor([FRAMES]))
    everything = dense_macs(encoder.shape, torch.tensor([FRAMES])).total
    most = 0.97 if toggles == "feed_forward" else 0.8
    assert counts.total - counts.arbitrator < most * everything
    assert executed(lambda: in_chunks(encoder, x, (1,))) == pytest.approx(counts.total, rel=0.01)


def test_the_dense_encoder_executes_the_dense_formula() -> None:
    encoder, x = dense(), features(1, FRAMES)
    expected = dense_macs(encoder.shape, torch.tensor([FRAMES])).total

    def run() -> None:
        state = encoder.initial_state(1)
        for part in x.split(1, dim=1):
            _, state = encoder.forward_chunk(part, state)

    assert executed(run) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_frame_whose_gates_are_off_costs_the_projections_and_the_decision(
    batch: int, kind: str
) -> None:
    encoder, x = amortized(kind, dual=True), features(batch, 20)
    with torch.no_grad():
        _, _, state = in_chunks(encoder, x[:, :19], (4,))
    encoder.threshold = 1.0
    projections = D_MODEL * (INPUT_SIZE + SIZES["output_size"])
    expected = batch * (projections + encoder.shape.arbitrator_macs)
    assert executed(lambda: encoder.forward_chunk(x[:, 19:], state)) == expected


@pytest.mark.parametrize("kind", ["feed_forward", "random"])
@pytest.mark.parametrize("groups", GROUPS)
def test_packed_batches_execute_the_formula(groups: int, kind: str) -> None:
    """Whole utterances of different lengths, and streams side by side: every product has exactly
    the rows that are on. The kernel of attention computes rectangles and is left out here."""
    encoder, x = amortized(kind, dual=True, groups=groups), features(3, FRAMES)
    lengths = torch.tensor([FRAMES, 20, 5])
    with torch.no_grad():
        _, gates = encoder.forward_with_gates(x, lengths)
        _, of_streams, _ = in_chunks(encoder, x, (4,))
    counts = gated_macs(encoder.shape, gates, lengths)
    # The projections and the arbitrators of padding are computed.
    padding = 3 * FRAMES - int(lengths.sum())
    always = D_MODEL * (INPUT_SIZE + SIZES["output_size"]) + encoder.shape.arbitrator_macs
    assert of_matrices(lambda: encoder.forward_with_gates(x, lengths)) == (
        counts.total - counts.scores + padding * always
    )
    counts = gated_macs(encoder.shape, of_streams, torch.full((3,), FRAMES))
    assert of_matrices(lambda: in_chunks(encoder, x, (4,))) == counts.total - counts.scores


def test_each_kind_of_toggle_saves_its_own_part() -> None:
    """Of a frame after ten others: switching one kind off leaves away its products and no more."""
    x = features(1, 11)

    def cost(query: float, key: float, feed_forward: float) -> float:
        encoder = amortized("random", rates=(query, key, feed_forward), left_context_frames=20)
        with torch.no_grad():
            _, _, state = in_chunks(encoder, x[:, :10], (10,))
        return executed(lambda: encoder.forward_chunk(x[:, 10:], state))

    everything = cost(1, 1, 1)
    parts = one_frame()
    assert everything - cost(1, 1, 0) == pytest.approx(parts.feed_forward, rel=0.01)
    # Without queries nobody looks at the keys, and the reverse.
    assert everything - cost(0, 1, 1) == pytest.approx(parts.query + parts.scores, rel=0.01)
    # A head that sees nothing need not be projected, which the formula does not know.
    saved, projection = everything - cost(1, 0, 1), parts.query / 2
    assert saved / (parts.key + parts.scores) >= 0.99
    assert saved <= 1.01 * (parts.key + parts.scores + projection)


def one_frame() -> MacCounts:
    """Parts of the dense cost of the eleventh frame."""
    shape = dense(20).shape
    eleven, ten = (dense_macs(shape, torch.tensor([number])) for number in (11, 10))
    return MacCounts(
        query=eleven.query - ten.query,
        key=eleven.key - ten.key,
        scores=eleven.scores - ten.scores,
        feed_forward=eleven.feed_forward - ten.feed_forward,
    )
