"""The one place where SpeechBrain's relative lengths become counts and masks."""

from __future__ import annotations

import torch
from torch import Tensor


def absolute_lengths(relative_lens: Tensor, max_length: int) -> Tensor:
    """Turn relative lengths into counts, ``round(relative * max_length)``.

    The product is taken in float64: in float32 a truncation instead of a rounding loses the last
    frame for thousands of (length, maximum) pairs, and every caller that rounds for itself rounds
    differently.

    Arguments
    ---------
    relative_lens : Tensor
        (B,) fractions in (0, 1] of the longest item of the batch.
    max_length : int
        The number of steps of the padded batch.

    Returns
    -------
    Tensor
        (B,) int64 counts in 0..max_length.

    Raises
    ------
    ValueError
        If a fraction is not in (0, 1], NaN included.

    Example
    -------
    >>> absolute_lengths(torch.tensor([1.0, 13 / 22]), 22).tolist()
    [22, 13]
    """
    if not bool(((relative_lens > 0) & (relative_lens <= 1.0 + 1e-6)).all()):
        raise ValueError(
            f"relative lengths must lie in (0, 1], got {relative_lens.tolist()}; "
            "divide the number of samples of each item by that of the longest"
        )
    return (relative_lens.double() * max_length).round().long().clamp(max=max_length)


def relative_lengths(num_steps: Tensor, max_length: int) -> Tensor:
    """Turn counts into SpeechBrain's relative lengths.

    Arguments
    ---------
    num_steps : Tensor
        (B,) counts.
    max_length : int
        The number of steps of the padded batch.

    Returns
    -------
    Tensor
        (B,) float32 fractions; `absolute_lengths` gives the counts back.

    Example
    -------
    >>> relative_lengths(torch.tensor([4, 1]), 4).tolist()
    [1.0, 0.25]
    """
    return (num_steps.double() / max(max_length, 1)).float()


def length_mask(num_steps: Tensor, max_length: int) -> Tensor:
    """Mark the valid steps of a padded batch.

    Arguments
    ---------
    num_steps : Tensor
        (B,) counts.
    max_length : int
        The number of steps of the padded batch.

    Returns
    -------
    Tensor
        (B, max_length) bool, True where the step exists.

    Example
    -------
    >>> length_mask(torch.tensor([2, 0]), 3).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return torch.arange(max_length, device=num_steps.device) < num_steps[:, None]
