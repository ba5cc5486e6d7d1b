"""Arc log-probabilities from the ready logits of a whole lattice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sb_alexa.losses.second_derivative import without_second_derivative
from sb_alexa.losses.transducer_arcs import arc_log_probs, cell_labels, logits_gradient

# Bytes of a slice's logits: on a CPU they stay in the cache between the passes over them.
_SLICE_BYTES_CPU = 1 << 20
_SLICE_BYTES_GPU = 1 << 28


def logits_arc_log_probs(
    logits: Tensor,
    targets: Tensor,
    *,
    num_frames: list[int],
    num_labels: list[int],
    blank_index: int,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the two arcs of every cell; only a number for each of them is kept.

    Arguments
    ---------
    logits : Tensor
        (B, T, U + 1, V), not normalised; the padding has no influence.
    targets : Tensor
        (B, U) labels.
    num_frames : list of int
        (B,).
    num_labels : list of int
        (B,).
    blank_index : int
        Position of the blank.

    Returns
    -------
    blank_logp : Tensor
        (B, T, U + 1) nats, float64; 0 in the padding.
    label_logp : Tensor
        (B, T, U) nats, float64.
    """
    labels = cell_labels(targets, num_labels)
    return _LogitsArcs.apply(logits, labels, tuple(num_frames), tuple(num_labels), blank_index)


def _slices(
    logits: Tensor, num_frames: tuple[int, ...], num_labels: tuple[int, ...]
) -> Iterator[tuple[int, slice, int]]:
    """(item, frames, U + 1) of slices that fit the cache."""
    num_bytes = _SLICE_BYTES_CPU if logits.device.type == "cpu" else _SLICE_BYTES_GPU
    for item, (frames, labels) in enumerate(zip(num_frames, num_labels, strict=True)):
        step = max(1, num_bytes // (logits.shape[-1] * (labels + 1) * logits.element_size()))
        for start in range(0, frames, step):
            yield item, slice(start, min(start + step, frames)), labels + 1


class _LogitsArcs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        num_frames: tuple[int, ...],
        num_labels: tuple[int, ...],
        blank_index: int,
    ) -> tuple[Tensor, Tensor]:
        blank_logp = logits.new_zeros(logits.shape[:3], dtype=torch.float64)
        label_logp, normaliser = torch.zeros_like(blank_logp), torch.zeros_like(blank_logp)
        for item, frames, width in _slices(logits, num_frames, num_labels):
            cells = logits[item, frames, :width]
            row = labels[item, :width].expand(len(cells), -1).reshape(-1)
            arcs = arc_log_probs(cells.reshape(-1, cells.shape[-1]), row, blank_index)
            for lattice, values in zip((normaliser, blank_logp, label_logp), arcs, strict=True):
                lattice[item, frames, :width] = values.view(-1, width)
        ctx.save_for_backward(logits, labels, normaliser)
        ctx.num_frames, ctx.num_labels, ctx.blank_index = num_frames, num_labels, blank_index
        return blank_logp, label_logp[:, :, :-1]

    @staticmethod
    @without_second_derivative
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], grad_blank: Tensor, grad_label: Tensor
    ) -> tuple[Tensor | None, ...]:
        logits, labels, normaliser = saved
        grad_label = torch.nn.functional.pad(grad_label, (0, 1))
        grad = torch.zeros_like(logits, memory_format=torch.contiguous_format)
        for item, frames, width in _slices(logits, ctx.num_frames, ctx.num_labels):
            cells = logits[item, frames, :width]
            row = labels[item, :width].expand(len(cells), -1).reshape(-1)
            part = grad[item, frames, :width]
            flat = part.view(-1, part.shape[-1]) if part.is_contiguous() else None
            result = logits_gradient(
                cells.reshape(-1, cells.shape[-1]),
                row,
                ctx.blank_index,
                normaliser[item, frames, :width].reshape(-1),
                grad_blank[item, frames, :width].reshape(-1),
                grad_label[item, frames, :width].reshape(-1),
                out=flat,
            )
            if flat is None:
                part.copy_(result.view_as(part))
        return grad, None, None, None, None
