"""From gates of 0 and 1 to the rows that each module computes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Some of the R = B T rows of a batch.

    Arguments
    ---------
    count : int
        How many.
    index : Tensor | None
        (count,) their numbers, rising; None for all.
    """

    count: int
    index: Tensor | None = None

    def take(self, x: Tensor) -> Tensor:
        """These rows of x, (R, ...)."""
        return x if self.index is None else x.index_select(0, self.index)

    def add(self, x: Tensor, update: Tensor) -> Tensor:
        """x with an update, (count, ...), added to these rows."""
        return x + update if self.index is None else x.index_add(0, self.index, update)


@dataclass(frozen=True)
class BlockPlan:
    """What one block computes.

    Arguments
    ---------
    feed_forward : Rows
        Rows of the feed-forward module.
    query : tuple of Rows
        For each head the rows that look back.
    key : tuple of Rows
        For each head the rows that are kept.
    any_query : Rows
        Rows for which a head looks back.
    """

    feed_forward: Rows
    query: tuple[Rows, ...]
    key: tuple[Rows, ...]
    any_query: Rows

    @property
    def is_full(self) -> bool:
        """Whether all heads look back from all rows and keep all."""
        return all(rows.index is None and rows.count for rows in (*self.query, *self.key))

    @classmethod
    def everything(cls, num_rows: int, nhead: int) -> BlockPlan:
        """The plan of a dense block."""
        all_rows = Rows(num_rows)
        return cls(all_rows, (all_rows,) * nhead, (all_rows,) * nhead, all_rows)


def plan_blocks(keep: Tensor) -> list[BlockPlan]:
    """Plan all blocks that one arbitrator decides about, with one look at the values of a tensor.

    Arguments
    ---------
    keep : Tensor
        (R, N, 1 + 2 H) bool.

    Returns
    -------
    list of BlockPlan
        One for each block.

    Example
    -------
    >>> keep = torch.tensor([[[True, False, True]], [[False, False, True]]])
    >>> plan_blocks(keep)[0].feed_forward, plan_blocks(keep)[0].query[0].count
    (Rows(count=1, index=tensor([0])), 0)
    """
    num_rows, num_blocks, num_toggles = keep.shape
    nhead = (num_toggles - 1) // 2
    any_query = keep[..., 1 : 1 + nhead].any(dim=-1, keepdim=True)
    toggles = torch.cat([keep, any_query], dim=-1).permute(1, 2, 0)  # (N, 2 + 2 H, R)
    counts = toggles.sum(dim=-1).tolist()
    if num_rows == 1:
        nothing = keep.new_empty(0, dtype=torch.int64)
        found = [[Rows(count, None if count else nothing) for count in block] for block in counts]
    else:
        index = toggles.nonzero()[:, 2]
        flat = index.split([count for block in counts for count in block])
        parts = iter(flat)
        found = [[_rows(count, next(parts), num_rows) for count in block] for block in counts]
    return [
        BlockPlan(block[0], tuple(block[1 : 1 + nhead]), tuple(block[1 + nhead : -1]), block[-1])
        for block in found
    ]


def runs_of_heads(heads: tuple[Rows, ...]) -> list[tuple[int, int]]:
    """Neighbouring heads that compute all rows, together; those that compute some, each alone.

    Arguments
    ---------
    heads : tuple of Rows
        For each head its rows.

    Returns
    -------
    list of (int, int)
        First head and the one behind the last; heads that compute nothing are left out.

    Example
    -------
    >>> runs_of_heads((Rows(3), Rows(3), Rows(0, torch.tensor([])), Rows(1, torch.tensor([2]))))
    [(0, 2), (3, 4)]
    """
    runs: list[tuple[int, int]] = []
    together = False
    for head, rows in enumerate(heads):
        whole = rows.index is None and rows.count > 0
        if whole and together:
            runs[-1] = (runs[-1][0], head + 1)
        elif rows.count:
            runs.append((head, head + 1))
        together = whole
    return runs


def _rows(count: int, index: Tensor, num_rows: int) -> Rows:
    return Rows(count, None if count == num_rows else index)
