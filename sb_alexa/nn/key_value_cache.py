"""Keys and values of the frames that later frames may look back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sb_alexa.streaming.state import State

# The position of a slot that holds nothing: behind every frame, so that no query sees it.
EMPTY = 2**62
# And of one that holds nothing before the frames of a stream: out of reach of every query.
BEFORE = -(2**62)


@dataclass(frozen=True)
class KeyValueCache(State):
    """The kept keys and values of N attention layers, in the order of their frames.

    Each head of each layer keeps as many as its gates let through and has its own length. Slots
    behind the length of a state may be written by the states that follow it, which share the
    storage, for no older state looks there: a step costs what it adds. `written` is shared too and
    says how far. A state that finds more written than it knows of (two streams forked from it)
    takes a storage of its own. Two threads must not continue the same state at the same time.

    Arguments
    ---------
    memory : tuple of Tensor
        For each layer (B, H, L, 2 C): keys, then values.
    positions : Tensor
        (B, P, G, L) frame numbers, rising, `EMPTY` behind the length, `BEFORE` where a renewed
        storage begins with slots that other streams need; P is N and G is H, or both
        are 1 where every layer and head keeps every frame.
    length : Tensor
        (B, P, G) slots in use.
    written : Tensor
        (B, P, G) slots that have been written by anybody.
    """

    APPENDED_IN_PLACE: ClassVar[frozenset[str]] = frozenset({"memory", "positions", "written"})

    memory: tuple[Tensor, ...]
    positions: Tensor
    length: Tensor
    written: Tensor

    @classmethod
    def empty(
        cls, like: Tensor, *, num_layers: int, nhead: int, num_slots: int, same_frames: bool
    ) -> KeyValueCache:
        """A cache that holds nothing.

        Arguments
        ---------
        like : Tensor
            (B, H * C) whose rows, width, type and device decide those of the cache.
        num_layers, nhead, num_slots : int
            N, H and L.
        same_frames : bool
            Whether all layers and heads keep the same frames.

        Returns
        -------
        KeyValueCache
            Of length 0.
        """
        batch, width = like.shape
        layers, heads = (1, 1) if same_frames else (num_layers, nhead)
        counters = torch.zeros(batch, layers, heads, dtype=torch.int64, device=like.device)
        return cls(
            memory=tuple(
                like.new_zeros(batch, nhead, num_slots, 2 * width // nhead)
                for _ in range(num_layers)
            ),
            positions=torch.full(
                (batch, layers, heads, num_slots), EMPTY, dtype=torch.int64, device=like.device
            ),
            length=counters,
            written=counters.clone(),
        )

    @property
    def num_slots(self) -> int:
        """L."""
        return self.positions.shape[-1]

    def first_visible(self, frame: Tensor, left_context_frames: int | None) -> Tensor:
        """The first slot that a query at a frame sees.

        Arguments
        ---------
        frame : Tensor
            (B,) frame numbers.
        left_context_frames : int | None
            How far a query looks back.

        Returns
        -------
        Tensor
            (B, P, G).
        """
        if left_context_frames is None:
            return torch.zeros_like(self.length)
        earliest = (frame - left_context_frames)[:, None, None, None]
        earliest = earliest.expand(*self.length.shape, 1).contiguous()
        return torch.searchsorted(self.positions, earliest)[..., 0]

    def with_room(self, num_frames: int, first: Tensor) -> tuple[KeyValueCache, Tensor]:
        """The same cache with space for the next frames in a storage that it may write.

        Arguments
        ---------
        num_frames : int
            Frames to come; the storage must hold them beside the visible ones.
        first : Tensor
            From `first_visible`; what lies before is dropped when the storage is renewed.

        Returns
        -------
        KeyValueCache
            This one, or a copy without what no query sees any more.
        Tensor
            `first` in the new slots.
        """
        longest = int(self.length.max())
        mine = torch.equal(self.written, self.length)
        if longest + num_frames <= self.num_slots and mine and self._is_writable():
            return self, first
        visible = self.length - first
        # The frames of all streams end together: then they also stand side by side later, when
        # those that keep more have gone on further, and a batch reads few slots for nothing.
        length = visible.amax(dim=0, keepdim=True).expand_as(visible).contiguous()
        begin = length - visible
        slot = torch.arange(self.num_slots, device=first.device)
        number = slot - begin[..., None]  # (B, P, G, L)
        kept = (number >= 0) & (slot < length[..., None])
        # Elsewhere no query looks. What a visible frame left there is as good as zeros.
        source = (first[..., None] + number * kept).clamp_max(self.num_slots - 1)
        positions = self.positions.gather(-1, source).masked_fill(slot >= length[..., None], EMPTY)
        positions.masked_fill_(number < 0, BEFORE)
        batch, nhead, num_slots, _ = self.memory[0].shape
        start = torch.arange(batch * nhead, device=first.device) * num_slots
        index = start.view(batch, 1, nhead, 1) + source  # (B, P, H, L)
        memory = [
            old.flatten(0, 2)
            .index_select(0, index[:, layer if index.shape[1] > 1 else 0].reshape(-1))
            .view_as(old)
            for layer, old in enumerate(self.memory)
        ]
        return KeyValueCache(tuple(memory), positions, length, length.clone()), begin

    def _is_writable(self) -> bool:
        """Whether no graph has read the storage, or will, and PyTorch lets it be written."""
        if torch.is_grad_enabled() or any(layer.requires_grad for layer in self.memory):
            return False
        # Tensors made in inference mode cannot be written outside of it.
        return torch.is_inference_mode_enabled() or not self.positions.is_inference()
