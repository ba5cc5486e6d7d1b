"""Whole utterances: what is packed equals what is computed plainly and then masked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.encoders.amortized import TOGGLES, AmortizedTransformerEncoder
from sb_alexa.encoders.amortized_reference import masked_forward
from sb_alexa.encoders.local_cnn import LocalCNN
from sb_alexa.encoders.transformer import SPARE_SLOTS
from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gate_relaxation import GateRelaxation
from sb_alexa.nn.random_arbitrator import RandomArbitrator
from sb_alexa.streaming.sequential import StreamingSequential
from tests.encoders.tiny_transformers import (
    D_MODEL,
    GROUPS,
    KINDS,
    NHEAD,
    NUM_LAYERS,
    RARE,
    SIZES,
    USUAL,
    amortized,
    arbitrator,
    assert_close,
    dense,
    features,
    in_chunks,
    lowest_block,
)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("left_context_frames", [None, 0, 3, 100])
def test_with_everything_on_it_is_the_dense_encoder(
    left_context_frames: int | None, groups: int
) -> None:
    encoder = amortized(left_context_frames=left_context_frames, groups=groups, threshold=0.0)
    x = features(2, 150)
    with torch.no_grad():
        y, gates = encoder.forward_with_gates(x)
        assert bool(gates.query.all() & gates.key.all() & gates.feed_forward.all())
        assert_close(y, dense(left_context_frames)(x))


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("batch", [1, 2])
def test_with_everything_off_it_is_two_linear_layers(batch: int, groups: int) -> None:
    encoder, x = amortized(threshold=1.0, groups=groups), features(batch, 20)
    with torch.no_grad():
        expected = encoder.output(encoder.embedding(x))
        assert torch.equal(encoder(x), expected)
        y, gates, _ = in_chunks(encoder, x, (1, 4))
        assert_close(y, expected)
    assert not (gates.query.any() | gates.key.any() | gates.feed_forward.any())


@pytest.mark.parametrize("rates", [USUAL, RARE], ids=["usual", "rare"])
@pytest.mark.parametrize("toggles", TOGGLES)
@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", GROUPS)
def test_packed_equals_masked(
    groups: int, kind: str, dual: bool, toggles: str, rates: tuple[float, float, float]
) -> None:
    for left_context_frames in (None, 0, 4):
        encoder = amortized(
            kind,
            dual=dual,
            toggles=toggles,
            rates=rates,
            left_context_frames=left_context_frames,
            groups=groups,
        )
        x = features(3, 30)
        with torch.no_grad():
            y, gates = encoder.forward_with_gates(x)
            assert_close(y, masked_forward(encoder, x, gates))
        assert bool(gates.query.all()) == ("query" not in toggles)
        assert bool(gates.key.all()) == ("key" not in toggles)
        assert 0 < gates.feed_forward.double().mean() < 1


@settings(max_examples=40, deadline=None)
@given(
    rates=st.tuples(*[st.sampled_from([0.0, 0.02, 0.3, 0.8, 1.0])] * 3),
    batch=st.integers(1, 3),
    num_frames=st.integers(1, 45),
    left_context_frames=st.sampled_from([None, 0, 1, 5, 60]),
    every=st.integers(1, 6),
    dual=st.booleans(),
    groups=st.sampled_from([1, 2, 16]),
    seed=st.integers(0, 1000),
)
def test_any_random_gates(
    rates, batch, num_frames, left_context_frames, every, dual, groups, seed
) -> None:
    """Heads without any frame, frames without any visible key, blocks without anything to do."""
    encoder = amortized(
        "random",
        rates=rates,
        left_context_frames=left_context_frames,
        toggle_every_frames=every,
        dual=dual,
        groups=groups,
        seed=seed,
    )
    x = features(batch, num_frames, seed=seed)
    with torch.no_grad():
        y, gates = encoder.forward_with_gates(x)
        assert_close(y, masked_forward(encoder, x, gates))
        if left_context_frames is not None:
            assert_close(in_chunks(encoder, x, (1, 4, 2))[0], y)


def test_long_utterances_are_attended_in_parts() -> None:
    """Longer than the queries that attend together, with rows that end early."""
    for left_context_frames in (None, 33):
        encoder = amortized("random", dual=True, left_context_frames=left_context_frames)
        x, lengths = features(3, 500), torch.tensor([500, 140, 3])
        with torch.no_grad():
            y, gates = encoder.forward_with_gates(x, lengths)
            for row, length in enumerate(lengths):
                part = x[row : row + 1, :length]
                alone, own = encoder.forward_with_gates(part)
                assert_close(y[row : row + 1, :length], alone)
                assert_close(alone, masked_forward(encoder, part, own))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_reaches_nothing_and_costs_nothing(kind: str) -> None:
    encoder, x = amortized(kind, dual=True, toggle_every_frames=2), features(3, 20)
    lengths = torch.tensor([20, 1, 7])
    end = torch.arange(20)[None, :] >= lengths[:, None]
    loud = x.masked_fill(end[..., None], torch.nan)
    with torch.no_grad():
        y, gates = encoder.forward_with_gates(loud, lengths)
        for row, length in enumerate(lengths):
            alone, own = encoder.forward_with_gates(x[row : row + 1, :length])
            assert_close(y[row : row + 1, :length], alone)
            assert torch.equal(gates.key[row : row + 1, :length], own.key)
    assert not y[end].any()
    for gate in (gates.feed_forward, gates.query, gates.key):
        assert not gate[end].any()


def test_the_mode_that_leaves_keys_on_says_so_behind_the_end_too() -> None:
    """There nothing is computed, whatever the mode."""
    encoder = amortized(toggles="query")
    _, gates = encoder.forward_with_gates(features(2, 6), torch.tensor([6, 2]))
    assert gates.key[0].all() and gates.key[1, :2].all() and not gates.key[1, 2:].any()


@pytest.mark.parametrize("rates", [(1.0, 0.0, 1.0), (0.0, 1.0, 1.0)], ids=["keys", "queries"])
def test_without_keys_or_queries_frames_do_not_see_each_other(
    rates: tuple[float, float, float],
) -> None:
    encoder, x = amortized("random", rates=rates), features(1, 12)
    other = x.clone()
    other[:, 4] += 1.0
    with torch.no_grad():
        changed = (encoder(other) - encoder(x)).abs().amax(dim=-1)[0] > 1e-10
    assert changed.nonzero().flatten().tolist() == [4]


def test_a_key_that_is_off_hides_a_frame_from_the_later_ones() -> None:
    encoder = amortized("random", rates=(1.0, 0.5, 1.0), left_context_frames=None)
    x = features(1, 30)
    with torch.no_grad():
        before, gates = encoder.forward_with_gates(x)
        hidden = ~gates.key.flatten(2).any(dim=2)[0]  # of no head, in no block
        shown = gates.key.flatten(2).sum(dim=2)[0] > 3
        for frame in range(25):
            other = x.clone()
            other[:, frame] += 1.0
            changed = (encoder(other) - before)[0, frame + 1 :].abs().max() > 1e-10
            if hidden[frame]:
                assert not changed
            elif shown[frame]:
                assert changed
    assert shown.sum() > 5


def test_a_group_of_frames_has_the_decision_of_its_first() -> None:
    x = features(2, 23)
    each, groups = (amortized("recurrent", toggle_every_frames=every) for every in (1, 5))
    first = torch.arange(23) - torch.arange(23) % 5
    with torch.no_grad():
        every_frame, held = each.forward_with_gates(x)[1], groups.forward_with_gates(x)[1]
    for name in ("feed_forward", "query", "key"):
        decisions = getattr(every_frame, name)
        assert torch.equal(getattr(held, name), decisions[:, first])
        assert not torch.equal(decisions, decisions[:, first])


def test_a_group_that_is_off_leaves_its_own_part_of_the_sum_out() -> None:
    """Changing what only one group computes changes the frames where it is on, and no other."""
    encoder = amortized("random", groups=4, rates=(1.0, 0.0, 0.5))
    block, x = lowest_block(encoder), features(1, 40)
    with torch.no_grad():
        before, gates = encoder.forward_with_gates(x)
        block.feed_forward_in.weight[4:8].mul_(-1.0)  # of the second group
        changed = (encoder(x) - before).abs().amax(dim=-1)[0] > 1e-10
    assert torch.equal(changed, gates.feed_forward[0, :, 0, 1])
    assert 0 < changed.sum() < 40


def test_of_two_arbitrators_the_second_reads_what_the_lower_blocks_made() -> None:
    """The weights of the lower block turn decisions about the upper ones, and not about its own."""
    encoder, x = amortized(dual=True), features(2, 40)
    with torch.no_grad():
        before = encoder.forward_with_gates(x)[1]
        lowest_block(encoder).attention_norm.bias.mul_(-2.0)
        after = encoder.forward_with_gates(x)[1]
    assert torch.equal(before.key[:, :, 0], after.key[:, :, 0])
    assert not torch.equal(before.key[:, :, 1:], after.key[:, :, 1:])
    single = amortized(dual=False)
    with torch.no_grad():
        before = single.forward_with_gates(x)[1]
        lowest_block(single).attention_norm.bias.mul_(-2.0)
        assert torch.equal(before.key, single.forward_with_gates(x)[1].key)


@pytest.mark.parametrize("groups", GROUPS)
def test_the_threshold_is_a_dial(groups: int) -> None:
    """Raising it only takes away, and at any setting a gate is on where sigmoid(logit) is above."""
    encoder, x = amortized(groups=groups), features(2, 20)
    with torch.no_grad():
        keep = encoder.arbitrators[0](encoder.embedding(x)).sigmoid()
        before = None
        for threshold in (0.0, 1e-9, 0.2, 0.5, 0.77, 1 - 1e-9, 1.0):
            encoder.threshold = threshold
            gates = encoder.forward_with_gates(x)[1]
            toggles = torch.cat([gates.feed_forward, gates.query, gates.key], dim=-1)
            expected = keep > threshold
            assert torch.equal(toggles, expected)
            assert before is None or bool((before | ~toggles).all())
            before = toggles
    assert encoder.threshold == 1.0


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_threshold_outside_is_refused(threshold: float) -> None:
    encoder = amortized(threshold=0.25)
    with pytest.raises(ValueError, match=f"threshold must lie between 0 .* got {threshold}"):
        encoder.threshold = threshold
    assert encoder.threshold == 0.25
    with pytest.raises(ValueError, match="threshold must lie between"):
        amortized(threshold=threshold)


def test_what_does_not_fit_is_refused() -> None:
    def build(*arbitrators: Arbitrator[Any], **options: Any) -> None:
        AmortizedTransformerEncoder(arbitrators=arbitrators, **{**SIZES, **options})

    one = arbitrator("feed_forward", 1)
    with pytest.raises(ValueError, match=r"one arbitrator \(single\) or two \(dual\), got 0"):
        build()
    with pytest.raises(ValueError, match="got 3"):
        build(one, one, one)
    with pytest.raises(ValueError, match="decide about 2 blocks and .* num_layers=4; .* add up"):
        build(one, one)
    fitting = {"input_size": D_MODEL, "nhead": NHEAD, "num_blocks": NUM_LAYERS}
    with pytest.raises(ValueError, match="nhead=3, .* input_size=12 .* got nhead=2"):
        build(FeedForwardArbitrator(**{**fitting, "nhead": 2}))
    with pytest.raises(ValueError, match="nhead=3, .* input_size=12 .* input_size=13"):
        build(FeedForwardArbitrator(**{**fitting, "input_size": 13}))
    with pytest.raises(ValueError, match="feed_forward_groups=4 .* got .*feed_forward_groups=1"):
        build(FeedForwardArbitrator(**fitting), feed_forward_groups=4)
    with pytest.raises(ValueError, match="divide d_ffn, got feed_forward_groups=3 and d_ffn=16"):
        build(FeedForwardArbitrator(**fitting, feed_forward_groups=3), feed_forward_groups=3)
    with pytest.raises(ValueError, match="got feed_forward_groups=0"):
        build(FeedForwardArbitrator(**fitting), feed_forward_groups=0)
    with pytest.raises(ValueError, match="query_key, query, key, feed_forward, got 'no'"):
        build(FeedForwardArbitrator(**fitting), toggles="no")
    with pytest.raises(ValueError, match="toggle_every_frames must be >= 1, got 0"):
        build(FeedForwardArbitrator(**fitting), toggle_every_frames=0)
    with pytest.raises(ValueError, match="nhead=5 and d_model=12; take nhead=4 or 6"):
        build(FeedForwardArbitrator(**fitting), nhead=5)
    with pytest.raises(ValueError, match="looks back without limit.*left_context_frames=100"):
        amortized(left_context_frames=None).initial_state(1)


def test_the_shape_holds_what_the_arbitrators_cost() -> None:
    encoder = amortized("feed_forward", dual=True)
    assert encoder.shape.arbitrator_macs == sum(part.macs_per_frame for part, _ in encoder.segments)
    assert dense().shape.arbitrator_macs == 0


def test_unlimited_and_bounded_contexts_agree_where_nothing_is_out_of_reach() -> None:
    x = features(2, SPARE_SLOTS)
    with torch.no_grad():
        unlimited = amortized(left_context_frames=None)(x)
        assert_close(amortized(left_context_frames=SPARE_SLOTS - 1)(x), unlimited)


def test_the_control_ignores_what_is_said() -> None:
    encoder = amortized("random")
    assert isinstance(encoder.arbitrators[0], RandomArbitrator)
    first, second = (encoder.forward_with_gates(features(2, 9, seed=seed))[1] for seed in (1, 2))
    assert torch.equal(first.key, second.key)
    assert torch.equal(first.key[0], first.key[1])


def test_it_can_stand_above_the_convolutions_of_conv_rnnt() -> None:
    """Streams as one encoder, and the gates train through the whole chain."""
    front_end = LocalCNN(input_size=8, channels=[4, 3, 3], output_size=SIZES["input_size"])
    front_end.double().eval()
    encoder = amortized(dual=True)
    chain = StreamingSequential(front_end, encoder).eval()
    x = torch.randn(2, 19, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = chain(x)
        first, state = chain.forward_chunk(x[:, :6], chain.initial_state(2))
        second, _ = chain.forward_chunk(x[:, 6:], state)
    assert_close(torch.cat([first, second], dim=1), whole)
    y, _ = encoder.forward_relaxed(front_end(x), None, GateRelaxation())
    y.sum().backward()
    assert all(p.grad is not None for p in encoder.arbitrators.parameters())
    assert all(p.grad is not None for p in front_end.parameters())
