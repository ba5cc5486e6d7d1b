"""Symmetric studentised bootstrap intervals, of one statistic or of many at once."""

from __future__ import annotations

import numpy as np

from sb_alexa.metrics.verification_estimates import Estimate

UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))
# Draws of fewer leave so few different standard errors that an interval would be noise.
FEWEST_FOR_INTERVAL = 5


def critical_value(samples: np.ndarray, errors: np.ndarray, *, level: float) -> float:
    """How many standard errors a statistic strays from what it estimates, `level` of the time.

    Arguments
    ---------
    samples : numpy.ndarray
        (1 + draws,) or (1 + draws, K): the statistics as measured, then in every draw.
    errors : numpy.ndarray
        Their standard errors, each estimated from the same draw. A constant factor in them cancels.
    level : float
        Probability that the interval is to cover, between 0 and 1; of K statistics, that all their
        intervals cover.

    Returns
    -------
    float
        NaN where no draw has the statistic.

    Raises
    ------
    ValueError
        If the level is out of range.

    Reference
    ---------
    Hall, "On symmetric bootstrap confidence intervals", Journal of the Royal Statistical Society B
    50(1), 1988: of n independent units the two-sided coverage errs by O(1 / n^2), that of
    percentiles by O(1 / n).

    Example
    -------
    >>> samples, errors = np.array([5.0, 3.0, 9.0, 6.0]), np.array([1.0, 1.0, 2.0, 1.0])
    >>> critical_value(samples, errors, level=0.5)
    2.0
    """
    check_level(level)
    strayed = np.abs((samples[1:] - samples[:1]) / errors[1:])
    if strayed.ndim == 2:
        # fmax passes over statistics that this draw does not have.
        strayed = np.fmax.reduce(strayed, axis=1)
    strayed = strayed[~np.isnan(strayed)]
    return float(np.quantile(strayed, level)) if strayed.size else float("nan")


def check_level(level: float) -> None:
    """Raise ValueError where the probability to cover is none."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")


def studentized(samples: np.ndarray, errors: np.ndarray, *, level: float) -> Estimate:
    """A statistic with its symmetric studentised interval.

    Arguments
    ---------
    samples, errors : numpy.ndarray
        (1 + draws,) as `critical_value`.
    level : float
        Probability that the interval is to cover.

    Returns
    -------
    Estimate
        On the scale of the samples.

    Example
    -------
    >>> studentized(np.array([5.0, 3.0, 9.0, 6.0]), np.array([1.0, 1.0, 2.0, 1.0]), level=0.5)
    Estimate(value=5.0, low=3.0, high=7.0)
    """
    return around(samples[0], errors[0] * critical_value(samples, errors, level=level))


def around(value: float, margin: float) -> Estimate:
    """A value with as much on either side."""
    return Estimate(float(value), float(value - margin), float(value + margin))


def exponential(estimate: Estimate, *, minus: float = 0.0) -> Estimate:
    """From the logarithm of a ratio to the ratio, less a constant.

    Example
    -------
    >>> exponential(Estimate(0.0, -np.inf, np.log(2.0)), minus=1.0)
    Estimate(value=0.0, low=-1.0, high=1.0)
    """
    low, value, high = np.exp([estimate.low, estimate.value, estimate.high]) - minus
    return Estimate(float(value), float(low), float(high))
