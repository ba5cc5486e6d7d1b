"""From the losses of the utterances to the loss of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def check_reduction(reduction: str) -> None:
    """Refuse an unknown reduction before anything is computed.

    Arguments
    ---------
    reduction : str
        See `reduce_losses`.

    Raises
    ------
    ValueError
        With the known ones.

    Example
    -------
    >>> check_reduction("median")
    Traceback (most recent call last):
    ValueError: unknown reduction 'median', expected one of none, sum, mean, batchmean, token_mean
    """
    known = ("none", "sum", "mean", "batchmean", "token_mean")
    if reduction not in known:
        raise ValueError(f"unknown reduction {reduction!r}, expected one of {', '.join(known)}")


def reduce_losses(losses: Tensor, num_labels: Tensor, reduction: str) -> Tensor:
    """Reduce the losses of a batch's utterances.

    Arguments
    ---------
    losses : Tensor
        (B,) nats per utterance.
    num_labels : Tensor
        (B,) integers.
    reduction : str
        "none": as they are; "sum": nats of the batch; "mean" or "batchmean": nats per utterance,
        averaged over the batch; "token_mean": nats per label, the sum over the batch divided by its
        number of labels.

    Returns
    -------
    Tensor
        (B,) for "none", else a scalar.

    Example
    -------
    >>> losses, num_labels = torch.tensor([3.0, 9.0]), torch.tensor([1, 3])
    >>> [reduce_losses(losses, num_labels, how).item() for how in ("sum", "mean", "token_mean")]
    [12.0, 6.0, 3.0]
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "token_mean":
        return losses.sum() / num_labels.sum().clamp(min=1).to(losses.device)
    return losses.mean()


def loss_dtype(x: Tensor) -> torch.dtype:
    """The type of a loss: float32, float64 for float64 input.

    Arguments
    ---------
    x : Tensor
        The input.

    Returns
    -------
    torch.dtype

    Example
    -------
    >>> loss_dtype(torch.zeros(1, dtype=torch.bfloat16))
    torch.float32
    """
    return torch.promote_types(x.dtype, torch.float32)
