"""The median of repeated measurements and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class Median:
    """A median with an interval that assumes nothing about how the measurements are distributed.

    Arguments
    ---------
    median : float
        Of the measurements.
    low, high : float
        Two of the measurements, between which the true median lies with 95 %. Fewer than six of
        them cannot promise so much: then they are the smallest and the largest.

    Example
    -------
    >>> Median.of([5.0, 1.0, 2.0, 4.0, 3.0, 9.0, 7.0, 6.0, 8.0])
    Median(median=5.0, low=2.0, high=8.0)
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], *, level: float = 0.95) -> Median:
        """Median and interval of measurements.

        Arguments
        ---------
        values : sequence of float
            At least one.
        level : float
            Probability that the interval is to cover.

        Returns
        -------
        Median
            The interval is the narrowest one, of the k-th smallest and the k-th largest value,
            that covers the level.
        """
        ordered = sorted(values)
        number = len(ordered)
        # k values lie below the true median with the probability of k heads in `number` tosses.
        tail, outside = 0, 0.0
        while 2 * (outside + comb(number, tail) / 2**number) <= 1 - level:
            outside += comb(number, tail) / 2**number
            tail += 1
        k = max(tail, 1)
        return cls(float(np.median(ordered)), ordered[k - 1], ordered[number - k])
