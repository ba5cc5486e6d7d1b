from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics import weighted_trials
from sb_alexa.metrics.verification import equal_error_rate, error_rates_at, minimum_dcf
from sb_alexa.metrics.weighted_trials import WeightedTrials


def _random_trials(
    generator: np.random.Generator, *, num_trials: int, num_speakers: int, decimals: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    enrol = generator.integers(num_speakers, size=num_trials)
    shift = np.where(
        generator.random(num_trials) < 0.4, 0, generator.integers(1, num_speakers, num_trials)
    )
    test = (enrol + shift) % num_speakers
    targets = enrol == test
    scores = np.round(generator.normal(size=num_trials) + 2.0 * targets, decimals)
    return scores, targets, enrol, test


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_trials=st.integers(2, 120),
    decimals=st.integers(0, 3),
    block=st.integers(1, 40),
)
def test_equals_repeating_every_trial(
    seed: int, num_trials: int, decimals: int, block: int
) -> None:
    """A weight of two is the trial twice; blocks of any size, ties across them, zero weights."""
    generator = np.random.default_rng(seed)
    scores, targets, enrol, test = _random_trials(
        generator, num_trials=num_trials, num_speakers=6, decimals=decimals
    )
    weights = generator.integers(0, 4, size=6).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted_trials, "_BLOCK_TRIALS", block)
        weighting = WeightedTrials(scores, targets, enrol, test).weighted(weights)
        times = np.where(targets, weights[enrol], weights[enrol] * weights[test]).astype(int)
        repeated, kinds = np.repeat(scores, times), np.repeat(targets, times)
        threshold = float(np.round(generator.normal(), decimals))
        counts = error_rates_at(repeated, kinds, threshold)
        assert weighting.rates_at(threshold) == pytest.approx(
            (counts.fmr, counts.fnmr), abs=1e-9, nan_ok=True
        )
        assert weighting.has_both_kinds == (0 < kinds.sum() < len(kinds))
        if weighting.has_both_kinds:
            assert weighting.equal_error_rate() == pytest.approx(
                equal_error_rate(repeated, kinds).rate, abs=1e-9
            )
            for prior in (0.01, 0.5):
                assert weighting.minimum_dcf(target_prior=prior) == pytest.approx(
                    minimum_dcf(repeated, kinds, target_prior=prior).cost, abs=1e-9
                )
        else:
            assert math.isnan(weighting.equal_error_rate())
            assert math.isnan(weighting.minimum_dcf())


def test_many_trials_in_blocks_of_the_usual_size() -> None:
    generator = np.random.default_rng(0)
    scores, targets, enrol, test = _random_trials(
        generator, num_trials=20_000, num_speakers=50, decimals=6
    )
    trials = WeightedTrials(scores, targets, enrol, test)
    assert len(trials.edges) > 50
    weighting = trials.weighted(np.ones(50))
    assert weighting.equal_error_rate() == pytest.approx(equal_error_rate(scores, targets).rate)
    assert weighting.minimum_dcf() == pytest.approx(minimum_dcf(scores, targets).cost)
