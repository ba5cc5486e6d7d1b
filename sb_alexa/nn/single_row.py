"""One frame of one stream through a gated block: matrix-vector products and no packing.

A step of one frame takes the time of reading the weights it needs, so that every module left out
saves its whole time, if nothing else is in the way. A product with one row is a matrix-vector
product here, which reads the weights once, and what the general path needs to gather and scatter
rows is left away.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.nn.gated_block import GatedTransformerBlock


def execute_single_row(
    block: GatedTransformerBlock,
    x: Tensor,
    keep: list[bool],
    memory: Tensor,
    bias: Tensor,
    slots: list[tuple[int, int]],
) -> Tensor:
    """One block on one frame of one stream, without gradients.

    Arguments
    ---------
    block : GatedTransformerBlock
        The parameters.
    x : Tensor
        (d_model,).
    keep : list of bool
        1 + 2 H gates of the frame: feed-forward, queries, keys.
    memory : Tensor
        (H, L, 2 C) keys, then values; the frame's own are written in place.
    bias : Tensor
        (H or 1, L) position biases of the slots as seen from the frame.
    slots : list of (int, int)
        For each head the first visible slot and the one behind the last, without this frame.

    Returns
    -------
    Tensor
        (d_model,).
    """
    nhead, size, width = block.shape.nhead, block.shape.head_size, block.shape.d_model
    keep_query, keep_key = keep[1 : 1 + nhead], keep[1 + nhead :]
    weight, offset = block.attention_in.weight, block.attention_in.bias
    if all(keep_query) and all(keep_key):
        projected = torch.addmv(offset, weight, x)
        query = projected[:width].view(nhead, size)
        _write(memory, projected[width:].view(nhead, 2 * size), range(nhead), slots)
    else:
        query = x.new_empty(nhead, size)
        for first, last in _runs(keep_query):
            part = slice(first * size, last * size)
            torch.addmv(offset[part], weight[part], x, out=query[first:last].view(-1))
        for first, last in _runs(keep_key):
            part = slice(width + 2 * first * size, width + 2 * last * size)
            found = torch.addmv(offset[part], weight[part], x).view(last - first, 2 * size)
            _write(memory, found, range(first, last), slots)
    if any(keep_query):
        heads = _attend(query, keep_query, keep_key, memory, bias, slots)
        branch = _project(block, heads, keep_query)
        x = x + block.attention_norm(branch)
    if keep[0]:
        inner = F.gelu(torch.addmv(block.feed_forward_in.bias, block.feed_forward_in.weight, x))
        outer = torch.addmv(block.feed_forward_out.bias, block.feed_forward_out.weight, inner)
        x = x + block.feed_forward_norm(outer)
    return x


def _runs(keep: list[bool]) -> list[tuple[int, int]]:
    """Neighbouring heads that are on."""
    runs: list[tuple[int, int]] = []
    for head, on in enumerate(keep):
        if on and runs and runs[-1][1] == head:
            runs[-1] = (runs[-1][0], head + 1)
        elif on:
            runs.append((head, head + 1))
    return runs


def _write(memory: Tensor, found: Tensor, heads: range, slots: list[tuple[int, int]]) -> None:
    """Keys and values (count, 2 C) of neighbouring heads into the slots behind the last."""
    ends = {slots[head][1] for head in heads}
    if len(ends) == 1:
        memory[heads.start : heads.stop, ends.pop()] = found
        return
    for head, key_value in zip(heads, found, strict=True):
        memory[head, slots[head][1]] = key_value


def _attend(
    query: Tensor,
    keep_query: list[bool],
    keep_key: list[bool],
    memory: Tensor,
    bias: Tensor,
    slots: list[tuple[int, int]],
) -> Tensor:
    """(H, C) outputs of the heads that are on; what stands in the others is not read."""
    nhead, size = query.shape
    scale = size**-0.5
    seen = [(first, end + kept) for (first, end), kept in zip(slots, keep_key, strict=True)]
    if all(keep_query) and len(set(seen)) == 1:
        first, end = seen[0]
        stored = memory[:, first:end]
        scores = torch.baddbmm(
            bias[:, None, first:end].expand(nhead, 1, -1),
            query[:, None],
            stored[..., :size].transpose(1, 2),
            alpha=scale,
        )
        return torch.bmm(scores.softmax(-1), stored[..., size:])[:, 0]
    heads = torch.zeros_like(query)
    for head, (first, end) in enumerate(seen):
        if not keep_query[head] or first == end:
            continue
        stored = memory[head, first:end]
        row = bias[head if len(bias) > 1 else 0, first:end]
        scores = torch.addmv(row, stored[:, :size], query[head], alpha=scale)
        torch.mv(stored[:, size:].t(), scores.softmax(0), out=heads[head])
    return heads


def _project(block: GatedTransformerBlock, heads: Tensor, keep_query: list[bool]) -> Tensor:
    """(d_model,) sum of the heads that are on."""
    weight, size = block.attention_out.weight, block.shape.head_size
    branch = None
    for first, last in _runs(keep_query):
        part = weight[:, first * size : last * size]
        vector = heads[first:last].reshape(-1)
        branch = torch.mv(part, vector) if branch is None else torch.addmv(branch, part, vector)
    assert branch is not None  # a query is on
    return branch
