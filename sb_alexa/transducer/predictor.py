"""What every predictor (label encoder) of a transducer has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from sb_alexa.streaming.module import StreamingModule

S = TypeVar("S")


class Predictor(StreamingModule[S]):
    """A streaming module over labels, which encodes the history of emitted labels.

    Every history begins with a start symbol. It is the blank, which never occurs inside of a
    history, so that its row of the embedding table is free for this. A fresh state has seen the
    start symbol and nothing else.

    Attributes
    ----------
    num_labels : int
        V, blank included.
    output_size : int
        Features of an output.
    blank_index : int
        The blank, also the start symbol.

    Shape
    -----
    input : (B, U) int64 labels
    output : (B, U, output_size), after each label

    Example
    -------
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> predictor = StatelessPredictor(num_labels=9, embedding_size=4)
    >>> histories = predictor.all_histories(torch.tensor([[5, 6]]))
    >>> first, state = predictor.start(batch_size=1)
    >>> second, state = predictor.forward_chunk(torch.tensor([[5]]), state)
    >>> torch.allclose(torch.cat([first, second], dim=1), histories[:, :2])
    True
    """

    num_labels: int
    output_size: int
    blank_index: int

    @abstractmethod
    def empty_state(self, batch_size: int) -> S:
        """The state before the start symbol."""

    def start(self, batch_size: int) -> tuple[Tensor, S]:
        """Encode the empty history.

        Arguments
        ---------
        batch_size : int
            Number of rows.

        Returns
        -------
        Tensor
            (B, 1, output_size).
        State
            The fresh state, to be continued with the first label.
        """
        return self.forward_chunk(self._start_symbols(batch_size), self.empty_state(batch_size))

    def initial_state(self, batch_size: int) -> S:
        return self.start(batch_size)[1]

    def all_histories(self, targets: Tensor) -> Tensor:
        """Encode every beginning of the targets, the empty one included.

        Arguments
        ---------
        targets : Tensor
            (B, U) labels in 0..V-1; the padding on the right may be any of them.

        Returns
        -------
        Tensor
            (B, U + 1, output_size): entry u has seen the first u labels.
        """
        symbols = torch.cat([self._start_symbols(len(targets)), targets.long()], dim=1)
        return self.forward_chunk(symbols, self.empty_state(len(targets)))[0]

    def _start_symbols(self, batch_size: int) -> Tensor:
        device = next(self.parameters()).device
        return torch.full((batch_size, 1), self.blank_index, dtype=torch.long, device=device)

    def _check_labels(self, num_labels: int, blank_index: int) -> None:
        if num_labels < 2 or not 0 <= blank_index < num_labels:
            raise ValueError(
                "a predictor needs num_labels >= 2 (blank included) and blank_index in "
                f"0..num_labels-1, got num_labels={num_labels} and blank_index={blank_index}"
            )
        self.num_labels = num_labels
        self.blank_index = blank_index
