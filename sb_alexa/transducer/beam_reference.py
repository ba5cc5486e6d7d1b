"""Slow and readable searches of one utterance, which the fast one is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sb_alexa.transducer.hypothesis import Hypothesis, ScoredHypothesis

Labels = tuple[int, ...]


class LabelDistributions:
    """Log-probabilities of blank and labels for any frame and any history.

    Arguments
    ---------
    predictor : Predictor
        In evaluation mode.
    joiner : Joiner
        Its projections and its output layer.
    encoder_out : Tensor
        (T, C), one utterance.
    blank_index : int
        The blank.
    """

    def __init__(
        self, predictor: Any, joiner: Any, encoder_out: Tensor, blank_index: int = 0
    ) -> None:
        self._predictor, self._joiner = predictor, joiner
        self._frames = joiner.project_encoder(encoder_out)
        self.num_frames = len(encoder_out)
        self.blank_index = blank_index
        self._known: dict[Labels, list[list[float]]] = {}

    @torch.no_grad()
    def __call__(self, frame: int, history: Labels) -> list[float]:
        """(V,) nats."""
        if history not in self._known:
            out = self._predictor.all_histories(torch.tensor([history], dtype=torch.long))[:, -1:]
            part = self._joiner.project_predictor(out)[0]
            log_probs = self._joiner(self._frames, part).log_softmax(-1, dtype=torch.float64)
            self._known[history] = log_probs.tolist()
        return self._known[history][frame]

    def labels(self, frame: int, history: Labels) -> Iterator[tuple[int, float]]:
        """Labels other than the blank, with their log-probabilities."""
        for label, log_prob in enumerate(self(frame, history)):
            if label != self.blank_index:
                yield label, log_prob

    def blank(self, frame: int, history: Labels) -> float:
        """Log-probability of the blank."""
        return self(frame, history)[self.blank_index]


def exhaustive_search(
    distributions: LabelDistributions, max_symbols_per_frame: int
) -> dict[Labels, float]:
    """Log-probability of every label sequence that the frames can hold.

    Arguments
    ---------
    distributions : LabelDistributions
        A tiny problem: there are more than ``(V - 1) ** (T * max_symbols_per_frame)`` sequences.
    max_symbols_per_frame : int
        Labels that may be emitted at one frame.

    Returns
    -------
    dict
        Nats by label sequence, summed over all alignments.

    Example
    -------
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> predictor = StatelessPredictor(num_labels=3, embedding_size=2)
    >>> joiner = Joiner(encoder_size=2, predictor_size=2, num_labels=3)
    >>> _ = torch.nn.init.zeros_(joiner.output.weight)
    >>> joiner.output.bias.data = torch.tensor([0.5, 0.3, 0.2]).log()
    >>> distributions = LabelDistributions(predictor, joiner, torch.zeros(2, 2))
    >>> found = exhaustive_search(distributions, max_symbols_per_frame=1)
    >>> len(found), round(math.exp(found[(1,)]), 6), round(math.exp(found[(1, 2)]), 6)
    (7, 0.15, 0.015)
    """
    longest = distributions.num_frames * max_symbols_per_frame
    vocabulary = [label for label, _ in distributions.labels(0, ())]
    sequences: list[Labels] = [()]
    for labels in sequences:  # grows
        if len(labels) < longest:
            sequences += [(*labels, label) for label in vocabulary]
    return {y: _log_prob(distributions, y, max_symbols_per_frame) for y in sequences}


def _log_prob(distributions: LabelDistributions, labels: Labels, max_symbols: int) -> float:
    """The forward algorithm; the labels of a frame are counted by the loop over them."""
    before = [0.0] + [-math.inf] * len(labels)  # by number of labels emitted
    for frame in range(distributions.num_frames):
        after = [-math.inf] * len(before)
        for count in range(max_symbols + 1):
            for number, score in enumerate(before):
                left = score + distributions.blank(frame, labels[:number])
                after[number] = _log_add(after[number], left)
            if count < max_symbols:
                before = [-math.inf] + [
                    score + distributions(frame, labels[:number])[labels[number]]
                    for number, score in enumerate(before[:-1])
                ]
        before = after
    return before[-1]


@dataclass(frozen=True)
class _Partial:
    score: float = 0.0
    path: float = 0.0  # log-probability of the best alignment, whose frames these are
    frames: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()


def reference_beam_search(
    distributions: LabelDistributions,
    *,
    beam_size: int,
    max_symbols_per_frame: int,
    pruning_margin: float = math.inf,
    expansion_margin: float = math.inf,
    max_open_labels: int = 256,
    bonus: Callable[[Labels, int], float] = lambda history, label: 0.0,
    final_bonus: Callable[[Labels], float] = lambda labels: 0.0,
) -> list[ScoredHypothesis]:
    """`BeamSearch` of one utterance, written with dictionaries.

    Arguments
    ---------
    distributions : LabelDistributions
        The utterance.
    beam_size, max_symbols_per_frame, pruning_margin, expansion_margin, max_open_labels
        As for `BeamSearch`.
    bonus : Callable
        Nats for a label after a history.
    final_bonus : Callable
        Nats for ending after some labels.

    Returns
    -------
    list of ScoredHypothesis
        The whole beam, the best first.
    """
    beam: dict[Labels, _Partial] = {(): _Partial()}
    for frame in range(distributions.num_frames):
        going = beam
        left: dict[Labels, _Partial] = {}
        for count in range(max_symbols_per_frame + 1):
            for labels, partial in going.items():
                _leave(left, labels, partial, distributions.blank(frame, labels))
            if count == max_symbols_per_frame:
                break
            scores = sorted((partial.score for partial in left.values()), reverse=True)
            threshold = scores[0] - pruning_margin
            if len(scores) >= beam_size:
                threshold = max(threshold, scores[beam_size - 1])
            expansions: dict[Labels, _Partial] = {}
            for labels, partial in going.items():
                expansions.update(
                    _expansions(distributions, frame, labels, partial, bonus, expansion_margin)
                )
            going = {y: one for y, one in _best(expansions, beam_size) if one.score > threshold}
        beam = dict(_best(left, beam_size))
        beam = _settled(beam, max_open_labels)
    ranked = [
        ScoredHypothesis(
            Hypothesis(labels, partial.frames, partial.log_probs),
            partial.score + final_bonus(labels),
        )
        for labels, partial in beam.items()
    ]
    return sorted(ranked, key=lambda one: -one.score)


def _leave(left: dict[Labels, _Partial], labels: Labels, partial: _Partial, blank: float) -> None:
    """Take the blank; equal label sequences become one."""
    moved = replace(partial, score=partial.score + blank, path=partial.path + blank)
    if labels in left:
        other = left[labels]
        kept = moved if moved.path > other.path else other
        moved = replace(kept, score=_log_add(moved.score, other.score))
    left[labels] = moved


def _expansions(
    distributions: LabelDistributions,
    frame: int,
    labels: Labels,
    partial: _Partial,
    bonus: Callable[[Labels, int], float],
    margin: float,
) -> dict[Labels, _Partial]:
    """All labels that may follow."""
    added = {
        label: log_prob + bonus(labels, label)
        for label, log_prob in distributions.labels(frame, labels)
    }
    return {
        (*labels, label): _Partial(
            partial.score + added[label],
            partial.path + log_prob,
            (*partial.frames, frame),
            (*partial.log_probs, log_prob),
        )
        for label, log_prob in distributions.labels(frame, labels)
        if added[label] >= max(added.values()) - margin
    }


def _best(partials: dict[Labels, _Partial], count: int) -> list[tuple[Labels, _Partial]]:
    return sorted(partials.items(), key=lambda item: -item[1].score)[:count]


def _settled(beam: dict[Labels, _Partial], max_open_labels: int) -> dict[Labels, _Partial]:
    """Give the labels that all share the frames of the best hypothesis."""
    best_labels, best = next(iter(beam.items()))
    needed = min(max(map(len, beam)) - max_open_labels, len(best_labels))
    beam = {
        labels: partial
        for labels, partial in beam.items()
        if _num_shared(labels, best_labels) >= needed and len(labels) - needed <= max_open_labels
    }
    shared = min(_num_shared(labels, best_labels) for labels in beam)
    return {
        labels: replace(
            partial,
            frames=best.frames[:shared] + partial.frames[shared:],
            log_probs=best.log_probs[:shared] + partial.log_probs[shared:],
        )
        for labels, partial in beam.items()
    }


def _num_shared(labels: Labels, others: Labels) -> int:
    count = 0
    for label, other in zip(labels, others, strict=False):
        if label != other:
            break
        count += 1
    return count


def _log_add(first: float, second: float) -> float:
    low, high = sorted((first, second))
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
