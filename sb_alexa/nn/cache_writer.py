"""Adds the frames of one step to a cache of keys and values."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.nn.gated_execution import BlockMemory
from sb_alexa.nn.key_value_cache import EMPTY, KeyValueCache


class CacheWriter:
    """What a step does to a cache; the old state keeps what it knows.

    Arguments
    ---------
    cache : KeyValueCache
        Of the state before.
    frame : Tensor
        (B,) number of the first frame of the step.
    num_frames : int
        Frames of the step.
    left_context_frames : int | None
        How far a query looks back.
    """

    def __init__(
        self,
        cache: KeyValueCache,
        frame: Tensor,
        num_frames: int,
        left_context_frames: int | None,
    ) -> None:
        first = cache.first_visible(frame, left_context_frames)
        self.cache, self.first = cache.with_room(num_frames, first)
        self.memory = list(self.cache.memory)
        self.length = self.cache.length.clone()
        self.frames = frame[:, None] + torch.arange(num_frames, device=frame.device)  # (B, T)

    def reserve(self, layers: slice, keep: Tensor) -> Tensor:
        """Give slots to the frames that some layers keep, and note their positions.

        Arguments
        ---------
        layers : slice
            Which; all where the cache has the same frames for all.
        keep : Tensor
            (B, T, P, G) bool.

        Returns
        -------
        Tensor
            (B, P, G, T) slots; meaningless where not kept.
        """
        length, positions = self.length[:, layers], self.cache.positions[:, layers]
        if keep.shape[1] == 1:  # the next slot of everybody; one that is left stays empty
            slot, kept = length[..., None].clone(), keep[:, 0]  # (B, P, G, 1), (B, P, G)
            noted = torch.where(kept, self.frames[..., None], EMPTY)
            positions.scatter_(-1, slot, noted[..., None])
            length += kept
        else:
            slot = kept_slots(keep, length)
            write_positions(positions, keep, slot, self.frames)
            length += keep.sum(dim=1)
        # At once, not at the end: a step that fails halfway leaves traces behind the length of the
        # old state, which then takes a storage of its own.
        self.cache.written[:, layers] = length
        return slot

    def block_memories(self, layers: slice, slot: Tensor) -> list[BlockMemory]:
        """What each of some layers reads and writes.

        Arguments
        ---------
        layers : slice
            Of the memory.
        slot : Tensor
            (B, P, G, T) from `reserve`; P is the number of layers, or 1 for the same in all.

        Returns
        -------
        list of BlockMemory
            One for each layer.
        """
        numbers = range(*layers.indices(len(self.memory)))
        same = self.length.shape[1] == 1
        places = slice(0, 1) if same else layers
        first = self.first[:, places].amin(dim=0).tolist()  # (P, G)
        end = self.length[:, places].amax(dim=0).tolist()
        positions = self.cache.positions[:, places]
        memories = []
        for number, layer in enumerate(numbers):
            place = 0 if same else number
            memories.append(
                BlockMemory(
                    self.memory[layer],
                    positions[:, place],
                    slot[:, place],
                    first[place],
                    end[place],
                )
            )
        return memories

    def finish(self) -> KeyValueCache:
        """The cache of the state after the step."""
        # A graph may read this storage: whoever comes next finds that it is not theirs alone.
        written = self.length + 1 if torch.is_grad_enabled() else self.cache.written
        return KeyValueCache(tuple(self.memory), self.cache.positions, self.length, written)


def kept_slots(keep: Tensor, length: Tensor) -> Tensor:
    """(B, P, G, T) slots of the kept frames, (B, T, P, G), behind (B, P, G) used ones."""
    return length[..., None] + keep.permute(0, 2, 3, 1).cumsum(dim=-1) - 1


def write_positions(positions: Tensor, keep: Tensor, slot: Tensor, frames: Tensor) -> None:
    """Note the frame numbers, (B, T), of the kept frames in (B, P, G, L), in place."""
    row, layer, head, time = keep.permute(0, 2, 3, 1).nonzero(as_tuple=True)
    positions[row, layer, head, slot[row, layer, head, time]] = frames[row, time]


def utterance_memory(keep: Tensor, memory_like: Tensor, width: int) -> BlockMemory:
    """A memory for the kept frames of whole utterances and one block.

    Arguments
    ---------
    keep : Tensor
        (B, T, H) bool.
    memory_like : Tensor
        Decides type and device.
    width : int
        Features of a key and a value together.

    Returns
    -------
    BlockMemory
        As long as the longest head needs.
    """
    batch, frames, nhead = keep.shape
    kept = keep[:, :, None]  # (B, T, 1, H)
    length = torch.zeros(batch, 1, nhead, dtype=torch.int64, device=keep.device)
    slot = kept_slots(kept, length)
    ends = keep.sum(dim=1).amax(dim=0).tolist() if frames else [0] * nhead
    end = max(ends)
    positions = torch.full((batch, 1, nhead, max(end, 1)), EMPTY, device=keep.device)
    number = torch.arange(frames, device=keep.device).expand(batch, -1)
    write_positions(positions, kept, slot, number)
    memory = memory_like.new_zeros(batch, nhead, max(end, 1), width)
    return BlockMemory(memory, positions[:, 0], slot[:, 0], [0] * nhead, ends)
