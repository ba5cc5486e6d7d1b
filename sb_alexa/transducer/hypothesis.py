"""What a search found: labels with their frames and log-probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """Labels emitted by a search, in the order of emission.

    Arguments
    ---------
    tokens : tuple of int
        The labels, no blanks.
    frames : tuple of int
        Encoder frame at which each label was emitted, counted from the beginning of the stream.
    log_probs : tuple of float
        Log-probability (nats) of each label at its emission.

    Raises
    ------
    ValueError
        If the three do not have one entry per label.

    Example
    -------
    >>> first = Hypothesis(tokens=(7, 3), frames=(0, 4), log_probs=(0.0, -0.5))
    >>> whole = first + Hypothesis(tokens=(9,), frames=(6,), log_probs=(-1.0,))
    >>> whole.tokens, whole.frames, len(whole)
    ((7, 3, 9), (0, 4, 6), 3)
    >>> [round(confidence, 2) for confidence in whole.confidences]
    [1.0, 0.61, 0.37]
    """

    tokens: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.frames) == len(self.log_probs):
            raise ValueError(
                "a hypothesis needs a frame and a log-probability for each token, got "
                f"{len(self.tokens)} tokens, {len(self.frames)} frames and {len(self.log_probs)} "
                "log_probs"
            )

    @property
    def confidences(self) -> tuple[float, ...]:
        """Probability of each label at its emission, in [0, 1]."""
        return tuple(math.exp(log_prob) for log_prob in self.log_probs)

    def __add__(self, later: Hypothesis) -> Hypothesis:
        """This hypothesis followed by that of the next chunk."""
        return Hypothesis(
            self.tokens + later.tokens,
            self.frames + later.frames,
            self.log_probs + later.log_probs,
        )

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class ScoredHypothesis:
    """One of several results for the same audio.

    Arguments
    ---------
    hypothesis : Hypothesis
        The labels.
    score : float
        Nats: the log-probability of the label sequence, summed over the alignments that the search
        kept, plus what language model, phrases and length reward add.

    Example
    -------
    >>> ranked = [
    ...     ScoredHypothesis(Hypothesis((7,), (0,), (-0.1,)), -0.3),
    ...     ScoredHypothesis(Hypothesis(), -2.1),
    ... ]
    >>> max(ranked, key=lambda one: one.score).hypothesis.tokens
    (7,)
    """

    hypothesis: Hypothesis
    score: float
