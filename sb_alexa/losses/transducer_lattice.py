"""Forward-backward over the transducer's lattice, along anti-diagonals and in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sb_alexa.losses.checks import check_counts

# Occupancies below this are rounding noise of float64 next to a total of one; as float32 gradients
# they would turn into denormal numbers, which make the matrix products of the backward pass many
# times slower.
_SMALLEST_OCCUPANCY = 1e-20


def transducer_lattice_loss(
    blank_logp: Tensor,
    label_logp: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    *,
    fastemit_lambda: float = 0.0,
    label_penalty: Tensor | None = None,
) -> Tensor:
    """Negative log-probability of the labels, summed over all alignments of the lattice.

    An alignment starts in node (0, 0); a label arc leads from (t, u) to (t, u + 1), a blank arc to
    (t + 1, u), and the last arc is the blank of node (num_frames - 1, num_labels). The recursion
    runs in float64 whatever the input and under any autocast, one step for each of the T + U
    anti-diagonals.

    Arguments
    ---------
    blank_logp : Tensor
        (B, T, U + 1) log-probability (nats) of the blank after t frames and u labels.
    label_logp : Tensor
        (B, T, U) log-probability of label u + 1 in node (t, u).
    num_frames : Tensor
        (B,) integers in 1..T. What lies in the padding, NaN included, has no influence.
    num_labels : Tensor
        (B,) integers in 0..U; more labels than frames are fine.
    fastemit_lambda : float
        FastEmit: the value stays -log P, the gradient of every label arc is multiplied by 1 +
        lambda. That is the gradient of ``-log P - lambda * sum(stop_gradient(occupancy) *
        label_logp)``.
    label_penalty : Tensor | None
        (B, T, U) nats added to `label_logp`; a negative value discourages emitting that label at
        that frame.

    Returns
    -------
    Tensor
        (B,) nats per utterance, float32 (float64 for float64 input). +inf, with gradient 0, if no
        alignment has a positive probability.

    Raises
    ------
    ValueError
        If shapes do not fit, or naming the item whose length lies outside of the tensors.

    Reference
    ---------
    Graves 2012, arXiv 1211.3711, equations 16-20; Yu et al. 2021 (FastEmit), arXiv 2010.11148.

    Example
    -------
    >>> half = torch.tensor(0.5).log()
    >>> loss = transducer_lattice_loss(
    ...     half.expand(1, 2, 2), half.expand(1, 2, 1), torch.tensor([2]), torch.tensor([1])
    ... )
    >>> loss.exp()  # two alignments of three arcs: P = 2 / 8
    tensor([4.])
    """
    batch, frames, labels = label_logp.shape if label_logp.dim() == 3 else (-1, -1, -1)
    if tuple(blank_logp.shape) != (batch, frames, labels + 1):
        raise ValueError(
            "the lattice needs blank_logp (B, T, U + 1) and label_logp (B, T, U), got "
            f"{tuple(blank_logp.shape)} and {tuple(label_logp.shape)}"
        )
    check_counts("num_frames", num_frames, batch, 1, frames)
    check_counts("num_labels", num_labels, batch, 0, labels)
    if label_penalty is not None:
        if label_penalty.shape != label_logp.shape:
            raise ValueError(
                f"label_penalty must have the shape of label_logp, {tuple(label_logp.shape)}, got "
                f"{tuple(label_penalty.shape)}"
            )
        label_logp = label_logp.double() + label_penalty
    loss = _LatticeLoss.apply(
        blank_logp,
        label_logp,
        num_frames.to(blank_logp.device),
        num_labels.to(blank_logp.device),
        fastemit_lambda,
    )
    return loss.to(torch.promote_types(blank_logp.dtype, torch.float32))


class _LatticeLoss(torch.autograd.Function):
    """-log P with analytic gradients.

    Step n of every buffer is the anti-diagonal t + u = n, so that a recursion step is one operation
    on (B, U + 1).
    """

    @staticmethod
    def forward(
        ctx: Any,
        blank_logp: Tensor,
        label_logp: Tensor,
        num_frames: Tensor,
        num_labels: Tensor,
        fastemit_lambda: float,
    ) -> Tensor:
        into_blank, into_label = _arcs_by_diagonal(blank_logp, label_logp, num_frames, num_labels)
        steps, batch, width = into_blank.shape
        # Node u sits in column u + 1; column 0 stays impossible, so u = 0 needs no case of its own.
        alpha = into_blank.new_full((steps + 1, batch, width + 1), -torch.inf)
        alpha[0, :, 1] = 0
        nodes, previous = alpha[:, :, 1:].unbind(0), alpha[:, :, :-1].unbind(0)
        blanks, labels = into_blank.unbind(0), into_label.unbind(0)
        for n in range(steps):
            torch.logaddexp(nodes[n] + blanks[n], previous[n] + labels[n], out=nodes[n + 1])
        items = torch.arange(batch, device=alpha.device)
        log_prob = alpha[num_frames + num_labels, items, num_labels + 1]
        ctx.save_for_backward(into_blank, into_label, alpha, num_frames, num_labels, log_prob)
        ctx.fastemit_lambda = fastemit_lambda
        ctx.dtypes = blank_logp.dtype, label_logp.dtype
        return -log_prob

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        blank, label = _arc_occupancies(*ctx.saved_tensors)
        scale = -grad[:, None, None]
        grad_blank = _cells(blank, first_label=0) * scale
        grad_label = _cells(label, first_label=1) * (scale * (1.0 + ctx.fastemit_lambda))
        return grad_blank.to(ctx.dtypes[0]), grad_label.to(ctx.dtypes[1]), None, None, None


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
    _cells(into_blank, first_label=0).copy_(blank_logp.masked_fill(~has_blank, -torch.inf))
    _cells(into_label, first_label=1).copy_(label_logp.masked_fill(~has_label, -torch.inf))
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


def _arc_occupancies(
    into_blank: Tensor,
    into_label: Tensor,
    alpha: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    log_prob: Tensor,
) -> tuple[Tensor, Tensor]:
    """The posterior probability of every arc, laid out like the arcs.

    Each node hands its occupancy back to its two incoming arcs in proportion to their forward
    probabilities. The two shares add up to one exactly, so nothing is lost over long utterances,
    where alpha + beta - log P cancels.
    """
    batch = alpha.shape[1]
    by_blank = alpha[:-1, :, 1:] + into_blank
    by_label = alpha[:-1, :, :-1] + into_label
    odds = by_blank - by_label
    # A node that no path reaches has -inf - -inf here.
    odds.masked_fill_(by_blank == -torch.inf, -torch.inf)
    blank, label = torch.sigmoid(odds), torch.sigmoid(-odds)
    occupancy = torch.zeros_like(alpha)
    items = torch.arange(batch, device=alpha.device)
    is_possible = (log_prob != -torch.inf).to(alpha.dtype)
    occupancy[num_frames + num_labels, items, num_labels + 1] = is_possible
    nodes, previous = occupancy[:, :, 1:].unbind(0), occupancy[:, :, :-1].unbind(0)
    blanks, labels = blank.unbind(0), label.unbind(0)
    for n in reversed(range(len(blanks))):
        nodes[n].add_(blanks[n].mul_(nodes[n + 1]))
        previous[n].add_(labels[n].mul_(nodes[n + 1]))
    for shares in (blank, label):
        shares.masked_fill_(shares < _SMALLEST_OCCUPANCY, 0)
    return blank, label
