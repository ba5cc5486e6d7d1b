"""Checks of the integer inputs of sequence losses, whose kernels read memory out of range."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.lengths import length_mask


def check_counts(name: str, counts: Tensor, batch: int, low: int, high: int) -> list[int]:
    """Refuse counts that do not fit the tensors of a batch.

    Arguments
    ---------
    name : str
        What is counted, for the message.
    counts : Tensor
        (B,) integers.
    batch : int
        B.
    low : int
        Smallest count allowed.
    high : int
        Largest count allowed, the size of the padded tensor.

    Returns
    -------
    list of int
        The counts on the host.

    Raises
    ------
    ValueError
        Naming the first offending item and its value.

    Example
    -------
    >>> check_counts("num_frames", torch.tensor([3, 0]), batch=2, low=1, high=3)
    Traceback (most recent call last):
    ValueError: num_frames of item 1 is 0, expected 1..3
    """
    is_integer = not counts.is_floating_point() and counts.dtype != torch.bool
    if not is_integer or tuple(counts.shape) != (batch,):
        raise ValueError(
            f"{name} must hold ({batch},) integers, got {counts.dtype} of shape "
            f"{tuple(counts.shape)}; sb_alexa.lengths.absolute_lengths makes them from relative "
            "lengths"
        )
    values = counts.tolist()
    for item, value in enumerate(values):
        if not low <= value <= high:
            raise ValueError(f"{name} of item {item} is {value}, expected {low}..{high}")
    return values


def check_targets(targets: Tensor, num_labels: Tensor, num_outputs: int, blank_index: int) -> None:
    """Refuse a target or a blank that is no output of the model; padding is not looked at.

    Arguments
    ---------
    targets : Tensor
        (B, U) labels.
    num_labels : Tensor
        (B,) labels of each item.
    num_outputs : int
        V, blank included.
    blank_index : int
        The blank.

    Raises
    ------
    ValueError
        Naming the first offending item, the position and the value; or naming the blank.

    Example
    -------
    >>> check_targets(torch.tensor([[4, 9]]), torch.tensor([2]), num_outputs=5, blank_index=0)
    Traceback (most recent call last):
    ValueError: target 1 of item 0 is 9, expected a label in 0..4 other than the blank 0
    """
    if not 0 <= blank_index < num_outputs:
        raise ValueError(f"blank_index must be in 0..{num_outputs - 1}, got {blank_index}")
    if targets.is_floating_point():
        raise ValueError(f"targets must hold integers, got {targets.dtype}; use targets.long()")
    is_target = length_mask(num_labels.to(targets.device), targets.shape[1])
    is_wrong = (targets < 0) | (targets >= num_outputs) | (targets == blank_index)
    wrong = (is_target & is_wrong).nonzero()
    if len(wrong):
        item, label = wrong[0].tolist()
        raise ValueError(
            f"target {label} of item {item} is {int(targets[item, label])}, expected a label in "
            f"0..{num_outputs - 1} other than the blank {blank_index}"
        )
