from __future__ import annotations

import math

import numpy as np
import pytest

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.paired_error_rates import bootstrap_paired_error_rates


def _pair(
    generator: np.random.Generator, *, num_speakers: int = 60, kept: tuple[float, float] = (1, 1)
) -> tuple[ErrorCells, ErrorCells]:
    """A system that keeps a share of the base's errors of either half, as many as it adds."""
    groups = np.array(["hard", "plain"] * (num_speakers // 2))
    rates = np.where(groups == "hard", 0.2, 0.1) * generator.gamma(4.0, 0.25, size=num_speakers)
    factors = np.where(groups == "hard", *kept)
    common = generator.poisson(300 * rates * 0.5)
    base = common + generator.poisson(300 * rates * 0.5)
    errors = generator.poisson(common * factors) + generator.poisson(300 * rates * 0.5 * factors)
    words, columns = np.full(num_speakers, 300), {"accent": groups}
    return ErrorCells.of(errors, words, columns=columns), ErrorCells.of(
        base, words, columns=columns
    )


def test_values_are_those_of_either_system() -> None:
    system, base = _pair(np.random.default_rng(0), kept=(0.8, 1.0))
    found = bootstrap_paired_error_rates(system, base, num_samples=50)
    one, other = (bootstrap_error_rates(cells, num_samples=50) for cells in (system, base))
    overall = found.overall.difference
    assert (overall.wer, overall.base_wer) == pytest.approx(
        (one.overall.wer.value, other.overall.wer.value)
    )
    assert overall.points.value == pytest.approx(overall.wer - overall.base_wer)
    assert overall.relative.value == pytest.approx(overall.wer / overall.base_wer - 1)
    column = found.columns["accent"]
    hard = column.by_group["hard"]
    assert (hard.num_speakers, hard.is_ranked) == (30, True)
    assert column.gap is not None
    gaps = [cells.columns["accent"].gap for cells in (one, other)]
    assert gaps[0] is not None and gaps[1] is not None
    assert column.gap.gap_points.value == pytest.approx(
        gaps[0].gap_points.value - gaps[1].gap_points.value
    )
    assert column.gap.gap_relative.value == pytest.approx(
        gaps[0].gap_relative.value - gaps[1].gap_relative.value
    )
    # Both have the same worst group, so it is the difference within this group.
    worst = column.gap.worst_group.points
    assert worst.value == pytest.approx(hard.difference.points.value)
    assert (worst.low, worst.high) == pytest.approx(
        (hard.difference.points.low, hard.difference.points.high)
    )


def test_coverage() -> None:
    """Of what a system gains in the hard group, and by how much that narrows the gap."""
    generator = np.random.default_rng(1)
    truth = {"overall": -0.1333, "hard": -0.2, "gap_points": -4.0, "gap_relative": -0.4}
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        found = bootstrap_paired_error_rates(
            *_pair(generator, kept=(0.8, 1.0)), num_samples=300, seed=seed
        )
        column = found.columns["accent"]
        assert column.gap is not None
        estimates = {
            "overall": found.overall.difference.relative,
            "hard": column.by_group["hard"].difference.relative,
            "gap_points": column.gap.gap_points,
            "gap_relative": column.gap.gap_relative,
        }
        for name, one in estimates.items():
            covered[name] += one.low <= truth[name] <= one.high
    for name, hits in covered.items():
        assert 0.91 <= hits / 200 <= 0.985, name


def test_pairs_are_surer_than_systems_apart() -> None:
    system, base = _pair(np.random.default_rng(2))
    paired = bootstrap_paired_error_rates(system, base).overall.difference.points
    apart = [bootstrap_error_rates(cells).overall.wer for cells in (system, base)]
    assert paired.high - paired.low < 0.5 * math.hypot(*(one.high - one.low for one in apart))


def test_a_system_beside_itself() -> None:
    system, _ = _pair(np.random.default_rng(3))
    found = bootstrap_paired_error_rates(system, system, num_samples=50)
    for one in (found.overall.difference, found.columns["accent"].by_group["hard"].difference):
        assert (one.points.low, one.points.value, one.points.high) == (0.0, 0.0, 0.0)
        assert (one.relative.low, one.relative.high) == (0.0, 0.0)
    gap = found.columns["accent"].gap
    assert gap is not None
    assert (gap.gap_points.low, gap.gap_points.high) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_the_worst_group_may_change() -> None:
    words, groups = [100] * 30, ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    base = ErrorCells.of([20] * 10 + [12] * 10 + [8] * 10, words, columns={"g": groups})
    system = ErrorCells.of([9] * 10 + [13] * 10 + [8] * 10, words, columns={"g": groups})
    gap = bootstrap_paired_error_rates(system, base, num_samples=50).columns["g"].gap
    assert gap is not None
    assert (gap.bottom, gap.base_bottom, gap.top, gap.base_top) == ("b", "a", "c", "c")
    assert gap.worst_group.points.value == pytest.approx(13 - 20)
    assert gap.gap_points.value == pytest.approx(5 - 12)


def test_no_errors_of_either() -> None:
    none, some = ErrorCells.of([0] * 12, [50] * 12), ErrorCells.of([1, 2] * 6, [50] * 12)
    worse = bootstrap_paired_error_rates(some, none).overall.difference
    assert worse.points.value == pytest.approx(3.0) and math.isnan(worse.relative.value)
    better = bootstrap_paired_error_rates(none, some).overall.difference
    assert (better.relative.value, better.relative.low) == (-1.0, -1.0)
    assert -1.0 < better.relative.high < 0.0


def test_small_groups_have_no_gap() -> None:
    columns = {"g": ["a"] * 9 + ["b"] * 20 + ["c"]}
    cells = ErrorCells.of([2] * 30, [50] * 30, columns=columns)
    column = bootstrap_paired_error_rates(cells, cells, num_samples=20).columns["g"]
    assert column.gap is None
    assert [one.is_ranked for one in column.groups] == [False, True, False]
    assert math.isnan(column.by_group["c"].difference.points.low)


def test_other_utterances() -> None:
    with pytest.raises(ValueError, match="not tested on the same utterances"):
        bootstrap_paired_error_rates(
            ErrorCells.of([1, 2], [10, 10]), ErrorCells.of([1, 2], [10, 11])
        )
