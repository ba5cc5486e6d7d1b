"""Schedules of the learning rate and of the loss weights, counted in optimizer steps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupInverseSquareRoot:
    """Linear warm-up to a peak, then decay with the inverse square root of the step.

    Arguments
    ---------
    peak : float
        Learning rate at the end of the warm-up.
    warmup_steps : int
        Steps of warm-up.

    Reference
    ---------
    Vaswani et al. 2017, arXiv 1706.03762, section 5.3, with the peak as a parameter.

    Example
    -------
    >>> rate = WarmupInverseSquareRoot(peak=2e-3, warmup_steps=100)
    >>> rate(50), rate(100), rate(400)
    (0.001, 0.002, 0.001)
    """

    peak: float
    warmup_steps: int

    def __post_init__(self) -> None:
        if self.peak <= 0 or self.warmup_steps < 1:
            raise ValueError(
                f"peak must be > 0 and warmup_steps >= 1, got {self.peak} and {self.warmup_steps}"
            )

    def __call__(self, step: int) -> float:
        step = max(step, 1)
        return self.peak * min(step / self.warmup_steps, math.sqrt(self.warmup_steps / step))


@dataclass(frozen=True)
class WarmupCosine:
    """Linear warm-up to a peak, then a cosine down to a fraction of it at the last step.

    Arguments
    ---------
    peak : float
        Learning rate at the end of the warm-up.
    warmup_steps : int
        Steps of warm-up.
    num_steps : int
        Steps of the whole training.
    final_fraction : float
        Learning rate at the last step, as a fraction of the peak.

    Example
    -------
    >>> rate = WarmupCosine(peak=1.0, warmup_steps=10, num_steps=110, final_fraction=0.0)
    >>> rate(5), rate(10), round(rate(60), 6), rate(110), rate(200)
    (0.5, 1.0, 0.5, 0.0, 0.0)
    """

    peak: float
    warmup_steps: int
    num_steps: int
    final_fraction: float = 0.02

    def __post_init__(self) -> None:
        if self.peak <= 0 or not 0 <= self.final_fraction <= 1:
            raise ValueError(
                f"peak must be > 0 and final_fraction in 0..1, "
                f"got {self.peak} and {self.final_fraction}"
            )
        if not 1 <= self.warmup_steps < self.num_steps:
            raise ValueError(
                f"warmup_steps must be in 1..num_steps - 1, got {self.warmup_steps} of "
                f"{self.num_steps}; train longer or warm up shorter"
            )

    def __call__(self, step: int) -> float:
        if step <= self.warmup_steps:
            return self.peak * max(step, 1) / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / (self.num_steps - self.warmup_steps))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.peak * (self.final_fraction + (1 - self.final_fraction) * cosine)


@dataclass(frozen=True)
class WarmupCosineRestart:
    """`WarmupCosine` two times: for a training of two phases.

    Arguments
    ---------
    peak : float
        Learning rate at the end of each warm-up.
    warmup_steps : int
        Steps of each warm-up.
    restart_step : int
        Last step of the first phase; 0 or `num_steps` leaves one phase.
    num_steps : int
        Steps of the whole training.
    final_fraction : float
        Learning rate at the last step of each phase, as a fraction of the peak.

    Example
    -------
    >>> rate = WarmupCosineRestart(peak=1.0, warmup_steps=10, restart_step=50, num_steps=100)
    >>> rate(10), round(rate(50), 6), rate(55), rate(60)
    (1.0, 0.02, 0.5, 1.0)
    """

    peak: float
    warmup_steps: int
    restart_step: int
    num_steps: int
    final_fraction: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.restart_step <= self.num_steps:
            raise ValueError(
                f"the recipe's phase_one_steps, restart_step={self.restart_step} must lie within "
                f"the training of num_steps={self.num_steps}; lower it, or train longer"
            )
        self(1)
        self(self.num_steps)

    def __call__(self, step: int) -> float:
        first = 0 if step <= self.restart_step else self.restart_step
        last = self.restart_step if step <= self.restart_step else self.num_steps
        phase = WarmupCosine(self.peak, self.warmup_steps, last - first, self.final_fraction)
        return phase(step - first)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses at one step; both losses are in nats per utterance."""

    transducer: float
    ctc: float


@dataclass(frozen=True)
class CTCThenTransducer:
    """Train the encoder with CTC alone, then the transducer with CTC beside it.

    From scratch and on little data a transducer first learns the text and ignores the audio; an
    encoder that CTC has taught to align lets it start with the audio. No alignments are needed.

    Arguments
    ---------
    ctc_only_steps : int
        Steps with CTC alone; 0 starts with the transducer.
    ctc_weight : float
        Weight of CTC after that; the transducer's is 1.

    Example
    -------
    >>> weights = CTCThenTransducer(ctc_only_steps=100, ctc_weight=0.3)
    >>> weights(100), weights(101)
    (LossWeights(transducer=0.0, ctc=1.0), LossWeights(transducer=1.0, ctc=0.3))
    """

    ctc_only_steps: int = 0
    ctc_weight: float = 0.3

    def __post_init__(self) -> None:
        if self.ctc_only_steps < 0 or self.ctc_weight < 0:
            raise ValueError(
                f"ctc_only_steps and ctc_weight must be >= 0, "
                f"got {self.ctc_only_steps} and {self.ctc_weight}"
            )

    def __call__(self, step: int) -> LossWeights:
        if step <= self.ctc_only_steps:
            return LossWeights(transducer=0.0, ctc=1.0)
        return LossWeights(transducer=1.0, ctc=self.ctc_weight)
