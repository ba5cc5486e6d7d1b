"""What the parts of a beam search hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import State, cat, rows
from sb_alexa.transducer.label_bonus import LabelBonus

# A blank that the joiner rules out would end every hypothesis. Far below any real log-probability,
# it keeps their order and lets time pass.
_LEAST_BLANK_LOG_PROB = -1e4


class NotANumberError(Exception):
    """Scores of a stream are NaN: those of the joiner, or what is added to them."""

    def __init__(self, stream: int, is_joiner: bool) -> None:
        super().__init__(stream, is_joiner)
        self.stream = stream
        self.is_joiner = is_joiner


@dataclass(frozen=True)
class Networks(State):
    """What is computed once for each label sequence, in rows: those of the slots come first.

    Arguments
    ---------
    history : Tensor
        (R, J), projected.
    predictor : State
        After the last label.
    bonus : BonusState
        After the last label.
    bonus_scores : Tensor | tuple
        (R, V) nats for each label; an empty tuple for none.
    """

    history: Tensor
    predictor: Any
    bonus: Any
    bonus_scores: Any


@dataclass(frozen=True)
class Arcs(State):
    """What leaves hypotheses at one frame, (..., V) and (...,), in nats.

    Arguments
    ---------
    blank : Tensor
        (...,) log-probability.
    label : Tensor
        (..., V) log-probabilities; minus infinity for the blank.
    label_with_bonus : Tensor | tuple
        (..., V); an empty tuple without bonus.
    best : Tensor
        (...,), the largest of `score`.
    """

    blank: Tensor
    label: Tensor
    label_with_bonus: Any
    best: Tensor

    @property
    def score(self) -> Tensor:
        """(..., V) what a label adds to the score of a hypothesis."""
        return self.label if isinstance(self.label_with_bonus, tuple) else self.label_with_bonus


@dataclass(frozen=True)
class Rules:
    """The models and limits of a search, see `BeamSearch`."""

    predictor: Any
    joiner: Any
    bonus: LabelBonus
    blank_index: int
    max_symbols_per_frame: int
    pruning_margin: float
    expansion_margin: float

    def precision(self, history: Tensor) -> torch.dtype:
        """Of log-probabilities: float32 at least."""
        return torch.promote_types(history.dtype, torch.float32)

    def arcs(self, frames: Tensor, history: Tensor, bonus_scores: Any) -> Arcs:
        """Join (N, W, J) frames with (N, K, J) histories; the result has the shape (N, W, K)."""
        logits = self.joiner(frames[:, :, None], history[:, None])
        label = logits.log_softmax(-1, dtype=self.precision(history))
        blank = label[..., self.blank_index].clamp(min=_LEAST_BLANK_LOG_PROB)
        label[..., self.blank_index] = -torch.inf
        if isinstance(bonus_scores, tuple):
            return Arcs(blank, label, (), label.amax(-1))
        score = label + bonus_scores[:, None]
        return Arcs(blank, label, score, score.amax(-1))

    def threshold(self, score: Tensor, beam_size: int) -> Tensor:
        """(...,) what an expansion has to exceed, by the scores (..., W) of what leaves a frame."""
        if score.shape[-1] == beam_size:
            threshold = score.amin(-1)
        else:
            threshold = score.topk(beam_size, dim=-1).values[..., -1]
        if self.pruning_margin < torch.inf:
            threshold = torch.maximum(threshold, score.amax(-1) - self.pruning_margin)
        return threshold

    def extend(
        self, networks: Networks, parent: Tensor, token: Tensor, phrases: Any, stream: Tensor
    ) -> Networks:
        """Append rows: those of the parents (N,) with one more label (N,)."""
        parents = rows(networks, parent)
        out, predictor = self.predictor.forward_chunk(token[:, None], parents.predictor)
        history = self.joiner.project_predictor(out)[:, 0]
        bonus = self.bonus.advance(token, parents.bonus, phrases, stream)
        scores = self.bonus.scores(bonus, phrases, stream, self.precision(networks.history))
        return cat([networks, Networks(history, predictor, bonus, scores)])
