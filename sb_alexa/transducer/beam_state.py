"""Where a beam search stands between two chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sb_alexa.streaming.state import State, map_tensors


@dataclass(frozen=True)
class OpenLabels(State):
    """Labels on which the hypotheses of a stream may still differ, aligned to the left.

    Arguments
    ---------
    tokens : Tensor
        (B, K, L) int64, L the most labels that may be open; what follows the count is undefined.
    frames : Tensor
        (B, K, L) int64 encoder frame of each label, counted from the beginning of the stream.
    log_probs : Tensor
        (B, K, L) nats at emission.
    count : Tensor
        (B, K) open labels of each hypothesis.
    """

    tokens: Tensor
    frames: Tensor
    log_probs: Tensor
    count: Tensor


@dataclass(frozen=True)
class BeamState(State):
    """Everything a beam search knows about B streams of K hypotheses.

    The labels that a stream has given out already are no part of it, so its size does not depend on
    the age of the stream.

    Arguments
    ---------
    score : Tensor
        (B, K) float64 nats, minus infinity for an empty slot; in no order.
    path_score : Tensor
        (B, K) float64 log-probability of the best single alignment, which gives the frames.
    labels : OpenLabels
        What is not yet decided.
    history : Tensor
        (B, K, J), the joiner's projection of the predictor's output after the last label.
    predictor : State
        The predictor's state after the last label, (B, K, ...).
    bonus : State
        Of language model and phrases, (B, K, ...).
    phrases : PhraseTables | tuple
        The phrases of each stream; an empty tuple without.
    num_frames : Tensor
        (B,) frames searched since the beginning of each stream.
    """

    score: Tensor
    path_score: Tensor
    labels: OpenLabels
    history: Tensor
    predictor: Any
    bonus: Any
    phrases: Any
    num_frames: Tensor


def one_row_each(state: Any) -> Any:
    """(B, K, ...) to (B * K, ...), for modules that know nothing of beams."""
    return map_tensors(lambda tensor: tensor.flatten(0, 1), state)


def rows_of_beams(state: Any, beam_size: int) -> Any:
    """(B * K, ...) to (B, K, ...)."""
    return map_tensors(
        lambda tensor: tensor.reshape(len(tensor) // beam_size, beam_size, *tensor.shape[1:]), state
    )
