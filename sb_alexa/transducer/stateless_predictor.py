"""The label encoder that sees the last labels only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.state import State
from sb_alexa.transducer.predictor import Predictor


@dataclass(frozen=True)
class StatelessPredictorState(State):
    """The last labels, (B, context_size - 1) int64, filled up with the start symbol."""

    labels: Tensor


class StatelessPredictor(Predictor[StatelessPredictorState]):
    """Embedding and a convolution over the last `context_size` labels, then ReLU.

    Arguments
    ---------
    num_labels : int
        V, blank included; the blank's embedding is the start symbol, which also fills a short
        history.
    embedding_size : int
        Features of a label.
    context_size : int
        Labels seen, the current one included.
    output_size : int | None
        Channels of the convolution; None means `embedding_size`.
    groups : int
        Groups of the convolution: 1 for a full one, `embedding_size` for a depthwise one.
    dropout : float
        Probability, on the embeddings.
    blank_index : int
        The blank.

    Shape
    -----
    input : (B, U) int64 labels
    output : (B, U, output_size), after each label

    Streaming
    ---------
    One output per label, no look-ahead; the state holds the last ``context_size - 1`` labels.

    Raises
    ------
    ValueError
        If a size is not positive, the groups divide neither size, or the dropout is not in [0, 1).

    Reference
    ---------
    Ghodsi et al. 2020, "RNN-transducer with stateless prediction network" (ICASSP): an embedding of
    the last labels. The convolution and the ReLU are those of icefall's `Decoder`.

    Example
    -------
    >>> predictor = StatelessPredictor(num_labels=200, embedding_size=8, context_size=2)
    >>> histories = predictor.all_histories(torch.tensor([[3, 4, 5], [9, 4, 5]]))
    >>> histories.shape
    torch.Size([2, 4, 8])
    >>> bool((histories[0, 3] == histories[1, 3]).all())  # both end in (4, 5)
    True
    """

    def __init__(
        self,
        *,
        num_labels: int,
        embedding_size: int = 256,
        context_size: int = 2,
        output_size: int | None = None,
        groups: int = 1,
        dropout: float = 0.0,
        blank_index: int = 0,
    ) -> None:
        super().__init__()
        self._check_labels(num_labels, blank_index)
        self.output_size = embedding_size if output_size is None else output_size
        if min(embedding_size, self.output_size, context_size) < 1 or not 0 <= dropout < 1:
            raise ValueError(
                "StatelessPredictor needs sizes >= 1 and dropout in [0, 1), got "
                f"embedding_size={embedding_size}, output_size={output_size}, "
                f"context_size={context_size}, dropout={dropout}"
            )
        if groups < 1 or embedding_size % groups or self.output_size % groups:
            raise ValueError(
                f"groups {groups} must divide embedding_size {embedding_size} and output_size "
                f"{self.output_size}"
            )
        self.context_size = context_size
        self.geometry = FrameGeometry(window=context_size)
        self.embedding = nn.Embedding(num_labels, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv1d(embedding_size, self.output_size, context_size, groups=groups)

    def empty_state(self, batch_size: int) -> StatelessPredictorState:
        return StatelessPredictorState(
            self._start_symbols(batch_size).repeat(1, self.context_size - 1)
        )

    def forward_chunk(
        self, x: Tensor, state: StatelessPredictorState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, StatelessPredictorState]:
        self.check_chunk(x)
        labels = torch.cat([state.labels, x], dim=1)
        after = StatelessPredictorState(labels[:, x.shape[1] :].contiguous())
        if x.shape[1] == 0:  # torch's convolution refuses inputs shorter than its kernel
            return self.zeros(len(x), 0, self.output_size), after
        embedded = self.dropout(self.embedding(labels))
        return torch.relu(self.convolution(embedded.transpose(1, 2))).transpose(1, 2), after
