"""ConvRNN-T encoder: local and global convolutions before an LSTM stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.encoders.global_cnn import GlobalCNN
from sb_alexa.encoders.local_cnn import LocalCNN
from sb_alexa.encoders.rnn import LSTMEncoder
from sb_alexa.nn.frame_stacking import FrameStacking, FrameStackingState
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class ConvRNNTEncoderState(State):
    """The states of the parts; an empty tuple stands for a part that is switched off."""

    local_cnn: tuple[Any, ...]
    global_cnn: tuple[Any, ...]
    stacking: FrameStackingState
    lstm: tuple[Any, ...]


class ConvRNNTEncoder(StreamingModule[ConvRNNTEncoderState]):
    """Streaming encoder with a convolutional front end.

    ``u = local(x); g = global(u); LSTM(Linear(concat(u, g)))``. A part that is switched off is left
    out, and its input takes the place of its output; with one part only there is nothing to fuse,
    and the linear layer goes too.

    Arguments
    ---------
    input_size : int
        Features of a frame: 192 for three stacked frames of 64 log-mel energies.
    use_local, use_global : bool
        The paper's ablations switch one of them off.
    local_channels : sequence of int
        Output channels of the local convolutions.
    local_kernel_size : int
        Odd, in frames and in frequency bins.
    local_frequency_strides : sequence of int | None
        Step of each local convolution in bins; None is 1 everywhere.
    local_separable : bool
        Depthwise and pointwise instead of full convolutions.
    stack_as_channels : int
        Stacked frames that become input channels of the first convolution, see `LocalCNN`.
    front_end_size : int | None
        Features of the front end's output; None keeps `input_size`.
    global_dilations : sequence of int
        Dilation of each global block in frames.
    global_kernel_size, global_expansion : int
        Kernel and widening of each global block.
    depthwise : bool
        Depthwise convolutions in the global blocks; False meets the paper's parameter count.
    reduction_ratio : int
        Of the squeeze-and-excitation; 1 meets the paper's parameter count.
    time_stride : int
        Front-end frames stacked for each LSTM step: 2 runs the LSTMs at 60 ms.
    num_layers, hidden_size, projection_size, residual, layer_norm, forget_gate_bias
        Of the LSTM stack, see `LSTMEncoder`.
    dropout : float
        In the global blocks and after each LSTM layer.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T / time_stride, output_size)

    Streaming
    ---------
    No look-ahead beyond the stacked frames. The state holds the left context of the convolutions,
    the running means of the gates, and the hidden and cell vectors of the LSTMs.

    Reference
    ---------
    Radfar et al., "ConvRNN-T: Convolutional Augmented Recurrent Neural Network Transducers for
    Streaming Speech Recognition", Interspeech 2022, arXiv 2209.14868. Deviations: depthwise
    convolutions and reduction ratio 8 by default (`depthwise=False, reduction_ratio=1` has the
    table's 5.40 million parameters in the convolutions); forget gates start open.

    Example
    -------
    >>> import torch
    >>> encoder = ConvRNNTEncoder(
    ...     input_size=12,
    ...     local_channels=(4, 4),
    ...     global_dilations=(2, 4),
    ...     num_layers=1,
    ...     hidden_size=8,
    ...     projection_size=None,
    ...     time_stride=2,
    ... )
    >>> encoder(torch.zeros(1, 7, 12)).shape, encoder.output_size
    (torch.Size([1, 4, 8]), 8)
    """

    def __init__(
        self,
        *,
        input_size: int = 192,
        use_local: bool = True,
        use_global: bool = True,
        local_channels: Sequence[int] = (100, 100, 64, 64),
        local_kernel_size: int = 5,
        local_frequency_strides: Sequence[int] | None = None,
        local_separable: bool = False,
        stack_as_channels: int = 1,
        front_end_size: int | None = None,
        global_dilations: Sequence[int] = (2, 4, 8, 16, 32, 64),
        global_kernel_size: int = 3,
        global_expansion: int = 2,
        depthwise: bool = True,
        reduction_ratio: int = 8,
        time_stride: int = 1,
        num_layers: int = 6,
        hidden_size: int = 640,
        projection_size: int | None = 512,
        dropout: float = 0.1,
        residual: bool = False,
        layer_norm: bool = False,
        forget_gate_bias: float = 1.0,
    ) -> None:
        super().__init__()
        if not (use_local or use_global):
            raise ValueError(
                "use_local and use_global are both False: for no convolutions use LSTMEncoder"
            )
        size = front_end_size or input_size
        if not use_local and size != input_size:
            raise ValueError(
                f"without the local part front_end_size must be input_size={input_size}, got {size}"
            )
        self.local_cnn = self.global_cnn = self.fusing = None
        if use_local:
            self.local_cnn = LocalCNN(
                input_size=input_size,
                output_size=size,
                channels=local_channels,
                kernel_size=local_kernel_size,
                frequency_strides=local_frequency_strides,
                stack_as_channels=stack_as_channels,
                separable=local_separable,
            )
        if use_global:
            self.global_cnn = GlobalCNN(
                num_features=size,
                dilations=global_dilations,
                kernel_size=global_kernel_size,
                expansion=global_expansion,
                depthwise=depthwise,
                reduction_ratio=reduction_ratio,
                dropout=dropout,
            )
        if use_local and use_global:
            self.fusing = nn.Linear(2 * size, size)
            nn.init.xavier_uniform_(self.fusing.weight)
            nn.init.zeros_(self.fusing.bias)
        self.stacking = FrameStacking(num_features=size, num_frames=time_stride)
        self.lstm = LSTMEncoder(
            input_size=size * time_stride,
            num_layers=num_layers,
            hidden_size=hidden_size,
            projection_size=projection_size,
            dropout=dropout,
            residual=residual,
            layer_norm=layer_norm,
            forget_gate_bias=forget_gate_bias,
        )
        self.output_size = self.lstm.output_size
        self.input_features = (input_size,)
        front_end = self.local_cnn.geometry if self.local_cnn else FrameGeometry()
        self.geometry = front_end.then(self.stacking.geometry).then(self.lstm.geometry)

    def initial_state(self, batch_size: int) -> ConvRNNTEncoderState:
        return ConvRNNTEncoderState(
            local_cnn=self.local_cnn.initial_state(batch_size) if self.local_cnn else (),
            global_cnn=self.global_cnn.initial_state(batch_size) if self.global_cnn else (),
            stacking=self.stacking.initial_state(batch_size),
            lstm=self.lstm.initial_state(batch_size),
        )

    def forward_chunk(
        self, x: Tensor, state: ConvRNNTEncoderState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, ConvRNNTEncoderState]:
        self.check_chunk(x, state)
        local_state, global_state = state.local_cnn, state.global_cnn
        if self.local_cnn is not None:
            x, local_state = self.local_cnn.forward_chunk(x, local_state)
        if self.global_cnn is not None:
            context, global_state = self.global_cnn.forward_chunk(x, global_state, num_steps)
            x = context if self.fusing is None else self.fusing(torch.cat([x, context], dim=-1))
        x, stacking = self.stacking.forward_chunk(x, state.stacking)
        y, lstm = self.lstm.forward_chunk(x, state.lstm)
        return y, ConvRNNTEncoderState(local_state, global_state, stacking, lstm)

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of each part, in the order of processing; parts that are off count
        0.

        Returns
        -------
        dict
            Keys ``local``, ``global``, ``fusing`` and ``lstm``.

        Example
        -------
        >>> import torch
        >>> with torch.device("meta"):
        ...     encoder = ConvRNNTEncoder(depthwise=False, reduction_ratio=1)
        >>> encoder.parameter_counts()
        {'local': 2874716, 'global': 2446848, 'fusing': 73920, 'lstm': 18875392}
        """
        parts = {
            "local": self.local_cnn,
            "global": self.global_cnn,
            "fusing": self.fusing,
            "lstm": self.lstm,
        }
        return {
            name: sum(parameter.numel() for parameter in part.parameters()) if part else 0
            for name, part in parts.items()
        }
