from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.verification import VerificationCounts, equal_error_rate, error_rates_at
from sb_alexa.metrics.verification_bootstrap import DrawSettings, bootstrap_verification
from sb_alexa.metrics.verification_groups import GroupReport, errors_by_group, spread_of


@dataclass
class Trials:
    scores: np.ndarray
    is_target: np.ndarray
    enrol: list[str]
    test: list[str]
    group_of: dict[str, str]

    def report(self, threshold: float = 1.5) -> GroupReport:
        return errors_by_group(
            self.scores,
            self.is_target,
            [self.group_of[name] for name in self.enrol],
            [self.group_of[name] for name in self.test],
            threshold=threshold,
            enrol_speakers=self.enrol,
            test_speakers=self.test,
        )


def _trials(sizes: dict[str, int], seed: int = 0) -> Trials:
    """Every speaker against every other and twice against itself; "" is an unknown group."""
    generator = np.random.default_rng(seed)
    group_of = {f"{group}{n}": group for group, size in sizes.items() for n in range(size)}
    pairs = [(a, b) for a in group_of for b in group_of for _ in range(1 + (a == b))]
    targets = np.array([a == b for a, b in pairs])
    scores = generator.normal(size=len(pairs)) + 3.0 * targets
    return Trials(scores, targets, [a for a, _ in pairs], [b for _, b in pairs], group_of)


def test_each_group_is_measured_on_its_own_trials() -> None:
    trials = _trials({"f": 12, "m": 15})
    for one in trials.report().groups:
        inside = np.array(
            [
                trials.group_of[a] == one.group == trials.group_of[b]
                for a, b in zip(trials.enrol, trials.test, strict=True)
            ]
        )
        scores, targets = trials.scores[inside], trials.is_target[inside]
        assert one.counts == error_rates_at(scores, targets, 1.5)
        assert one.equal_error == equal_error_rate(scores, targets)
        assert one.num_trials == inside.sum()
    assert [(one.group, one.num_speakers) for one in trials.report().groups] == [
        ("f", 12),
        ("m", 15),
    ]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["", "f", "m", "x"]), st.integers(1, 4), min_size=2))
def test_every_trial_is_counted_once(sizes: dict[str, int]) -> None:
    trials = _trials(sizes)
    report = trials.report()
    parts = [one.counts for one in report.groups] + [report.cross_group, report.unknown]
    assert sum(parts, VerificationCounts()) == error_rates_at(trials.scores, trials.is_target, 1.5)
    # A trial between groups is never of one speaker.
    assert report.cross_group.num_targets == 0


def test_small_groups_are_shown_but_not_ranked() -> None:
    trials = _trials({"f": 12, "m": 15, "tiny": 9})
    hard = np.array([name.startswith("tiny") for name in trials.enrol])
    trials.scores[hard] = -trials.scores[hard]
    report = trials.report()
    assert [(one.group, one.is_ranked) for one in report.groups] == [
        ("f", True),
        ("m", True),
        ("tiny", False),
    ]
    assert report.eer_spread is not None
    assert {report.eer_spread.worst, report.eer_spread.best} == {"f", "m"}
    worst = max(report.groups, key=lambda one: one.equal_error.rate if one.equal_error else 0)
    assert worst.group == "tiny"


def test_impostors_do_not_make_a_group_large_enough() -> None:
    """Twelve speakers meet, but all target trials are of one: FNMR is that of a single voice."""
    speakers = [f"s{number:02d}" for number in range(12)]
    pairs = [(speakers[0], speakers[0])] * 20 + list(combinations(speakers, 2))
    enrolled, tested = [one for one, _ in pairs], [other for _, other in pairs]
    same = np.array([one == other for one, other in pairs])
    scores = np.random.default_rng(0).normal(size=len(pairs)) + same
    report = errors_by_group(
        scores,
        same,
        ["a"] * len(pairs),
        ["a"] * len(pairs),
        threshold=0.5,
        enrol_speakers=enrolled,
        test_speakers=tested,
    )
    (group,) = report.groups
    assert (group.num_speakers, group.num_target_speakers, group.is_ranked) == (12, 1, False)
    estimates = bootstrap_verification(
        scores,
        same,
        enrolled,
        tested,
        threshold=0.5,
        columns={"group": dict.fromkeys(speakers, "a")},
        settings=DrawSettings(num_samples=2),
    )
    assert not estimates.columns["group"].groups[0].is_ranked


def test_spreads_are_of_the_ranked_groups() -> None:
    report = _trials({"a": 10, "b": 11, "c": 12}).report()
    rates = [one.counts.fnmr for one in report.groups]
    spread = report.fnmr_spread
    assert spread is not None
    assert spread.gap == pytest.approx(max(rates) - min(rates))
    assert spread.std == pytest.approx(np.std(rates))
    assert spread.worst == "abc"[int(np.argmax(rates))]
    assert report.fmr_spread != report.fnmr_spread


def test_a_group_with_trials_of_one_kind_has_no_equal_error_rate() -> None:
    trials = _trials({"f": 12, "m": 15})
    keep = np.array([trials.group_of[name] != "m" for name in trials.enrol]) | trials.is_target
    report = errors_by_group(
        trials.scores[keep],
        trials.is_target[keep],
        [trials.group_of[name] for name, kept in zip(trials.enrol, keep, strict=True) if kept],
        [trials.group_of[name] for name, kept in zip(trials.test, keep, strict=True) if kept],
        threshold=1.5,
    )
    men = report.groups[1]
    assert (men.group, men.equal_error, men.is_ranked) == ("m", None, False)
    assert men.counts.num_targets == 30
    assert report.eer_spread is None


def test_without_speakers_all_groups_are_ranked() -> None:
    trials = _trials({"f": 2, "m": 3})
    groups = [trials.group_of[name] for name in trials.enrol]
    others = [trials.group_of[name] for name in trials.test]
    report = errors_by_group(trials.scores, trials.is_target, groups, others, threshold=1.0)
    assert [(one.num_speakers, one.is_ranked) for one in report.groups] == [(None, True)] * 2
    assert report.eer_spread is not None


def test_spread_of_equal_rates() -> None:
    spread = spread_of({"b": 2.0, "a": 2.0})
    assert spread is not None
    assert (spread.worst, spread.gap, spread.std) == ("b", 0.0, 0.0)
    assert spread_of({"b": 2.0}) is None


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="enrol_groups has 1 entries for 2 trials"):
        errors_by_group([1.0, 2.0], [True, False], ["f"], ["f", "f"], threshold=0.0)
    with pytest.raises(ValueError, match="only one was given"):
        errors_by_group([1.0], [True], ["f"], ["f"], threshold=0.0, test_speakers=["a"])
    with pytest.raises(ValueError, match="none of 1 trials has both speakers in one group"):
        errors_by_group([1.0], [False], ["f"], ["m"], threshold=0.0)
    with pytest.raises(ValueError, match="not finite"):
        errors_by_group([np.nan], [False], ["f"], ["f"], threshold=0.0)
    with pytest.raises(ValueError, match="threshold is NaN"):
        errors_by_group([1.0], [False], ["f"], ["f"], threshold=np.nan)
