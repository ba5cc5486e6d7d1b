"""One frame of one stream through a gated block.

A step of one frame takes the time of reading the weights it needs: every module left out saves its
whole time, if nothing else is in the way. So there are no rows to gather here, products are
matrix-vector products, which read the weights once, and all else is kept to few operations: at a
tenth of a millisecond for a block, twenty calls of torch cost as much as a module left out saves.
"""

from __future__ import annotations

from functools import lru_cache

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
    slots: list[list[int]],
) -> Tensor:
    """One block on one frame of one stream, without gradients.

    Arguments
    ---------
    block : GatedTransformerBlock
        The parameters.
    x : Tensor
        (d_model,).
    keep : list of bool
        G + 2 H gates of the frame: feed-forward groups, queries, keys.
    memory : Tensor
        (H, L, 2 C) keys, then values; the frame's own are written in place.
    bias : Tensor
        (H, L) position biases of the slots as seen from the frame.
    slots : list of [int, int]
        For each head the first visible slot and the one behind the last, without this frame.

    Returns
    -------
    Tensor
        (d_model,).
    """
    layout, width = block.toggles, block.shape.d_model
    groups = runs_of_gates(tuple(keep[layout.feed_forward]))
    queries = runs_of_gates(tuple(keep[layout.query]))
    keys = runs_of_gates(tuple(keep[layout.key]))
    query = _project(block, x, queries, keys, memory, slots)
    if queries:
        branch = _attend(block, query, queries, keep[layout.key], memory, bias, slots)
        norm = block.attention_norm
        x = x + torch.layer_norm(branch, (width,), norm.weight, norm.bias, norm.eps)
    if groups:
        branch, norm = _feed_forward(block, x, groups), block.feed_forward_norm
        x = x + torch.layer_norm(branch, (width,), norm.weight, norm.bias, norm.eps)
    return x


@lru_cache(maxsize=4096)
def runs_of_gates(keep: tuple[bool, ...]) -> list[tuple[int, int]]:
    """Neighbours that are on among some gates, as first and the one behind the last.

    Arguments
    ---------
    keep : tuple of bool
        Gates.

    Returns
    -------
    list of (int, int)
        Not to be changed: the same combination of gates gets the same list.

    Example
    -------
    >>> runs_of_gates((True, True, False, True))
    [(0, 2), (3, 4)]
    """
    edges = [number for number in range(len(keep) + 1) if _changes(keep, number)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _changes(keep: tuple[bool, ...], number: int) -> bool:
    """Whether a gate differs from the one before it; beyond both ends all are off."""
    before = number > 0 and keep[number - 1]
    return before != (number < len(keep) and keep[number])


def _project(
    block: GatedTransformerBlock,
    x: Tensor,
    queries: list[tuple[int, int]],
    keys: list[tuple[int, int]],
    memory: Tensor,
    slots: list[list[int]],
) -> Tensor:
    """(H, C) queries; keys and values go to the memory."""
    nhead, size, width = block.shape.nhead, block.shape.head_size, block.shape.d_model
    weight, offset = block.attention_in.weight, block.attention_in.bias
    whole = [(0, nhead)]
    if queries == whole and keys == whole:
        projected = torch.addmv(offset, weight, x)
        _write(memory, projected[width:].view(nhead, 2 * size), 0, slots)
        return projected[:width].view(nhead, size)
    query = x.new_empty(width)
    for first, last in queries:
        part = slice(first * size, last * size)
        torch.addmv(offset[part], weight[part], x, out=query[part])
    for first, last in keys:
        part = slice(width + 2 * first * size, width + 2 * last * size)
        found = torch.addmv(offset[part], weight[part], x)
        _write(memory, found.view(last - first, 2 * size), first, slots)
    return query.view(nhead, size)


def _feed_forward(block: GatedTransformerBlock, x: Tensor, groups: list[tuple[int, int]]) -> Tensor:
    """(d_model,) the groups that are on, before their norm."""
    inside, out = block.feed_forward_in, block.feed_forward_out
    if groups == [(0, block.shape.feed_forward_groups)]:
        return torch.addmv(out.bias, out.weight, F.gelu(torch.addmv(inside.bias, inside.weight, x)))
    size = block.shape.group_size
    branch: Tensor = out.bias
    for first, last in groups:
        part = slice(first * size, last * size)
        inner = F.gelu(torch.addmv(inside.bias[part], inside.weight[part], x))
        branch = torch.addmv(branch, out.weight[:, part], inner)
    return branch


def _write(memory: Tensor, key_value: Tensor, first: int, slots: list[list[int]]) -> None:
    """Keys and values, (heads, 2 C), of neighbouring heads into the slots behind the last."""
    count = key_value.shape[0]
    end = slots[first][1]
    if all(slots[first + number][1] == end for number in range(1, count)):
        memory[first : first + count, end] = key_value
        return
    for number in range(count):
        memory[first + number, slots[first + number][1]] = key_value[number]


def _attend(
    block: GatedTransformerBlock,
    query: Tensor,
    queries: list[tuple[int, int]],
    keep_key: list[bool],
    memory: Tensor,
    bias: Tensor,
    slots: list[list[int]],
) -> Tensor:
    """(d_model,) sum of the heads that are on."""
    nhead, size = query.shape
    weight, scale = block.attention_out.weight, size**-0.5
    if queries == [(0, nhead)] and _same(slots, keep_key):
        first, end = slots[0][0], slots[0][1] + keep_key[0]
        if first == end:
            return query.new_zeros(nhead * size)
        stored = memory[None, :, first:end]
        heads = F.scaled_dot_product_attention(
            query[None, :, None],
            stored[..., :size],
            stored[..., size:],
            attn_mask=bias[None, :, None, first:end],
        )
        return torch.mv(weight, heads.view(-1))
    outputs = query.new_empty(nhead, size)
    branch: Tensor | None = None
    for begin, stop in queries:
        for head in range(begin, stop):
            first, end = slots[head][0], slots[head][1] + keep_key[head]
            if first == end:
                outputs[head].zero_()
                continue
            stored = memory[head, first:end]
            scores = torch.addmv(bias[head, first:end], stored[:, :size], query[head], alpha=scale)
            torch.mv(stored[:, size:].t(), scores.softmax(0), out=outputs[head])
        part = weight[:, begin * size : stop * size]
        vector = outputs[begin:stop].view(-1)
        branch = torch.mv(part, vector) if branch is None else torch.addmv(branch, part, vector)
    assert branch is not None  # a query is on
    return branch


def _same(slots: list[list[int]], keep_key: list[bool]) -> bool:
    """Whether all heads see the same slots."""
    return all(one == slots[0] for one in slots) and all(on == keep_key[0] for on in keep_key)
