"""Which cells of a transducer's lattice the alignments of a first pass go through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from sb_alexa.lengths import length_mask

# What a window may lose of the alignments, for each label by which it lies nearer to their centre.
_CENTRING = 1e-6


def pruning_windows(
    blank_occupancy: Tensor,
    label_occupancy: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    pruning_range: int,
) -> tuple[Tensor, Tensor]:
    """Choose for each frame the window of consecutive histories that keeps most alignments.

    Of the alignments, a window keeps those that leave the frame by a blank inside of it, less those
    that came in by the label below it. The windows that keep most are then moved as little as an
    alignment through all of them needs: the first starts at 0 labels, the last ends at
    `num_labels`, none starts below the one before, and two in a row share at least one history.

    Arguments
    ---------
    blank_occupancy : Tensor
        (B, T, U + 1) posterior probability of each blank arc in the first pass.
    label_occupancy : Tensor
        (B, T, U) that of each label arc.
    num_frames : Tensor
        (B,) integers in 1..T.
    num_labels : Tensor
        (B,) integers in 0..U.
    pruning_range : int
        Histories in a window, at least 2.

    Returns
    -------
    start : Tensor
        (B, T) the first history of each window; in the padding that of the last frame.
    size : Tensor
        (B,) histories in each window of an utterance: `pruning_range`, but no more than there are
        histories, and no less than ``ceil(num_labels / num_frames) + 1``, without which no
        alignment could reach the last label.

    Raises
    ------
    ValueError
        If `pruning_range` is below 2.

    Reference
    ---------
    Kuang et al. 2022, arXiv 2206.13236: p_t = argmax_p(-y'(t, p - 1) + sum_{u=p}^{p+S-1} blank'(t,
    u)), then 0 <= p_t <= U - S + 1, p_t <= p_{t+1} and p_{t+1} - p_t < S. Deviations: windows that
    keep equally much, as all do that contain the only likely alignment, are told apart by their
    distance from its expected position; where U > T (S - 1) leaves no alignment, windows are wider.

    Example
    -------
    >>> blank = torch.tensor([[[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]])
    >>> label = torch.tensor([[[0.0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]])
    >>> start, size = pruning_windows(blank, label, torch.tensor([4]), torch.tensor([3]), 2)
    >>> start.tolist(), size.tolist()  # frame 1 has two labels, for which 2 histories are too few
    ([[0, 1, 1, 2]], [2])
    """
    if pruning_range < 2:
        raise ValueError(
            f"pruning_range must be >= 2, got {pruning_range}; with fewer no label can be emitted"
        )
    lengths, ends = num_frames[:, None], num_labels[:, None]  # (B, 1)
    size = (-(-ends // lengths) + 1).clamp(min=pruning_range).minimum(ends + 1)
    best = _best_start(blank_occupancy, label_occupancy, size, ends)
    last, step = ends + 1 - size, size - 1
    frame = torch.arange(blank_occupancy.shape[1], device=best.device)
    lowest, highest = ends - step * (lengths - frame), torch.minimum(frame * step, last)
    start = best.maximum(lowest).minimum(highest)
    # None starts above a later one; then none so far below a later one that it cannot be reached.
    start = start.flip(1).cummin(1).values.flip(1) - frame * step
    return start.flip(1).cummax(1).values.flip(1) + frame * step, size[:, 0]


def window_cells(start: Tensor, size: Tensor, num_frames: Tensor, width: int) -> Tensor:
    """Mark the cells inside of the windows.

    Arguments
    ---------
    start : Tensor
        (B, T) from `pruning_windows`.
    size : Tensor
        (B,) from `pruning_windows`.
    num_frames : Tensor
        (B,) integers.
    width : int
        U + 1.

    Returns
    -------
    Tensor
        (B, T, U + 1) bool, False in the padding.

    Example
    -------
    >>> cells = window_cells(
    ...     torch.tensor([[0, 1, 1]]), torch.tensor([2]), torch.tensor([2]), width=3
    ... )
    >>> cells.int().tolist()
    [[[1, 1, 0], [0, 1, 1], [0, 0, 0]]]
    """
    history = torch.arange(width, device=start.device)
    first, end = start[:, :, None], (start + size[:, None])[:, :, None]
    is_frame = length_mask(num_frames, start.shape[1])[:, :, None]
    return (history >= first) & (history < end) & is_frame


def _best_start(blank: Tensor, label: Tensor, size: Tensor, ends: Tensor) -> Tensor:
    """(B, T) start of the window that keeps most alignments; `size` and `ends` are (B, 1)."""
    batch, frames, width = blank.shape
    history = torch.arange(width, device=blank.device)
    below = pad(blank.cumsum(2), (1, 0))  # (B, T, U + 2)
    end = (history + size).clamp(max=width)[:, None].expand(batch, frames, width)
    kept = below.gather(2, end) - below[:, :, :-1] - pad(label, (1, 0))
    expected = (blank * history).sum(2, keepdim=True)
    centre = history + (size[:, None] - 1) / 2  # (B, 1, U + 1)
    kept -= _CENTRING * (centre - expected).abs()
    is_too_high = (history + size > ends + 1)[:, None]
    return kept.masked_fill(is_too_high, -torch.inf).argmax(2)
