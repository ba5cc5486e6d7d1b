"""Keeps an output channel silent while nobody speaks on it."""

from __future__ import annotations

import torch
from torch import Tensor


def masking_loss(encoder_out: Tensor, active: Tensor, num_frames: Tensor) -> Tensor:
    """Mean square of the encoder's output where a channel has no active turn, summed over channels.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, N, C) of a `sb_alexa.encoders.separation.SeparationEncoder`.
    active : Tensor
        (B, N, T) bool: a turn is active on the channel, or ended so shortly before that its
        ``<eot>`` may still be due. A loss without that collar would fight a late ``<eot>``.
    num_frames : Tensor
        (B,) valid frames.

    Returns
    -------
    Tensor
        Float32 (float64 for float64 input); 0 where nothing is inactive.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Reference
    ---------
    Sklyar et al., Interspeech 2022, arXiv 2205.05199, masking loss. Ours: the mean is over the
    inactive frames of the whole batch, and the collar.

    Example
    -------
    >>> out = torch.tensor([[[[3.0], [1.0]], [[5.0], [1.0]]]])  # 2 frames, 2 channels
    >>> active = torch.tensor([[[True, False], [True, True]]])
    >>> masking_loss(out, active, torch.tensor([2]))
    tensor(25.)
    """
    batch, frames, channels, _ = encoder_out.shape
    if active.shape != (batch, channels, frames):
        raise ValueError(
            f"active must have shape (B, N, T) = {(batch, channels, frames)} for encoder_out "
            f"{tuple(encoder_out.shape)}, got {tuple(active.shape)}"
        )
    valid = torch.arange(frames, device=active.device) < num_frames.to(active.device)[:, None]
    silent = ~active & valid[:, None]  # (B, N, T)
    wide = encoder_out if encoder_out.dtype == torch.float64 else encoder_out.float()
    # Chosen before the square, not multiplied by 0: what is not there may be NaN.
    frames_in_question = torch.where(silent.transpose(1, 2)[..., None], wide, 0.0)
    energy = frames_in_question.square().mean(-1)  # (B, T, N)
    count = silent.sum(dim=(0, 2)).clamp_min(1)
    return (energy.sum(dim=(0, 1)) / count).sum()
