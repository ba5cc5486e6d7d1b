from __future__ import annotations

import math

import numpy as np
import pytest

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.group_rate_tests import compare_with_rest
from sb_alexa.metrics.multiple_testing import holm


def _noise(generator: np.random.Generator, *, num_groups: int, ratio: float = 1.0) -> ErrorCells:
    """Groups of 15 on average, all alike but the first."""
    groups = generator.integers(num_groups, size=15 * num_groups)
    rates = 0.1 * generator.gamma(4.0, 0.25, size=len(groups)) * np.where(groups == 0, ratio, 1.0)
    words = generator.integers(200, 800, size=len(groups))
    return ErrorCells.of(generator.poisson(rates * words), words, columns={"g": groups.astype(str)})


def test_noise_is_seldom_reported() -> None:
    generator = np.random.default_rng(0)
    corrected = single = number = 0
    for _ in range(200):
        tests = compare_with_rest(_noise(generator, num_groups=10))
        corrected += any(one.adjusted_p_value < 0.05 for one in tests)
        single += sum(one.p_value < 0.05 for one in tests)
        number += sum(not math.isnan(one.p_value) for one in tests)
    assert corrected <= 10
    # Each for itself errs about as often as it says, so the test has power, too.
    assert 0.02 <= single / number <= 0.055


def test_a_hard_group_is_found() -> None:
    generator = np.random.default_rng(1)
    found = others = 0
    for _ in range(40):
        first, *rest = compare_with_rest(_noise(generator, num_groups=6, ratio=2.0))
        found += first.adjusted_p_value < 0.05
        others += sum(one.z > 0 and one.adjusted_p_value < 0.05 for one in rest)
    assert found >= 30 and others <= 2


def test_ratio_and_correction() -> None:
    cells = ErrorCells.of(
        [2, 3, 6, 5] * 10,
        [10, 20, 20, 30] * 10,
        columns={"g": ["a", "a", "b", ""] * 10, "h": ["x", "y", "x", "y"] * 10},
    )
    tests = compare_with_rest(cells)
    assert [(one.column, one.group) for one in tests] == [
        ("g", "a"),
        ("g", "b"),
        ("h", "x"),
        ("h", "y"),
    ]
    # The rest of a column are those whose group in it is known.
    assert tests[0].rest_ratio == pytest.approx((5 / 30) / (6 / 20))
    assert tests[0].z == pytest.approx(-tests[1].z) and tests[0].p_value == pytest.approx(
        tests[1].p_value
    )
    # Of two groups each is the other's rest: one hypothesis a column.
    expected = np.repeat(holm([tests[0].p_value, tests[2].p_value]), 2)
    np.testing.assert_allclose([one.adjusted_p_value for one in tests], expected)
    third = ErrorCells.of([2, 3, 4] * 20, [20] * 60, columns={"g": ["a", "b", "c"] * 20})
    tests = compare_with_rest(third)
    expected = holm([one.p_value for one in tests])
    np.testing.assert_allclose([one.adjusted_p_value for one in tests], expected)
    assert len(compare_with_rest(cells, ["h"])) == 2


def test_speakers_in_both_are_paired() -> None:
    """Everybody makes a fifth more errors in the car, however different they are."""
    generator = np.random.default_rng(2)
    rates = 0.1 * generator.gamma(1.0, 1.0, size=40)
    errors = np.concatenate([generator.poisson(2000 * rates), generator.poisson(2400 * rates)])
    columns = {"place": ["home"] * 40 + ["car"] * 40}
    speakers = np.tile(np.arange(40), 2)
    paired = compare_with_rest(
        ErrorCells.of(errors, [2000] * 80, speakers=speakers, columns=columns)
    )
    apart = compare_with_rest(ErrorCells.of(errors, [2000] * 80, columns=columns))
    assert paired[0].p_value < 1e-4 < 0.1 < apart[0].p_value
    assert paired[0].rest_ratio == pytest.approx(apart[0].rest_ratio)


def test_what_cannot_be_tested() -> None:
    few = ErrorCells.of([1, 2] * 12, [10] * 24, columns={"g": ["few"] * 9 + ["many"] * 15})
    assert all(math.isnan(one.p_value) for one in compare_with_rest(few))
    none = ErrorCells.of([0] * 12 + [1] * 12, [10] * 24, columns={"g": ["0"] * 12 + ["1"] * 12})
    first, second = compare_with_rest(none)
    assert first.rest_ratio == 0.0 and math.isnan(second.rest_ratio)
    assert math.isnan(first.p_value) and math.isnan(first.adjusted_p_value)
    alone = ErrorCells.of([1] * 12, [10] * 12, columns={"g": ["all"] * 12})
    assert math.isnan(compare_with_rest(alone)[0].rest_ratio)
    with pytest.raises(ValueError, match="no column 'h'"):
        compare_with_rest(few, ["h"])
