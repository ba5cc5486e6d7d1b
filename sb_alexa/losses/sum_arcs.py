"""Arc log-probabilities of a joiner that does nothing but add the logits of its two sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sb_alexa.losses.second_derivative import without_second_derivative

# exp(-640) is still a normal number of float64. Sums of exponentials below it have lost digits.
_LOWEST_LOG_SUM = -640.0
# Logits at once of the cells that the matrix product cannot normalise, 8 MiB.
_EXPLICIT_LOGITS = 1 << 20


def sum_arc_log_probs(
    frame_logits: Tensor,
    history_logits: Tensor,
    targets: Tensor,
    *,
    num_frames: list[int],
    num_labels: list[int],
    blank_index: int,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the two arcs of every cell, for ``frame_logits + history_logits``.

    The sum of the exponentials over V of a sum is a matrix product of exponentials, so that nothing
    of size (B, T, U + 1, V) is made. It runs in float64, one utterance at a time. Cells in which
    the largest logits of the two sides lie so far apart that the product underflows are normalised
    one by one.

    Arguments
    ---------
    frame_logits : Tensor
        (B, T, V).
    history_logits : Tensor
        (B, U + 1, V).
    targets : Tensor
        (B, U) int64 labels; the padding may hold anything.
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

    Reference
    ---------
    Kuang et al. 2022, arXiv 2206.13236, section on the trivial joiner.

    Example
    -------
    >>> lengths = {"num_frames": [1], "num_labels": [1]}
    >>> blank_logp, label_logp = sum_arc_log_probs(
    ...     torch.tensor([[[1.0, 2.0, 0.0]]]),
    ...     torch.tensor([[[0.0, 3.0, 0.0], [1.0, 0.0, 4.0]]]),
    ...     torch.tensor([[1]]),
    ...     **lengths,
    ...     blank_index=0,
    ... )
    >>> expected = torch.tensor([1.0, 5.0, 0.0]).log_softmax(0)
    >>> torch.testing.assert_close(label_logp[0, 0, 0].float(), expected[1])
    """
    plan = tuple(num_frames), tuple(num_labels)
    return _SumArcs.apply(frame_logits, history_logits, targets, *plan, blank_index)


class _SumArcs(torch.autograd.Function):
    """Keeps the normaliser of each cell; the exponentials are computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        frame_logits: Tensor,
        history_logits: Tensor,
        targets: Tensor,
        num_frames: tuple[int, ...],
        num_labels: tuple[int, ...],
        blank_index: int,
    ) -> tuple[Tensor, Tensor]:
        shape = (*frame_logits.shape[:2], history_logits.shape[1])
        blank_logp = frame_logits.new_zeros(shape, dtype=torch.float64)
        label_logp = torch.zeros_like(blank_logp[:, :, :-1])
        normaliser = torch.zeros_like(blank_logp)
        for item, (t, u) in enumerate(zip(num_frames, num_labels, strict=True)):
            frames = frame_logits[item, :t].double()
            histories = history_logits[item, : u + 1].double()
            total = normaliser[item, :t, : u + 1] = _normalise(frames, histories)
            blank = frames[:, blank_index, None] + histories[:, blank_index] - total
            labels = targets[item, :u]
            of_histories = histories[:u].gather(1, labels[:, None])[:, 0]
            label = frames[:, labels] + of_histories - total[:, :u]
            # Only where all logits of a cell are -inf do infinities cancel.
            is_empty = total == -torch.inf
            blank_logp[item, :t, : u + 1] = blank.masked_fill_(is_empty, -torch.inf)
            label_logp[item, :t, :u] = label.masked_fill_(is_empty[:, :u], -torch.inf)
        ctx.save_for_backward(frame_logits, history_logits, targets, normaliser)
        ctx.num_frames, ctx.num_labels, ctx.blank_index = num_frames, num_labels, blank_index
        return blank_logp, label_logp

    @staticmethod
    @without_second_derivative
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], grad_blank: Tensor, grad_label: Tensor
    ) -> tuple[Tensor | None, ...]:
        frame_logits, history_logits, targets, normaliser = saved
        grad_frames = torch.zeros_like(frame_logits)
        grad_histories = torch.zeros_like(history_logits)
        for item, (t, u) in enumerate(zip(ctx.num_frames, ctx.num_labels, strict=True)):
            blank = grad_blank[item, :t, : u + 1]
            label = grad_label[item, :t, :u]
            factor = -blank
            factor[:, :u] -= label
            frames, histories = _softmax_gradients(
                frame_logits[item, :t].double(),
                history_logits[item, : u + 1].double(),
                normaliser[item, :t, : u + 1],
                factor,
            )
            labels = targets[item, :u]
            frames[:, ctx.blank_index] += blank.sum(1)
            frames.index_add_(1, labels, label)
            histories[:, ctx.blank_index] += blank.sum(0)
            histories[:u].scatter_add_(1, labels[:, None], label.sum(0)[:, None])
            grad_frames[item, :t] = frames
            grad_histories[item, : u + 1] = histories
        return grad_frames, grad_histories, None, None, None, None


def _normalise(frames: Tensor, histories: Tensor) -> Tensor:
    """(t, u) logarithm of the sum of the exponentials of (t, V) + (u, V)."""
    frame_factors, frame_largest = _exponentials(frames)
    history_factors, history_largest = _exponentials(histories)
    log_sum = (frame_factors @ history_factors.t()).log_()
    is_lost = log_sum < _LOWEST_LOG_SUM
    log_sum += frame_largest
    log_sum += history_largest.t()
    for t, u in _cells(is_lost, frames.shape[1]):
        log_sum[t, u] = (frames[t] + histories[u]).logsumexp(1)
    return log_sum


def _softmax_gradients(
    frames: Tensor, histories: Tensor, normaliser: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums over u and over t of ``factor * softmax``, (t, V) and (u, V)."""
    frame_factors, frame_largest = _exponentials(frames)
    history_factors, history_largest = _exponentials(histories)
    log_scale = frame_largest + history_largest.t() - normaliser
    is_lost = log_scale > -_LOWEST_LOG_SUM
    scaled = log_scale.masked_fill_(is_lost, -torch.inf).exp_().mul_(factor)
    of_frames = (scaled @ history_factors).mul_(frame_factors)
    of_histories = (scaled.t() @ frame_factors).mul_(history_factors)
    # Cells without any arc have no gradient, and a softmax that is not a number.
    for t, u in _cells(is_lost & (factor != 0), frames.shape[1]):
        softmax = (frames[t] + histories[u]).sub_(normaliser[t, u][:, None]).exp_()
        softmax.mul_(factor[t, u][:, None])
        of_frames.index_add_(0, t, softmax)
        of_histories.index_add_(0, u, softmax)
    return of_frames, of_histories


def _exponentials(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Exponentials (N, V) of logits less their largest (N, 1)."""
    largest = logits.amax(1, keepdim=True)
    largest.masked_fill_(largest == -torch.inf, 0)
    return (logits - largest).exp_(), largest


def _cells(mask: Tensor, num_outputs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Row and column of the marked cells, as many at once as memory allows."""
    for part in mask.nonzero().split(max(1, _EXPLICIT_LOGITS // num_outputs)):
        if len(part):  # an empty tensor splits into one empty part
            yield part[:, 0], part[:, 1]
