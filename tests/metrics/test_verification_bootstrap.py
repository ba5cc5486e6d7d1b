from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pytest

from sb_alexa.metrics.verification import equal_error_rate, error_rates_at, minimum_dcf
from sb_alexa.metrics.verification_bootstrap import (
    DrawSettings,
    bootstrap_verification,
    bootstrap_verification_difference,
)
from sb_alexa.metrics.verification_estimates import Estimate, VerificationEstimates
from sb_alexa.metrics.verification_groups import errors_by_group

# Scores of the simulation: targets N(MEAN, 2), non-targets N(0, 2), half of each variance is the
# speakers'.
MEAN = 3.5
TRUE_EER = 100.0 * NormalDist().cdf(-MEAN / (2.0 * math.sqrt(2.0)))
FEW = DrawSettings(num_samples=50)


@dataclass
class Trials:
    scores: np.ndarray
    is_target: np.ndarray
    enrol: list[str]
    test: list[str]
    columns: dict[str, dict[str, str]]

    def estimates(self, settings: DrawSettings = FEW) -> VerificationEstimates:
        return bootstrap_verification(
            self.scores,
            self.is_target,
            self.enrol,
            self.test,
            threshold=[MEAN / 2] * len(np.atleast_2d(self.scores)),
            columns=self.columns,
            settings=settings,
        )

    def difference(self, base: np.ndarray, settings: DrawSettings = FEW) -> VerificationEstimates:
        thresholds = [MEAN / 2] * len(np.atleast_2d(self.scores))
        return bootstrap_verification_difference(
            self.scores,
            base,
            self.is_target,
            self.enrol,
            self.test,
            threshold=thresholds,
            base_threshold=[MEAN / 2] * len(np.atleast_2d(base)),
            columns=self.columns,
            settings=settings,
        )


def _simulate(
    generator: np.random.Generator, *, num_speakers: int = 30, num_systems: int = 1
) -> tuple[Trials, list[np.ndarray]]:
    """Speakers whose voices move all scores of theirs, in two groups that are alike."""
    names = [f"s{number:03d}" for number in range(num_speakers)]
    enrol = np.concatenate(
        [np.repeat(np.arange(num_speakers), 8), generator.integers(num_speakers, size=600)]
    )
    test = enrol.copy()
    test[num_speakers * 8 :] += generator.integers(1, num_speakers, size=600)
    test %= num_speakers
    targets = enrol == test
    systems = []
    consistency = generator.normal(size=num_speakers)
    commonness = generator.normal(size=num_speakers) / math.sqrt(2.0)
    for _ in range(num_systems):
        by_speaker = np.where(targets, MEAN + consistency[enrol], 0.0)
        by_speaker += np.where(targets, 0.0, commonness[enrol] + commonness[test])
        systems.append(by_speaker + generator.normal(size=targets.size))
    half = {name: "ab"[number % 2] for number, name in enumerate(names)}
    trials = Trials(
        systems[0],
        targets,
        [names[number] for number in enrol],
        [names[number] for number in test],
        {"half": half},
    )
    return trials, systems


def test_values_are_those_of_the_plain_functions() -> None:
    trials, _ = _simulate(np.random.default_rng(0))
    estimates = trials.estimates()
    counts = error_rates_at(trials.scores, trials.is_target, MEAN / 2)
    assert estimates.eer.value == pytest.approx(
        equal_error_rate(trials.scores, trials.is_target).rate
    )
    assert estimates.minimum_dcf.value == pytest.approx(
        minimum_dcf(trials.scores, trials.is_target).cost
    )
    assert (estimates.fmr.value, estimates.fnmr.value) == pytest.approx((counts.fmr, counts.fnmr))
    half = trials.columns["half"]
    report = errors_by_group(
        trials.scores,
        trials.is_target,
        [half[name] for name in trials.enrol],
        [half[name] for name in trials.test],
        threshold=MEAN / 2,
        enrol_speakers=trials.enrol,
        test_speakers=trials.test,
    )
    found = estimates.columns["half"]
    assert len(found.groups) == len(report.groups) == 2
    for mine, plain in zip(found.groups, report.groups, strict=True):
        assert plain.equal_error is not None
        assert (mine.group, mine.is_ranked) == (plain.group, plain.is_ranked)
        assert (mine.eer.value, mine.fmr.value, mine.fnmr.value) == pytest.approx(
            (plain.equal_error.rate, plain.counts.fmr, plain.counts.fnmr)
        )
    for spread, expected in (
        (found.eer_spread, report.eer_spread),
        (found.fmr_spread, report.fmr_spread),
        (found.fnmr_spread, report.fnmr_spread),
    ):
        assert spread is not None and expected is not None
        assert (spread.gap.value, spread.std.value) == pytest.approx((expected.gap, expected.std))


def test_intervals_equal_a_plain_loop() -> None:
    """Draw speakers, repeat their trials, measure with the plain functions."""
    trials, _ = _simulate(np.random.default_rng(1))
    names = sorted(set(trials.enrol) | set(trials.test))
    enrol = np.array([names.index(name) for name in trials.enrol])
    test = np.array([names.index(name) for name in trials.test])
    generator = np.random.default_rng(5)
    rates, costs = [], []
    for _ in range(40):
        weights = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        times = np.where(trials.is_target, weights[enrol], weights[enrol] * weights[test])
        scores, kinds = np.repeat(trials.scores, times), np.repeat(trials.is_target, times)
        rates.append(equal_error_rate(scores, kinds).rate)
        costs.append(minimum_dcf(scores, kinds, target_prior=0.2, miss_cost=2.0).cost)
    found = trials.estimates(
        DrawSettings(num_samples=40, seed=5, level=0.8, target_prior=0.2, miss_cost=2.0)
    )
    np.testing.assert_allclose((found.eer.low, found.eer.high), np.quantile(rates, [0.1, 0.9]))
    np.testing.assert_allclose(
        (found.minimum_dcf.low, found.minimum_dcf.high), np.quantile(costs, [0.1, 0.9])
    )


def test_coverage() -> None:
    """Intervals over 60 speakers cover the rate of the population, the gap and difference of 0."""
    generator = np.random.default_rng(2)
    eer = gap = difference = 0
    for seed in range(80):
        trials, (_, base) = _simulate(generator, num_speakers=60, num_systems=2)
        settings = DrawSettings(num_samples=100, seed=seed)
        found = trials.estimates(settings)
        spread = found.columns["half"].eer_spread
        assert spread is not None
        eer += found.eer.low <= TRUE_EER <= found.eer.high
        gap += not spread.gap.excludes_zero
        trials.columns = {}
        difference += not trials.difference(base, settings).eer.excludes_zero
    for covered in (eer, gap, difference):
        assert covered / 80 >= 0.89


def test_paired_differences_are_narrower_than_apart() -> None:
    trials, (_, base) = _simulate(np.random.default_rng(3), num_systems=2)
    difference = trials.difference(base).eer
    apart = trials.estimates().eer, replace(trials, scores=base).estimates().eer
    assert difference.value == pytest.approx(apart[0].value - apart[1].value)
    assert difference.high - difference.low < 0.8 * sum(one.high - one.low for one in apart)


def test_a_system_that_is_worse_everywhere() -> None:
    trials, _ = _simulate(np.random.default_rng(4))
    better = trials.scores + trials.is_target
    found = trials.difference(better)
    assert found.eer.low > 0 and found.fnmr.low > 0
    assert found.eer.excludes_zero
    assert found.fmr == Estimate(0.0, 0.0, 0.0)
    assert all(one.eer.value > 0 for one in found.columns["half"].groups)


def test_same_seed_same_intervals() -> None:
    trials, _ = _simulate(np.random.default_rng(5))
    assert trials.estimates() == trials.estimates()
    assert trials.estimates() != trials.estimates(replace(FEW, seed=1))


def test_several_runs_are_averaged_and_widen_the_interval() -> None:
    trials, systems = _simulate(np.random.default_rng(6), num_systems=3)
    alike = replace(trials, scores=np.stack([systems[0]] * 3)).estimates()
    one = trials.estimates()
    # Runs that do not differ say nothing more.
    assert alike.eer.value == pytest.approx(one.eer.value)
    assert (alike.eer.low, alike.eer.high) == pytest.approx((one.eer.low, one.eer.high))
    shifted = np.stack([systems[0] + shift * trials.is_target for shift in (-1.0, 0.0, 1.0)])
    varied = replace(trials, scores=shifted).estimates()
    rates = [equal_error_rate(run, trials.is_target).rate for run in shifted]
    assert varied.eer.value == pytest.approx(np.mean(rates))
    assert varied.eer.high - varied.eer.low > 2.0 * (one.eer.high - one.eer.low)


def test_small_groups_are_shown_and_unknown_ones_are_not() -> None:
    trials, _ = _simulate(np.random.default_rng(7))
    names = sorted(set(trials.enrol))
    trials.columns = {
        "size": {name: ("tiny" if number < 9 else "large") for number, name in enumerate(names)},
        "known": {name: ("" if number < 9 else "large") for number, name in enumerate(names)},
    }
    columns = trials.estimates().columns
    assert [(one.group, one.is_ranked) for one in columns["size"].groups] == [
        ("large", True),
        ("tiny", False),
    ]
    assert columns["size"].eer_spread is None
    assert [one.group for one in columns["known"].groups] == ["large"]
    assert columns["known"].groups[0] == columns["size"].groups[0]


def test_draws_without_a_kind_of_trials_are_passed_over() -> None:
    """Of two speakers one draw in two holds only one of them, and no non-target trial."""
    found = bootstrap_verification(
        [3.0, 2.0, 1.0, 2.5],
        [True, True, False, False],
        ["a", "b", "a", "b"],
        ["a", "b", "b", "a"],
        threshold=2.0,
        columns={"own": {"a": "one", "b": "two"}},
        settings=DrawSettings(num_samples=20),
    )
    assert found.eer == Estimate(50.0, 50.0, 50.0)
    group = found.columns["own"].groups[0]
    assert (group.fnmr, group.is_ranked) == (Estimate(0.0, 0.0, 0.0), False)
    assert math.isnan(group.eer.value) and math.isnan(group.eer.low)
    assert not group.eer.excludes_zero


def test_bad_input() -> None:
    trials, systems = _simulate(np.random.default_rng(8), num_systems=2)
    with pytest.raises(ValueError, match="column 'half' has no entry for 1 of 30 speakers"):
        del trials.columns["half"]["s004"]
        trials.estimates()
    trials.columns = {}
    with pytest.raises(ValueError, match="840 trials contradict their speakers: trial 0"):
        replace(trials, is_target=~trials.is_target).estimates()
    with pytest.raises(ValueError, match="enrol_speakers has 1 entries for 840 trials"):
        replace(trials, enrol=["a"]).estimates()
    with pytest.raises(ValueError, match="run r of both must be a pair"):
        trials.difference(np.stack(systems))
    with pytest.raises(ValueError, match="2 runs of scores need as many thresholds"):
        bootstrap_verification(
            np.stack(systems), trials.is_target, trials.enrol, trials.test, threshold=1.0
        )
    with pytest.raises(ValueError, match="not finite"):
        replace(trials, scores=np.full(840, np.nan)).estimates()
    with pytest.raises(ValueError, match="equally long"):
        replace(trials, scores=trials.scores[1:]).estimates()
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        DrawSettings(level=95)
    with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
        DrawSettings(num_samples=0)
