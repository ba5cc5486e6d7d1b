"""Forward and backward pass over the transducer's lattice, one operation per anti-diagonal.

Step n of every buffer is the anti-diagonal t + u = n, so that a recursion step is one operation on
(B, U + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def lattice_forward(
    blank_logp: Tensor, label_logp: Tensor, num_frames: Tensor, num_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Logarithm of the probability to reach each node.

    Arguments
    ---------
    blank_logp : Tensor
        (B, T, U + 1) nats; the padding may hold anything.
    label_logp : Tensor
        (B, T, U) nats.
    num_frames : Tensor
        (B,) integers in 1..T.
    num_labels : Tensor
        (B,) integers in 0..U.

    Returns
    -------
    alpha : Tensor
        What `lattice_backward` needs, float64.
    log_prob : Tensor
        (B,) nats of the labels over all alignments, float64.

    Example
    -------
    >>> half = torch.tensor(0.5).log()
    >>> lengths = torch.tensor([2]), torch.tensor([1])
    >>> alpha, log_prob = lattice_forward(half.expand(1, 2, 2), half.expand(1, 2, 1), *lengths)
    >>> log_prob.exp()  # two alignments of three arcs
    tensor([0.2500], dtype=torch.float64)
    """
    into_blank, into_label = _arcs_by_diagonal(blank_logp, label_logp, num_frames, num_labels)
    steps, batch, width = into_blank.shape
    # Node u sits in column u + 1; column 0 stays impossible, so u = 0 needs no case of its own.
    alpha = into_blank.new_full((steps + 1, batch, width + 1), -torch.inf)
    alpha[0, :, 1] = 0
    nodes, previous = alpha[:, :, 1:].unbind(0), alpha[:, :, :-1].unbind(0)
    blanks, labels = into_blank.unbind(0), into_label.unbind(0)
    for n in range(steps):
        by_blank, by_label = blanks[n].add_(nodes[n]), labels[n].add_(previous[n])
        torch.logaddexp(by_blank, by_label, out=nodes[n + 1])
    items = torch.arange(batch, device=alpha.device)
    return alpha, alpha[num_frames + num_labels, items, num_labels + 1]


def lattice_backward(
    blank_logp: Tensor,
    label_logp: Tensor,
    alpha: Tensor,
    log_prob: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
) -> tuple[Tensor, Tensor]:
    """The posterior probability of every arc.

    Each node hands its occupancy back to its two incoming arcs in proportion to their forward
    probabilities. The two shares add up to one exactly, so nothing is lost over long utterances,
    where alpha + beta - log P cancels.

    Arguments
    ---------
    blank_logp : Tensor
        (B, T, U + 1) nats.
    label_logp : Tensor
        (B, T, U) nats.
    alpha : Tensor
        From `lattice_forward`.
    log_prob : Tensor
        (B,) from `lattice_forward`.
    num_frames : Tensor
        (B,) integers.
    num_labels : Tensor
        (B,) integers.

    Returns
    -------
    blank_occupancy : Tensor
        (B, T, U + 1), float64; 0 in the padding and where no alignment is possible.
    label_occupancy : Tensor
        (B, T, U), float64.
    """
    into_blank, into_label = _arcs_by_diagonal(blank_logp, label_logp, num_frames, num_labels)
    odds = into_blank.add_(alpha[:-1, :, 1:]).sub_(alpha[:-1, :, :-1]).sub_(into_label)
    # Only in nodes that no path reaches do infinities cancel.
    odds.nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    label = torch.neg(odds, out=into_label).sigmoid_()
    blank = odds.sigmoid_()
    occupancy = torch.zeros_like(alpha)
    items = torch.arange(alpha.shape[1], device=alpha.device)
    is_possible = (log_prob != -torch.inf).to(alpha.dtype)
    occupancy[num_frames + num_labels, items, num_labels + 1] = is_possible
    nodes, previous = occupancy[:, :, 1:].unbind(0), occupancy[:, :, :-1].unbind(0)
    blanks, labels = blank.unbind(0), label.unbind(0)
    for n in reversed(range(len(blanks))):
        nodes[n].add_(blanks[n].mul_(nodes[n + 1]))
        previous[n].add_(labels[n].mul_(nodes[n + 1]))
    return _cells(blank, first_label=0), _cells(label, first_label=1)


def _arcs_by_diagonal(
    blank_logp: Tensor, label_logp: Tensor, num_frames: Tensor, num_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Two (T + U, B, U + 1) buffers: arcs by the diagonal they leave and the column they lead to.

    Arcs outside of an utterance are impossible, as are its last frame's blanks except the very last
    one; the final node of item b is then (num_frames[b], num_labels[b]), and padding needs no
    further care.
    """
    batch, frames, width = blank_logp.shape
    t = torch.arange(frames, device=blank_logp.device)[None, :, None]
    u = torch.arange(width, device=blank_logp.device)[None, None, :]
    ends, last = num_frames[:, None, None], num_labels[:, None, None]
    has_blank = (t < ends - 1) & (u <= last) | (t == ends - 1) & (u == last)
    has_label = ((t < ends) & (u < last))[:, :, :-1]
    shape = (frames + width - 1, batch, width)
    into_blank = blank_logp.new_full(shape, -torch.inf, dtype=torch.float64)
    into_label = torch.full_like(into_blank, -torch.inf)
    _cells(into_blank, first_label=0).copy_(blank_logp).masked_fill_(~has_blank, -torch.inf)
    _cells(into_label, first_label=1).copy_(label_logp).masked_fill_(~has_label, -torch.inf)
    return into_blank, into_label


def _cells(diagonals: Tensor, first_label: int) -> Tensor:
    """The arcs that leave node (t, u), as a (B, T, U + 1) view of a (T + U, B, U + 1) buffer.

    `first_label` is 1 for label arcs, which lead to column u + 1 and of which there are only U.
    """
    steps, batch, width = diagonals.shape
    return diagonals.as_strided(
        (batch, steps - width + 1, width - first_label),
        (width, batch * width, batch * width + 1),
        first_label,
    )
