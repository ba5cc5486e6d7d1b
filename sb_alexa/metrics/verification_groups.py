"""Does a verification system err more for some groups of speakers?

A trial belongs to a group if both of its speakers do. Error rates of a group come in two kinds:
its equal error rate tells how well its speakers can be told apart, with a threshold of their own;
FMR and FNMR at one threshold shared by all groups tell what the users of a deployed system meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.metrics.verification import (
    OperatingPoint,
    VerificationCounts,
    checked_trials,
    equal_error_rate,
    error_rates_at,
)

# With fewer, one unusual speaker decides what rate the group has.
FEWEST_SPEAKERS = 10


@dataclass(frozen=True)
class GroupErrors:
    """Errors of the trials within one group.

    Arguments
    ---------
    group : str
        Its name.
    num_speakers : int | None
        Speakers in these trials; None where the caller does not know them.
    num_target_speakers : int | None
        Those of them that target trials are about: false non-matches are theirs alone.
    counts : VerificationCounts
        Decisions at the shared threshold.
    equal_error : OperatingPoint | None
        With a threshold of its own; None where all trials are of one kind.
    """

    group: str
    num_speakers: int | None
    num_target_speakers: int | None
    counts: VerificationCounts
    equal_error: OperatingPoint | None

    @property
    def num_trials(self) -> int:
        """Trials with both speakers in the group."""
        return self.counts.num_targets + self.counts.num_non_targets

    @property
    def is_ranked(self) -> bool:
        """Whether it counts as worst, best and in the spread, or is merely shown.

        It does with both kinds of trials and target trials of at least 10 speakers, or of an
        unknown number of them.
        """
        few = self.num_target_speakers is not None and self.num_target_speakers < FEWEST_SPEAKERS
        return self.equal_error is not None and not few


@dataclass(frozen=True)
class Spread:
    """How far the ranked groups lie apart in one rate.

    Arguments
    ---------
    worst, best : str
        Groups with the highest and the lowest rate; the first of equals.
    gap : float
        Rate of the worst minus that of the best, in percent points.
    std : float
        Standard deviation over the groups in percent points, population form, all groups equal.
    """

    worst: str
    best: str
    gap: float
    std: float


@dataclass(frozen=True)
class GroupReport:
    """Errors of all groups that one column of a speaker table makes.

    Arguments
    ---------
    threshold : float
        The shared one.
    groups : tuple of GroupErrors
        In alphabetical order.
    cross_group : VerificationCounts
        Trials between speakers of two different groups.
    unknown : VerificationCounts
        Trials with at least one speaker whose group is not known.
    """

    threshold: float
    groups: tuple[GroupErrors, ...]
    cross_group: VerificationCounts
    unknown: VerificationCounts

    @property
    def eer_spread(self) -> Spread | None:
        """Of equal error rates; None with fewer than two ranked groups."""
        return self._spread(lambda one: one.equal_error.rate if one.equal_error else np.nan)

    @property
    def fmr_spread(self) -> Spread | None:
        """Of false match rates at the shared threshold; None with fewer than two ranked groups."""
        return self._spread(lambda one: one.counts.fmr)

    @property
    def fnmr_spread(self) -> Spread | None:
        """Of false non-match rates at the shared threshold; None as above."""
        return self._spread(lambda one: one.counts.fnmr)

    def _spread(self, rate: Callable[[GroupErrors], float]) -> Spread | None:
        return spread_of({one.group: rate(one) for one in self.groups if one.is_ranked})


def spread_of(rates: dict[str, float]) -> Spread | None:
    """Gap and standard deviation of rates by group, None for fewer than two groups.

    Example
    -------
    >>> spread_of({"f": 1.0, "m": 3.0})
    Spread(worst='m', best='f', gap=2.0, std=1.0)
    """
    if len(rates) < 2:
        return None
    worst, best = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    std = float(np.std(list(rates.values())))
    return Spread(worst, best, rates[worst] - rates[best], std)


def errors_by_group(
    scores: ArrayLike,
    is_target: ArrayLike,
    enrol_groups: Sequence[str],
    test_groups: Sequence[str],
    *,
    threshold: float,
    enrol_speakers: Sequence[str] | None = None,
    test_speakers: Sequence[str] | None = None,
) -> GroupReport:
    """Error rates within each group, at its own threshold and at one shared by all.

    Arguments
    ---------
    scores, is_target : array
        (N,) of all trials, see `sb_alexa.metrics.verification`.
    enrol_groups, test_groups : sequence of str
        Group of the enrolled and of the tested speaker of each trial; empty where unknown.
    threshold : float
        The shared one, fitted on development trials.
    enrol_speakers, test_speakers : sequence of str | None
        Who they are, to count the speakers of a group. None, as for a file of scores that does not
        tell: then every group is ranked.

    Returns
    -------
    GroupReport
        Groups in which at least one trial lies.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, only one of the two speaker lists is given, or no
        trial lies within a group.

    Example
    -------
    >>> report = errors_by_group(
    ...     [0.9, 0.6, 0.1, 0.8, 0.4, 0.2, 0.7],
    ...     [True, False, False, True, True, False, False],
    ...     ["f", "f", "f", "m", "m", "m", "m"],
    ...     ["f", "f", "f", "m", "m", "m", "f"],
    ...     threshold=0.5,
    ... )
    >>> [(one.group, one.num_trials, one.counts.fmr, one.counts.fnmr) for one in report.groups]
    [('f', 3, 50.0, 0.0), ('m', 3, 0.0, 50.0)]
    >>> report.eer_spread.gap, report.fmr_spread.worst, report.cross_group.false_matches
    (0.0, 'f', 1)
    """
    values, targets = checked_trials(scores, is_target, both_kinds=False)
    if (enrol_speakers is None) != (test_speakers is None):
        raise ValueError("give enrol_speakers and test_speakers, or neither; only one was given")
    sides = {"enrol_groups": enrol_groups, "test_groups": test_groups}
    if enrol_speakers is not None and test_speakers is not None:
        sides |= {"enrol_speakers": enrol_speakers, "test_speakers": test_speakers}
    for name, side in sides.items():
        if len(side) != len(values):
            raise ValueError(f"{name} has {len(side)} entries for {len(values)} trials")
    names = sorted({*enrol_groups, *test_groups} - {""})
    enrolled, tested = (_numbered(side, names) for side in (enrol_groups, test_groups))

    def counts(chosen: np.ndarray) -> VerificationCounts:
        return error_rates_at(values[chosen], targets[chosen], threshold)

    groups = []
    for number, name in enumerate(names):
        inside = (enrolled == number) & (tested == number)
        if not inside.any():
            continue
        both = 0 < targets[inside].sum() < inside.sum()
        own = equal_error_rate(values[inside], targets[inside]) if both else None
        speakers, target_speakers = (
            _count_distinct(enrol_speakers, test_speakers, chosen)
            for chosen in (inside, inside & targets)
        )
        groups.append(GroupErrors(name, speakers, target_speakers, counts(inside), own))
    if not groups:
        raise ValueError(
            f"none of {len(values)} trials has both speakers in one group ({len(names)} groups are "
            "named); check the speaker table's column, or list trials within groups"
        )
    known = (enrolled >= 0) & (tested >= 0)
    return GroupReport(
        threshold, tuple(groups), counts(known & (enrolled != tested)), counts(~known)
    )


def _numbered(groups: Iterable[str], names: Sequence[str]) -> np.ndarray:
    """Number of each group, -1 for the empty name."""
    numbers = {name: number for number, name in enumerate(names)} | {"": -1}
    return np.array([numbers[group] for group in groups], dtype=np.intp)


def _count_distinct(
    enrol_speakers: Sequence[str] | None, test_speakers: Sequence[str] | None, inside: np.ndarray
) -> int | None:
    if enrol_speakers is None or test_speakers is None:
        return None
    chosen = inside.tolist()
    return len({*compress(enrol_speakers, chosen), *compress(test_speakers, chosen)})
