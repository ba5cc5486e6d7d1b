from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.metrics.bootstrap import (
    bootstrap_interval,
    bootstrap_ratio,
    bootstrap_ratio_difference,
)
from sb_alexa.metrics.error_rate import ErrorCounts


def _speakers(generator: np.random.Generator, num_speakers: int) -> list[ErrorCounts]:
    """Speakers with their own error rates of mean 10 % and 200 words each."""
    rates = generator.beta(4.0, 36.0, size=num_speakers)
    return [ErrorCounts(substitutions=int(generator.binomial(200, r)), words=200) for r in rates]


def test_equals_plain_loop() -> None:
    generator = np.random.default_rng(3)
    groups = [ErrorCounts(insertions=int(generator.integers(9)), words=w) for w in (1, 5, 9, 40)]
    drawn = np.random.default_rng(11).integers(4, size=(500, 4))
    rates = [sum((groups[i] for i in row), ErrorCounts()).error_rate for row in drawn]
    expected = np.quantile(rates, [0.05, 0.95])
    interval = bootstrap_interval(groups, level=0.9, num_samples=500, seed=11)
    np.testing.assert_allclose(interval, expected)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = _speakers(np.random.default_rng(0), 12)
    whole = bootstrap_interval(groups, num_samples=100)
    monkeypatch.setattr("sb_alexa.metrics.bootstrap._BLOCK_CELLS", 36)
    assert bootstrap_interval(groups, num_samples=100) == whole


def test_coverage() -> None:
    """The true rate of 10 % lies in about 95 % of the intervals over 60 speakers."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval(_speakers(generator, 60), num_samples=400)
        covered += low <= 10.0 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_utterances_as_units_are_too_narrow() -> None:
    """What the docstring says: errors that go by speaker need speakers as units."""
    generator = np.random.default_rng(2)
    utterances, speakers = [], []
    for rate in generator.beta(1.0, 9.0, size=30):
        own = [
            ErrorCounts(deletions=int(generator.binomial(20, rate)), words=20) for _ in range(20)
        ]
        utterances += own
        speakers.append(sum(own, ErrorCounts()))
    low, high = bootstrap_interval(speakers)
    narrow_low, narrow_high = bootstrap_interval(utterances)
    assert narrow_high - narrow_low < 0.5 * (high - low)


def test_deterministic_and_ordered() -> None:
    groups = _speakers(np.random.default_rng(4), 20)
    low, high = bootstrap_interval(groups)
    assert (low, high) == bootstrap_interval(groups)
    assert (low, high) != bootstrap_interval(groups, seed=1)
    assert low < sum(groups, ErrorCounts()).error_rate < high
    wider_low, wider_high = bootstrap_interval(groups, level=0.99)
    assert wider_low < low < high < wider_high


def test_groups_without_words() -> None:
    silent = ErrorCounts(insertions=1)
    low, high = bootstrap_interval([silent, ErrorCounts(words=10), silent], num_samples=200)
    assert 0.0 <= low < high < float("inf")


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([], {}, "at least two groups, got 0"),
        ([ErrorCounts(words=3)], {}, "utterances"),
        ([ErrorCounts(), ErrorCounts()], {}, "no reference words"),
        ([ErrorCounts(words=1)] * 2, {"level": 95}, "level .* got 95"),
        ([ErrorCounts(words=1)] * 2, {"num_samples": 0}, "num_samples"),
    ],
)
def test_bad_input(groups: list[ErrorCounts], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(groups, **options)


def test_a_ratio_of_any_counts() -> None:
    """Wholes of very different size: the ratio of sums, not the mean of ratios."""
    generator = np.random.default_rng(5)
    counts = [(float(generator.integers(1, 9)) * 1e9, w * 1e10) for w in (1, 5, 9, 40)]
    drawn = np.random.default_rng(7).integers(4, size=(300, 4))
    sums = [np.array([counts[i] for i in row]).sum(axis=0) for row in drawn]
    expected = np.quantile([part / whole for part, whole in sums], [0.025, 0.975])
    np.testing.assert_allclose(bootstrap_ratio(counts, num_samples=300, seed=7), expected)


def _shares(generator: np.random.Generator, num_speakers: int) -> list[tuple[float, float]]:
    """Kept toggles and all toggles of speakers with keep rates of mean 40 %."""
    wholes = generator.integers(200, 2000, size=num_speakers)
    kept = generator.binomial(wholes, generator.beta(40.0, 60.0, size=num_speakers))
    return list(zip(kept.tolist(), wholes.tolist(), strict=True))


def test_a_difference_of_nothing_is_seldom_found() -> None:
    generator = np.random.default_rng(6)
    missed = 0
    for _ in range(300):
        low, high = bootstrap_ratio_difference(
            _shares(generator, 25), _shares(generator, 60), num_samples=400
        )
        missed += not low <= 0.0 <= high
    assert 0.02 <= missed / 300 <= 0.09


def test_a_difference_changes_its_sign_with_the_order() -> None:
    generator = np.random.default_rng(8)
    ours, theirs = _shares(generator, 30), _shares(generator, 30)
    ours = [(0.5 * part, whole) for part, whole in ours]
    low, high = bootstrap_ratio_difference(ours, theirs)
    assert -0.25 < low < high < -0.15
    back_low, back_high = bootstrap_ratio_difference(theirs, ours)
    assert (-back_high, -back_low) == pytest.approx((low, high), abs=0.01)


def test_ratios_without_a_whole() -> None:
    with pytest.raises(ValueError, match="wholes of all groups are 0"):
        bootstrap_ratio([(0, 0), (0, 0)])
    with pytest.raises(ValueError, match="at least two groups, got 1"):
        bootstrap_ratio_difference([(0, 1), (1, 1)], [(0, 1)])
