"""The threshold that all groups share, and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.score_calibration import Calibration, fit_calibration
from sb_alexa.metrics.verification import equal_error_rate


@dataclass(frozen=True)
class Decision:
    """How a system decides: a match from this score on.

    Arguments
    ---------
    threshold : float
        One for all groups.
    origin : str
        Where it comes from, to follow "The threshold was".
    calibration : Calibration | None
        From scores to log-likelihood ratios; None where nobody fitted one.
    is_honest : bool
        False if the threshold was chosen on the very trials it is used on.

    Raises
    ------
    ValueError
        If the threshold is not finite.
    """

    threshold: float
    origin: str
    calibration: Calibration | None = None
    is_honest: bool = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be a finite score, got {self.threshold}")

    @classmethod
    def given(cls, threshold: float) -> Decision:
        """A threshold that the user names."""
        return cls(threshold, "given")

    @classmethod
    def of_these(cls, trials: ScoredTrials) -> Decision:
        """The threshold of equal error rates on the trials to be judged, for want of another.

        Example
        -------
        >>> import numpy as np
        >>> trials = ScoredTrials("a", np.array([1.0, 2, 3]), np.array([False, True, True]))
        >>> Decision.of_these(trials).threshold
        2.0
        """
        point = equal_error_rate(trials.scores, trials.is_target)
        return cls(
            point.threshold,
            "chosen on these very trials, where both error rates are equal",
            is_honest=False,
        )

    @classmethod
    def fitted_on(cls, development: ScoredTrials, *, target_prior: float) -> Decision:
        """The threshold that a calibration on development trials gives for a prior.

        Where no development target scores below any other trial no calibration exists; then the
        threshold lies half way between them.

        Arguments
        ---------
        development : ScoredTrials
            Of the same system, with other speakers.
        target_prior : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            As `fit_calibration`.
        """
        own = development.scores[development.is_target]
        others = development.scores[~development.is_target]
        where = f"development trials ({development.name}: {len(development):,})"
        if own.min() >= others.max():
            middle = float(0.5 * (own.min() + others.max()))
            return cls(
                middle,
                f"set half way between target and non-target scores of {where}, which do "
                "not overlap",
            )
        try:
            calibration = fit_calibration(
                development.scores, development.is_target, target_prior=target_prior
            )
        except ValueError as error:
            raise ValueError(f"{development.name}: {error}") from error
        threshold = calibration.threshold(target_prior=target_prior)
        return cls(
            threshold, f"fitted on {where} for a target prior of {target_prior:g}", calibration
        )
