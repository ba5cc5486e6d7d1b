"""Sums over speakers who are drawn with replacement, for many columns at once."""

from __future__ import annotations

import numpy as np
from scipy import sparse

# Cells (speakers x draws) at once: weights and their product stay below 30 MB.
_BLOCK_CELLS = 1_000_000


def resampled_sums(table: sparse.csr_array, *, num_samples: int, seed: int) -> np.ndarray:
    """Column sums of a table of speakers as it is, and under draws of its rows.

    Every statistic that derives from the same call sees the same draws of speakers, so differences
    of its columns are paired.

    Arguments
    ---------
    table : scipy.sparse.csr_array
        (P, K) whatever adds up over speakers.
    num_samples : int
        Draws of P speakers with replacement.
    seed : int
        The same table and seed give the same sums.

    Returns
    -------
    numpy.ndarray
        (1 + num_samples, K), first those of the table as it is.

    Raises
    ------
    ValueError
        If there are fewer than two speakers or no draws.

    Example
    -------
    >>> sums = resampled_sums(sparse.csr_array([[1.0, 10.0], [5.0, 10.0]]), num_samples=3, seed=0)
    >>> sums[0], sums[1:, 1]
    (array([ 6., 20.]), array([20., 20., 20.]))
    """
    num_speakers, num_columns = table.shape
    if num_speakers < 2:
        raise ValueError(f"resampling speakers needs at least two, got {num_speakers}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}; 1000 is usual")
    generator = np.random.default_rng(seed)
    by_column = table.T.tocsr()
    sums = np.empty((1 + num_samples, num_columns))
    sums[0] = table.sum(axis=0)
    block = max(1, _BLOCK_CELLS // num_speakers)
    for start in range(0, num_samples, block):
        size = min(block, num_samples - start)
        drawn = generator.integers(num_speakers, size=(size, num_speakers))
        # How often each speaker was drawn: draws are the last axis, which the product runs along.
        places = (drawn * size + np.arange(size)[:, None]).ravel()
        weights = np.bincount(places, minlength=num_speakers * size).reshape(num_speakers, size)
        sums[1 + start : 1 + start + size] = (by_column @ weights.astype(np.float64)).T
    return sums
