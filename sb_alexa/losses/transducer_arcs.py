"""Log-probabilities of the arcs that leave a cell of the transducer's lattice, from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sb_alexa.losses.triton_support import use_triton

# float32 rounds a number of this size by 4e-6, a softmax that is taken relative to it by the same
# share. Beyond, the maximum is subtracted anew.
_LARGEST_NORMALISER = 64.0


def cell_labels(targets: Tensor, num_labels: Sequence[int]) -> Tensor:
    """The label of each history's label arc.

    Arguments
    ---------
    targets : Tensor
        (B, U) labels; the padding may hold anything.
    num_labels : sequence of int
        (B,).

    Returns
    -------
    Tensor
        (B, U + 1), -1 where there is no arc: after the last label and in the padding.

    Example
    -------
    >>> cell_labels(torch.tensor([[5, 6], [7, 99]]), [2, 1])
    tensor([[ 5,  6, -1],
            [ 7, -1, -1]])
    """
    last = torch.tensor(num_labels, device=targets.device)[:, None]
    position = torch.arange(targets.shape[1] + 1, device=targets.device)
    return torch.nn.functional.pad(targets, (0, 1)).masked_fill(position >= last, -1)


def arc_log_probs(
    logits: Tensor, labels: Tensor, blank_index: int, scratch: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of blank and next label in some cells, without a copy of the logits.

    Arguments
    ---------
    logits : Tensor
        (N, V), not normalised.
    labels : Tensor
        (N,) the label of each cell's label arc; -1 where it has none.
    blank_index : int
        Position of the blank.
    scratch : Tensor | None
        (N, V) of the logits' type, overwritten; may be `logits` itself. None makes one.

    Returns
    -------
    normaliser : Tensor
        (N,) nats, the logarithm of the sum of the exponentials, in at least float32.
    blank_logp : Tensor
        (N,) nats.
    label_logp : Tensor
        (N,) nats, -inf where there is no label.

    Example
    -------
    >>> normaliser, blank, label = arc_log_probs(torch.zeros(1, 4), torch.tensor([2]), 0)
    >>> [round(x.exp().item(), 4) for x in (normaliser, blank, label)]
    [4.0, 0.25, 0.25]
    """
    if use_triton(logits):
        from sb_alexa.losses import transducer_arcs_triton

        return transducer_arcs_triton.arc_log_probs(logits, labels, blank_index)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = scratch = logits.float()
    blank = logits[:, blank_index].to(torch.float64, copy=True)  # scratch may be logits
    label = logits.gather(1, labels.clamp(min=0)[:, None])[:, 0].double()
    largest = logits.amax(1, keepdim=True)
    # A cell whose logits are all -inf has no arc at all.
    largest.masked_fill_(largest == -torch.inf, 0)
    exponentials = torch.sub(logits, largest, out=scratch).exp_()
    # In float64 from here on: the difference of two numbers near 10 loses a digit of float32. Huge
    # logits are subtracted from each other first, for next to them the rest would be lost.
    log_total, largest = exponentials.sum(1).double().log_(), largest[:, 0].double()
    is_empty = log_total == -torch.inf
    blank_logp = torch.where(is_empty, -torch.inf, blank - largest - log_total)
    label_logp = torch.where(is_empty | (labels < 0), -torch.inf, label - largest - log_total)
    return largest + log_total, blank_logp, label_logp


def logits_gradient(
    logits: Tensor,
    labels: Tensor,
    blank_index: int,
    normaliser: Tensor,
    grad_blank: Tensor,
    grad_label: Tensor,
    out: Tensor | None = None,
) -> Tensor:
    """Gradient of the logits from that of the two arcs' log-probabilities.

    Arguments
    ---------
    logits : Tensor
        (N, V).
    labels : Tensor
        (N,), -1 where a cell has no label arc.
    blank_index : int
        Position of the blank.
    normaliser : Tensor
        (N,) from `arc_log_probs`.
    grad_blank : Tensor
        (N,).
    grad_label : Tensor
        (N,), 0 where there is no label arc.
    out : Tensor | None
        (N, V) of the logits' type, overwritten; may be `logits` itself. None makes one.

    Returns
    -------
    Tensor
        (N, V): ``grad_blank * (is_blank - softmax) + grad_label * (is_label - softmax)``.

    Example
    -------
    >>> ones = torch.ones(1)
    >>> logits_gradient(
    ...     torch.zeros(1, 4), torch.tensor([2]), 0, torch.tensor([4.0]).log(), ones, ones
    ... )
    tensor([[ 0.5000, -0.5000,  0.5000, -0.5000]])
    """
    if use_triton(logits):
        from sb_alexa.losses import transducer_arcs_triton

        target = torch.empty_like(logits) if out is None else out
        return transducer_arcs_triton.logits_gradient_(
            logits, labels, blank_index, normaliser, grad_blank, grad_label, out=target
        )
    if logits.dtype in (torch.float16, torch.bfloat16):
        wide = logits.float()
        logits_gradient(wide, labels, blank_index, normaliser, grad_blank, grad_label, out=wide)
        return wide.to(logits.dtype) if out is None else out.copy_(wide)
    factor = -(grad_blank + grad_label).double()
    if bool((normaliser.abs() > _LARGEST_NORMALISER).any()):
        grad = logits.softmax(1).mul_(factor[:, None])
        # Cells whose logits are all -inf have no softmax, and no gradient.
        grad.masked_fill_((normaliser == -torch.inf)[:, None], 0)
        grad = grad if out is None else out.copy_(grad)
    else:
        # The factor of the softmax goes into its exponent, which saves a pass over the logits. The
        # arcs of an utterance have gradients of one sign.
        shift = normaliser.double() - factor.abs().log()
        grad = torch.sub(logits, shift[:, None].to(logits.dtype), out=out).exp_()
        is_negative = factor < 0
        if bool(is_negative.any()):
            grad.mul_(torch.where(is_negative, -1, 1)[:, None])
    grad[:, blank_index] += grad_blank
    grad.scatter_add_(1, labels.clamp(min=0)[:, None], grad_label.to(grad.dtype)[:, None])
    return grad
