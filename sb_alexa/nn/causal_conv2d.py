"""Convolution over time and frequency that is causal in time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.nn.causal_conv import CausalConvState, with_past
from sb_alexa.nn.winograd import FrequencyWinograd
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule


class CausalConv2d(StreamingModule[CausalConvState]):
    """Convolution over (time, frequency): causal in time, centred in frequency.

    Arguments
    ---------
    num_bins : int
        Frequency bins of the input, F.
    in_channels : int
        Channels of the input.
    out_channels : int
        Channels of the output.
    kernel_size : int
        Odd number of frames and of bins under the kernel.
    frequency_stride : int
        Step in frequency bins; ``ceil(F / frequency_stride)`` bins remain. The step in time is 1.
    groups : int
        Blocks of channels that do not see each other.

    Shape
    -----
    input : (B, T, F, in_channels)
    output : (B, T, ceil(F / frequency_stride), out_channels)

    Streaming
    ---------
    No look-ahead; the state holds ``kernel_size - 1`` input frames.

    Example
    -------
    >>> import torch
    >>> conv = CausalConv2d(
    ...     num_bins=8, in_channels=1, out_channels=3, kernel_size=5, frequency_stride=2
    ... )
    >>> conv(torch.zeros(1, 7, 8, 1)).shape, conv.initial_state(1).past.shape
    (torch.Size([1, 7, 4, 3]), torch.Size([1, 4, 8, 1]))
    """

    def __init__(
        self,
        *,
        num_bins: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        frequency_stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, so that the kernel has a centre bin, got {kernel_size}"
            )
        if frequency_stride < 1:
            raise ValueError(f"frequency_stride must be >= 1, got {frequency_stride}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups must divide the channels, got {groups} for {in_channels} -> {out_channels}"
            )
        self.output_bins = -(-num_bins // frequency_stride)
        self.left_context_frames = kernel_size - 1
        self.input_features = (num_bins, in_channels)
        self.geometry = FrameGeometry(window=kernel_size)
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=(1, frequency_stride),
            padding=(0, kernel_size // 2),
            groups=groups,
        )
        nn.init.kaiming_uniform_(self.conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self._winograd: FrequencyWinograd | None = None

    def initial_state(self, batch_size: int) -> CausalConvState:
        return CausalConvState(
            self.zeros(batch_size, self.left_context_frames, *self.input_features)
        )

    def forward_chunk(
        self, x: Tensor, state: CausalConvState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, CausalConvState]:
        self.check_chunk(x, state)
        conv = self.conv
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, self.output_bins, conv.out_channels), state
        joined, state = with_past(x, state)
        if self._winograd_pays(x):
            if self._winograd is None or not self._winograd.is_made_of(conv.weight):
                self._winograd = FrequencyWinograd(conv.weight)
            y = self._winograd(joined)
            return y if conv.bias is None else y.add_(conv.bias), state
        # (B, L + T, F, C) seen as (B, C, L + T, F) is torch's channels-last layout: nothing is
        # copied.
        y = F.conv2d(
            joined.permute(0, 3, 1, 2),
            conv.weight,
            conv.bias,
            stride=conv.stride,
            padding=conv.padding,
            groups=conv.groups,
        )
        return y.permute(0, 2, 3, 1), state

    def _winograd_pays(self, x: Tensor) -> bool:
        """The direct form serves gradients, GPUs, bfloat16 and export."""
        conv = self.conv
        return (
            x.is_cpu
            and x.dtype == conv.weight.dtype
            and x.dtype in (torch.float32, torch.float64)
            and conv.kernel_size[0] in (3, 5)
            and conv.stride[1] == conv.groups == 1
            and conv.in_channels >= 16
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )
