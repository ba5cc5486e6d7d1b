"""Global part of the ConvRNN-T front end: dilated convolutions over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sb_alexa.nn.batch_norm import MaskedBatchNorm
from sb_alexa.nn.causal_conv import CausalConv1d, CausalConvState
from sb_alexa.nn.squeeze_excitation import CausalSqueezeExcitation, SqueezeExcitationState
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.sequential import StreamingSequential
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class GlobalCNNBlockState(State):
    """The states of the block's convolution and of its squeeze-and-excitation."""

    conv: CausalConvState
    gate: SqueezeExcitationState


class GlobalCNNBlock(StreamingModule[GlobalCNNBlockState]):
    """Pointwise, depthwise dilated and pointwise convolution over time, gate, dropout and residual
    connection.

    Arguments
    ---------
    num_features : int
        Features of a frame, D, which are the channels here.
    kernel_size : int
        Frames under the kernel of the middle convolution.
    dilation : int
        Distance of its elements in frames.
    expansion : int
        The first convolution widens D by this factor.
    depthwise : bool
        False leaves the middle convolution ungrouped, which the paper's parameter count needs and
        its text denies.
    reduction_ratio : int
        Of the squeeze-and-excitation.
    dropout : float
        Share of features dropped before the residual addition in training.

    Shape
    -----
    input : (B, T, D)
    output : (B, T, D)

    Streaming
    ---------
    No look-ahead; the state holds ``(kernel_size - 1) * dilation`` frames and the running mean of
    the gate.

    Example
    -------
    >>> import torch
    >>> GlobalCNNBlock(num_features=8, dilation=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        *,
        num_features: int,
        kernel_size: int = 3,
        dilation: int = 1,
        expansion: int = 2,
        depthwise: bool = True,
        reduction_ratio: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if expansion < 1:
            raise ValueError(f"expansion must be >= 1, got {expansion}")
        width = expansion * num_features
        self.expand = nn.Linear(num_features, width)
        self.expand_norm = MaskedBatchNorm(width)
        self.conv = CausalConv1d(
            in_channels=width,
            out_channels=num_features,
            kernel_size=kernel_size,
            dilation=dilation,
            groups=num_features if depthwise else 1,
        )
        self.conv_norm = MaskedBatchNorm(num_features)
        self.mix = nn.Linear(num_features, num_features)
        self.gate = CausalSqueezeExcitation(
            num_channels=num_features, reduction_ratio=reduction_ratio
        )
        self.dropout = nn.Dropout(dropout)
        self.input_features = (num_features,)
        self.geometry = FrameGeometry(window=None)

    def initial_state(self, batch_size: int) -> GlobalCNNBlockState:
        return GlobalCNNBlockState(
            conv=self.conv.initial_state(batch_size), gate=self.gate.initial_state(batch_size)
        )

    def forward_chunk(
        self, x: Tensor, state: GlobalCNNBlockState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, GlobalCNNBlockState]:
        self.check_chunk(x, state)
        y = self.expand_norm(torch.relu(self.expand(x)), num_steps)
        y, conv = self.conv.forward_chunk(y, state.conv)
        y = self.conv_norm(torch.relu(y), num_steps)
        y, gate = self.gate.forward_chunk(self.mix(y), state.gate)
        return x + self.dropout(y), GlobalCNNBlockState(conv, gate)


class GlobalCNN(StreamingSequential):
    """Blocks of growing dilation: context of several seconds at a small cost.

    Arguments
    ---------
    num_features : int
        Features of a frame, D.
    dilations : sequence of int
        Dilation of each block in frames.
    kernel_size, expansion, depthwise, reduction_ratio, dropout
        Of each block, see `GlobalCNNBlock`.

    Shape
    -----
    input : (B, T, D)
    output : (B, T, D)

    Streaming
    ---------
    No look-ahead; the state holds the states of the blocks.

    Reference
    ---------
    Radfar et al., "ConvRNN-T", Interspeech 2022, arXiv 2209.14868, section 2.3. The exponents 1..6
    of the dilation are our choice, the paper gives no range.

    Example
    -------
    >>> import torch
    >>> GlobalCNN(num_features=8, dilations=(2, 4))(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        *,
        num_features: int = 192,
        dilations: Sequence[int] = (2, 4, 8, 16, 32, 64),
        kernel_size: int = 3,
        expansion: int = 2,
        depthwise: bool = True,
        reduction_ratio: int = 8,
        dropout: float = 0.1,
    ) -> None:
        if not dilations:
            raise ValueError("dilations must name at least one block, for example (2, 4, 8)")
        super().__init__(
            *(
                GlobalCNNBlock(
                    num_features=num_features,
                    kernel_size=kernel_size,
                    dilation=dilation,
                    expansion=expansion,
                    depthwise=depthwise,
                    reduction_ratio=reduction_ratio,
                    dropout=dropout,
                )
                for dilation in dilations
            )
        )
        self.output_size = num_features
