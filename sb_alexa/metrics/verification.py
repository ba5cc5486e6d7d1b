"""Speaker verification: exact error trade-off, equal error rate, detection cost.

A *trial* asks whether two recordings have the same speaker. In a *target* trial they have. A score
at or above the threshold is a match: *false match rate* (FMR) is the share of non-target trials
that match, *false non-match rate* (FNMR) the share of target trials that do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold near which both error rates are equal.

    Arguments
    ---------
    threshold : float
        The score at which the two rates are closest to each other.
    false_match, false_non_match : float
        Rates in percent at this threshold. They are what a system with this threshold has.
    rate : float
        Equal error rate in percent, see `DetCurve.equal_error_rate`.
    """

    threshold: float
    false_match: float
    false_non_match: float
    rate: float


@dataclass(frozen=True)
class DetectionCost:
    """The least detection cost and where it is reached.

    Arguments
    ---------
    cost : float
        Normalised: 1 is the cost of the better of "always match" and "never match".
    threshold : float
        Least threshold with this cost; infinite where never to match is best.
    """

    cost: float
    threshold: float


@dataclass(frozen=True, eq=False)
class DetCurve:
    """All pairs of error rates that a threshold can reach.

    Arguments
    ---------
    thresholds : numpy.ndarray
        (K + 1,) the K distinct scores in ascending order, then infinity.
    false_match, false_non_match : numpy.ndarray
        (K + 1,) percent, from (100, 0) at the lowest score to (0, 100) at infinity.

    Reference
    ---------
    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.

    Example
    -------
    >>> curve = det_curve([0.1, 0.4, 0.4, 0.8], [False, False, True, True])
    >>> curve.thresholds.tolist()
    [0.1, 0.4, 0.8, inf]
    >>> curve.false_match.tolist(), curve.false_non_match.tolist()
    ([100.0, 50.0, 0.0, 0.0], [0.0, 0.0, 50.0, 100.0])
    """

    thresholds: np.ndarray
    false_match: np.ndarray
    false_non_match: np.ndarray

    def equal_error_rate(self) -> OperatingPoint:
        """Where the straight line between two neighbouring points of the curve has equal rates.

        With finitely many trials no threshold need have equal rates. The line between two
        neighbours is reached by choosing at random between their thresholds. (The convex hull of
        the curve would give a lower value, the mean of both rates at one threshold one that jumps.)

        Returns
        -------
        OperatingPoint
            Its rates are those of one threshold, its `rate` the interpolated one.

        Example
        -------
        >>> det_curve([1, 2, 2, 3], [False, False, True, True]).equal_error_rate()
        OperatingPoint(threshold=2.0, false_match=50.0, false_non_match=0.0, rate=25.0)
        """
        lead = self.false_match - self.false_non_match
        # Every distinct score is somebody's, so the lead falls strictly, from 100 to -100.
        left = int(np.count_nonzero(lead >= 0)) - 1
        right = left + 1
        nearest = left if lead[left] <= -lead[right] else right
        return OperatingPoint(
            float(self.thresholds[nearest]),
            float(self.false_match[nearest]),
            float(self.false_non_match[nearest]),
            crossing(lead, self.false_match, left),
        )

    def minimum_dcf(
        self,
        *,
        target_prior: float = 0.01,
        miss_cost: float = 1.0,
        false_alarm_cost: float = 1.0,
    ) -> DetectionCost:
        """The least normalised detection cost; arguments as in the function `minimum_dcf`.

        Example
        -------
        >>> det_curve([1, 2, 3], [False, True, True]).minimum_dcf()
        DetectionCost(cost=0.0, threshold=2.0)
        """
        miss, alarm = cost_weights(target_prior, miss_cost, false_alarm_cost)
        costs = (miss * self.false_non_match + alarm * self.false_match) / 100.0
        best = int(costs.argmin())
        return DetectionCost(float(costs[best]), float(self.thresholds[best]))


@dataclass(frozen=True)
class VerificationCounts:
    """Decisions of verification trials, of one set or summed over many.

    Arguments
    ---------
    matches : int
        Target trials that match.
    false_non_matches : int
        Target trials that do not match.
    non_matches : int
        Non-target trials that do not match.
    false_matches : int
        Non-target trials that match.

    Raises
    ------
    ValueError
        If a count is negative.

    Example
    -------
    >>> few = VerificationCounts(matches=1, false_non_matches=1, non_matches=2)
    >>> many = VerificationCounts(matches=8, non_matches=7, false_matches=1)
    >>> few.fnmr, many.fnmr, (few + many).fnmr, (few + many).fmr
    (50.0, 0.0, 10.0, 10.0)
    """

    matches: int = 0
    false_non_matches: int = 0
    non_matches: int = 0
    false_matches: int = 0

    def __post_init__(self) -> None:
        counts = (self.matches, self.false_non_matches, self.non_matches, self.false_matches)
        if min(counts) < 0:
            raise ValueError(f"counts must not be negative, got {self}")

    def __add__(self, other: VerificationCounts) -> VerificationCounts:
        if not isinstance(other, VerificationCounts):
            return NotImplemented
        return VerificationCounts(
            self.matches + other.matches,
            self.false_non_matches + other.false_non_matches,
            self.non_matches + other.non_matches,
            self.false_matches + other.false_matches,
        )

    @property
    def num_targets(self) -> int:
        """Target trials."""
        return self.matches + self.false_non_matches

    @property
    def num_non_targets(self) -> int:
        """Non-target trials."""
        return self.non_matches + self.false_matches

    @property
    def fmr(self) -> float:
        """False matches per 100 non-target trials; NaN without any."""
        whole = self.num_non_targets
        return 100.0 * self.false_matches / whole if whole else math.nan

    @property
    def fnmr(self) -> float:
        """False non-matches per 100 target trials; NaN without any."""
        whole = self.num_targets
        return 100.0 * self.false_non_matches / whole if whole else math.nan


def det_curve(scores: ArrayLike, is_target: ArrayLike) -> DetCurve:
    """Error rates at every threshold, exact also where scores are tied, in O(N log N).

    Arguments
    ---------
    scores : array of float
        (N,) higher where the recordings are more alike.
    is_target : array of bool
        (N,) whether the speaker is the same.

    Returns
    -------
    DetCurve
        One point for each distinct score and one above all of them.

    Raises
    ------
    ValueError
        If the lengths differ, a score is not finite, or all trials are of one kind.

    Example
    -------
    >>> len(det_curve([0.5, 0.5, 0.5], [True, False, True]).thresholds)
    2
    """
    values, targets = checked_trials(scores, is_target)
    order = np.argsort(values, kind="stable")
    values, targets = values[order], targets[order]
    # Where the score rises, all trials before lie below the threshold.
    below = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    targets_below = np.concatenate([[0], np.cumsum(targets)])[below]
    num_targets = int(targets_below[-1])
    num_non_targets = len(values) - num_targets
    passing = num_non_targets - (below - targets_below)
    return DetCurve(
        np.append(values[below[:-1]], np.inf),
        100.0 * passing / num_non_targets,
        100.0 * targets_below / num_targets,
    )


def equal_error_rate(scores: ArrayLike, is_target: ArrayLike) -> OperatingPoint:
    """Equal error rate of trials; arguments and errors as `det_curve`.

    Example
    -------
    >>> equal_error_rate([0.9, 0.2, 0.6, 0.1], [True, True, False, False]).rate
    50.0
    """
    return det_curve(scores, is_target).equal_error_rate()


def minimum_dcf(
    scores: ArrayLike,
    is_target: ArrayLike,
    *,
    target_prior: float = 0.01,
    miss_cost: float = 1.0,
    false_alarm_cost: float = 1.0,
) -> DetectionCost:
    """The least detection cost that a threshold chosen on these very trials reaches.

    Arguments
    ---------
    scores, is_target : array
        As `det_curve`.
    target_prior : float
        How probable the system is to meet a target trial, between 0 and 1.
    miss_cost, false_alarm_cost : float
        Costs of a false non-match and of a false match, above 0.

    Returns
    -------
    DetectionCost
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `det_curve`, or if an argument is out of range.

    Reference
    ---------
    NIST, "2016 speaker recognition evaluation plan": (miss_cost * target_prior * FNMR +
    false_alarm_cost * (1 - target_prior) * FMR) divided by the cheaper of the two trivial answers.

    Example
    -------
    >>> minimum_dcf([3, 2, 1, 0], [True, False, True, False], target_prior=0.5)
    DetectionCost(cost=0.5, threshold=1.0)
    >>> minimum_dcf([3, 2, 1, 0], [True, False, True, False])
    DetectionCost(cost=0.5, threshold=3.0)
    """
    return det_curve(scores, is_target).minimum_dcf(
        target_prior=target_prior, miss_cost=miss_cost, false_alarm_cost=false_alarm_cost
    )


def error_rates_at(scores: ArrayLike, is_target: ArrayLike, threshold: float) -> VerificationCounts:
    """Count the decisions at a given threshold, such as one fitted on development trials.

    Arguments
    ---------
    scores, is_target : array
        As `det_curve`, but trials of one kind alone can be counted too.
    threshold : float
        A score equal to it matches.

    Returns
    -------
    VerificationCounts
        Sums over parts of the trials are the counts of the whole.

    Raises
    ------
    ValueError
        If the lengths differ, a score is not finite, or the threshold is NaN.

    Example
    -------
    >>> error_rates_at([0.9, 0.5, 0.4], [True, False, True], 0.5)
    VerificationCounts(matches=1, false_non_matches=1, non_matches=0, false_matches=1)
    """
    if math.isnan(threshold):
        raise ValueError("threshold is NaN; fit it on development trials, which need both kinds")
    values, targets = checked_trials(scores, is_target, both_kinds=False)
    match = values >= threshold
    matches, false_matches = int((match & targets).sum()), int((match & ~targets).sum())
    num_targets = int(targets.sum())
    return VerificationCounts(
        matches,
        num_targets - matches,
        len(values) - num_targets - false_matches,
        false_matches,
    )


def crossing(lead: np.ndarray, false_match: np.ndarray, left: int) -> float:
    """False match rate where `lead` (FMR - FNMR) is 0 on the line from point `left` to the next."""
    share = lead[left] / (lead[left] - lead[left + 1])
    return float(false_match[left] + share * (false_match[left + 1] - false_match[left]))


def cost_weights(
    target_prior: float, miss_cost: float, false_alarm_cost: float
) -> tuple[float, float]:
    """What FNMR = 1 and FMR = 1 cost, divided by the lesser of the two."""
    if not 0.0 < target_prior < 1.0:
        raise ValueError(f"target_prior must lie between 0 and 1, got {target_prior}")
    for name, cost in (("miss_cost", miss_cost), ("false_alarm_cost", false_alarm_cost)):
        if not 0.0 < cost < math.inf:
            raise ValueError(f"{name} must be above 0 and finite, got {cost}; 1 is usual")
    miss, alarm = target_prior * miss_cost, (1.0 - target_prior) * false_alarm_cost
    return miss / min(miss, alarm), alarm / min(miss, alarm)


def checked_trials(
    scores: ArrayLike, is_target: ArrayLike, *, both_kinds: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 (N,) and labels as bool (N,), or a ValueError that names what is wrong."""
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(is_target)
    if values.ndim != 1 or labels.shape != values.shape:
        raise ValueError(
            f"scores and is_target must be one-dimensional and equally long, got shapes "
            f"{values.shape} and {labels.shape}; give one score and one label for each trial"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"{bad.size} of {len(values)} scores are not finite, the first is trial {bad[0]} with "
            f"{values[bad[0]]}; look for recordings whose embedding is zero or NaN"
        )
    targets = labels.astype(bool)
    if labels.dtype != bool and not np.array_equal(targets, labels):
        other = labels[targets != labels][0]
        raise ValueError(f"is_target must hold True or False (1 or 0), got {other!r}")
    num_targets = int(targets.sum())
    if both_kinds and not 0 < num_targets < len(values):
        raise ValueError(
            f"of {len(values)} trials {num_targets} are target trials; error rates need target and "
            "non-target trials, at least one of each"
        )
    return values, targets
