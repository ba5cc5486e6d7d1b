"""Compute of a gated block only what its plan switches on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.nn.gate_plan import BlockPlan, Rows, runs_of_parts
from sb_alexa.nn.gated_block import GatedTransformerBlock
from sb_alexa.nn.one_stream import MASKED

# Queries of a head that attend together: fewer waste less on keys after them, more waste less time.
_QUERY_SLOTS = 128
# Up to so many frames, queries stay where they are instead of moving together.
_SHORT_CHUNK = 8


@dataclass
class BlockMemory:
    """The part of a cache that one block reads and writes.

    Arguments
    ---------
    memory : Tensor
        (B, H, L, 2 C) keys, then values; `write` replaces it where gradients flow.
    positions : Tensor
        (B, G, L) frame numbers of the slots, those of this chunk included.
    slot : Tensor
        (B, G, T) where each frame of the chunk goes, if it is kept.
    first, end : int
        Slots in use by the whole batch.
    """

    memory: Tensor
    positions: Tensor
    slot: Tensor
    first: int
    end: int

    def write(self, head: int, rows: Rows, key_value: Tensor) -> None:
        """Store keys and values of one head, (count, 2 C)."""
        batch, _, frames = self.slot.shape
        slot = rows.take(self.slot[:, head if self.slot.shape[1] > 1 else 0].reshape(-1))
        row = torch.arange(batch, device=slot.device).repeat_interleave(frames)
        self._put((rows.take(row), torch.full_like(slot, head), slot), key_value)

    def write_all(self, key_value: Tensor) -> None:
        """Store keys and values of all frames of all heads, (B, T, H, 2 C)."""
        batch, frames, nhead, _ = key_value.shape
        slot = self.slot.transpose(1, 2).expand(batch, frames, nhead)
        row = torch.arange(batch, device=slot.device)[:, None, None]
        self._put((row, torch.arange(nhead, device=slot.device), slot), key_value)

    def _put(self, index: tuple[Tensor, ...], key_value: Tensor) -> None:
        key_value = key_value.to(self.memory.dtype)
        if torch.is_grad_enabled():
            self.memory = self.memory.index_put(index, key_value)
        else:
            self.memory.index_put_(index, key_value)


def execute_block(
    block: GatedTransformerBlock,
    x: Tensor,
    plan: BlockPlan,
    memory: BlockMemory,
    positions: Tensor,
) -> Tensor:
    """One block on a chunk.

    Arguments
    ---------
    block : GatedTransformerBlock
        The parameters.
    x : Tensor
        (R, d_model), the rows of all streams, R = B T.
    plan : BlockPlan
        What is on.
    memory : BlockMemory
        Keys and values so far; those of the chunk are added.
    positions : Tensor
        (B, T) frame numbers.

    Returns
    -------
    Tensor
        (R, d_model).
    """
    query = _project(block, x, plan, memory, positions.shape)
    if plan.any_query.count:
        heads = _attend_heads(block, query, plan, memory, positions)
        branch = plan.any_query.take(_project_heads(block, heads, plan, x))
        x = plan.any_query.add(x, block.attention_norm(branch).to(x.dtype))
    if plan.any_feed_forward.count:
        x = plan.any_feed_forward.add(x, _feed_forward(block, plan, x).to(x.dtype))
    return x


def _project(
    block: GatedTransformerBlock,
    x: Tensor,
    plan: BlockPlan,
    memory: BlockMemory,
    chunk: torch.Size,
) -> list[Tensor]:
    """Queries of each head, (count, C); keys and values go to the memory."""
    size, nhead, width = block.shape.head_size, block.shape.nhead, block.shape.d_model
    weight, bias = block.attention_in.weight, block.attention_in.bias
    if plan.is_full:
        projected = F.linear(x, weight, bias)
        memory.write_all(projected[:, width:].reshape(*chunk, nhead, 2 * size))
        return list(projected[:, :width].split(size, dim=1))
    query = [x.new_empty(0, size)] * nhead
    for first, last in runs_of_parts(plan.query):
        part = slice(first * size, last * size)
        found = F.linear(plan.query[first].take(x), weight[part], bias[part])
        query[first:last] = found.split(size, dim=1)
    for first, last in runs_of_parts(plan.key):
        rows = plan.key[first]
        part = slice(width + 2 * first * size, width + 2 * last * size)
        found = F.linear(rows.take(x), weight[part], bias[part])
        for head, key_value in zip(range(first, last), found.split(2 * size, dim=1), strict=True):
            memory.write(head, rows, key_value)
    return query


def _feed_forward(block: GatedTransformerBlock, plan: BlockPlan, x: Tensor) -> Tensor:
    """The branch of the rows for which a group is on, (count, d_model)."""
    if plan.feed_forward_is_undivided:
        return block.feed_forward(plan.any_feed_forward.take(x))
    first_layer, second_layer = block.feed_forward_in, block.feed_forward_out
    size = block.shape.group_size
    y: Tensor | None = None
    for first, last in runs_of_parts(plan.feed_forward):
        rows, part = plan.feed_forward[first], slice(first * size, last * size)
        inner = F.linear(rows.take(x), first_layer.weight[part], first_layer.bias[part])
        outer = F.linear(F.gelu(inner), second_layer.weight[:, part])
        y = rows.add(outer.new_zeros(x.shape) if y is None else y, outer)
    assert y is not None  # a group is on
    return block.feed_forward_norm(plan.any_feed_forward.take(y) + second_layer.bias)


def _attend_heads(
    block: GatedTransformerBlock,
    query: list[Tensor],
    plan: BlockPlan,
    memory: BlockMemory,
    positions: Tensor,
) -> list[Tensor]:
    """Outputs of each head, (count, C)."""
    batch, frames = positions.shape
    size, nhead = block.shape.head_size, block.shape.nhead
    number = torch.arange(batch * frames, device=positions.device)
    if frames <= _SHORT_CHUNK:
        num_slots = frames
        slots = [rows.take(number) for rows in plan.query]
    else:
        slots, num_slots = _packed_slots(plan.query, batch, frames, number)
    head_slots = batch * num_slots
    slot = torch.cat([head * head_slots + slot for head, slot in enumerate(slots)])
    found = torch.cat(query)
    packed = found.new_zeros(nhead * head_slots, size).index_copy(0, slot, found)
    places = positions.new_full((nhead * head_slots,), -1)
    frame = positions.reshape(-1)
    places[slot] = torch.cat([rows.take(frame) for rows in plan.query])
    y = attend_in_segments(
        packed.view(nhead, batch, num_slots, size).transpose(0, 1),
        places.view(nhead, batch, num_slots).transpose(0, 1),
        memory,
        block.slopes,
        block.shape.left_context_frames,
    )
    y = y.transpose(0, 1).reshape(nhead * head_slots, size)
    return list(y.index_select(0, slot).split([rows.count for rows in plan.query]))


def _packed_slots(
    query: tuple[Rows, ...], batch: int, frames: int, number: Tensor
) -> tuple[list[Tensor], int]:
    """For each query of a head its place among those of its stream; and the places needed."""
    slots, num_slots = [], 1
    for rows in query:
        stream = torch.div(rows.take(number), frames, rounding_mode="floor")
        counts = torch.bincount(stream, minlength=batch)
        before = counts.cumsum(0) - counts
        rank = torch.arange(rows.count, device=number.device) - before[stream]
        slots.append((stream, rank))
        num_slots = max(num_slots, int(counts.max()))
    return [stream * num_slots + rank for stream, rank in slots], num_slots


def attend_in_segments(
    query: Tensor,
    places: Tensor,
    memory: BlockMemory,
    slopes: Tensor,
    left_context_frames: int | None,
) -> Tensor:
    """Let packed queries attend to the slots that they may see.

    Arguments
    ---------
    query : Tensor
        (B, H, Q, C) in the order of their frames; unused places last.
    places : Tensor
        (B, H, Q) frame numbers, -1 where unused.
    memory : BlockMemory
        Keys and values.
    slopes : Tensor
        (H,) of the position biases.
    left_context_frames : int | None
        How far a query looks back.

    Returns
    -------
    Tensor
        (B, H, Q, C); zero where nothing is visible.
    """
    if query.shape[2] <= _QUERY_SLOTS:
        slots = (memory.first, memory.end)
        return _attend(query, places, memory, slots, slopes, left_context_frames)
    outputs = []
    for part, place in zip(
        query.split(_QUERY_SLOTS, dim=2), places.split(_QUERY_SLOTS, dim=2), strict=True
    ):
        used = place >= 0
        if not bool(used.any()):
            outputs.append(torch.zeros_like(part))
            continue
        slots = _visible_slots(place, used, memory, left_context_frames)
        outputs.append(_attend(part, place, memory, slots, slopes, left_context_frames))
    return torch.cat(outputs, dim=2)


def _visible_slots(
    place: Tensor, used: Tensor, memory: BlockMemory, left_context_frames: int | None
) -> tuple[int, int]:
    """The slots that any query of a segment sees."""
    positions = memory.positions.expand(-1, place.shape[1], -1).contiguous()
    earliest = place.masked_fill(~used, 2**61).amin(-1, keepdim=True)
    latest = place.amax(-1, keepdim=True)
    first = memory.first
    if left_context_frames is not None:
        begin = torch.searchsorted(positions, earliest - left_context_frames)
        first = max(first, int(begin.min()))
    end = int(torch.searchsorted(positions, latest, right=True).max())
    return first, max(end, first)


def _attend(
    query: Tensor,
    places: Tensor,
    memory: BlockMemory,
    slots: tuple[int, int],
    slopes: Tensor,
    left_context_frames: int | None,
) -> Tensor:
    first, end = slots
    if first == end:
        return torch.zeros_like(query)
    size = query.shape[-1]
    half = memory.memory.dtype in (torch.bfloat16, torch.float16)
    dtype = torch.float32 if half else memory.memory.dtype
    stored = memory.memory[:, :, first:end].to(dtype)
    # Counted from the latest query: exact, however large frame numbers are.
    latest = places.amax(dim=(1, 2), keepdim=True)
    position = (memory.positions[:, :, first:end] - latest).to(dtype)
    distance = position[:, :, None] - (places - latest).to(dtype)[..., None]
    hidden = distance > 0
    if left_context_frames is not None:
        hidden |= distance < -left_context_frames
    bias = (slopes.to(dtype)[:, None, None] * distance).masked_fill_(hidden, MASKED)
    with torch.autocast(query.device.type, enabled=False):
        y = F.scaled_dot_product_attention(
            query.to(dtype), stored[..., :size], stored[..., size:], attn_mask=bias
        )
    return y * (bias.amax(dim=-1, keepdim=True) > MASKED / 2)


def _project_heads(
    block: GatedTransformerBlock, heads: list[Tensor], plan: BlockPlan, x: Tensor
) -> Tensor:
    """(R, d_model) sum of the heads' outputs, where any is on."""
    weight, size = block.attention_out.weight, block.shape.head_size
    y: Tensor | None = None
    for first, last in runs_of_parts(plan.query):
        rows = plan.query[first]
        outputs = torch.cat(heads[first:last], dim=1).to(x.dtype)
        part = F.linear(outputs, weight[:, first * size : last * size])
        y = rows.add(part.new_zeros(x.shape) if y is None else y, part)
    assert y is not None  # a query is on
    return y
