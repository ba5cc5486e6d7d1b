from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.metrics.multiple_testing import holm


@pytest.mark.parametrize("number", [1, 2, 7, 50])
def test_agrees_with_statsmodels(number: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(number).random(number) ** 3
    expected = multitest.multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected)


def test_tests_that_were_not_made_do_not_count() -> None:
    np.testing.assert_allclose(holm([np.nan, 0.02, np.nan, 0.5]), [np.nan, 0.04, np.nan, 0.5])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()


def test_equal_values_stay_equal_and_never_exceed_one() -> None:
    np.testing.assert_allclose(holm([0.3, 0.3, 0.9, 0.9]), [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(holm([0.01, 0.01]), [0.02, 0.02])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="row of numbers"):
        holm([[0.5]])
