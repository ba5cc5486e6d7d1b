"""Arbitrator that remembers the frames before."""

from __future__ import annotations

from torch import Tensor, nn

from sb_alexa.nn.arbitrator import Arbitrator
from sb_alexa.nn.lstm import LSTMState, StreamingLSTM
from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.sequential import StreamingSequential


class RecurrentArbitrator(Arbitrator[tuple[LSTMState, ...]]):
    """LSTM layers and a projection to the toggles.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    num_blocks : int
        Transformer blocks that it decides about.
    nhead : int
        Heads of a block.
    hidden_size : int
        Cells of a layer.
    num_layers : int
        LSTM layers.
    bias : float
        Initial bias of the toggles: gates start open, with probability 0.88 at 2.
    feed_forward_groups : int
        Parts of a feed-forward module with toggles of their own; 1 is the paper.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, num_blocks, feed_forward_groups + 2 * nhead)

    Streaming
    ---------
    No look-ahead; the state is that of the LSTM layers.

    Reference
    ---------
    Xie et al., Interspeech 2022, arXiv 2207.02393, "rnn": 2 LSTM layers of 128 cells, 0.5 million
    parameters and operations. The initial bias is ours.

    Example
    -------
    >>> import torch
    >>> arbitrator = RecurrentArbitrator(input_size=516, num_blocks=12, nhead=4)
    >>> arbitrator(torch.zeros(1, 3, 516)).shape, arbitrator.macs_per_frame
    (torch.Size([1, 3, 12, 9]), 474624)
    """

    geometry = FrameGeometry(window=None)

    def __init__(
        self,
        *,
        input_size: int,
        num_blocks: int,
        nhead: int,
        hidden_size: int = 128,
        num_layers: int = 2,
        bias: float = 2.0,
        feed_forward_groups: int = 1,
    ) -> None:
        super().__init__(
            input_size=input_size,
            num_blocks=num_blocks,
            nhead=nhead,
            feed_forward_groups=feed_forward_groups,
        )
        if hidden_size < 1 or num_layers < 1:
            raise ValueError(
                f"hidden_size and num_layers must be >= 1, got {hidden_size} and {num_layers}"
            )
        self.layers = StreamingSequential(
            *(
                StreamingLSTM(
                    input_size=hidden_size if layer else input_size, hidden_size=hidden_size
                )
                for layer in range(num_layers)
            )
        )
        self.toggles = nn.Linear(hidden_size, self.num_toggles)
        nn.init.constant_(self.toggles.bias, bias)

    @property
    def macs_per_frame(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters() if parameter.dim() == 2)

    def initial_state(self, batch_size: int) -> tuple[LSTMState, ...]:
        return self.layers.initial_state(batch_size)

    def forward_chunk(
        self, x: Tensor, state: tuple[LSTMState, ...], num_steps: Tensor | None = None
    ) -> tuple[Tensor, tuple[LSTMState, ...]]:
        self.check_chunk(x, state)
        y, state = self.layers.forward_chunk(x, state)
        return self.toggles(y).unflatten(-1, (self.num_blocks, self.layout.count)), state
