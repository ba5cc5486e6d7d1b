from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sb_alexa.metrics.speaker_draws import resampled_sums


def test_equals_a_plain_loop() -> None:
    table = np.random.default_rng(0).poisson(2.0, size=(7, 3)).astype(np.float64)
    drawn = np.random.default_rng(5).integers(7, size=(40, 7))
    expected = [table.sum(axis=0), *(table[row].sum(axis=0) for row in drawn)]
    np.testing.assert_allclose(
        resampled_sums(sparse.csr_array(table), num_samples=40, seed=5), expected
    )


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sparse.csr_array(np.arange(12.0).reshape(6, 2))
    whole = resampled_sums(table, num_samples=50, seed=1)
    monkeypatch.setattr("sb_alexa.metrics.speaker_draws._BLOCK_CELLS", 25)
    np.testing.assert_array_equal(resampled_sums(table, num_samples=50, seed=1), whole)
    assert not np.array_equal(resampled_sums(table, num_samples=50, seed=2), whole)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least two, got 1"):
        resampled_sums(sparse.csr_array([[1.0]]), num_samples=10, seed=0)
    with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
        resampled_sums(sparse.csr_array([[1.0], [2.0]]), num_samples=0, seed=0)
