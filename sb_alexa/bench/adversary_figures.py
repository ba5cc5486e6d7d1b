"""Did an adversary find the groups that are hard? Its weights beside the baseline's errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sb_alexa.bench.rank_correlation import RankCorrelation
from sb_alexa.bench.speaker_groups import TestedGroup
from sb_alexa.bench.speaker_run import WeightLog
from sb_alexa.metrics.verification_estimates import Estimate

# Two groups are always in the same order or in the opposite one; three say hardly more.
_FEWEST_RANKS = 4


@dataclass(frozen=True)
class AdversaryFigures:
    """Whom an adversary weighted; estimates are means over seeds with intervals by Student's t.

    Arguments
    ---------
    entropy, spread : Estimate
        As `WeightLog`.
    weights : dict
        Late mean weight by the group's `key`; columns that training does not log are absent.
    correlations : dict
        By column with at least 4 ranked groups: of the mean weights of training speakers with the
        baseline's EER of test speakers, groups as the units.
    """

    entropy: Estimate
    spread: Estimate
    weights: dict[str, Estimate]
    correlations: dict[str, RankCorrelation]

    @classmethod
    def of(
        cls,
        logs: Sequence[WeightLog | None],
        groups: Sequence[TestedGroup],
        base_eers: Mapping[str, float],
    ) -> AdversaryFigures | None:
        """Of the runs of an arm; None without an adversary, or where one never set in.

        Arguments
        ---------
        logs : sequence of WeightLog | None
            One for each seed.
        groups : sequence of TestedGroup
            Whose weights are wanted.
        base_eers : mapping of str to float
            EER in the baseline, by the group's `key`.
        """
        found = [log for log in logs if log is not None]
        if not found or len(found) < len(logs):
            return None
        weights: dict[str, Estimate] = {}
        pairs: dict[str, list[tuple[float, float]]] = {}
        for group in groups:
            name = f"weight_{group.column}_{group.name}"
            of_seeds = [log.late_weights[name] for log in found if name in log.late_weights]
            if len(of_seeds) < len(found):  # another column, or nobody of the group in training
                continue
            weights[group.key] = mean_over_seeds(of_seeds)
            if group.is_ranked:
                pair = (weights[group.key].value, base_eers[group.key])
                pairs.setdefault(group.column, []).append(pair)
        return cls(
            mean_over_seeds([log.entropy for log in found]),
            mean_over_seeds([log.spread for log in found]),
            weights,
            {
                column: RankCorrelation.of(*zip(*values, strict=True))
                for column, values in pairs.items()
                if len(values) >= _FEWEST_RANKS
            },
        )


def mean_over_seeds(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Mean with the interval of Student's t; a single value has none.

    Example
    -------
    >>> estimate = mean_over_seeds([1.0, 1.2, 1.4])
    >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
    (1.2, 0.703, 1.697)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    quantile = stats.t.ppf(0.5 + 0.5 * level, df=len(values) - 1)
    half = float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)
