"""By how much two systems differ on the same utterances: overall, by group, worst group, gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.rate_draws import RateDraws, Term
from sb_alexa.metrics.studentized_interval import (
    FEWEST_FOR_INTERVAL,
    UNKNOWN,
    Estimate,
    check_level,
    exponential,
    studentized,
)
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS

SYSTEM, BASE = 0, 1


@dataclass(frozen=True)
class ErrorRateDifference:
    """A system's word error rate beside that of its base.

    Arguments
    ---------
    wer, base_wer : float
        Percent.
    points : Estimate
        `wer` - `base_wer`, percent points; negative where the system is better.
    relative : Estimate
        The same as a part of `base_wer`; NaN where the base makes no error.
    """

    wer: float
    base_wer: float
    points: Estimate
    relative: Estimate


@dataclass(frozen=True)
class GroupDifference:
    """The difference within one group.

    Arguments
    ---------
    group : str
        Its name; empty for everybody.
    num_speakers : int
        Those who say at least one word in it.
    difference : ErrorRateDifference
        Of its speakers. The ends of the intervals are NaN for fewer than five.
    """

    group: str
    num_speakers: int
    difference: ErrorRateDifference

    @property
    def is_ranked(self) -> bool:
        """Whether it may count as worst or best: at least 10 speakers."""
        return self.num_speakers >= FEWEST_SPEAKERS


@dataclass(frozen=True)
class GapDifference:
    """How the gap of a system differs from that of its base.

    Arguments
    ---------
    bottom, top, base_bottom, base_top : str
        Worst and best ranked group of either system as measured, which may be others.
    worst_group : ErrorRateDifference
        WER of the system's worst group minus that of the base's worst group.
    gap_points : Estimate
        Gap of the system minus gap of the base, percent points.
    gap_relative : Estimate
        The same of (bottom - top) / top: -0.16 from 0.56 to 0.40. NaN where a top group or a
        bottom group has no errors.
    """

    bottom: str
    top: str
    base_bottom: str
    base_top: str
    worst_group: ErrorRateDifference
    gap_points: Estimate
    gap_relative: Estimate


@dataclass(frozen=True)
class ColumnDifferences:
    """What one column of groups tells.

    Arguments
    ---------
    groups : tuple of GroupDifference
        In alphabetical order.
    gap : GapDifference | None
        None with fewer than two ranked groups.
    """

    groups: tuple[GroupDifference, ...]
    gap: GapDifference | None

    @property
    def by_group(self) -> dict[str, GroupDifference]:
        """The groups by name."""
        return {one.group: one for one in self.groups}


@dataclass(frozen=True)
class PairedErrorRates:
    """All differences of two systems.

    Arguments
    ---------
    overall : GroupDifference
        Of everybody.
    columns : mapping of str to ColumnDifferences
        By column.
    level : float
        Probability that an interval is to cover.
    """

    overall: GroupDifference
    columns: Mapping[str, ColumnDifferences]
    level: float


def bootstrap_paired_error_rates(
    cells: ErrorCells,
    base: ErrorCells,
    *,
    level: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> PairedErrorRates:
    """Differences of two systems on the same utterances, with intervals over speakers.

    Both are measured on the same draws of speakers, so what makes a speaker hard for both cancels.
    Intervals are studentised as in `sb_alexa.metrics.error_rate_bootstrap`, that of the relative
    difference on the logarithmic scale. Worst and best groups are those measured, in every draw;
    each interval is for itself.

    Arguments
    ---------
    cells, base : ErrorCells
        Made from the same rows; only the errors differ.
    level : float
        Probability that an interval is to cover, between 0 and 1.
    num_samples : int
        Draws of speakers.
    seed : int
        The same cells and seed give the same intervals.

    Returns
    -------
    PairedErrorRates
        System minus base.

    Raises
    ------
    ValueError
        If the two were not tested on the same utterances, there are fewer than two speakers, or an
        argument is out of range.

    Reference
    ---------
    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    ICASSP 2004, section 3; here speakers are the blocks and the intervals are studentised.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> errors = generator.poisson(generator.gamma(4.0, 2.0, size=40))
    >>> words = [100] * 40
    >>> base = ErrorCells.of(errors, words)
    >>> better = ErrorCells.of(generator.binomial(errors, 0.9), words)
    >>> paired = bootstrap_paired_error_rates(better, base).overall.difference
    >>> round(paired.relative.value, 2), paired.points.excludes_zero
    (-0.09, True)
    >>> -0.14 < paired.relative.low < -0.09 < paired.relative.high < -0.04
    True
    """
    check_level(level)
    draws = RateDraws([cells, base], num_samples=num_samples, seed=seed)
    columns = {}
    for column, made in cells.columns.items():
        groups = tuple(
            GroupDifference(
                name, number, _difference(draws, [draws.find(column, name)] * 2, number, level)
            )
            for name, number in zip(
                made.names, cells.speakers_by_group(column).tolist(), strict=True
            )
        )
        columns[column] = ColumnDifferences(groups, _gap(draws, column, groups, level))
    spoken = int(np.unique(cells.speakers[cells.words > 0]).size)
    overall = _difference(draws, [draws.find()] * 2, spoken, level)
    return PairedErrorRates(GroupDifference("", spoken, overall), columns, level)


def _difference(
    draws: RateDraws, places: list[int], num_speakers: int, level: float
) -> ErrorRateDifference:
    """WER of the system in the first place minus that of the base in the second."""
    terms = [Term(places[SYSTEM], 1.0, SYSTEM), Term(places[BASE], -1.0, BASE)]
    wer, base_wer = (100.0 * float(draws.rate(one.group, one.system)[0]) for one in terms)
    samples, errors = draws.contrast(terms)
    log_samples, log_errors = draws.log_contrast(terms)
    if num_speakers < FEWEST_FOR_INTERVAL:
        errors, log_errors = np.full_like(errors, math.nan), np.full_like(errors, math.nan)
    points = studentized(100.0 * samples, 100.0 * errors, level=level)
    if not base_wer > 0.0:
        return ErrorRateDifference(wer, base_wer, points, UNKNOWN)
    relative = exponential(studentized(log_samples, log_errors, level=level), minus=1.0)
    if wer == 0.0:
        # The logarithm was taken of half an error.
        relative = Estimate(-1.0, -1.0, relative.high)
    return ErrorRateDifference(wer, base_wer, points, relative)


def _gap(
    draws: RateDraws, column: str, groups: tuple[GroupDifference, ...], level: float
) -> GapDifference | None:
    candidates = [one for one in groups if one.is_ranked]
    if len(candidates) < 2:
        return None
    bottom, top = _extremes({one.group: one.difference.wer for one in candidates})
    base_bottom, base_top = _extremes({one.group: one.difference.base_wer for one in candidates})
    worst = [draws.find(column, bottom), draws.find(column, base_bottom)]
    best = [draws.find(column, top), draws.find(column, base_top)]
    terms = [
        Term(worst[SYSTEM], 1.0, SYSTEM),
        Term(best[SYSTEM], -1.0, SYSTEM),
        Term(worst[BASE], -1.0, BASE),
        Term(best[BASE], 1.0, BASE),
    ]
    samples, errors = draws.contrast(terms)
    return GapDifference(
        bottom,
        top,
        base_bottom,
        base_top,
        _difference(draws, worst, FEWEST_SPEAKERS, level),
        studentized(100.0 * samples, 100.0 * errors, level=level),
        _relative_gap(draws, terms, level),
    )


def _relative_gap(draws: RateDraws, terms: list[Term], level: float) -> Estimate:
    if not all(draws.errors(one.group, one.system)[0] for one in terms):
        return UNKNOWN
    ratio, base_ratio = (
        np.exp(draws.log_rate(one.group, one.system) - draws.log_rate(other.group, other.system))
        for one, other in (terms[:2], (terms[2], terms[3]))
    )
    # The derivative of a ratio by the logarithm of either rate is plus or minus the ratio.
    weights = (ratio, -ratio, -base_ratio, base_ratio)
    errors = draws.log_error(
        [one._replace(weight=weight) for one, weight in zip(terms, weights, strict=True)]
    )
    return studentized(ratio - base_ratio, errors, level=level)


def _extremes(rates: Mapping[str, float]) -> tuple[str, str]:
    """Groups with the highest and the lowest rate, the first of equals."""
    return max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
