"""Rates with their intervals as text."""

from __future__ import annotations

import math

from sb_alexa.metrics.verification_estimates import Estimate

UNKNOWN = "–"


def estimate_text(estimate: Estimate, *, digits: int = 2, sign: bool = False) -> str:
    """A value and, where there is one, its interval.

    Arguments
    ---------
    estimate : Estimate
        NaN where nothing was measured.
    digits : int
        Behind the point.
    sign : bool
        Whether to write a plus, as for differences.

    Example
    -------
    >>> estimate_text(Estimate(1.5, 1.0, 2.25), digits=1)
    '1.5 [1.0, 2.2]'
    >>> estimate_text(Estimate(1.5, float("nan"), float("nan")), sign=True)
    '+1.50'
    """
    value = number_text(estimate.value, digits=digits, sign=sign)
    interval = interval_text(estimate, digits=digits, sign=sign)
    return f"{value} {interval}" if interval else value


def interval_text(estimate: Estimate, *, digits: int = 2, sign: bool = False) -> str:
    """The interval alone, empty where there is none."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    low, high = (number_text(v, digits=digits, sign=sign) for v in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def number_text(value: float, *, digits: int = 2, sign: bool = False) -> str:
    """A number, or a dash for NaN; without digits from 10,000 on, where only intervals get.

    Example
    -------
    >>> number_text(12.345), number_text(123456.7), number_text(float("inf"), sign=True)
    ('12.35', '1e+05', '+∞')
    """
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return f"{value:{'+' if sign else ''}}".replace("inf", "∞")
    if abs(value) >= 10_000:
        return f"{value:{'+' if sign else ''}.0e}"
    # Adding 0 takes the sign off a negative zero.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign else ''}.{digits}f}"
