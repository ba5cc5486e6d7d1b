"""Verification error rates, or differences of two systems, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A rate, or a difference of two, with its interval.

    Arguments
    ---------
    value : float
        As measured, mean over the runs; NaN where there is nothing to measure on.
    low, high : float
        Where it would lie with other speakers (and other runs, where there are several).
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class GroupEstimates:
    """Rates of the trials within one group, in percent.

    Arguments
    ---------
    group : str
        Its name.
    is_ranked : bool
        Whether it counts in the spread, see `GroupErrors.is_ranked`.
    eer : Estimate
        At a threshold of the group's own.
    fmr, fnmr : Estimate
        At the shared threshold.
    """

    group: str
    is_ranked: bool
    eer: Estimate
    fmr: Estimate
    fnmr: Estimate


@dataclass(frozen=True)
class SpreadEstimates:
    """How far the ranked groups lie apart in one rate, in percent points.

    Arguments
    ---------
    gap : Estimate
        Worst minus best group. The interval keeps the two groups that are worst and best as
        measured, so that it can contain 0; chosen anew in every draw the gap never could.
    std : Estimate
        Population standard deviation over the groups. Draws scatter the groups, so this interval
        lies too high where they hardly differ; its differences between systems are less affected.
    """

    gap: Estimate
    std: Estimate


@dataclass(frozen=True)
class ColumnEstimates:
    """What one column of the speaker table tells.

    Arguments
    ---------
    groups : tuple of GroupEstimates
        In alphabetical order, those with at least one trial.
    eer_spread, fmr_spread, fnmr_spread : SpreadEstimates | None
        None with fewer than two ranked groups.
    """

    groups: tuple[GroupEstimates, ...]
    eer_spread: SpreadEstimates | None
    fmr_spread: SpreadEstimates | None
    fnmr_spread: SpreadEstimates | None


@dataclass(frozen=True)
class VerificationEstimates:
    """Error rates of verification trials with their intervals.

    Arguments
    ---------
    eer, fmr, fnmr : Estimate
        Percent, over all trials; the last two at the shared threshold.
    minimum_dcf : Estimate
        Normalised detection cost.
    columns : mapping of str to ColumnEstimates
        By column of the speaker table.
    """

    eer: Estimate
    minimum_dcf: Estimate
    fmr: Estimate
    fnmr: Estimate
    columns: Mapping[str, ColumnEstimates]
