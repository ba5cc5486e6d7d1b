"""Squeeze-and-excitation that looks at the past only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class SqueezeExcitationState(State):
    """The running mean in two parts.

    Arguments
    ---------
    total : Tensor
        (B, C) float64 sum of all frames so far: in float32 the sum of an hour loses four digits.
    num_frames : Tensor
        (B,) int64 frames so far.
    """

    total: Tensor
    num_frames: Tensor


class CausalSqueezeExcitation(StreamingModule[SqueezeExcitationState]):
    """Scale the channels of each frame by a gate computed from the mean of all frames up to it.

    ``y_t = x_t * sigmoid(W_1 ReLU(W_2 mean_{k <= t} x_k))``

    Arguments
    ---------
    num_channels : int
        Features of a frame, C.
    reduction_ratio : int
        C divided by this is the width of the hidden layer.

    Shape
    -----
    input : (B, T, C)
    output : (B, T, C)

    Streaming
    ---------
    No look-ahead; the state holds the sum (B, C) in float64 and the number (B,) of the frames so
    far.

    Reference
    ---------
    Radfar et al., "ConvRNN-T", Interspeech 2022, arXiv 2209.14868. The reduction ratio is not
    stated there; 8 is our choice, and 1 meets the paper's parameter count.

    Example
    -------
    >>> import torch
    >>> gate = CausalSqueezeExcitation(num_channels=8)
    >>> x = torch.randn(1, 5, 8)
    >>> bool(torch.allclose(gate(x)[:, :3], gate(x[:, :3])))  # the future plays no part
    True
    """

    def __init__(self, *, num_channels: int, reduction_ratio: int = 8) -> None:
        super().__init__()
        if reduction_ratio < 1 or num_channels < reduction_ratio:
            raise ValueError(
                f"reduction_ratio must be between 1 and num_channels={num_channels}, "
                f"got {reduction_ratio}"
            )
        self.squeeze = nn.Linear(num_channels, num_channels // reduction_ratio)
        self.excite = nn.Linear(num_channels // reduction_ratio, num_channels)
        self.input_features = (num_channels,)
        self.geometry = FrameGeometry(window=None)

    def initial_state(self, batch_size: int) -> SqueezeExcitationState:
        device = self.squeeze.weight.device
        return SqueezeExcitationState(
            total=torch.zeros(
                batch_size, self.input_features[0], dtype=torch.float64, device=device
            ),
            num_frames=torch.zeros(batch_size, dtype=torch.int64, device=device),
        )

    def forward_chunk(
        self, x: Tensor, state: SqueezeExcitationState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, SqueezeExcitationState]:
        self.check_chunk(x, state)
        steps = x.shape[1]
        if steps == 0:
            return x, state
        totals = x.double().cumsum(dim=1) + state.total[:, None]  # (B, T, C)
        counts = state.num_frames[:, None] + torch.arange(1, steps + 1, device=x.device)  # (B, T)
        mean = (totals / counts[..., None]).to(x.dtype)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))
        after = SqueezeExcitationState(totals[:, -1].clone(), state.num_frames + steps)
        return x * gate.to(x.dtype), after
