"""The recurrent label encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.state import State
from sb_alexa.transducer.predictor import Predictor


@dataclass(frozen=True)
class LSTMPredictorState(State):
    """Hidden and cell state, both (B, num_layers, hidden_size)."""

    hidden: Tensor
    cell: Tensor


class LSTMPredictor(Predictor[LSTMPredictorState]):
    """Embedding, LSTM, projection over the whole label history.

    Arguments
    ---------
    num_labels : int
        V, blank included; the blank's embedding is the start symbol.
    embedding_size : int
        Features of a label.
    hidden_size : int
        LSTM cells.
    output_size : int | None
        Size of the linear projection behind the LSTM; None leaves it out.
    dropout : float
        Probability, on embeddings, between layers and on the LSTM's output.
    num_layers : int
        LSTM layers.
    layer_norm : bool
        Normalise the output of the last layer.
    blank_index : int
        The blank.

    Shape
    -----
    input : (B, U) int64 labels
    output : (B, U, output_size), after each label

    Streaming
    ---------
    One output per label, no look-ahead; the state holds the LSTM's two vectors for each layer.

    Raises
    ------
    ValueError
        If a size is not positive or the dropout not in [0, 1).

    Reference
    ---------
    Radfar et al. 2022 (ConvRNN-T), arXiv 2209.14868: one layer of 640 cells, projected to 512.

    Example
    -------
    >>> predictor = LSTMPredictor(num_labels=2501, embedding_size=248)
    >>> sum(p.numel() for p in predictor.parameters())  # 0.620 M of them in the embedding
    3226840
    >>> out, state = predictor.start(2)
    >>> out.shape, predictor.all_histories(torch.tensor([[4, 5, 6], [7, 0, 0]])).shape
    (torch.Size([2, 1, 512]), torch.Size([2, 4, 512]))
    """

    def __init__(
        self,
        *,
        num_labels: int,
        embedding_size: int = 256,
        hidden_size: int = 640,
        output_size: int | None = 512,
        dropout: float = 0.0,
        num_layers: int = 1,
        layer_norm: bool = False,
        blank_index: int = 0,
    ) -> None:
        super().__init__()
        self._check_labels(num_labels, blank_index)
        self.output_size = hidden_size if output_size is None else output_size
        if (
            min(embedding_size, hidden_size, self.output_size, num_layers) < 1
            or not 0 <= dropout < 1
        ):
            raise ValueError(
                "LSTMPredictor needs sizes and num_layers >= 1 and dropout in [0, 1), got "
                f"embedding_size={embedding_size}, hidden_size={hidden_size}, "
                f"output_size={output_size}, num_layers={num_layers}, dropout={dropout}"
            )
        self.geometry = FrameGeometry(window=None)
        self.embedding = nn.Embedding(num_labels, embedding_size)
        self.lstm = nn.LSTM(
            embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.norm = nn.LayerNorm(hidden_size) if layer_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.projection = (
            nn.Identity() if output_size is None else nn.Linear(hidden_size, output_size)
        )

    def empty_state(self, batch_size: int) -> LSTMPredictorState:
        zeros = self.zeros(batch_size, self.lstm.num_layers, self.lstm.hidden_size)
        return LSTMPredictorState(zeros, zeros.clone())

    def forward_chunk(
        self, x: Tensor, state: LSTMPredictorState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, LSTMPredictorState]:
        self.check_chunk(x)
        embedded = self.dropout(self.embedding(x))
        if x.shape[1] == 0:  # torch's LSTM refuses sequences without steps
            return embedded.new_zeros(len(x), 0, self.output_size), state
        y, hidden, cell = (self._step if x.shape[1] == 1 else self._sequence)(embedded, state)
        # Autocast lowers what the LSTM returns, but a stream keeps its state's precision.
        after = LSTMPredictorState(hidden.to(state.hidden.dtype), cell.to(state.cell.dtype))
        return self.projection(self.dropout(self.norm(y))), after

    def _sequence(self, x: Tensor, state: LSTMPredictorState) -> tuple[Tensor, Tensor, Tensor]:
        """Output (B, U, H), hidden and cell state (B, layers, H)."""
        before = state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous()
        y, (hidden, cell) = self.lstm(x, before)
        return y, hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()

    def _step(self, x: Tensor, state: LSTMPredictorState) -> tuple[Tensor, Tensor, Tensor]:
        """A single label, as in a search.

        On CPU, torch's LSTM reorders its weights at each call, which takes 8 times as long as a
        step of 640 cells.
        """
        y, hidden, cell = x[:, 0], [], []
        for layer, weights in enumerate(self.lstm.all_weights):
            y = self.dropout(y) if layer else y
            before = state.hidden[:, layer], state.cell[:, layer]
            y, memory = torch.lstm_cell(y, before, *weights)
            hidden.append(y)
            cell.append(memory)
        return y[:, None], torch.stack(hidden, 1), torch.stack(cell, 1)
