"""Batch plans: which utterances form which batch, as a function of (seed, epoch) alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch.utils.data import Sampler


class GlobalPlan(Protocol):
    """What forms the global batches of every epoch, the same on all processes."""

    def batches(self, epoch: int) -> list[list[int]]:
        """The global batches of an epoch, as utterance numbers."""
        ...

    def fingerprint(self) -> str:
        """A hash of all that decides the batches except the number of processes."""
        ...


PlanT = TypeVar("PlanT", bound=GlobalPlan)


class EpochDurations(Protocol):
    """Durations of items that are made anew for every epoch, such as simulated mixtures.

    Everything is a function of the epoch alone, the same in all processes.
    """

    def __len__(self) -> int:
        """Items in every epoch."""
        ...

    def of_epoch(self, epoch: int) -> tuple[float, ...]:
        """Seconds of each item of an epoch."""
        ...

    def fingerprint(self) -> str:
        """A hash of all that decides the items."""
        ...


@dataclass(frozen=True)
class BatchPlan:
    """The batches of every epoch, the same on all processes and after a resumption.

    Utterances of similar duration are batched together to save padding: durations are perturbed by
    up to a fifth, sorted, cut into batches, and the batches are shuffled. Both depend on (seed,
    epoch), so composition and order change every epoch. A batch of the plan is the global one; each
    of W processes takes every W-th utterance of it, so that the number of processes does not change
    what is learned.

    Arguments
    ---------
    durations_s : tuple of float | EpochDurations
        Seconds of each utterance; or what tells them for an epoch.
    batch_size : int
        Utterances in a global batch at most.
    max_batch_seconds : float | None
        Seconds of a global batch, padding included, at most; an utterance that exceeds it alone is
        a batch by itself.
    num_processes : int
        Every global batch has at least as many utterances, so that no process is ever without work.
    seed : int
        Seed of the plan.
    shuffle : bool
        False gives batches of descending duration, always the same (validation).

    Example
    -------
    >>> plan = BatchPlan(durations_s=(1.0, 5.0, 2.0, 4.0), batch_size=2, shuffle=False)
    >>> plan.batches(epoch=1)
    [[1, 3], [2, 0]]
    """

    durations_s: tuple[float, ...] | EpochDurations
    batch_size: int
    max_batch_seconds: float | None = None
    num_processes: int = 1
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < self.num_processes:
            raise ValueError(
                f"the global batch_size {self.batch_size} must be at least the number of processes "
                f"{self.num_processes}"
            )
        if self.max_batch_seconds is not None and self.max_batch_seconds <= 0:
            raise ValueError(f"max_batch_seconds must be > 0 or null, got {self.max_batch_seconds}")
        if not len(self.durations_s):
            raise ValueError(
                "there are no utterances to batch; check the splits and the length limits"
            )
        if len(self.durations_s) < self.num_processes:
            raise ValueError(
                f"{self.num_processes} processes cannot share {len(self.durations_s)} utterances; "
                "start fewer processes"
            )

    def batches(self, epoch: int) -> list[list[int]]:
        """The global batches of an epoch.

        Arguments
        ---------
        epoch : int
            Epoch number.

        Returns
        -------
        list of list of int
            Utterance numbers, in each batch from longer to shorter.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        durations_s = self._of_epoch(epoch)
        durations = torch.tensor(durations_s, dtype=torch.float64)
        keys = durations
        if self.shuffle:
            noise = torch.rand(len(durations), generator=generator, dtype=torch.float64)
            keys = durations * (0.8 + 0.4 * noise)
        order = torch.argsort(keys, descending=True, stable=True).tolist()
        plan = self.cut(order, durations_s)
        if self.shuffle:
            plan = [plan[i] for i in torch.randperm(len(plan), generator=generator).tolist()]
        return plan

    def fingerprint(self) -> str:
        """A hash of all that decides the plan except the number of processes."""
        durations_s = self.durations_s
        content = (
            durations_s if isinstance(durations_s, tuple) else durations_s.fingerprint(),
            self.batch_size,
            self.max_batch_seconds,
            self.seed,
            self.shuffle,
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def _of_epoch(self, epoch: int) -> tuple[float, ...]:
        if isinstance(self.durations_s, tuple):
            return self.durations_s
        return self.durations_s.of_epoch(epoch)

    def cut(self, order: Sequence[int], durations_s: Sequence[float]) -> list[list[int]]:
        """Cut a sequence of utterances into batches within the limits.

        Arguments
        ---------
        order : sequence of int
            Utterance numbers; neighbours share a batch.
        durations_s : sequence of float
            Seconds of each utterance, by its number.

        Returns
        -------
        list of list of int
            Utterance numbers in the order given.
        """
        limit = math.inf if self.max_batch_seconds is None else self.max_batch_seconds
        plan: list[list[int]] = [[]]
        longest = 0.0
        for index in order:
            longest = max(longest, durations_s[index])
            padded = longest * (len(plan[-1]) + 1)
            if plan[-1] and (len(plan[-1]) >= self.batch_size or padded > limit):
                plan.append([])
                longest = durations_s[index]
            plan[-1].append(index)
        return self._without_small_batches(plan)

    def _without_small_batches(self, plan: list[list[int]]) -> list[list[int]]:
        """Merge batches with fewer utterances than processes into their neighbours."""
        merged: list[list[int]] = []
        for batch in plan:
            if merged and min(len(batch), len(merged[-1])) < self.num_processes:
                merged[-1] = merged[-1] + batch
            else:
                merged.append(batch)
        return merged


class ShardedBatchSampler(Sampler[list[int]], Generic[PlanT]):
    """The part of a batch plan that one process works on.

    Arguments
    ---------
    plan : GlobalPlan
        The global plan, such as a `BatchPlan`.
    rank : int
        This process.
    num_processes : int
        All processes.

    Attributes
    ----------
    epoch : int
        Set by `set_epoch` (SpeechBrain calls it).
    first_batch : int
        Batches to leave out at the beginning of the next iteration (a resumed epoch).

    Example
    -------
    >>> plan = BatchPlan(
    ...     durations_s=(1.0, 5.0, 2.0, 4.0), batch_size=2, shuffle=False, num_processes=2
    ... )
    >>> list(ShardedBatchSampler(plan, rank=0, num_processes=2))
    [[1], [2]]
    """

    def __init__(self, plan: PlanT, *, rank: int = 0, num_processes: int = 1) -> None:
        if not 0 <= rank < num_processes:
            raise ValueError(f"rank must be in 0..{num_processes - 1}, got {rank}")
        self.plan = plan
        self.rank = rank
        self.num_processes = num_processes
        self.epoch = 1
        self.first_batch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        first, self.first_batch = self.first_batch, 0
        for batch in self.plan.batches(self.epoch)[first:]:
            mine = batch[self.rank :: self.num_processes]
            if mine:  # a validation plan may have batches smaller than the number of processes
                yield mine

    def __len__(self) -> int:
        return len(self.plan.batches(self.epoch))


def derive_seed(*parts: int) -> int:
    """One well-mixed 63-bit seed for a tuple such as (seed, epoch, index).

    Example
    -------
    >>> derive_seed(0, 1) != derive_seed(1, 0)
    True
    """
    digest = hashlib.sha256(",".join(str(int(part)) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
