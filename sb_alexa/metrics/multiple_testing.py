"""Correction of p-values where many groups are tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p-values so that calling those below alpha true errs with probability alpha at most.

    The error is to call even one difference true that is none, whichever of them are and however
    the tests depend on each other.

    Arguments
    ---------
    p_values : array of float
        (N,) one for each test; NaN where there was nothing to test.

    Returns
    -------
    numpy.ndarray
        (N,) adjusted, in the order given; NaN stays NaN and does not count as a test.

    Raises
    ------
    ValueError
        If a p-value lies outside of 0 to 1.

    Reference
    ---------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6(2), 1979.

    Example
    -------
    >>> holm([0.04, 0.01, float("nan"), 0.03])
    array([0.06, 0.03,  nan, 0.06])
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p_values must be a row of numbers, got shape {values.shape}")
    tested = np.flatnonzero(~np.isnan(values))
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise ValueError(f"p-values lie between 0 and 1, got {values[tested].tolist()}")
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(values.shape, np.nan)
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return adjusted
