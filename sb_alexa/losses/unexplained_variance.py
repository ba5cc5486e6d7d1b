"""How far one encoder's output is from another's, for distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.lengths import length_mask


def unexplained_variance(y: Tensor, target: Tensor, num_frames: Tensor) -> Tensor:
    """Share of the target's variance over the frames of a batch that an output does not explain.

    ``sum ||y - target||^2 / sum ||target - mean||^2``, the mean being that of each feature over all
    frames. 0 for equal outputs, 1 for one that always says the mean; it has no unit, so its weight
    in a loss does not depend on the scale of the features or on their number.

    Arguments
    ---------
    y : Tensor
        (B, T, C).
    target : Tensor
        (B, T, C), taken as it is: no gradient.
    num_frames : Tensor
        (B,) valid frames; what lies behind them may be anything.

    Returns
    -------
    Tensor
        Scalar >= 0, float32 (float64 for float64 input); 0 where the target never changes.

    Raises
    ------
    ValueError
        If the shapes differ.

    Reference
    ---------
    Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, arXiv 1412.6550: the squared
    distance between features of a teacher and of a student. Ours: relative to the variance.

    Example
    -------
    >>> target = torch.tensor([[[0.0], [2.0], [9.0]]])
    >>> unexplained_variance(torch.tensor([[[0.0], [1.0], [0.0]]]), target, torch.tensor([2]))
    tensor(0.5000)
    """
    if y.shape != target.shape or num_frames.shape != y.shape[:1]:
        raise ValueError(
            "y and target must be (B, T, C) and num_frames (B,), got "
            f"{tuple(y.shape)}, {tuple(target.shape)} and {tuple(num_frames.shape)}"
        )
    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    valid = length_mask(num_frames, y.shape[1])
    # Chosen, not multiplied by 0: padding may be NaN.
    y, target = y[valid].to(wide), target[valid].detach().to(wide)  # (frames, C)
    variance = (target - target.mean(dim=0)).square().sum()
    distance = (y - target).square().sum()
    return torch.where(variance > 0, distance / variance.clamp_min(torch.finfo(wide).tiny), 0.0)
