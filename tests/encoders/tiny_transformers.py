"""Transformer encoders small enough for tests in float64, and ways to feed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import TransformerEncoder
from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gated_block import GatedTransformerBlock
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.random_arbitrator import RandomArbitrator
from sb_alexa.nn.recurrent_arbitrator import RecurrentArbitrator

D_MODEL, NHEAD, NUM_LAYERS, INPUT_SIZE = 12, 3, 4, 6
SIZES: dict[str, Any] = {
    "input_size": INPUT_SIZE,
    "d_model": D_MODEL,
    "nhead": NHEAD,
    "num_layers": NUM_LAYERS,
    "d_ffn": 16,
    "output_size": 5,
}
KINDS = ("feed_forward", "recurrent", "random")
GROUPS = (1, 4)  # of feed-forward modules; 1 is the paper
# Keep rates of queries, keys and feed-forward modules; at the last, frames without any visible key
# and heads without any frame occur.
USUAL, RARE = (0.5, 0.4, 0.5), (0.1, 0.05, 0.1)


def dense(left_context_frames: int | None = 7, *, seed: int = 0) -> TransformerEncoder:
    """In float64 and evaluation mode."""
    torch.manual_seed(seed)
    encoder = TransformerEncoder(**SIZES, left_context_frames=left_context_frames)
    _spread(encoder)
    return encoder.double().eval()


def arbitrator(
    kind: str,
    num_blocks: int,
    rates: tuple[float, float, float] = USUAL,
    *,
    seed: int = 0,
    groups: int = 1,
) -> Arbitrator[Any]:
    """An arbitrator whose decisions change from frame to frame."""
    sizes: dict[str, Any] = {
        "input_size": D_MODEL,
        "num_blocks": num_blocks,
        "nhead": NHEAD,
        "feed_forward_groups": groups,
    }
    if kind == "random":
        query, key, feed_forward = rates
        return RandomArbitrator(**sizes, query=query, key=key, feed_forward=feed_forward, seed=seed)
    kinds = {"feed_forward": FeedForwardArbitrator, "recurrent": RecurrentArbitrator}
    found = kinds[kind](**sizes, hidden_size=8, bias=0.0)
    with torch.no_grad():
        found.toggles.weight.mul_(5.0)
    return found


def amortized(
    kind: str = "feed_forward",
    *,
    dual: bool = False,
    rates: tuple[float, float, float] = USUAL,
    left_context_frames: int | None = 7,
    seed: int = 0,
    groups: int = 1,
    **options: Any,
) -> AmortizedTransformerEncoder:
    """In float64 and evaluation mode; the blocks have the weights of `dense` of the same seed."""
    blocks = (1, NUM_LAYERS - 1) if dual else (NUM_LAYERS,)
    torch.manual_seed(seed + 1)
    arbitrators = [
        arbitrator(kind, number, rates, seed=seed + place, groups=groups)
        for place, number in enumerate(blocks)
    ]
    encoder = AmortizedTransformerEncoder(
        **SIZES,
        left_context_frames=left_context_frames,
        arbitrators=arbitrators,
        feed_forward_groups=groups,
        **options,
    ).double()
    encoder.load_state_dict(dense(left_context_frames, seed=seed).state_dict(), strict=False)
    return encoder.eval()


def lowest_block(encoder: nn.Module) -> GatedTransformerBlock:
    """The first block of an encoder."""
    return next(part for part in encoder.modules() if isinstance(part, GatedTransformerBlock))


def features(batch: int, num_frames: int, *, seed: int = 0) -> Tensor:
    """(B, T, input_size) in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, num_frames, INPUT_SIZE, generator=generator, dtype=torch.float64)


def in_chunks(
    encoder: AmortizedTransformerEncoder,
    x: Tensor,
    chunk_frames: Sequence[int],
    state: Any = None,
) -> tuple[Tensor, Gates, Any]:
    """Stream x in chunks of the given sizes, repeated until its end."""
    state = encoder.initial_state(len(x)) if state is None else state
    outputs, gates, start, number = [], [], 0, 0
    while start < x.shape[1]:
        end = start + chunk_frames[number % len(chunk_frames)]
        y, found, state = encoder.forward_chunk_with_gates(x[:, start:end], state)
        outputs.append(y)
        gates.append(found)
        start, number = end, number + 1
    return torch.cat(outputs, dim=1), joined(gates), state


def joined(gates: Sequence[Gates]) -> Gates:
    """Gates of chunks, one after the other."""
    return Gates(
        feed_forward=torch.cat([one.feed_forward for one in gates], dim=1),
        query=torch.cat([one.query for one in gates], dim=1),
        key=torch.cat([one.key for one in gates], dim=1),
    )


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    difference = (actual - expected).abs().max().item() if actual.numel() else 0.0
    assert difference <= 1e-10, f"they differ by {difference}"


def assert_same_gates(actual: Gates, expected: Gates) -> None:
    assert torch.equal(actual.feed_forward, expected.feed_forward)
    assert torch.equal(actual.query, expected.query)
    assert torch.equal(actual.key, expected.key)


def _spread(encoder: nn.Module) -> None:
    """Norms and biases away from one and zero, where mistakes could hide."""
    for name, parameter in encoder.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            nn.init.uniform_(parameter, -0.5, 0.5)
