"""A few frames of one stream through a gated block, without packing.

A step of a few frames takes the time of reading the weights it needs, so that every module left out
saves its whole time, if nothing else is in the way. What the general path needs to gather rows of
many streams is left away here; heads lie behind one another, keys are written as they come, and a
product with one row is a matrix-vector product, which reads the weights once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.nn.gate_plan import BlockPlan, Rows, runs_of_parts
from sb_alexa.nn.gated_block import GatedTransformerBlock

# Below every score, and finite: a query that sees nothing of its head's slots stays free of NaN.
MASKED = -1e30


def execute_one_stream(
    block: GatedTransformerBlock,
    x: Tensor,
    plan: BlockPlan,
    memory: Tensor,
    bias: Tensor,
    slots: list[list[int]],
) -> Tensor:
    """One block on a chunk of one stream, without gradients.

    Arguments
    ---------
    block : GatedTransformerBlock
        The parameters.
    x : Tensor
        (T, d_model).
    plan : BlockPlan
        What is on, for T rows.
    memory : Tensor
        (H, L, 2 C) keys, then values; those of the chunk are written in place.
    bias : Tensor
        (H, T, L) position biases of the slots as seen from each frame, far below zero where a
        frame does not see a slot.
    slots : list of [int, int]
        For each head the first visible slot and the one behind the last, without this chunk.

    Returns
    -------
    Tensor
        (T, d_model).
    """
    query = _project(block, x, plan, memory, slots)
    if plan.any_query.count:
        heads = _attend(query, plan, memory, bias, slots)
        branch = plan.any_query.take(_project_heads(block, heads, plan, x))
        x = plan.any_query.add(x, block.attention_norm(branch))
    if plan.any_feed_forward.count:
        outer = _feed_forward(block, plan, x)
        x = plan.any_feed_forward.add(x, block.feed_forward_norm(outer))
    return x


def stream_biases(
    positions: Tensor, frames: Tensor, slopes: Tensor, left_context_frames: int | None
) -> Tensor:
    """Position biases of all slots of one stream for a chunk.

    Arguments
    ---------
    positions : Tensor
        (..., G, L) frame numbers of the slots; G is H or 1.
    frames : Tensor
        (T,) frame numbers of the chunk.
    slopes : Tensor
        (H,) in the type wanted.
    left_context_frames : int | None
        How far a frame looks back.

    Returns
    -------
    Tensor
        (..., H, T, L). For one frame what lies outside of its slots is meaningless.
    """
    # Small numbers, exact in any type, even where frame numbers are large.
    distance = positions[..., None, :] - frames[:, None]  # (..., G, T, L)
    if len(frames) == 1:  # sees all slots between its first and last: nothing to hide in between
        return slopes[:, None, None] * distance
    hidden = distance > 0
    if left_context_frames is not None:
        hidden = hidden | (distance < -left_context_frames)
    return (slopes[:, None, None] * distance).masked_fill_(hidden, MASKED)


def _feed_forward(block: GatedTransformerBlock, plan: BlockPlan, x: Tensor) -> Tensor:
    """The branch before its norm, of the rows for which a group is on, (count, d_model)."""
    first_layer, second_layer = block.feed_forward_in, block.feed_forward_out
    if plan.feed_forward_is_undivided:
        rows = plan.any_feed_forward.take(x)
        inner = F.gelu(_linear(rows, first_layer.weight, first_layer.bias))
        return _linear(inner, second_layer.weight, second_layer.bias)
    size = block.shape.group_size
    y = second_layer.bias.expand_as(x)
    for first, last in runs_of_parts(plan.feed_forward):
        group, part = plan.feed_forward[first], slice(first * size, last * size)
        inner = F.gelu(_linear(group.take(x), first_layer.weight[part], first_layer.bias[part]))
        y = group.add(y, _linear(inner, second_layer.weight[:, part], None))
    return plan.any_feed_forward.take(y)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if len(x) > 1:
        return F.linear(x, weight, bias)
    if bias is None:
        return torch.mv(weight, x[0])[None]
    return torch.addmv(bias, weight, x[0])[None]


def _project(
    block: GatedTransformerBlock,
    x: Tensor,
    plan: BlockPlan,
    memory: Tensor,
    slots: list[list[int]],
) -> list[Tensor]:
    """Queries of each head, (count, C); keys and values go to the memory."""
    nhead, size, width = block.shape.nhead, block.shape.head_size, block.shape.d_model
    weight, offset = block.attention_in.weight, block.attention_in.bias
    if plan.is_full:
        projected = _linear(x, weight, offset)
        key_value = projected[:, width:].unflatten(1, (nhead, 2 * size))
        _write(memory, key_value, 0, slots)
        return list(projected[:, :width].split(size, dim=1))
    query = [x.new_empty(0, size)] * nhead
    for first, last in runs_of_parts(plan.query):
        part = slice(first * size, last * size)
        found = _linear(plan.query[first].take(x), weight[part], offset[part])
        query[first:last] = found.split(size, dim=1)
    for first, last in runs_of_parts(plan.key):
        part = slice(width + 2 * first * size, width + 2 * last * size)
        found = _linear(plan.key[first].take(x), weight[part], offset[part])
        _write(memory, found.unflatten(1, (last - first, 2 * size)), first, slots)
    return query


def _write(memory: Tensor, key_value: Tensor, first: int, slots: list[list[int]]) -> None:
    """Keys and values, (count, heads, 2 C), of neighbouring heads into slots behind the last."""
    count, heads, _ = key_value.shape
    ends = [end for _, end in slots[first : first + heads]]
    if ends.count(ends[0]) == heads:
        memory[first : first + heads, ends[0] : ends[0] + count] = key_value.transpose(0, 1)
        return
    for head, end in enumerate(ends):
        memory[first + head, end : end + count] = key_value[:, head]


def _attend(
    query: list[Tensor],
    plan: BlockPlan,
    memory: Tensor,
    bias: Tensor,
    slots: list[list[int]],
) -> list[Tensor]:
    """(count, C) outputs of the heads."""
    size, frames = query[0].shape[1], bias.shape[1]
    scale = size**-0.5
    seen = [(first, end + key.count) for (first, end), key in zip(slots, plan.key, strict=True)]
    if plan.is_full and seen.count(seen[0]) == len(seen):
        first, end = seen[0]
        stored = memory[:, first:end]
        y = F.scaled_dot_product_attention(
            torch.stack(query)[None],
            stored[None, ..., :size],
            stored[None, ..., size:],
            attn_mask=bias[None, ..., first:end],
        )
        return list(y[0])
    outputs = []
    for head, rows in enumerate(plan.query):
        first, end = seen[head]
        if not rows.count or first == end:
            outputs.append(torch.zeros_like(query[head]))
            continue
        stored, places = memory[head, first:end], rows.take(bias[head])[:, first:end]
        key, value = stored[:, :size], stored[:, size:]
        if rows.count == 1:
            scores = torch.addmv(places[0], key, query[head][0], alpha=scale)
            y = torch.mv(value.t(), scores.softmax(0))[None]
        else:
            scores = torch.addmm(places, query[head], key.t(), alpha=scale)
            y = torch.mm(scores.softmax(1), value)
        if frames > 1:  # a frame may see nothing of what others of the chunk see
            y = y * (places > MASKED / 2).any(dim=1, keepdim=True)
        outputs.append(y)
    return outputs


def _project_heads(
    block: GatedTransformerBlock, heads: list[Tensor], plan: BlockPlan, x: Tensor
) -> Tensor:
    """(T, d_model) sum of the heads' outputs, where any is on."""
    weight, size = block.attention_out.weight, block.shape.head_size
    y: Tensor | None = None
    for first, last in runs_of_parts(plan.query):
        outputs = torch.cat(heads[first:last], dim=1) if last > first + 1 else heads[first]
        part = _linear(outputs, weight[:, first * size : last * size], None)
        rows: Rows = plan.query[first]
        if y is None:
            y = part if rows.index is None else rows.add(torch.zeros_like(x), part)
        else:
            y = rows.add(y, part)
    assert y is not None  # a query is on
    return y
