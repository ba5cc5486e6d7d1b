"""Word error rates of groups and their gaps, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS


@dataclass(frozen=True)
class GroupErrorRate:
    """The word error rate of one group.

    Arguments
    ---------
    group : str
        Its name; empty for everybody.
    num_speakers : int
        Those who say at least one word in it.
    errors, words : float
        Their sums.
    wer : Estimate
        Percent: errors per 100 words, with its interval. NaN without words; the ends of the
        interval are NaN for fewer than five speakers.
    """

    group: str
    num_speakers: int
    errors: float
    words: float
    wer: Estimate

    @property
    def is_ranked(self) -> bool:
        """Whether it may count as worst or best: at least 10 speakers. Others are merely shown."""
        return self.num_speakers >= FEWEST_SPEAKERS and self.words > 0


@dataclass(frozen=True)
class ErrorRateGap:
    """How far the word error rates of two groups lie apart.

    Arguments
    ---------
    bottom, top : str
        The groups; the bottom one has more errors where they are the worst and the best.
    gap_points : Estimate
        WER of the bottom group minus that of the top group, in percent points.
    gap_relative : Estimate
        (bottom - top) / top; 0.5 is half as many errors again. NaN where the top group has none.
    ratio : Estimate
        bottom / top, which is 1 + gap_relative.
    """

    bottom: str
    top: str
    gap_points: Estimate
    gap_relative: Estimate
    ratio: Estimate


@dataclass(frozen=True)
class ColumnErrorRates:
    """What one column of groups tells.

    Arguments
    ---------
    groups : tuple of GroupErrorRate
        In alphabetical order.
    gap : ErrorRateGap | None
        Between the ranked groups with the highest and the lowest WER. Its intervals hold for all
        pairs of ranked groups at once, so that picking the two extremes does not spoil them. None
        with fewer than two ranked groups.
    pairs : tuple of ErrorRateGap
        Pairs that were fixed beforehand; each interval is for itself.
    """

    groups: tuple[GroupErrorRate, ...]
    gap: ErrorRateGap | None
    pairs: tuple[ErrorRateGap, ...] = ()

    @property
    def by_group(self) -> dict[str, GroupErrorRate]:
        """The groups by name."""
        return {one.group: one for one in self.groups}

    @property
    def ranked(self) -> tuple[GroupErrorRate, ...]:
        """The ranked groups, worst first; the first in the alphabet of equals."""
        return ranked(self.groups)


@dataclass(frozen=True)
class ErrorRateEstimates:
    """Word error rates of a system.

    Arguments
    ---------
    overall : GroupErrorRate
        Of everybody.
    columns : mapping of str to ColumnErrorRates
        By column.
    level : float
        Probability that an interval is to cover.
    """

    overall: GroupErrorRate
    columns: Mapping[str, ColumnErrorRates]
    level: float


def ranked(groups: tuple[GroupErrorRate, ...]) -> tuple[GroupErrorRate, ...]:
    """Groups that may be ranked, worst first.

    Example
    -------
    >>> def group(name, speakers, wer):
    ...     return GroupErrorRate(name, speakers, wer, 100.0, Estimate(wer, wer, wer))
    >>> groups = group("a", 30, 4.0), group("b", 9, 9.0), group("c", 30, 6.0)
    >>> [one.group for one in ranked(groups)]
    ['c', 'a']
    """
    return tuple(sorted((one for one in groups if one.is_ranked), key=lambda one: -one.wer.value))
