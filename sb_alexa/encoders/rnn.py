"""LSTM encoder: the recurrent baseline and the upper part of ConvRNN-T."""

from __future__ import annotations

from sb_alexa.nn.lstm_block import LSTMBlock
from sb_alexa.streaming.sequential import StreamingSequential


class LSTMEncoder(StreamingSequential):
    """A stack of LSTM layers, each followed by a projection with Swish and dropout.

    Arguments
    ---------
    input_size : int
        Features of a frame: 192 for three stacked frames of 64 log-mel energies.
    num_layers : int
        LSTM layers.
    hidden_size : int
        Cells of each layer.
    projection_size : int | None
        Outputs of each layer's projection, or None for a plain LSTM.
    dropout : float
        Share of outputs dropped after each layer in training.
    residual : bool
        Add a layer's input to its output wherever the sizes agree.
    layer_norm : bool
        Normalise each layer's output.
    forget_gate_bias : float
        Initial bias of the forget gates.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, output_size)

    Streaming
    ---------
    No look-ahead; the state holds the hidden and cell vectors of each layer.

    Reference
    ---------
    Radfar et al., "ConvRNN-T", Interspeech 2022, arXiv 2209.14868: the RNN-T baseline has 7 layers
    of 640 cells with 512 outputs, ConvRNN-T 6 above its convolutions. With the label encoder and
    the joint network the baseline counts 26.7 million parameters, not the 30 million printed.

    Example
    -------
    >>> import torch
    >>> encoder = LSTMEncoder(input_size=6, num_layers=2, hidden_size=8, projection_size=5)
    >>> encoder(torch.zeros(1, 4, 6)).shape, encoder.output_size
    (torch.Size([1, 4, 5]), 5)
    """

    def __init__(
        self,
        *,
        input_size: int = 192,
        num_layers: int = 7,
        hidden_size: int = 640,
        projection_size: int | None = 512,
        dropout: float = 0.1,
        residual: bool = False,
        layer_norm: bool = False,
        forget_gate_bias: float = 1.0,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"num_layers must be >= 1, got {num_layers}")
        output_size = projection_size or hidden_size
        super().__init__(
            *(
                LSTMBlock(
                    input_size=output_size if layer else input_size,
                    hidden_size=hidden_size,
                    projection_size=projection_size,
                    dropout=dropout,
                    residual=residual,
                    layer_norm=layer_norm,
                    forget_gate_bias=forget_gate_bias,
                )
                for layer in range(num_layers)
            )
        )
        self.output_size = output_size
