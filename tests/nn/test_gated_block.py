from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.nn.gate_relaxation import RelaxedGates
from sb_alexa.nn.gated_block import GatedTransformerBlock, RelaxedBlockGates
from sb_alexa.nn.transformer_shape import TransformerShape

NHEAD, FRAMES, D_MODEL = 3, 9, 12


def build(left_context_frames: int | None = None) -> GatedTransformerBlock:
    shape = TransformerShape(
        input_size=4,
        d_model=D_MODEL,
        nhead=NHEAD,
        num_layers=1,
        d_ffn=16,
        output_size=4,
        left_context_frames=left_context_frames,
    )
    block = GatedTransformerBlock(shape=shape).double().eval()
    for norm in (block.attention_norm, block.feed_forward_norm):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return block


def soft_gates() -> RelaxedBlockGates:
    feed_forward, query = torch.rand(2, FRAMES, 1).double(), torch.rand(2, FRAMES, NHEAD).double()
    return RelaxedBlockGates(
        feed_forward, query, relaxed(2 * torch.randn(2, FRAMES, NHEAD).double())
    )


def relaxed(logits: Tensor) -> RelaxedGates:
    return RelaxedGates(logits.sigmoid(), nn.functional.logsigmoid(logits))


def plain(block: GatedTransformerBlock, x: Tensor, gates: RelaxedBlockGates) -> Tensor:
    """The formulas, frame by frame and head by head."""
    size, reach = block.shape.head_size, block.shape.left_context_frames
    assert gates.query is not None and gates.key is not None
    key_gate = gates.key.value
    weight, bias = block.attention_in.weight, block.attention_in.bias
    y = torch.empty_like(x)
    for b in range(len(x)):
        projected = x[b] @ weight.T + bias
        query = projected[:, :D_MODEL]
        key_value = projected[:, D_MODEL:].view(FRAMES, NHEAD, 2, size)
        for t in range(FRAMES):
            heads = []
            for h in range(NHEAD):
                first = 0 if reach is None else max(0, t - reach)
                scores = torch.stack(
                    [
                        query[t, h * size : (h + 1) * size] @ key_value[j, h, 0] / size**0.5
                        - block.slopes[h] * (t - j)
                        + key_gate[b, j, h].log()
                        for j in range(first, t + 1)
                    ]
                )
                values = key_value[first : t + 1, h, 1] * key_gate[b, first : t + 1, h, None]
                heads.append(gates.query[b, t, h] * (scores.softmax(dim=0) @ values))
            branch = block.attention_norm(block.attention_out.weight @ torch.cat(heads))
            middle = x[b, t] + branch * (1 - (1 - gates.query[b, t]).prod())
            y[b, t] = middle + gates.feed_forward[b, t] * block.feed_forward(middle)
    return y


@pytest.mark.parametrize("left_context_frames", [None, 0, 3])
def test_relaxed_gates_multiply_where_they_should(left_context_frames: int | None) -> None:
    block, x, gates = build(left_context_frames), torch.randn(2, FRAMES, 12).double(), soft_gates()
    assert torch.allclose(block.forward_relaxed(x, gates), plain(block, x, gates), atol=1e-12)


def test_a_kind_that_is_left_out_is_on() -> None:
    block, x, gates = build(), torch.randn(2, FRAMES, 12).double(), soft_gates()
    one, high = (
        torch.ones(2, FRAMES, NHEAD).double(),
        relaxed(torch.full((2, FRAMES, NHEAD), 60.0).double()),
    )
    for left_out, on in (
        (RelaxedBlockGates(gates.feed_forward, None, gates.key),
         RelaxedBlockGates(gates.feed_forward, one, gates.key)),
        (RelaxedBlockGates(gates.feed_forward, gates.query, None),
         RelaxedBlockGates(gates.feed_forward, gates.query, high)),
    ):  # fmt: skip
        expected = block.forward_relaxed(x, on)
        assert torch.allclose(block.forward_relaxed(x, left_out), expected, atol=1e-12)
    everything = RelaxedBlockGates(one[..., :1], None, None)
    assert torch.allclose(block.forward_relaxed(x, everything), block(x), atol=1e-12)


def test_with_all_gates_off_it_is_the_identity() -> None:
    block, x = build(), torch.randn(2, FRAMES, 12).double()
    zero = torch.zeros(2, FRAMES, NHEAD).double()
    off = RelaxedBlockGates(zero[..., :1], zero, relaxed(zero - 1e6))
    assert torch.equal(block.forward_relaxed(x, off), x)


def test_gradients_of_all_gates() -> None:
    block, x = build(3), torch.randn(2, FRAMES, 12).double()
    gates, logits = soft_gates(), torch.randn(2, FRAMES, NHEAD).double()
    assert gates.query is not None
    inputs = [part.requires_grad_() for part in (x, gates.feed_forward, gates.query, logits)]

    def run(x: Tensor, feed_forward: Tensor, query: Tensor, logits: Tensor) -> Tensor:
        return block.forward_relaxed(x, RelaxedBlockGates(feed_forward, query, relaxed(logits)))

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_it_stands_in_other_encoders() -> None:
    """Above any frames: it is an ordinary module with ordinary parameters."""
    net = nn.Sequential(nn.Linear(4, 12), build().float(), nn.Linear(12, 3))
    net(torch.randn(2, FRAMES, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
