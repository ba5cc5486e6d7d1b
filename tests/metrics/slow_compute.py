"""Multiply-adds counted one by one: slow, obvious, and written from the definition alone."""

from __future__ import annotations

import torch

from sb_alexa.metrics.compute import MacCounts
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


def random_gates(
    batch: int, num_frames: int, shape: TransformerShape, keep: float = 0.5, seed: int = 0
) -> Gates:
    """Bool gates of which a fraction is on."""
    generator = torch.Generator().manual_seed(seed)
    blocks = (batch, num_frames, shape.num_layers)
    sizes = ((*blocks, shape.feed_forward_groups), (*blocks, shape.nhead), (*blocks, shape.nhead))
    return Gates(*(torch.rand(size, generator=generator) < keep for size in sizes))


def all_gates(batch: int, num_frames: int, shape: TransformerShape, on: bool) -> Gates:
    """Bool gates that are all on, or all off."""
    heads = torch.full((batch, num_frames, shape.num_layers, shape.nhead), on)
    groups = torch.full((batch, num_frames, shape.num_layers, shape.feed_forward_groups), on)
    return Gates(groups, heads, heads)


def slow_macs(shape: TransformerShape, gates: Gates, num_frames: list[int]) -> MacCounts:
    """Walk over utterances, frames, blocks, groups and heads; the numbers may be bool or floats."""
    d, head = shape.d_model, shape.head_size
    count = dict.fromkeys(("query", "key", "scores", "feed_forward"), 0)
    for item, frames in enumerate(num_frames):
        feed_forward, query, key = (
            gate[item].tolist() for gate in (gates.feed_forward, gates.query, gates.key)
        )
        for t in range(frames):
            first = 0 if shape.left_context_frames is None else t - shape.left_context_frames
            for n in range(shape.num_layers):
                for g in range(shape.feed_forward_groups):
                    width = shape.d_ffn // shape.feed_forward_groups
                    count["feed_forward"] += feed_forward[t][n][g] * (d * width + width * d)
                for h in range(shape.nhead):
                    count["query"] += query[t][n][h] * (d * head + head * d)
                    count["key"] += key[t][n][h] * (d * head + d * head)
                    for j in range(max(first, 0), t + 1):
                        count["scores"] += query[t][n][h] * key[j][n][h] * (head + head)
    total = sum(num_frames)
    return MacCounts(
        input_projection=total * shape.input_size * d,
        arbitrator=total * shape.arbitrator_macs,
        output_projection=total * d * shape.output_size,
        frames=total,
        **count,
    )
