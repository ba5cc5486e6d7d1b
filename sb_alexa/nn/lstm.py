"""One LSTM layer that streams."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State

STEPWISE_FRAMES = 16


@dataclass(frozen=True)
class LSTMState(State):
    """What the layer remembers.

    Arguments
    ---------
    hidden : Tensor
        (B, H) output of the last frame.
    cell : Tensor
        (B, H) cell contents after the last frame.
    """

    hidden: Tensor
    cell: Tensor


class StreamingLSTM(StreamingModule[LSTMState]):
    """A unidirectional LSTM layer with an explicit state.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    hidden_size : int
        Number of cells, H.
    forget_gate_bias : float
        Initial bias of the forget gate. 1.0 keeps the memory open at the start of training; torch's
        own initialisation is near 0, with which small transducers learn the text before they learn
        to listen.

    Shape
    -----
    input : (B, T, input_size)
    output : (B, T, hidden_size)

    Streaming
    ---------
    No look-ahead. The state holds `hidden` and `cell`, (B, H) each.

    Example
    -------
    >>> import torch
    >>> lstm = StreamingLSTM(input_size=4, hidden_size=6).double()
    >>> x = torch.randn(2, 7, 4, dtype=torch.float64)
    >>> first, state = lstm.forward_chunk(x[:, :3], lstm.initial_state(2))
    >>> second, state = lstm.forward_chunk(x[:, 3:], state)
    >>> torch.allclose(torch.cat([first, second], dim=1), lstm(x), atol=1e-12)
    True
    """

    def __init__(self, *, input_size: int, hidden_size: int, forget_gate_bias: float = 1.0) -> None:
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise ValueError(
                f"input_size and hidden_size must be >= 1, got {input_size} and {hidden_size}"
            )
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.input_features = (input_size,)
        self.geometry = FrameGeometry(window=None)
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self._initialise(forget_gate_bias)

    def _initialise(self, forget_gate_bias: float) -> None:
        parameters = dict(self.lstm.named_parameters())
        with torch.no_grad():
            for gate in parameters["weight_ih_l0"].chunk(4):
                nn.init.xavier_uniform_(gate)
            for gate in parameters["weight_hh_l0"].chunk(4):
                nn.init.orthogonal_(gate)
            parameters["bias_ih_l0"].zero_()
            parameters["bias_hh_l0"].zero_()
            parameters["bias_ih_l0"].chunk(4)[1].fill_(forget_gate_bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros = self.zeros(batch_size, self.hidden_size)
        return LSTMState(hidden=zeros, cell=zeros)

    def forward_chunk(
        self, x: Tensor, state: LSTMState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        self.check_chunk(x, state)
        if x.shape[1] == 0:  # torch refuses a sequence of no steps
            return x.new_zeros(x.shape[0], 0, self.hidden_size), state
        if x.is_cpu and not torch.is_grad_enabled() and x.shape[1] <= STEPWISE_FRAMES:
            y, hidden, cell = _stepwise(self.lstm, x, state.hidden, state.cell)
        else:
            y, (hidden, cell) = self.lstm(x, (state.hidden[None], state.cell[None]))
            hidden, cell = hidden[0], cell[0]
        # Under autocast the layer answers in bfloat16; a state keeps the precision it began with.
        return y, LSTMState(hidden.to(state.hidden.dtype), cell.to(state.cell.dtype))


def _stepwise(
    lstm: nn.LSTM, x: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same layer as a loop over frames, for short chunks without gradients on a CPU.

    oneDNN, which `nn.LSTM` calls there, repacks all weights at each call: 6 layers of 640 cells
    took 52 ms for 5 frames of one stream, this loop 15 ms. (Without oneDNN `nn.LSTM` is as fast,
    but the switch is global, and two threads that flip it can leave it off for good.)
    """
    weights = dict(lstm.named_parameters())
    recurrent = weights["weight_hh_l0"]
    gates = F.linear(x, weights["weight_ih_l0"], weights["bias_ih_l0"] + weights["bias_hh_l0"])
    outputs = []
    for frame in gates.unbind(dim=1):  # (B, 4 H), gates in the order i, f, g, o
        if len(hidden) == 1:  # a matrix-vector product reads the weights once, at memory speed
            frame = torch.addmv(frame[0], recurrent, hidden[0])[None]
        else:
            frame = torch.addmm(frame, hidden, recurrent.t())
        opening, forget, candidate, output = frame.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(opening) * torch.tanh(candidate)
        hidden = torch.sigmoid(output) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs, dim=1), hidden, cell
