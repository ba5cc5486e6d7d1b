"""Scores of speaker pairs as log-likelihood ratios, and the threshold that a prior asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.metrics.verification import checked_trials, cost_weights


@dataclass(frozen=True)
class Calibration:
    """An affine map from scores to log-likelihood ratios (natural logarithm).

    Arguments
    ---------
    scale : float
        Above 0: calibration never changes the order of scores.
    offset : float
        Log-likelihood ratio of the score 0.

    Raises
    ------
    ValueError
        If a value is not finite or the scale not above 0.

    Example
    -------
    >>> calibration = Calibration(scale=10.0, offset=-4.0)
    >>> calibration.log_likelihood_ratios([0.4, 0.5]).tolist()
    [0.0, 1.0]
    >>> calibration.threshold(target_prior=0.5)
    0.4
    """

    scale: float
    offset: float

    def __post_init__(self) -> None:
        if not (0.0 < self.scale < math.inf and math.isfinite(self.offset)):
            raise ValueError(
                f"scale must be above 0 and both values finite, got {self}; scores must be higher "
                "where speakers are the same"
            )

    def log_likelihood_ratios(self, scores: ArrayLike) -> np.ndarray:
        """Map scores (N,) to log-likelihood ratios (N,)."""
        return self.scale * np.asarray(scores, dtype=np.float64) + self.offset

    def threshold(
        self,
        *,
        target_prior: float = 0.01,
        miss_cost: float = 1.0,
        false_alarm_cost: float = 1.0,
    ) -> float:
        """The score from which on a match is the cheaper decision.

        Arguments
        ---------
        target_prior : float
            How probable a target trial is, between 0 and 1.
        miss_cost, false_alarm_cost : float
            Costs of a false non-match and of a false match, above 0.

        Returns
        -------
        float
            A raw score, not a log-likelihood ratio.
        """
        miss, alarm = cost_weights(target_prior, miss_cost, false_alarm_cost)
        return (math.log(alarm / miss) - self.offset) / self.scale


def fit_calibration(
    scores: ArrayLike, is_target: ArrayLike, *, target_prior: float = 0.01
) -> Calibration:
    """Fit a calibration to development trials by prior-weighted logistic regression.

    Both kinds of trials enter as if target trials had the given prior, however many there are. The
    fit is best near the threshold of this prior.

    Arguments
    ---------
    scores : array of float
        (N,) of development trials, higher where the recordings are more alike.
    is_target : array of bool
        (N,) whether the speaker is the same.
    target_prior : float
        Between 0 and 1; that of the application.

    Returns
    -------
    Calibration
        The unique minimum of the weighted cross-entropy.

    Raises
    ------
    ValueError
        If the trials are unfit for `det_curve`, all scores of target trials lie above (or below)
        those of the others, so that the scale would grow without bound, or scores fall where they
        should rise.

    Reference
    ---------
    Brummer and du Preez, "Application-independent evaluation of speaker detection", Computer Speech
    and Language 2006; the objective is that of the FoCal toolkit, without regularisation.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> same = np.arange(20_000) < 10_000
    >>> scores = generator.normal(size=same.size) + 2.0 * same
    >>> calibration = fit_calibration(scores, same, target_prior=0.5)
    >>> abs(calibration.scale - 2.0) < 0.1, abs(calibration.offset + 2.0) < 0.1
    (True, True)
    """
    values, targets = checked_trials(scores, is_target)
    cost_weights(target_prior, 1.0, 1.0)
    own, others = values[targets], values[~targets]
    if own.min() >= others.max() or own.max() <= others.min():
        raise ValueError(
            f"scores of {own.size} target and {others.size} non-target trials do not overlap "
            f"({own.min():g} to {own.max():g} and {others.min():g} to {others.max():g}), so no "
            "scale fits best; fit on more or on harder development trials"
        )
    center, spread = values.mean(), values.std()
    scale, offset = _minimum((own - center) / spread, (others - center) / spread, target_prior)
    if scale <= 0.0:
        raise ValueError(
            f"target trials have lower scores than the others (fitted scale {scale:g}); pass "
            "similarities rather than distances, or train the model first"
        )
    return Calibration(float(scale / spread), float(offset - scale * center / spread))


def cllr(log_likelihood_ratios: ArrayLike, is_target: ArrayLike) -> float:
    """Cost of log-likelihood ratios over all priors: how well separated and how well calibrated.

    Arguments
    ---------
    log_likelihood_ratios : array of float
        (N,) natural logarithms.
    is_target : array of bool
        (N,) whether the speaker is the same.

    Returns
    -------
    float
        Bits: 0 is perfect, 1 what no information gives, more is worse than none.

    Raises
    ------
    ValueError
        As `det_curve`.

    Reference
    ---------
    Brummer and du Preez 2006, Cllr.

    Example
    -------
    >>> cllr([0.0, 0.0], [True, False]), round(cllr([3.0, 3.0], [True, False]), 2)
    (1.0, 2.23)
    """
    ratios, targets = checked_trials(log_likelihood_ratios, is_target)
    missed = np.logaddexp(0.0, -ratios[targets]).mean()
    alarmed = np.logaddexp(0.0, ratios[~targets]).mean()
    return float((missed + alarmed) / (2.0 * math.log(2.0)))


def _minimum(own: np.ndarray, others: np.ndarray, target_prior: float) -> tuple[float, float]:
    """Scale and offset of least weighted cross-entropy, scores of targets and of the others."""
    from scipy.optimize import minimize
    from scipy.special import expit

    values = np.concatenate([own, others])
    signs = np.repeat([1.0, -1.0], [own.size, others.size])
    weights = np.repeat(
        [target_prior / own.size, (1.0 - target_prior) / others.size], [own.size, others.size]
    )
    prior_log_odds = math.log(target_prior / (1.0 - target_prior))

    def margins(parameters: np.ndarray) -> np.ndarray:
        return signs * (parameters[0] * values + parameters[1] + prior_log_odds)

    def loss(parameters: np.ndarray) -> float:
        return float(weights @ np.logaddexp(0.0, -margins(parameters)))

    def gradient(parameters: np.ndarray) -> np.ndarray:
        slopes = -signs * weights * expit(-margins(parameters))
        return np.array([slopes @ values, slopes.sum()])

    def hessian(parameters: np.ndarray) -> np.ndarray:
        wrong = expit(-margins(parameters))
        bends = weights * wrong * (1.0 - wrong)
        mixed = bends @ values
        return np.array([[bends @ values**2, mixed], [mixed, bends.sum()]])

    # Convex in two parameters: Newton steps in a trust region end at the minimum from anywhere.
    # The gradient is about the prior at the start, so it is asked to shrink relative to that.
    start = np.zeros(2)
    tolerance = 1e-9 * min(target_prior, 1.0 - target_prior)
    found = minimize(
        loss, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": tolerance}
    )
    return float(found.x[0]), float(found.x[1])
