"""How an adversary distributes its weight: over many samples or few, over which groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightStatistics:
    """Entropy and spread of the weights of a global batch.

    Half of every weight is fixed (see `adversarial_weights`), so the entropy is that of the half
    the adversary distributes; that of whole weights would hide a collapse.

    Arguments
    ---------
    num_samples : int
        Of the global batch.
    entropy : float
        Nats; at most log(num_samples), for equal weights.
    spread : float
        Standard deviation of the weights of mean 1.
    largest : float
        Largest weight, where the mean is 1.

    Example
    -------
    >>> statistics = WeightStatistics.of(torch.tensor([1.0, 1.0, 3.0, 3.0]))  # two share it all
    >>> round(statistics.effective_samples, 3), round(statistics.relative_entropy, 3)
    (2.0, 0.5)
    >>> statistics.spread, statistics.largest
    (0.5, 1.5)
    """

    num_samples: int
    entropy: float
    spread: float
    largest: float

    @classmethod
    def of(cls, sample_weights: Tensor) -> WeightStatistics:
        """Statistics of weights (N,) lambda, of mean 2."""
        weights = sample_weights.detach().double()
        shares = (weights - 1).clamp_min(0)
        shares = shares / shares.sum()
        values = torch.stack(
            [
                torch.special.entr(shares).sum(),
                weights.std(correction=0) / weights.mean(),
                weights.max() / weights.mean(),
            ]
        )
        return cls(len(weights), *values.tolist())

    @property
    def effective_samples(self) -> float:
        """exp(entropy): as many samples with equal weights would have the same entropy."""
        return math.exp(self.entropy)

    @property
    def relative_entropy(self) -> float:
        """0 (all on one sample) to 1 (equal weights)."""
        return self.entropy / math.log(self.num_samples) if self.num_samples > 1 else 1.0


@dataclass(frozen=True)
class GroupWeights:
    """Sums of sample weights by group; they add up over batches and processes.

    Groups take no part in training: this shows afterwards whom the adversary found.

    Arguments
    ---------
    sums : dict
        Sum of the weights of each group.
    counts : dict
        Its samples.

    Example
    -------
    >>> first = GroupWeights.of(torch.tensor([1.0, 3.0]), ["a", "b"])
    >>> (first + GroupWeights.of(torch.tensor([1.5, 2.5]), ["a", "b"])).means
    {'a': 0.625, 'b': 1.375}
    """

    sums: dict[str, float]
    counts: dict[str, int]

    @classmethod
    def of(cls, sample_weights: Tensor, groups: Sequence[str]) -> GroupWeights:
        """Of the weights (N,) lambda, of mean 2, of a batch and the groups of its samples."""
        if len(sample_weights) != len(groups):
            raise ValueError(f"{len(sample_weights)} weights need as many groups, {len(groups)}")
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for group, weight in zip(groups, (sample_weights.detach() / 2).tolist(), strict=True):
            sums[group] = sums.get(group, 0.0) + weight
            counts[group] = counts.get(group, 0) + 1
        return cls(sums, counts)

    def __add__(self, other: GroupWeights) -> GroupWeights:
        if not isinstance(other, GroupWeights):
            return NotImplemented
        groups = [*self.sums, *(group for group in other.sums if group not in self.sums)]
        return GroupWeights(
            {g: self.sums.get(g, 0.0) + other.sums.get(g, 0.0) for g in groups},
            {g: self.counts.get(g, 0) + other.counts.get(g, 0) for g in groups},
        )

    @property
    def means(self) -> dict[str, float]:
        """Mean weight of each group, by name; 1 where the adversary leaves a group alone."""
        return {group: self.sums[group] / self.counts[group] for group in sorted(self.sums)}
