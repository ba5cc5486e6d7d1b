"""From gates of 0 and 1 to the rows that each module computes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sb_alexa.nn.gates import ToggleLayout


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

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows, and there are some."""
        return self.index is None and self.count > 0

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
    feed_forward : tuple of Rows
        For each group of the feed-forward module its rows.
    query : tuple of Rows
        For each head the rows that look back.
    key : tuple of Rows
        For each head the rows that are kept.
    any_query : Rows
        Rows for which a head looks back.
    any_feed_forward : Rows
        Rows for which a group is computed.
    """

    feed_forward: tuple[Rows, ...]
    query: tuple[Rows, ...]
    key: tuple[Rows, ...]
    any_query: Rows
    any_feed_forward: Rows

    @property
    def is_full(self) -> bool:
        """Whether all heads look back from all rows and keep all."""
        return all(rows.is_whole for rows in (*self.query, *self.key))

    @property
    def feed_forward_is_undivided(self) -> bool:
        """Whether every row that any group needs is needed by all groups."""
        return len(self.feed_forward) == 1 or all(rows.is_whole for rows in self.feed_forward)

    @classmethod
    def everything(cls, num_rows: int, layout: ToggleLayout) -> BlockPlan:
        """The plan of a dense block."""
        all_rows = Rows(num_rows)
        heads = (all_rows,) * layout.nhead
        return cls((all_rows,) * layout.feed_forward_groups, heads, heads, all_rows, all_rows)


def plan_blocks(keep: Tensor, layout: ToggleLayout) -> list[BlockPlan]:
    """Plan all blocks that one arbitrator decides about, with one look at the values of a tensor.

    Arguments
    ---------
    keep : Tensor
        (R, N, G + 2 H) bool.
    layout : ToggleLayout
        Of the last dimension.

    Returns
    -------
    list of BlockPlan
        One for each block.

    Example
    -------
    >>> keep = torch.tensor([[[True, False, True]], [[False, False, True]]])
    >>> (plan,) = plan_blocks(keep, ToggleLayout(feed_forward_groups=1, nhead=1))
    >>> plan.feed_forward, plan.query[0].count
    ((Rows(count=1, index=tensor([0])),), 0)
    """
    num_rows = keep.shape[0]
    any_query = keep[..., layout.query].any(dim=-1, keepdim=True)
    any_group = keep[..., layout.feed_forward].any(dim=-1, keepdim=True)
    toggles = torch.cat([keep, any_query, any_group], dim=-1).permute(1, 2, 0)  # (N, G+2H+2, R)
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
        BlockPlan(
            tuple(block[layout.feed_forward]),
            tuple(block[layout.query]),
            tuple(block[layout.key]),
            *block[layout.count :],
        )
        for block in found
    ]


def runs_of_parts(parts: tuple[Rows, ...]) -> list[tuple[int, int]]:
    """Neighbouring heads or groups that compute all rows, together; those with some, each alone.

    Arguments
    ---------
    parts : tuple of Rows
        For each head or group its rows.

    Returns
    -------
    list of (int, int)
        First part and the one behind the last; parts that compute nothing are left out.

    Example
    -------
    >>> runs_of_parts((Rows(3), Rows(3), Rows(0, torch.tensor([])), Rows(1, torch.tensor([2]))))
    [(0, 2), (3, 4)]
    """
    runs: list[tuple[int, int]] = []
    together = False
    for number, rows in enumerate(parts):
        if rows.is_whole and together:
            runs[-1] = (runs[-1][0], number + 1)
        elif rows.count:
            runs.append((number, number + 1))
        together = rows.is_whole
    return runs


def _rows(count: int, index: Tensor, num_rows: int) -> Rows:
    return Rows(count, None if count == num_rows else index)
