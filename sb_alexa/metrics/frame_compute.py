"""Multiply-adds of a Transformer encoder with gates, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.metrics.compute import macs_by_part
from sb_alexa.metrics.toggle_sums import ToggleSums, sum_left
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


def macs_by_frame(shape: TransformerShape, gates: Gates) -> Tensor:
    """Count the multiply-adds that were spent on each frame, arbitrators included.

    A score belongs to the frame of its query.

    Arguments
    ---------
    shape : TransformerShape
        Sizes of the encoder.
    gates : Gates
        Bool, (B, T, ...); every frame is counted.

    Returns
    -------
    Tensor
        (B, T) int64; its sum is the total of `gated_macs`.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> on = torch.ones(1, 3, 1, 1, dtype=torch.bool)
    >>> macs_by_frame(shape, Gates(on, on, on))
    tensor([[168, 176, 184]])
    """
    query, key = gates.query.long(), gates.key.long()
    visible = sum_left(key, shape.left_context_frames)
    toggles = ToggleSums(
        frames=torch.ones_like(query[:, :, 0, 0]),
        feed_forward=gates.feed_forward.long().sum((2, 3)),
        query=query.sum((2, 3)),
        key=key.sum((2, 3)),
        pairs=(query * visible).sum((2, 3)),
    )
    parts = macs_by_part(shape, toggles)
    return torch.stack(list(parts.values())).sum(0)
