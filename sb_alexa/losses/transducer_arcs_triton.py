"""Log-probabilities of a cell's two arcs from its logits, and back, as one Triton kernel each.

One program has one row of logits and runs over it in blocks. The forward pass reads the row once;
the backward pass reads and writes it once, in place unless told otherwise.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sb_alexa.losses.triton_support import import_triton

if TYPE_CHECKING:
    import triton
    import triton.language as tl
else:
    triton, tl = import_triton()

# Logits that a program takes at a time, and how many of them a thread does: enough loads in flight
# to hide the memory's latency, and a last block that is not mostly empty (V 4097 is a usual size).
_MAX_BLOCK = 1024
_LOGITS_PER_THREAD = 8


def arc_log_probs(
    logits: Tensor, labels: Tensor, blank_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of blank and next label in some cells.

    Sums are float32, those of float64 logits float64. The results are float64, because the
    difference of two numbers near 10 loses a digit of float32.

    Arguments
    ---------
    logits : Tensor
        (N, V), not normalised, of any floating type and any strides.
    labels : Tensor
        (N,) integers in 0..V - 1, the label of each cell's label arc, not checked; -1 where it has
        none.
    blank_index : int
        Position of the blank.

    Returns
    -------
    normaliser : Tensor
        (N,) nats, the logarithm of the sum of the exponentials, float64.
    blank_logp : Tensor
        (N,) nats, float64; -inf where all logits are -inf.
    label_logp : Tensor
        (N,) nats, float64; also -inf where there is no label.

    Raises
    ------
    ValueError
        If shapes do not fit or the blank lies outside of the logits.

    Reference
    ---------
    Milakov and Gimelshein 2018 (online normaliser), arXiv 1805.02867, algorithm 3.
    """
    rows, num_outputs = _check(logits, labels, blank_index)
    normaliser = torch.empty(rows, dtype=torch.float64, device=logits.device)
    blank_logp, label_logp = torch.empty_like(normaliser), torch.empty_like(normaliser)
    with torch.cuda.device_of(logits):
        _arcs_kernel[(rows,)](
            logits,
            labels.to(logits.device, torch.long).contiguous(),
            normaliser,
            blank_logp,
            label_logp,
            blank_index,
            logits.stride(0),
            logits.stride(1),
            NUM_OUTPUTS=num_outputs,
            **_launch(logits),
        )
    return normaliser, blank_logp, label_logp


def logits_gradient_(
    logits: Tensor,
    labels: Tensor,
    blank_index: int,
    normaliser: Tensor,
    grad_blank: Tensor,
    grad_label: Tensor,
    out: Tensor | None = None,
) -> Tensor:
    """Overwrite logits with their gradient, given that of the two arcs' log-probabilities.

    Rows whose arcs have no gradient are not read, so theirs is 0 whatever they hold, NaN included.

    Arguments
    ---------
    logits : Tensor
        (N, V), of any floating type and any strides; overwritten unless there is an `out`.
    labels : Tensor
        (N,) integers in 0..V - 1, not checked; -1 where a cell has no label arc.
    blank_index : int
        Position of the blank.
    normaliser : Tensor
        (N,) nats from `arc_log_probs`.
    grad_blank : Tensor
        (N,) of any floating type.
    grad_label : Tensor
        (N,); not looked at where there is no label arc.
    out : Tensor | None
        (N, V), written instead of `logits`.

    Returns
    -------
    Tensor
        `out` or `logits`, holding ``grad_blank * (is_blank - softmax) + grad_label * (is_label -
        softmax)``.

    Raises
    ------
    ValueError
        As `arc_log_probs`, or if `out` has another shape.
    """
    rows, num_outputs = _check(logits, labels, blank_index)
    out = logits if out is None else out
    if out.shape != logits.shape:
        raise ValueError(
            f"out must have the shape of logits, {tuple(logits.shape)}, got {tuple(out.shape)}"
        )
    with torch.cuda.device_of(logits):
        _gradient_kernel[(rows,)](
            logits,
            out,
            labels.to(logits.device, torch.long).contiguous(),
            normaliser.contiguous(),
            grad_blank.contiguous(),
            grad_label.contiguous(),
            blank_index,
            logits.stride(0),
            logits.stride(1),
            out.stride(0),
            out.stride(1),
            NUM_OUTPUTS=num_outputs,
            OUT_ALIGNMENT=_alignment(out),
            **_launch(logits),
        )
    return out


def _check(logits: Tensor, labels: Tensor, blank_index: int) -> tuple[int, int]:
    """N and V."""
    if logits.dim() != 2 or not logits.is_floating_point() or labels.shape != logits.shape[:1]:
        raise ValueError(
            "the arcs need logits (N, V) of a floating type and labels (N,), got "
            f"{tuple(logits.shape)} of {logits.dtype} and {tuple(labels.shape)}"
        )
    rows, num_outputs = logits.shape
    if not 0 <= blank_index < num_outputs:
        raise ValueError(f"blank_index must be in 0..{num_outputs - 1}, got {blank_index}")
    return rows, num_outputs


def _alignment(rows: Tensor) -> int:
    """A power of two that divides the distance of rows: V 2500 still loads 4 logits at a time."""
    return gcd(rows.stride(0), 16)


def _launch(logits: Tensor) -> dict[str, int]:
    """Sizes that the kernels are compiled for."""
    block = min(max(32, 1 << (logits.shape[1] - 1).bit_length()), _MAX_BLOCK)
    return {
        "ALIGNMENT": _alignment(logits),
        "BLOCK": block,
        "num_warps": max(1, block // (32 * _LOGITS_PER_THREAD)),
    }


# A slice of cells may begin anywhere, which is no reason to compile again.
@triton.jit(do_not_specialize=["labels_ptr", "blank_index"])
def _arcs_kernel(
    logits_ptr,
    labels_ptr,
    normaliser_ptr,
    blank_logp_ptr,
    label_logp_ptr,
    blank_index,
    row_stride,
    output_stride,
    NUM_OUTPUTS: tl.constexpr,
    ALIGNMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # All positions are in 64 bit: N * V may exceed 2^31.
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += tl.multiple_of(row * row_stride, ALIGNMENT)
    accumulator = tl.float64 if logits_ptr.dtype.element_ty == tl.float64 else tl.float32
    position = tl.arange(0, BLOCK)
    # Every lane keeps its own maximum, so that threads need to meet but once in a row. Only the
    # smaller one of the two terms needs an exponential.
    maxima = tl.full([BLOCK], float("-inf"), accumulator)
    sums = tl.zeros([BLOCK], accumulator)
    for start in range(0, NUM_OUTPUTS, BLOCK):
        output = start + position
        x = tl.load(
            logits_ptr + output.to(tl.int64) * output_stride,
            mask=output < NUM_OUTPUTS,
            other=float("-inf"),
        ).to(accumulator)
        is_larger = x > maxima
        high, low = tl.where(is_larger, x, maxima), tl.where(is_larger, maxima, x)
        is_single = low == float("-inf")
        ratio = tl.where(is_single, 0.0, tl.exp(low - tl.where(is_single, 0.0, high)))
        sums = tl.where(is_larger, sums * ratio + 1.0, sums + ratio)
        maxima = high
    largest = tl.max(maxima, 0)
    # If all logits are -inf, there is nothing to be subtracted.
    total = tl.sum(sums * tl.exp(maxima - tl.where(largest == float("-inf"), 0.0, largest)), 0)
    shift = largest.to(tl.float64)
    log_total = tl.log(total).to(tl.float64)
    tl.store(normaliser_ptr + row, shift + log_total)
    is_empty = total == 0.0  # and not NaN
    label = tl.load(labels_ptr + row)
    blank_logit = tl.load(logits_ptr + blank_index.to(tl.int64) * output_stride).to(tl.float64)
    label_logit = tl.load(
        logits_ptr + label * output_stride, mask=label >= 0, other=float("-inf")
    ).to(tl.float64)
    shift = tl.where(is_empty, 0.0, shift)
    log_total = tl.where(is_empty, 0.0, log_total)
    tl.store(blank_logp_ptr + row, (blank_logit - shift) - log_total)
    tl.store(label_logp_ptr + row, (label_logit - shift) - log_total)


@triton.jit(
    do_not_specialize=[
        "labels_ptr",
        "normaliser_ptr",
        "grad_blank_ptr",
        "grad_label_ptr",
        "blank_index",
    ]
)
def _gradient_kernel(
    logits_ptr,
    out_ptr,
    labels_ptr,
    normaliser_ptr,
    grad_blank_ptr,
    grad_label_ptr,
    blank_index,
    row_stride,
    output_stride,
    out_row_stride,
    out_output_stride,
    NUM_OUTPUTS: tl.constexpr,
    ALIGNMENT: tl.constexpr,
    OUT_ALIGNMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += tl.multiple_of(row * row_stride, ALIGNMENT)
    out_ptr += tl.multiple_of(row * out_row_stride, OUT_ALIGNMENT)
    accumulator = tl.float64 if logits_ptr.dtype.element_ty == tl.float64 else tl.float32
    label = tl.load(labels_ptr + row)
    grad_blank = tl.load(grad_blank_ptr + row).to(accumulator)
    grad_label = tl.load(grad_label_ptr + row, mask=label >= 0, other=0.0).to(accumulator)
    factor = tl.broadcast_to(grad_blank + grad_label, [BLOCK])
    has_gradient = factor != 0.0
    # The normaliser in two parts, so that float32 does not round it.
    normaliser = tl.load(normaliser_ptr + row).to(tl.float64)
    shift = normaliser.to(accumulator)
    rest = (normaliser - shift.to(tl.float64)).to(accumulator)
    position = tl.arange(0, BLOCK)
    for start in range(0, NUM_OUTPUTS, BLOCK):
        output = start + position
        is_output = output < NUM_OUTPUTS
        # A row without a gradient is not read: -inf gives it a softmax of 0.
        x = tl.load(
            logits_ptr + output.to(tl.int64) * output_stride,
            mask=is_output & has_gradient,
            other=float("-inf"),
        ).to(accumulator)
        softmax = tl.where(has_gradient, tl.exp((x - shift) - rest), 0.0)
        grad = tl.where(output == blank_index, grad_blank, 0.0) - factor * softmax
        grad += tl.where(output == label, grad_label, 0.0)
        tl.store(
            out_ptr + output.to(tl.int64) * out_output_stride,
            grad.to(out_ptr.dtype.element_ty),
            mask=is_output,
        )
