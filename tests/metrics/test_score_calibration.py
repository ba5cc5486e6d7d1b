from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.score_calibration import Calibration, cllr, fit_calibration
from sb_alexa.metrics.verification import error_rates_at, minimum_dcf


def _trials(seed: int = 0, *, num_trials: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.random(num_trials) < 0.3
    return 0.2 * generator.normal(size=num_trials) + 0.5 * targets, targets


@pytest.mark.parametrize("prior", [0.01, 0.5, 0.95])
def test_equals_the_weighted_regression_of_scikit_learn(prior: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    scores, targets = _trials()
    weights = np.where(targets, prior / targets.sum(), (1.0 - prior) / (~targets).sum())
    model = linear_model.LogisticRegression(C=1e12, tol=1e-12, max_iter=1000, solver="newton-cg")
    model.fit(scores[:, None], targets, sample_weight=weights * len(scores))
    found = fit_calibration(scores, targets, target_prior=prior)
    # The regression gives posterior log odds.
    offset = model.intercept_[0] - math.log(prior / (1.0 - prior))
    assert found.scale == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert found.offset == pytest.approx(offset, rel=1e-4)


@pytest.mark.parametrize("prior", [0.001, 0.01, 0.5, 0.99])
def test_the_fit_is_a_minimum(prior: float) -> None:
    scores, targets = _trials(1)

    def loss(scale: float, offset: float) -> float:
        odds = scale * scores + offset + math.log(prior / (1.0 - prior))
        own = np.logaddexp(0.0, -odds[targets]).mean()
        return float(prior * own + (1.0 - prior) * np.logaddexp(0.0, odds[~targets]).mean())

    found = fit_calibration(scores, targets, target_prior=prior)
    least = loss(found.scale, found.offset)
    for scale, offset in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99)):
        assert loss(scale * found.scale, offset * found.offset) > least


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100.0, 100.0))
def test_the_scale_of_scores_does_not_matter(scale: float, shift: float) -> None:
    scores, targets = _trials(2, num_trials=300)
    plain = fit_calibration(scores, targets).log_likelihood_ratios(scores)
    moved = scale * scores + shift
    found = fit_calibration(moved, targets).log_likelihood_ratios(moved)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000))
def test_how_many_targets_there_are_does_not_matter(seed: int) -> None:
    scores, targets = _trials(seed, num_trials=200)
    more = np.concatenate([scores, scores[targets], scores[targets]])
    kinds = np.concatenate([targets, np.ones(2 * int(targets.sum()), dtype=bool)])
    one, other = fit_calibration(scores, targets), fit_calibration(more, kinds)
    assert (one.scale, one.offset) == pytest.approx((other.scale, other.offset), rel=1e-5)


def test_threshold_is_where_the_costs_are_equal() -> None:
    calibration = Calibration(scale=4.0, offset=-1.0)
    threshold = calibration.threshold(target_prior=0.2, miss_cost=3.0, false_alarm_cost=2.0)
    likelihood_ratio = math.exp(float(calibration.log_likelihood_ratios(threshold)))
    assert likelihood_ratio * 0.2 * 3.0 == pytest.approx(0.8 * 2.0)


def test_threshold_of_development_trials_is_nearly_best_on_others() -> None:
    calibration = fit_calibration(*_trials(3, num_trials=40_000), target_prior=0.05)
    scores, targets = _trials(4, num_trials=40_000)
    counts = error_rates_at(scores, targets, calibration.threshold(target_prior=0.05))
    cost = (0.05 * counts.fnmr + 0.95 * counts.fmr) / 100.0 / 0.05
    assert cost < 1.1 * minimum_dcf(scores, targets, target_prior=0.05).cost


def test_calibration_lowers_cllr() -> None:
    scores, targets = _trials(5)
    ratios = fit_calibration(scores, targets, target_prior=0.5).log_likelihood_ratios(scores)
    assert cllr(ratios, targets) < 0.6 < cllr(scores, targets)
    assert cllr(ratios, targets) < cllr(3.0 * ratios, targets)
    own = np.log2(1.0 + np.exp(-ratios[targets])).mean()
    others = np.log2(1.0 + np.exp(ratios[~targets])).mean()
    assert cllr(ratios, targets) == pytest.approx(0.5 * (own + others))


def test_cllr_of_huge_ratios_is_finite() -> None:
    assert cllr([1e4, -1e4], [True, False]) == 0.0
    assert cllr([-1e4, 1e4], [True, False]) == pytest.approx(1e4 / math.log(2.0))


def test_bad_input() -> None:
    scores, targets = _trials()
    with pytest.raises(ValueError, match=r"do not overlap \(0.8 to 0.9 and 0.1 to 0.2\)"):
        fit_calibration([0.8, 0.9, 0.1, 0.2], [True, True, False, False])
    with pytest.raises(ValueError, match="do not overlap"):
        fit_calibration([0.5, 0.5], [True, False])
    with pytest.raises(ValueError, match="lower scores than the others"):
        fit_calibration(-scores, targets)
    with pytest.raises(ValueError, match="target_prior must lie between 0 and 1, got 0"):
        fit_calibration(scores, targets, target_prior=0)
    with pytest.raises(ValueError, match="not finite"):
        cllr([math.inf, 0.0], [True, False])
    with pytest.raises(ValueError, match="scale must be above 0"):
        Calibration(scale=-1.0, offset=0.0)
    with pytest.raises(ValueError, match="both values finite"):
        Calibration(scale=1.0, offset=math.nan)
