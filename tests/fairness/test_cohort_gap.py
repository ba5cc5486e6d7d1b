from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sb_alexa.fairness.cohort_gap import CohortCounts, CohortGap, measure_gap


def skewed(generator: np.random.Generator, num_speakers: int) -> tuple[np.ndarray, np.ndarray]:
    words = np.rint(generator.lognormal(np.log(300), 0.7, num_speakers)) + 1
    rates = 0.1 * np.exp(0.8 * generator.standard_normal(num_speakers))
    return generator.poisson(rates * words).astype(float), words


def test_points_are_the_difference_of_pooled_rates() -> None:
    errors, words = np.array([0.0, 9, 1, 2]), np.array([1.0, 9, 10, 40])
    gap = measure_gap(errors, words, np.array([True, True, False, False]))
    assert gap.bottom == CohortCounts(2, 9, 10) and gap.top == CohortCounts(2, 3, 50)
    assert gap.points == pytest.approx(90 - 6)
    assert gap.relative == pytest.approx((90 - 6) / 6)
    assert (gap.share_of_speakers, gap.share_of_words) == (0.5, pytest.approx(1 / 6))


def test_equal_words_give_welchs_test() -> None:
    generator = np.random.default_rng(0)
    errors, in_bottom = generator.poisson(20, 90).astype(float), np.arange(90) < 30
    gap = measure_gap(errors, np.full(90, 100.0), in_bottom)
    welch = stats.ttest_ind(errors[in_bottom], errors[~in_bottom], equal_var=False)
    interval = welch.confidence_interval()
    assert (gap.low, gap.high) == pytest.approx((interval.low, interval.high))


def test_permutations_agree_with_t_where_both_are_right() -> None:
    generator = np.random.default_rng(1)
    errors = generator.poisson(np.where(np.arange(600) < 300, 22, 21)).astype(float)
    in_bottom = np.arange(600) < 300
    gap = measure_gap(errors, np.full(600, 100.0), in_bottom)
    one_sided = stats.ttest_ind(
        errors[in_bottom], errors[~in_bottom], equal_var=False, alternative="greater"
    ).pvalue
    assert gap.p_value == pytest.approx(one_sided, abs=0.01)
    other = measure_gap(errors, np.full(600, 100.0), ~in_bottom)
    assert other.points == -gap.points and other.p_value == pytest.approx(1 - one_sided, abs=0.06)


@pytest.mark.parametrize("bottom_is_small", [True, False])
def test_chance_seldom_makes_a_small_p_value_of_skewed_speakers(bottom_is_small: bool) -> None:
    generator = np.random.default_rng(2)
    in_bottom = (np.arange(220) < 20) == bottom_is_small
    rejected = sum(
        measure_gap(*skewed(generator, 220), in_bottom, seed=draw).p_value <= 0.05
        for draw in range(300)
    )
    # 15 expected; chance alone exceeds 26 in 0.3 % of all seeds.
    assert 5 <= rejected <= 26


def test_a_clear_gap_has_the_smallest_p_value_there_is() -> None:
    in_bottom = np.arange(100) < 50
    gap = measure_gap(np.where(in_bottom, 30.0, 10.0), np.full(100, 100.0), in_bottom)
    assert gap.p_value == 1 / 5001
    assert gap.low < 20 < gap.high


def test_no_errors_at_all_are_no_gap() -> None:
    gap = measure_gap(np.zeros(40), np.full(40, 10.0), np.arange(40) < 20)
    assert (gap.points, gap.relative, gap.p_value) == (0.0, 0.0, 1.0)
    assert gap.low < 0 < gap.high


def test_a_top_cohort_without_errors_is_infinitely_better() -> None:
    gap = CohortGap(CohortCounts(2, 5, 10), CohortCounts(2, 0, 10), 50.0, 1.0, 99.0, 0.5)
    assert gap.relative == np.inf


@pytest.mark.parametrize(
    ("words", "in_bottom", "message"),
    [
        ([1.0, 1, 1], [True, False, False], "bottom cohort has 1 speakers"),
        ([1.0, 1, 1, 1], [True] * 4, "top cohort has 0 speakers"),
        ([1.0, 1, 0, 0], [True, True, False, False], "top cohort has 2 speakers and 0 words"),
    ],
)
def test_sides_that_are_too_small_are_refused(
    words: list[float], in_bottom: list[bool], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_gap(np.zeros(len(words)), np.array(words), np.array(in_bottom))
