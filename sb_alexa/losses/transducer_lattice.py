"""The transducer loss on the bare lattice, from the log-probabilities of its arcs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from sb_alexa.losses import transducer_lattice_diagonals
from sb_alexa.losses.checks import check_counts
from sb_alexa.losses.second_derivative import without_second_derivative
from sb_alexa.losses.triton_support import use_triton

# Occupancies below this are rounding noise of float64 next to a total of one; as float32 gradients
# they would turn into denormal numbers, which make the matrix products of the backward pass many
# times slower. Cells without a gradient need no backward pass at all.
_SMALLEST_OCCUPANCY = 1e-20


def transducer_lattice_loss(
    blank_logp: Tensor,
    label_logp: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    *,
    fastemit_lambda: float = 0.0,
    label_penalty: Tensor | None = None,
    occupancy_floor: float = 0.0,
) -> Tensor:
    """Negative log-probability of the labels, summed over all alignments of the lattice.

    An alignment starts in node (0, 0); a label arc leads from (t, u) to (t, u + 1), a blank arc to
    (t + 1, u), and the last arc is the blank of node (num_frames - 1, num_labels). The recursion
    runs in float64 whatever the input and under any autocast, one step for each of the T + U
    anti-diagonals on a CPU, one Triton kernel for each direction on a GPU.

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
    occupancy_floor : float
        Cells whose posterior probability, that is the share of the alignments that pass through
        them, is below it get no gradient; the value stays exact. In [0, 1); 0 is exact. Once a
        model has learned to align, a floor of 1e-6 leaves a few percent of the cells, and a joiner
        need not be run for the others in the backward pass.

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
    if not 0.0 <= occupancy_floor < 1.0:
        raise ValueError(f"occupancy_floor must be in [0, 1), got {occupancy_floor}; try 1e-6")
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
        num_frames.to(blank_logp.device, torch.long),
        num_labels.to(blank_logp.device, torch.long),
        fastemit_lambda,
        occupancy_floor,
    )
    return loss.to(torch.promote_types(blank_logp.dtype, torch.float32))


class _LatticeLoss(torch.autograd.Function):
    """-log P with analytic gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        blank_logp: Tensor,
        label_logp: Tensor,
        num_frames: Tensor,
        num_labels: Tensor,
        fastemit_lambda: float,
        occupancy_floor: float,
    ) -> Tensor:
        arcs = blank_logp, label_logp, num_frames, num_labels
        alpha, log_prob = _passes(blank_logp).lattice_forward(*arcs)
        ctx.save_for_backward(*arcs, alpha, log_prob)
        ctx.fastemit_lambda, ctx.occupancy_floor = fastemit_lambda, occupancy_floor
        return -log_prob

    @staticmethod
    @without_second_derivative
    def backward(ctx: Any, saved: tuple[Tensor, ...], grad: Tensor) -> tuple[Tensor | None, ...]:
        blank_logp, label_logp, num_frames, num_labels, alpha, log_prob = saved
        blank, label = _passes(blank_logp).lattice_backward(
            blank_logp, label_logp, alpha, log_prob, num_frames, num_labels
        )
        if ctx.occupancy_floor > 0:
            occupancy = blank.clone()
            occupancy[:, :, :-1] += label
            is_small = occupancy < ctx.occupancy_floor
            blank.masked_fill_(is_small, 0)
            label.masked_fill_(is_small[:, :, :-1], 0)
        scale = -grad.double()[:, None, None]
        blank.masked_fill_(blank < _SMALLEST_OCCUPANCY, 0).mul_(scale)
        label.masked_fill_(label < _SMALLEST_OCCUPANCY, 0).mul_(scale * (1.0 + ctx.fastemit_lambda))
        gradients = blank.to(blank_logp.dtype), label.to(label_logp.dtype)
        return (*gradients, None, None, None, None)


def _passes(arcs: Tensor) -> ModuleType:
    """The two passes over the lattice, for the device of the arcs."""
    if use_triton(arcs):
        from sb_alexa.losses import transducer_lattice_triton

        return transducer_lattice_triton
    return transducer_lattice_diagonals
