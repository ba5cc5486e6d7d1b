"""A penalty on end-of-turn tokens that come late, or early."""

from __future__ import annotations

import torch
from torch import Tensor


def end_of_turn_penalty(
    turn_end_s: Tensor,
    num_frames: int,
    *,
    seconds_per_frame: float,
    buffer_frames: float = 5.0,
    late_slope: float = 1.0,
    early_slope: float = 0.0,
    largest: float = 30.0,
) -> Tensor:
    """What the arcs of a lattice that emit ``<eot>`` lose, as `label_penalty` of a transducer loss.

    ``log P(<eot> at t) -= max(0, late_slope (t - buffer - t_end))
    + max(0, early_slope (t_end - t))``, at most `largest`. The bound is what lets the penalty be
    combined with FastEmit: without it, the arcs of a token that a young model emits seconds late
    lose hundreds of nats, every other arc of the alignment then follows the penalty instead of the
    audio, and FastEmit amplifies just those. Beyond the bound later is not worse, and the order of
    the alignments is that of the model again.

    Arguments
    ---------
    turn_end_s : Tensor
        (B, U) end of the turn that a label closes, in seconds; NaN for every other label.
    num_frames : int
        T of the lattice.
    seconds_per_frame : float
        Of the encoder's output.
    buffer_frames : float
        tau: frames after the end of the turn without a penalty; the paper tries 3, 5, 7 and 10
        frames of 30 ms.
    late_slope : float
        alpha, nats per frame; the paper takes 1.
    early_slope : float
        Nats per frame before the end of the turn; 0 in the paper.
    largest : float
        Nats.

    Returns
    -------
    Tensor
        (B, T, U) nats, 0 or below, float32 (float64 for float64 input).

    Raises
    ------
    ValueError
        If a slope or the buffer is negative, or `largest` not positive.

    Reference
    ---------
    Sklyar et al., Interspeech 2022, arXiv 2205.05199; the early term is that of Li et al., "Towards
    fast and accurate streaming end-to-end ASR", ICASSP 2020, arXiv 2004.11544. The bound is ours.

    Example
    -------
    >>> ends = torch.tensor([[float("nan"), 0.5]])  # the second label ends a turn at 0.5 s
    >>> end_of_turn_penalty(ends, 6, seconds_per_frame=0.25, buffer_frames=1.0)[0, :, 1].tolist()
    [0.0, 0.0, 0.0, 0.0, -1.0, -2.0]
    """
    if min(buffer_frames, late_slope, early_slope) < 0 or not largest > 0:
        raise ValueError(
            "buffer_frames, late_slope and early_slope must be >= 0 and largest > 0, got "
            f"{buffer_frames}, {late_slope}, {early_slope} and {largest}"
        )
    end = turn_end_s / seconds_per_frame  # (B, U), frames
    frame = torch.arange(num_frames, device=end.device, dtype=end.dtype)
    late = frame[:, None] - end[:, None]  # (B, T, U)
    penalty = late_slope * (late - buffer_frames).clamp_min(0) + early_slope * (-late).clamp_min(0)
    return 0.0 - penalty.clamp_max(largest).nan_to_num(nan=0.0)
