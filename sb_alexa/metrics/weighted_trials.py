"""Error rates of the same trials under many weightings of their speakers, exact and fast.

A bootstrap asks for the equal error rate a thousand times. The trials are sorted once; a weighting
costs one pass over them for the sums of short blocks of scores, then only those blocks are looked
into that can hold the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb_alexa.metrics.verification import cost_weights, crossing

# Trials in a block, more where scores are tied: sums of blocks then take about as long to search as
# a block to look into.
_BLOCK_TRIALS = 256


class WeightedTrials:
    """Trials sorted by score, to be weighted by how often each speaker was drawn.

    A target trial has the weight of its speaker, a non-target trial the product of the weights of
    its two speakers.

    Arguments
    ---------
    scores : numpy.ndarray
        (N,) finite.
    is_target : numpy.ndarray
        (N,) bool.
    enrol_speakers, test_speakers : numpy.ndarray
        (N,) numbers of the speakers, which index the weights.

    Example
    -------
    >>> trials = WeightedTrials(
    ...     np.array([0.9, 0.3, 0.5, 0.2]),
    ...     np.array([True, True, False, False]),
    ...     np.array([0, 1, 0, 1]),
    ...     np.array([0, 1, 1, 2]),
    ... )
    >>> trials.weighted(np.array([1.0, 1.0, 1.0])).equal_error_rate()
    50.0
    >>> trials.weighted(np.array([1.0, 0.0, 2.0])).equal_error_rate()
    nan
    """

    def __init__(
        self,
        scores: np.ndarray,
        is_target: np.ndarray,
        enrol_speakers: np.ndarray,
        test_speakers: np.ndarray,
    ) -> None:
        order = np.argsort(scores, kind="stable")
        ranked, targets = scores[order], is_target[order]
        enrol, test = enrol_speakers[order], test_speakers[order]
        # np.take is fastest with its own type of index.
        self._target_speaker = enrol[targets].astype(np.intp)
        self._enrol = enrol[~targets].astype(np.intp)
        self._test = test[~targets].astype(np.intp)
        below = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]])
        self.thresholds = np.append(ranked[below[:-1]], np.inf)
        self.targets_below = np.concatenate([[0], np.cumsum(targets)])[below]
        self.non_targets_below = below - self.targets_below
        wanted = np.arange(0, len(ranked), _BLOCK_TRIALS)
        # A block ends where the score changes.
        self.edges = np.unique(np.append(np.searchsorted(below, wanted), len(below) - 1))

    def weighted(self, weights: np.ndarray) -> Weighting:
        """Weigh all trials; `weights` (number of speakers,) must be whole numbers >= 0."""
        targets = weights.take(self._target_speaker)
        non_targets = weights.take(self._enrol)
        non_targets *= weights.take(self._test)
        return Weighting(
            self,
            targets,
            non_targets,
            _sums_below(targets, self.targets_below[self.edges]),
            _sums_below(non_targets, self.non_targets_below[self.edges]),
        )


@dataclass(frozen=True, eq=False)
class Weighting:
    """Trials under one weighting; made by `WeightedTrials.weighted`.

    Arguments
    ---------
    trials : WeightedTrials
        What is weighted.
    targets, non_targets : numpy.ndarray
        Weight of each trial of the kind, in the order of their scores.
    targets_below, non_targets_below : numpy.ndarray
        (number of edges,) their sums up to each edge of a block.
    """

    trials: WeightedTrials
    targets: np.ndarray
    non_targets: np.ndarray
    targets_below: np.ndarray
    non_targets_below: np.ndarray

    @property
    def has_both_kinds(self) -> bool:
        """Whether target and non-target trials have any weight."""
        return bool(self.targets_below[-1] > 0 and self.non_targets_below[-1] > 0)

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """FMR and FNMR in percent at a threshold; NaN without a trial of the kind."""
        point = np.searchsorted(self.trials.thresholds, threshold, side="left")
        rejected = self.targets[: self.trials.targets_below[point]].sum()
        accepted = self.non_targets[self.trials.non_targets_below[point] :].sum()
        num_targets, num_non_targets = self.targets_below[-1], self.non_targets_below[-1]
        return (
            float(100.0 * accepted / num_non_targets) if num_non_targets else float("nan"),
            float(100.0 * rejected / num_targets) if num_targets else float("nan"),
        )

    def equal_error_rate(self) -> float:
        """Percent, as `DetCurve.equal_error_rate`; NaN unless there are both kinds."""
        if not self.has_both_kinds:
            return float("nan")
        false_match, false_non_match = self._edge_rates()
        block = int(np.count_nonzero(false_match - false_non_match >= 0)) - 1
        false_match, false_non_match = self._rates_within(block)
        lead = false_match - false_non_match
        return crossing(lead, false_match, int(np.count_nonzero(lead >= 0)) - 1)

    def minimum_dcf(
        self,
        *,
        target_prior: float = 0.01,
        miss_cost: float = 1.0,
        false_alarm_cost: float = 1.0,
    ) -> float:
        """As the function `sb_alexa.metrics.verification.minimum_dcf`; NaN unless both kinds."""
        if not self.has_both_kinds:
            return float("nan")
        miss, alarm = cost_weights(target_prior, miss_cost, false_alarm_cost)
        false_match, false_non_match = self._edge_rates()
        best = float((alarm * false_match + miss * false_non_match).min())
        # Rates are monotone: no point of a block costs less than its best rates of either end.
        bounds = alarm * false_match[1:] + miss * false_non_match[:-1]
        for block in np.argsort(bounds):
            if bounds[block] >= best:
                break
            false_match, false_non_match = self._rates_within(int(block))
            best = min(best, float((alarm * false_match + miss * false_non_match).min()))
        return best / 100.0

    def _edge_rates(self) -> tuple[np.ndarray, np.ndarray]:
        return self._rates(self.targets_below, self.non_targets_below)

    def _rates_within(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """FMR and FNMR at all points of a block, both ends included."""
        points = slice(self.trials.edges[block], self.trials.edges[block + 1] + 1)
        sums = []
        for weights, counts, before in (
            (self.targets, self.trials.targets_below[points], self.targets_below[block]),
            (
                self.non_targets,
                self.trials.non_targets_below[points],
                self.non_targets_below[block],
            ),
        ):
            inside = np.cumsum(weights[counts[0] : counts[-1]])
            sums.append(before + np.concatenate([[0.0], inside])[counts - counts[0]])
        return self._rates(*sums)

    def _rates(self, targets: np.ndarray, non_targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Percent, from the weights of what lies below."""
        num_non_targets = self.non_targets_below[-1]
        return (
            100.0 * (num_non_targets - non_targets) / num_non_targets,
            100.0 * targets / self.targets_below[-1],
        )


def _sums_below(weights: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Sum of the weights before each of the ascending positions, of which the first is 0."""
    sums = np.zeros(len(positions))
    filled = np.flatnonzero(np.diff(positions))
    if filled.size:
        # Of an empty segment reduceat would give an element, so it sees the others only.
        sums[filled + 1] = np.add.reduceat(weights, positions[filled])
    return np.cumsum(sums)
