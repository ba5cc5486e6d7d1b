"""The amortized encoder written down plainly: everything is computed, then masked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.encoders.transformer import CausalTransformer
from sb_alexa.nn.gated_block import GatedTransformerBlock
from sb_alexa.nn.gates import Gates


def masked_forward(encoder: CausalTransformer, x: Tensor, gates: Gates) -> Tensor:
    """What the encoder is to compute for given gates of 0 and 1.

    Slow and easy to check: the fast paths are compared with it.

    Arguments
    ---------
    encoder : CausalTransformer
        Dense or amortized, in evaluation mode; its arbitrators are not asked.
    x : Tensor
        (B, T, input_size).
    gates : Gates
        (B, T, N, G or H) bool.

    Returns
    -------
    Tensor
        (B, T, output_size).
    """
    y = encoder.embedding(x)
    for number, block in enumerate(encoder.blocks):
        assert isinstance(block, GatedTransformerBlock)
        query, key = gates.query[:, :, number], gates.key[:, :, number]  # (B, T, H)
        branch = block.attention_norm(block.attention_out(_heads(block, y, query, key)))
        y = y + branch * query.any(dim=-1, keepdim=True)
        y = y + _feed_forward(block, y, gates.feed_forward[:, :, number])
    return encoder.output(y)


def _feed_forward(block: GatedTransformerBlock, x: Tensor, group_on: Tensor) -> Tensor:
    """(B, T, d_model) normed sum of the groups that are on, (B, T, G); zero without any."""
    hidden = F.gelu(block.feed_forward_in(x))
    hidden = hidden * group_on.repeat_interleave(block.shape.group_size, dim=-1)
    branch = block.feed_forward_norm(block.feed_forward_out(hidden))
    return branch * group_on.any(dim=-1, keepdim=True)


def _heads(block: GatedTransformerBlock, x: Tensor, query_on: Tensor, key_on: Tensor) -> Tensor:
    """(B, T, d_model) outputs of all heads, zero where a query is off or sees nothing."""
    shape, frames = block.shape, x.shape[1]
    projected = F.linear(x, block.attention_in.weight, block.attention_in.bias)
    query = projected[..., : shape.d_model].unflatten(-1, (shape.nhead, -1))
    key_value = projected[..., shape.d_model :].unflatten(-1, (shape.nhead, 2, -1))
    outputs = []
    for head in range(shape.nhead):
        key, value = key_value[:, :, head].unbind(dim=2)
        scores = query[:, :, head] @ key.transpose(1, 2) * shape.head_size**-0.5  # (B, T, T)
        distance = torch.arange(frames)[:, None] - torch.arange(frames)
        scores = scores - block.slopes[head] * distance
        visible = distance >= 0
        if shape.left_context_frames is not None:
            visible = visible & (distance <= shape.left_context_frames)
        visible = visible & key_on[:, None, :, head] & query_on[:, :, None, head]
        weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
        outputs.append(weights.nan_to_num(0.0) @ value)
    return torch.cat(outputs, dim=-1)
