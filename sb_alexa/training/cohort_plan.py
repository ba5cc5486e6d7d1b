"""Batch plans that favour the utterances of one cohort of speakers."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sb_alexa.training.batching import BatchPlan, GlobalPlan, derive_seed


@dataclass(frozen=True)
class CohortPlan(ABC):
    """A plan over all training utterances in which those of a cohort come more often.

    As with `BatchPlan`, everything is a function of (seed, epoch), a batch is the global one, and
    the limits of batch size and padded seconds hold for it.

    Arguments
    ---------
    base : BatchPlan
        All utterances, limits and the seed.
    in_cohort : tuple of bool
        Whether the speaker of each utterance belongs to the cohort.

    Raises
    ------
    ValueError
        If the plan's utterances are others, or none or all of them belong to the cohort.
    """

    base: BatchPlan
    in_cohort: tuple[bool, ...]

    def __post_init__(self) -> None:
        durations_s = self.base.durations_s
        if not isinstance(durations_s, tuple):
            raise ValueError(
                "a cohort's plan is made of recorded utterances, not of simulated ones"
            )
        number, total = sum(self.in_cohort), len(self.in_cohort)
        if total != len(durations_s):
            raise ValueError(f"in_cohort has {total} entries for {len(durations_s)} utterances")
        if not 0 < number < total:
            raise ValueError(
                f"{number} of {total} training utterances belong to the cohort; name speakers of "
                "the training set, and not all of them, in cohort_speakers"
            )

        if number < self.base.num_processes:
            raise ValueError(
                f"{self.base.num_processes} processes cannot share {number} utterances of the "
                "cohort; start fewer processes"
            )

    @abstractmethod
    def batches(self, epoch: int) -> list[list[int]]:
        """The global batches of an epoch, as utterance numbers."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of all that decides the batches except the number of processes."""

    def _durations_s(self) -> tuple[float, ...]:
        assert isinstance(self.base.durations_s, tuple)
        return self.base.durations_s

    def _cohort(self) -> list[int]:
        return [index for index, member in enumerate(self.in_cohort) if member]

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.base.seed, epoch, 1))

    def _hash(self, *settings: float) -> str:
        content = (type(self).__name__, self.base.fingerprint(), self.in_cohort, *settings)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class OversampledPlan(CohortPlan):
    """All utterances, those of the cohort `factor` times in every epoch; see `CohortOversampling`.

    Of a factor that is no whole number, the fraction is drawn anew in every epoch. Two copies of an
    utterance may meet in a batch. With a factor of 1 the batches are those of the base.
    """

    factor: float

    def batches(self, epoch: int) -> list[list[int]]:
        durations_s, cohort = self._durations_s(), self._cohort()
        whole = int(self.factor)
        fraction = round((self.factor - whole) * len(cohort))
        drawn = torch.randperm(len(cohort), generator=self._generator(epoch))[:fraction].tolist()
        items = [*range(len(durations_s)), *cohort * (whole - 1), *(cohort[i] for i in drawn)]
        plan = replace(self.base, durations_s=tuple(durations_s[index] for index in items))
        return [[items[place] for place in batch] for batch in plan.batches(epoch)]

    def fingerprint(self) -> str:
        return self._hash(self.factor)


@dataclass(frozen=True)
class ReplayPlan(CohortPlan):
    """The cohort's utterances once in every epoch, with others among them; see `CohortReplay`.

    Both are sorted by (perturbed) duration and dealt into one sequence in proportion, so that every
    batch has its share of both, to within one utterance of each, and little padding.
    """

    share: float

    def batches(self, epoch: int) -> list[list[int]]:
        generator = self._generator(epoch)
        cohort, durations_s = self._cohort(), self._durations_s()
        number = round(len(cohort) * self.share / (1 - self.share))
        replayed: list[int] = []
        while len(replayed) < number:
            left = number - len(replayed)
            replayed += torch.randperm(len(durations_s), generator=generator)[:left].tolist()
        ranked: list[tuple[float, int]] = []
        for indices in (cohort, replayed):
            noise = torch.rand(len(indices), generator=generator, dtype=torch.float64)
            durations = torch.tensor([durations_s[index] for index in indices], dtype=torch.float64)
            keys = durations * (0.8 + 0.4 * noise)
            order = torch.argsort(keys, descending=True, stable=True).tolist()
            ranked += [((r + 0.5) / len(indices), indices[place]) for r, place in enumerate(order)]
        ranked.sort(key=lambda one: one[0])
        plan = self.base.cut([index for _, index in ranked], durations_s)
        return [plan[i] for i in torch.randperm(len(plan), generator=generator).tolist()]

    def fingerprint(self) -> str:
        return self._hash(self.share)


class CohortSampling(ABC):
    """How a training favours a cohort; a recipe's `cohort_sampling`."""

    @abstractmethod
    def plan(self, base: BatchPlan, in_cohort: Sequence[bool]) -> GlobalPlan:
        """The plan of the training.

        Arguments
        ---------
        base : BatchPlan
            All training utterances and the limits of batches.
        in_cohort : sequence of bool
            Whether the speaker of each utterance belongs to the cohort.

        Returns
        -------
        GlobalPlan
            For a `ShardedBatchSampler`.
        """


class CohortOversampling(CohortSampling):
    """Train on everybody, and on the cohort several times as often.

    Arguments
    ---------
    factor : float
        How many times an utterance of the cohort comes in an epoch, at least 1.

    Reference
    ---------
    Dheram et al., "Toward fairness in speech recognition: discovery and mitigation of performance
    disparities", Interspeech 2022, arXiv 2207.11345; the full text was not available to us.

    Example
    -------
    >>> base = BatchPlan(durations_s=(1.0, 2.0, 3.0), batch_size=2, shuffle=False)
    >>> CohortOversampling(factor=2).plan(base, [True, False, False]).batches(epoch=1)
    [[2, 1], [0, 0]]
    """

    def __init__(self, *, factor: float) -> None:
        if not 1 <= factor < math.inf:
            raise ValueError(
                f"factor must be >= 1 and finite, got {factor}; with 2 the cohort's utterances "
                "come two times in an epoch"
            )
        self.factor = factor

    def plan(self, base: BatchPlan, in_cohort: Sequence[bool]) -> OversampledPlan:
        return OversampledPlan(base, tuple(in_cohort), factor=self.factor)


class CohortReplay(CohortSampling):
    """Train on the cohort, with a share of all training data in every batch.

    An epoch is once through the cohort; what is replayed is drawn from all utterances, the cohort's
    among them, anew in every epoch and without repetition while there are enough.

    Arguments
    ---------
    share : float
        Part of a batch's utterances that is replayed, in [0, 1); 0 trains on the cohort alone.

    Example
    -------
    >>> base = BatchPlan(durations_s=(1.0,) * 8, batch_size=4)
    >>> plan = CohortReplay(share=0.5).plan(base, [True, True] + [False] * 6)
    >>> [len(batch) for batch in plan.batches(epoch=1)]
    [4]
    """

    def __init__(self, *, share: float = 0.0) -> None:
        if not 0 <= share < 1:
            raise ValueError(
                f"share must lie in [0, 1), got {share}; for training on all data alike leave "
                "cohort_sampling away"
            )
        self.share = share

    def plan(self, base: BatchPlan, in_cohort: Sequence[bool]) -> ReplayPlan:
        return ReplayPlan(base, tuple(in_cohort), share=self.share)
