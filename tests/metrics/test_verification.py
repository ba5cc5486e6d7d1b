from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.verification import (
    VerificationCounts,
    det_curve,
    equal_error_rate,
    error_rates_at,
    minimum_dcf,
)


@st.composite
def trials(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct scores, so that many are tied; at least one trial of each kind."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=40))]
    score = st.integers(-8, 8).map(lambda number: number / 4)
    scores = draw(st.lists(score, min_size=len(labels), max_size=len(labels)))
    return np.array(scores), np.array(labels)


def _plain_rates(scores: np.ndarray, targets: np.ndarray, threshold: float) -> tuple[float, float]:
    return (
        100.0 * float((scores[~targets] >= threshold).mean()),
        100.0 * float((scores[targets] < threshold).mean()),
    )


@settings(max_examples=60, deadline=None)
@given(trials())
def test_curve_is_what_counting_at_every_threshold_gives(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    scores, targets = sample
    curve = det_curve(scores, targets)
    assert curve.thresholds.tolist() == [*sorted(set(scores.tolist())), math.inf]
    for threshold, fmr, fnmr in zip(
        curve.thresholds, curve.false_match, curve.false_non_match, strict=True
    ):
        assert (fmr, fnmr) == pytest.approx(_plain_rates(scores, targets, threshold), abs=1e-12)
        counts = error_rates_at(scores, targets, threshold)
        assert (counts.fmr, counts.fnmr) == pytest.approx((fmr, fnmr), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(trials())
def test_curve_and_rates_are_those_of_scikit_learn(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, targets = sample
    fmr, hits, thresholds = metrics.roc_curve(targets, scores, drop_intermediate=False)
    curve = det_curve(scores, targets)
    np.testing.assert_allclose(curve.thresholds, thresholds[::-1])
    np.testing.assert_allclose(curve.false_match, 100.0 * fmr[::-1], atol=1e-10)
    np.testing.assert_allclose(curve.false_non_match, 100.0 * (1.0 - hits[::-1]), atol=1e-10)
    # Along the curve FMR - FNMR rises, so that numpy can look up where it is 0.
    expected = 100.0 * np.interp(0.0, fmr - (1.0 - hits), fmr)
    assert equal_error_rate(scores, targets).rate == pytest.approx(expected, abs=1e-9)
    for prior in (0.01, 0.5, 0.9):
        cost = (prior * (1.0 - hits) + (1.0 - prior) * fmr).min() / min(prior, 1.0 - prior)
        found = minimum_dcf(scores, targets, target_prior=prior)
        assert found.cost == pytest.approx(cost, abs=1e-9)


def test_large_random_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    targets = generator.random(30_000) < 0.3
    scores = np.round(generator.normal(size=targets.size) + 2.5 * targets, 2)
    fmr, hits, _ = metrics.roc_curve(targets, scores, drop_intermediate=False)
    expected = 100.0 * np.interp(0.0, fmr + hits - 1.0, fmr)
    assert equal_error_rate(scores, targets).rate == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(trials())
def test_rates_depend_on_the_order_of_scores_only(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = sample
    one, other = equal_error_rate(scores, targets), equal_error_rate(np.exp(scores), targets)
    assert one.rate == other.rate
    assert math.exp(one.threshold) == pytest.approx(other.threshold)
    assert minimum_dcf(scores, targets).cost == minimum_dcf(np.exp(scores), targets).cost


@settings(max_examples=60, deadline=None)
@given(trials())
def test_swapping_kinds_swaps_the_rates(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = sample
    rate = equal_error_rate(scores, targets).rate
    assert equal_error_rate(-scores, ~targets).rate == pytest.approx(rate, abs=1e-9)
    cost = minimum_dcf(scores, targets, target_prior=0.1, miss_cost=3.0).cost
    swapped = minimum_dcf(-scores, ~targets, target_prior=0.9, false_alarm_cost=3.0).cost
    assert swapped == pytest.approx(cost, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(trials())
def test_operating_points_are_real(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = sample
    point = equal_error_rate(scores, targets)
    assert point.threshold in scores
    assert (point.false_match, point.false_non_match) == pytest.approx(
        _plain_rates(scores, targets, point.threshold), abs=1e-12
    )
    curve = det_curve(scores, targets)
    distances = np.abs(curve.false_match - curve.false_non_match)
    assert abs(point.false_match - point.false_non_match) == distances.min()
    best = minimum_dcf(scores, targets, target_prior=0.5)
    fmr, fnmr = _plain_rates(scores, targets, best.threshold)
    assert best.cost == pytest.approx((fmr + fnmr) / 100.0, abs=1e-9)
    assert 0.0 <= best.cost <= 1.0


def test_equal_error_rate_lies_between_two_thresholds() -> None:
    """At 0.5 FMR is 1/3 and FNMR 1/2, at 0.6 they are 0 and 1/2."""
    scores, targets = [0.1, 0.2, 0.5, 0.4, 0.6], [False, False, False, True, True]
    point = equal_error_rate(scores, targets)
    # From (100/3, 0) at 0.4 to (100/3, 50) at 0.5: the line has equal rates where FNMR is 100/3.
    assert point.rate == pytest.approx(100 / 3)
    assert (point.threshold, point.false_non_match) == (0.5, 50.0)


@pytest.mark.parametrize(
    ("scores", "targets", "rate"),
    [
        ([1.0, 2.0], [False, True], 0.0),
        ([2.0, 1.0], [False, True], 100.0),
        ([1.0, 1.0, 1.0], [False, True, True], 50.0),
    ],
)
def test_extremes(scores: list[float], targets: list[bool], rate: float) -> None:
    assert equal_error_rate(scores, targets).rate == pytest.approx(rate)


def test_useless_scores_cost_as_much_as_never_to_match() -> None:
    found = minimum_dcf([2.0, 1.0], [False, True])
    assert (found.cost, found.threshold) == (1.0, math.inf)


@settings(max_examples=60, deadline=None)
@given(trials(), st.integers(0, 42), st.floats(-2, 2))
def test_counts_add_up(sample: tuple[np.ndarray, np.ndarray], cut: int, threshold: float) -> None:
    scores, targets = sample
    parts = [
        error_rates_at(scores[part], targets[part], threshold)
        for part in (slice(None, cut), slice(cut, None))
    ]
    whole = error_rates_at(scores, targets, threshold)
    assert sum(parts, VerificationCounts()) == whole
    assert (whole.num_targets, whole.num_non_targets) == (targets.sum(), (~targets).sum())


def test_rates_without_trials_are_nan() -> None:
    counts = error_rates_at([1.0], [True], 0.5)
    assert counts.fnmr == 0.0
    assert math.isnan(counts.fmr)
    assert math.isnan(VerificationCounts().fnmr)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([1.0, 2.0], [True, True], "of 2 trials 2 are target trials"),
        ([1.0, 2.0], [0, 0], "of 2 trials 0 are target trials"),
        ([], [], "of 0 trials 0 are target trials"),
        ([1.0, math.nan], [True, False], "the first is trial 1 with nan"),
        ([math.inf, 1.0], [True, False], "the first is trial 0 with inf"),
        ([1.0], [True, False], r"shapes \(1,\) and \(2,\)"),
        ([[1.0, 2.0]], [[True, False]], "one-dimensional"),
        ([1.0, 2.0], [1, 2], "must hold True or False"),
        ([1.0, 2.0], [1.0, math.nan], "must hold True or False"),
    ],
)
def test_bad_trials(scores: list[float], targets: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        det_curve(scores, targets)
    with pytest.raises(ValueError, match=message):
        minimum_dcf(scores, targets)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="target_prior must lie between 0 and 1, got 1"):
        minimum_dcf([1.0, 2.0], [True, False], target_prior=1.0)
    with pytest.raises(ValueError, match="miss_cost must be above 0 and finite, got 0"):
        minimum_dcf([1.0, 2.0], [True, False], miss_cost=0.0)
    with pytest.raises(ValueError, match="false_alarm_cost must be above 0 and finite, got inf"):
        minimum_dcf([1.0, 2.0], [True, False], false_alarm_cost=math.inf)
    with pytest.raises(ValueError, match="threshold is NaN"):
        error_rates_at([1.0], [True], math.nan)
    with pytest.raises(ValueError, match="must not be negative"):
        VerificationCounts(matches=-1)
