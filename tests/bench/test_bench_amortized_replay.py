from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sb_alexa.bench.amortized_paper_size import needed_weights
from sb_alexa.bench.amortized_replay import (
    GateRecording,
    ReplayArbitrator,
    build_dense,
    build_replaying,
)
from sb_alexa.bench.operations import count_macs
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gates import Gates, ToggleLayout
from sb_alexa.nn.recurrent_arbitrator import RecurrentArbitrator
from sb_alexa.nn.transformer_shape import TransformerShape
from sb_alexa.streaming.state import rows
from tests.bench.tiny_amortized import random_recording, trained_encoder

SHAPE = TransformerShape(
    input_size=5,
    d_model=8,
    nhead=4,
    num_layers=6,
    d_ffn=12,
    output_size=7,
    left_context_frames=3,
)


def toggles_of(gates: Gates) -> Tensor:
    return torch.cat([gates.feed_forward, gates.query, gates.key], dim=-1)


def test_utterances_are_put_in_a_row_without_their_padding() -> None:
    flat = torch.arange(2 * 3 * 1 * 5).view(2, 3, 1, 5) % 2 == 0
    gates = Gates(flat[..., :1], flat[..., 1:3], flat[..., 3:])
    first, second = GateRecording.of_each(gates, torch.tensor([3, 1]))
    assert torch.equal(first, flat[0])
    assert torch.equal(second, flat[1, :1])


def test_mapping_follows_the_rule() -> None:
    """Block n takes block n * N // 12, head h takes head h * H // 4, of queries and of keys."""
    recording = random_recording(frames=9, blocks=5, nhead=2)
    mapped = recording.mapped(num_blocks=12, layout=ToggleLayout(1, 4)).toggles
    assert mapped.shape == (9, 12, 9)
    for block in range(12):
        source = recording.toggles[:, block * 5 // 12]
        assert torch.equal(mapped[:, block, 0], source[:, 0])
        for head in range(4):
            assert torch.equal(mapped[:, block, 1 + head], source[:, 1 + head * 2 // 4])
            assert torch.equal(mapped[:, block, 5 + head], source[:, 3 + head * 2 // 4])


def test_groups_are_stretched_as_heads_are() -> None:
    """Also from many to few, and to and from the one of the paper."""
    recording = random_recording(frames=9, blocks=2, nhead=2, groups=4)
    for groups, sources in ((8, [0, 0, 1, 1, 2, 2, 3, 3]), (2, [0, 2]), (1, [0])):
        mapped = recording.mapped(num_blocks=2, layout=ToggleLayout(groups, 2))
        assert torch.equal(mapped.toggles[..., :groups], recording.toggles[..., sources])
        assert torch.equal(mapped.toggles[..., groups:], recording.toggles[..., 4:])
    one = random_recording(frames=9).mapped(num_blocks=2, layout=ToggleLayout(4, 2)).toggles
    assert torch.equal(one[..., :4], random_recording(frames=9).toggles[..., [0] * 4])


@pytest.mark.parametrize("num_blocks", [2, 5])
def test_a_smaller_encoder_takes_some_of_the_blocks(num_blocks: int) -> None:
    recording = random_recording(frames=4, blocks=6, nhead=4)
    mapped = recording.mapped(num_blocks=num_blocks, layout=ToggleLayout(1, 2)).toggles
    assert torch.equal(mapped[:, 1], recording.toggles[:, 6 // num_blocks][:, [0, 1, 3, 5, 7]])


def test_replay_is_the_recording_and_starts_again_at_its_end() -> None:
    recording = random_recording(frames=7)
    replay = ReplayArbitrator(
        arbitrator=FeedForwardArbitrator(input_size=8, num_blocks=2, nhead=2),
        recording=recording.toggles,
        offset_frames=3,
    ).eval()
    logits = replay(torch.zeros(3, 16, 8))
    assert set(logits.unique().tolist()) == {-20.0, 20.0}
    for row in range(3):
        expected = recording.toggles[(torch.arange(16) + 3 * row) % 7]
        assert torch.equal(logits[row] > 0, expected)


def test_replay_follows_its_row_through_chunks() -> None:
    recording = random_recording(frames=11)
    replay = ReplayArbitrator(
        arbitrator=RecurrentArbitrator(input_size=8, num_blocks=2, nhead=2),
        recording=recording.toggles,
        offset_frames=4,
    ).eval()
    state = replay.initial_state(2)
    _, state = replay.forward_chunk(torch.zeros(2, 3, 8), state)
    state = rows(state, torch.tensor([1]))
    logits, state = replay.forward_chunk(torch.zeros(1, 5, 8), state)
    assert torch.equal(logits[0] > 0, recording.toggles[torch.arange(7, 12) % 11])
    assert state.frame.tolist() == [12]


@pytest.mark.parametrize("kind", [FeedForwardArbitrator, RecurrentArbitrator])
def test_the_cost_of_the_arbitrator_is_paid(kind: Any) -> None:
    arbitrator = kind(input_size=8, num_blocks=2, nhead=2).eval()
    replay = ReplayArbitrator(arbitrator=arbitrator, recording=random_recording(5).toggles).eval()
    x = torch.randn(1, 6, 8)
    assert replay.macs_per_frame == arbitrator.macs_per_frame > 0
    own = count_macs(lambda: arbitrator(x))
    assert count_macs(lambda: replay(x)) == own > 0


def test_a_recording_of_other_blocks_is_refused() -> None:
    arbitrator = FeedForwardArbitrator(input_size=8, num_blocks=3, nhead=2)
    with pytest.raises(ValueError, match="GateRecording.mapped"):
        ReplayArbitrator(arbitrator=arbitrator, recording=random_recording(5).toggles)
    with pytest.raises(ValueError, match="recording has shape"):
        ReplayArbitrator(
            arbitrator=FeedForwardArbitrator(input_size=8, num_blocks=2, nhead=2),
            recording=random_recording(5).toggles[:0],
        )


def test_the_papers_toggles_take_the_decisions_that_the_model_made() -> None:
    """In turn, from the same block and frame; what a model leaves on decides about nothing."""
    recording = random_recording(frames=9, blocks=3, nhead=2, groups=3)
    sources = {
        "feed_forward": [0, 1, 2, 0, 1],
        "query": [0, 1, 2, 3, 4],
        "key": [0, 1, 2, 5, 6],
        "query_key": [0, 1, 2, 3, 4],
    }
    for toggles, columns in sources.items():
        published = recording.as_published(toggles)
        assert published.layout == ToggleLayout(1, 2)
        assert torch.equal(published.toggles, recording.toggles[..., columns])
    whole = random_recording(frames=9)
    assert torch.equal(whole.as_published("query_key").toggles, whole.toggles)


@pytest.mark.parametrize("dual", [False, True])
def test_encoder_replays_the_recording(dual: bool) -> None:
    recording = random_recording(frames=40)
    encoder = build_replaying(
        SHAPE,
        trained_encoder(dual=dual),
        recording,
        toggles="query_key",
        toggle_every_frames=1,
        num_rows=4,
    )
    with torch.inference_mode():
        gates = encoder.forward_with_gates(torch.zeros(4, 12, 5))[1]
    mapped = recording.mapped(num_blocks=6, layout=SHAPE.toggles).toggles
    for row in range(4):
        expected = mapped[(torch.arange(12) + 10 * row) % 40]
        assert torch.equal(toggles_of(gates)[row], expected)
    kinds = [type(one.arbitrator) for one in encoder.arbitrators]  # type: ignore[union-attr]
    assert kinds == [RecurrentArbitrator] * (1 + dual)


def test_what_is_not_toggled_stays_on() -> None:
    encoder = build_replaying(
        SHAPE,
        trained_encoder(),
        random_recording(40),
        toggles="query",
        toggle_every_frames=1,
        num_rows=1,
    )
    with torch.inference_mode():
        gates = encoder.forward_with_gates(torch.zeros(1, 12, 5))[1]
    assert gates.key.all()
    assert not gates.query.all()


def test_decisions_hold_for_a_chunk() -> None:
    encoder = build_replaying(
        SHAPE,
        trained_encoder(),
        random_recording(40),
        toggles="query_key",
        toggle_every_frames=5,
        num_rows=2,
    )
    with torch.inference_mode():
        gates = toggles_of(encoder.forward_with_gates(torch.zeros(2, 20, 5))[1])
    chunks = gates.unflatten(1, (4, 5))
    assert torch.equal(chunks, chunks[:, :, :1].expand_as(chunks))
    assert not torch.equal(chunks[:, 0], chunks[:, 1])


def test_dense_peer_has_the_same_size() -> None:
    encoder = build_replaying(
        SHAPE,
        trained_encoder(),
        random_recording(9),
        toggles="query_key",
        toggle_every_frames=1,
        num_rows=1,
    )
    dense = build_dense(SHAPE)
    of_arbitrators = {name for name, _ in encoder.arbitrators.named_parameters("arbitrators")}
    sizes = {
        name: tuple(parameter.shape)
        for name, parameter in encoder.named_parameters()
        if name not in of_arbitrators
    }
    assert sizes == {name: tuple(parameter.shape) for name, parameter in dense.named_parameters()}
    assert not dense.training and not encoder.training


def test_all_weights_are_needed_where_everything_is_on() -> None:
    on = torch.ones(2, 6, 6, 4, dtype=torch.bool)
    dense = build_dense(SHAPE)
    matrices = sum(parameter.numel() for parameter in dense.parameters() if parameter.dim() == 2)
    assert needed_weights(SHAPE, Gates(on[..., :1], on, on), 3) == matrices


def test_a_module_is_read_once_for_a_step() -> None:
    """A head that one of the frames of a step needs is read; other rows of the step share it."""
    off = torch.zeros(2, 6, 6, 4, dtype=torch.bool)
    key = off.clone()
    key[0, 1, 2, 3] = key[1, 2, 2, 3] = True  # the same head, in the same step of two rows
    key[0, 5, 2, 3] = True  # and in the second step
    none = needed_weights(SHAPE, Gates(off[..., :1], off, off), 3)
    one_head = 2 * 8 * 2
    assert none == 8 * (5 + 7)
    assert needed_weights(SHAPE, Gates(off[..., :1], off, key), 3) == none + one_head
    assert needed_weights(SHAPE, Gates(off[..., :1], off, key), 3, 3) == none + one_head
    assert needed_weights(SHAPE, Gates(off[..., :1], off, key), 1) == none + 3 * one_head / 6
