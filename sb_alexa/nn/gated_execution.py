"""Compute of a gated block only what its plan switches on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

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
    first, end : list of int
        For each of G heads the slots in use by the whole batch.
    """

    memory: Tensor
    positions: Tensor
    slot: Tensor
    first: list[int]
    end: list[int]

    def write(self, rows: Sequence[Rows], key_value: Sequence[Tensor]) -> None:
        """Store keys and values of the rows of each head, (count, 2 C)."""
        places = self._places().transpose(0, 1).flatten(1)  # (H, R)
        index = torch.cat([kept.take(place) for kept, place in zip(rows, places, strict=True)])
        self._put(index, torch.cat(list(key_value)))

    def write_all(self, key_value: Tensor) -> None:
        """Store keys and values of all frames of all heads, (B, T, H, 2 C)."""
        self._put(self._places().transpose(1, 2).reshape(-1), key_value.flatten(0, 2))

    def _places(self) -> Tensor:
        """(B, H, T) where each frame goes, in slots of the whole memory."""
        batch, nhead, num_slots, _ = self.memory.shape
        start = torch.arange(batch * nhead, device=self.slot.device) * num_slots
        return start.view(batch, nhead, 1) + self.slot

    def _put(self, index: Tensor, key_value: Tensor) -> None:
        key_value = key_value.to(self.memory.dtype)
        memory = self.memory.contiguous()
        flat = memory.view(-1, memory.shape[-1])
        if torch.is_grad_enabled():
            memory = flat.index_copy(0, index, key_value).view_as(memory)
        else:
            flat.index_copy_(0, index, key_value)
        self.memory = memory


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
    key_value = [x.new_empty(0, 2 * size)] * nhead
    for first, last in runs_of_parts(plan.key):
        part = slice(width + 2 * first * size, width + 2 * last * size)
        found = F.linear(plan.key[first].take(x), weight[part], bias[part])
        key_value[first:last] = found.split(2 * size, dim=1)
    memory.write(plan.key, key_value)
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
        return _attend(query, places, memory, memory.first, memory.end, slopes, left_context_frames)
    outputs = []
    for part, place in zip(
        query.split(_QUERY_SLOTS, dim=2), places.split(_QUERY_SLOTS, dim=2), strict=True
    ):
        first, end = _visible_slots(place, memory, left_context_frames)
        outputs.append(_attend(part, place, memory, first, end, slopes, left_context_frames))
    return torch.cat(outputs, dim=2)


def _visible_slots(
    place: Tensor, memory: BlockMemory, left_context_frames: int | None
) -> tuple[list[int], list[int]]:
    """For each head the slots that any query of a segment sees."""
    positions = memory.positions.expand(-1, place.shape[1], -1).contiguous()
    latest = place.amax(-1, keepdim=True)
    end = torch.searchsorted(positions, latest, right=True).amax(dim=(0, 2))
    if left_context_frames is None:
        return [0] * len(end), end.tolist()
    earliest = place.masked_fill(place < 0, 2**61).amin(-1, keepdim=True)
    begin = torch.searchsorted(positions, earliest - left_context_frames).amin(dim=(0, 2))
    first, behind = torch.stack([begin, end]).tolist()
    return first, behind


def _attend(
    query: Tensor,
    places: Tensor,
    memory: BlockMemory,
    first: list[int],
    end: list[int],
    slopes: Tensor,
    left_context_frames: int | None,
) -> Tensor:
    """Heads that keep few keys read few: those with the same slots together, the others alone."""
    half = memory.memory.dtype in (torch.bfloat16, torch.float16)
    dtype = torch.float32 if half else memory.memory.dtype
    # Counted from the latest query: exact, however large frame numbers are.
    latest = places.amax(dim=(1, 2), keepdim=True)
    place = (places - latest).to(dtype)[..., None]
    nhead, num_groups = query.shape[1], len(first)

    def biases(heads: slice, slots: slice) -> Tensor:
        positions = memory.positions[:, heads if num_groups > 1 else slice(1), slots]
        distance = (positions - latest).to(dtype)[:, :, None] - place[:, heads]
        hidden = distance > 0
        if left_context_frames is not None:
            hidden |= distance < -left_context_frames
        return distance.mul_(slopes[heads].to(dtype)[:, None, None]).masked_fill_(hidden, MASKED)

    # One tensor of biases for all heads, where little of it is for slots that a head has not.
    low, high = min(first), max(end)
    needed = sum(last - begin for begin, last in zip(first, end, strict=True))
    together = num_groups * (high - low) <= 2 * needed
    everything = biases(slice(nhead), slice(low, high)) if together else None
    outputs = []
    for begin, behind in _equal_spans(first, end):
        heads = slice(begin, behind) if num_groups > 1 else slice(nhead)
        slots = slice(first[begin], end[begin])
        if slots.start >= slots.stop:
            outputs.append(torch.zeros_like(query[:, heads]))
            continue
        if everything is None:
            bias = biases(heads, slots)
        else:
            bias = everything[:, heads, :, slots.start - low : slots.stop - low]
        key, value = memory.memory[:, heads, slots].to(dtype).chunk(2, dim=-1)
        with torch.autocast(query.device.type, enabled=False):
            y = F.scaled_dot_product_attention(
                query[:, heads].to(dtype), key, value, attn_mask=bias
            )
        # Where nothing is visible: zeros, not the mean of what is hidden.
        outputs.append(y * (bias.amax(dim=-1, keepdim=True) > MASKED / 2))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _equal_spans(first: list[int], end: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring heads with the same slots: the first, and the one behind the last."""
    number = 0
    for _, run in groupby(zip(first, end, strict=True)):
        count = len(list(run))
        yield number, number + count
        number += count


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
