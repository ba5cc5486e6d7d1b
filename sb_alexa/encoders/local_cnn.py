"""Local part of the ConvRNN-T front end: two-dimensional convolutions over time and frequency."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sb_alexa.nn.causal_conv import CausalConvState
from sb_alexa.nn.causal_conv2d import CausalConv2d
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule


class LocalCNN(StreamingModule[tuple[CausalConvState, ...]]):
    """Causal convolutions over (time, frequency), ReLU after each, and a linear layer back to a
    vector.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    output_size : int | None
        Features of an output frame; None keeps `input_size`.
    channels : sequence of int
        Output channels of each convolution.
    kernel_size : int
        Odd, in frames and in frequency bins.
    frequency_strides : sequence of int | None
        Step of each convolution in frequency bins; None is 1 everywhere, as in the paper. The cost
        of everything after a stride falls by that factor.
    stack_as_channels : int
        Number of stacked frames in the input. They become input channels of the first convolution,
        which makes the frequency axis that much shorter; 1 lays them end to end on the frequency
        axis, as in the paper.
    separable : bool
        Split each convolution after the first into a depthwise and a pointwise one.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, output_size)

    Streaming
    ---------
    No look-ahead; the state holds ``kernel_size - 1`` input frames of each convolution.

    Reference
    ---------
    Radfar et al., "ConvRNN-T", Interspeech 2022, arXiv 2209.14868, section 2.2. The linear layer is
    derived from the parameter table. Strides, stacked channels and separable convolutions are our
    cheaper variants.

    Example
    -------
    >>> import torch
    >>> local = LocalCNN(
    ...     input_size=12, channels=(4, 2), stack_as_channels=3, frequency_strides=(2, 1)
    ... )
    >>> local(torch.zeros(1, 5, 12)).shape
    torch.Size([1, 5, 12])
    """

    def __init__(
        self,
        *,
        input_size: int = 192,
        output_size: int | None = None,
        channels: Sequence[int] = (100, 100, 64, 64),
        kernel_size: int = 5,
        frequency_strides: Sequence[int] | None = None,
        stack_as_channels: int = 1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        strides = [1] * len(channels) if frequency_strides is None else list(frequency_strides)
        if not channels or len(strides) != len(channels):
            raise ValueError(
                f"give each convolution a channel number and a frequency stride, got "
                f"channels={list(channels)} and frequency_strides={strides}"
            )
        if stack_as_channels < 1 or input_size % stack_as_channels:
            raise ValueError(
                f"stack_as_channels must divide input_size={input_size}, got {stack_as_channels}"
            )
        self.stack_as_channels = stack_as_channels
        self.input_features = (input_size,)
        self.output_size = output_size or input_size
        self.convs = nn.ModuleList()
        self.pointwise = nn.ModuleList()
        self.num_bins = input_size // stack_as_channels
        bins, width = self.num_bins, stack_as_channels
        for number, (size, stride) in enumerate(zip(channels, strides, strict=True)):
            depthwise = separable and number > 0
            conv = CausalConv2d(
                num_bins=bins,
                in_channels=width,
                out_channels=width if depthwise else size,
                kernel_size=kernel_size,
                frequency_stride=stride,
                groups=width if depthwise else 1,
            )
            self.convs.append(conv)
            self.pointwise.append(_linear(width, size) if depthwise else nn.Identity())
            bins, width = conv.output_bins, size
        self.output = nn.Linear(bins * width, self.output_size)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.geometry = FrameGeometry(window=len(channels) * (kernel_size - 1) + 1)

    def initial_state(self, batch_size: int) -> tuple[CausalConvState, ...]:
        return tuple(conv.initial_state(batch_size) for conv in self._convs_in_order())

    def forward_chunk(
        self, x: Tensor, state: tuple[CausalConvState, ...], num_steps: Tensor | None = None
    ) -> tuple[Tensor, tuple[CausalConvState, ...]]:
        self.check_chunk(x, state)
        # (B, T, N * F) -> (B, T, F, N)
        x = x.unflatten(2, (self.stack_as_channels, self.num_bins)).transpose(2, 3)
        after = []
        for conv, pointwise, before in zip(
            self._convs_in_order(), self.pointwise, state, strict=True
        ):
            x, new = conv.forward_chunk(x, before)
            x = torch.relu_(pointwise(x))
            after.append(new)
        return self.output(x.flatten(2)), tuple(after)

    def _convs_in_order(self) -> list[CausalConv2d]:
        return list(self.convs)  # type: ignore[arg-type]


def _linear(in_channels: int, out_channels: int) -> nn.Linear:
    linear = nn.Linear(in_channels, out_channels)
    nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear
