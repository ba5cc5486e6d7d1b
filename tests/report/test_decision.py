"""Where the shared threshold comes from."""

from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.score_calibration import fit_calibration
from sb_alexa.report.decision import Decision
from tests.scored_speakers import scored_trials


def test_fitted_threshold_is_that_of_the_calibration() -> None:
    development = scored_trials("dev")
    decision = Decision.fitted_on(development, target_prior=0.05)
    fitted = fit_calibration(development.scores, development.is_target, target_prior=0.05)
    assert decision.calibration == fitted and decision.is_honest
    assert decision.threshold == fitted.threshold(target_prior=0.05)
    assert "dev: 648" in decision.origin and "0.05" in decision.origin


def test_scores_that_do_not_overlap_have_a_threshold_and_no_calibration() -> None:
    apart = ScoredTrials(
        "dev", np.array([0.1, 0.3, 0.7, 0.9]), np.array([False, False, True, True])
    )
    decision = Decision.fitted_on(apart, target_prior=0.01)
    assert decision.threshold == pytest.approx(0.5) and decision.calibration is None
    assert "do not overlap" in decision.origin
    touching = ScoredTrials("dev", np.array([0.1, 0.7, 0.7]), np.array([False, False, True]))
    assert Decision.fitted_on(touching, target_prior=0.01).threshold == 0.7


def test_refused() -> None:
    wrong = ScoredTrials(
        "dev", np.array([0.9, 0.3, 0.7, 0.1]), np.array([False, False, True, True])
    )
    with pytest.raises(ValueError, match="dev: target trials have lower scores"):
        Decision.fitted_on(wrong, target_prior=0.5)
    with pytest.raises(ValueError, match="finite"):
        Decision.given(float("nan"))
    assert not Decision.of_these(wrong).is_honest
