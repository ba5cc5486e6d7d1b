from __future__ import annotations

import math
import time

import numpy as np
import pytest

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.error_rate_estimates import ErrorRateEstimates


def _cells(
    generator: np.random.Generator, sizes: dict[str, int], rates: dict[str, float]
) -> ErrorCells:
    """Gamma speakers (variation 0.5) with 300 words each."""
    groups = [name for name, number in sizes.items() for _ in range(number)]
    effects = generator.gamma(4.0, 0.25, size=len(groups))
    means = 300.0 * effects * np.array([rates[name] for name in groups])
    return ErrorCells.of(generator.poisson(means), [300] * len(groups), columns={"group": groups})


def test_values_are_ratios_of_sums() -> None:
    cells = ErrorCells.of(
        [1, 5, 2, 4] * 10, [10, 100, 20, 50] * 10, columns={"g": ["a", "a", "b", "b"] * 10}
    )
    found = bootstrap_error_rates(cells, num_samples=50)
    column = found.columns["g"]
    assert found.overall.wer.value == pytest.approx(100 * 12 / 180)
    assert column.by_group["a"].wer.value == pytest.approx(100 * 6 / 110)
    assert column.gap is not None
    assert (column.gap.bottom, column.gap.top) == ("b", "a")
    ratio = (6 / 70) / (6 / 110)
    assert column.gap.ratio.value == pytest.approx(ratio)
    assert column.gap.gap_relative.value == pytest.approx(ratio - 1)
    assert column.gap.gap_points.value == pytest.approx(100 * (6 / 70 - 6 / 110))
    for one in (column.gap.ratio, column.gap.gap_points, found.overall.wer):
        assert one.low < one.value < one.high
    relative = column.gap.gap_relative
    assert (relative.low + 1, relative.high + 1) == pytest.approx(
        (column.gap.ratio.low, column.gap.ratio.high)
    )


@pytest.mark.parametrize(("num_speakers", "least", "most"), [(12, 0.90, 0.99), (60, 0.91, 0.98)])
def test_coverage(num_speakers: int, least: float, most: float) -> None:
    """Of the WER of a group, of the gap and of the ratio, over 200 corpora."""
    generator = np.random.default_rng(1)
    truth = {"wer": 12.0, "gap_points": 4.0, "ratio": 1.5}
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        sizes = {"hard": num_speakers, "plain": num_speakers}
        cells = _cells(generator, sizes, {"hard": 0.12, "plain": 0.08})
        found = bootstrap_error_rates(
            cells, pairs={"group": [("hard", "plain")]}, num_samples=300, seed=seed
        ).columns["group"]
        estimates = {
            "wer": found.by_group["hard"].wer,
            "gap_points": found.pairs[0].gap_points,
            "ratio": found.pairs[0].ratio,
        }
        for name, one in estimates.items():
            covered[name] += one.low <= truth[name] <= one.high
    for name, hits in covered.items():
        assert least <= hits / 200 <= most, name


def test_the_gap_of_extremes_is_not_found_in_noise() -> None:
    """Picking worst and best of 8 groups: their own interval excludes 0 far too often."""
    generator = np.random.default_rng(2)
    names = [f"g{number}" for number in range(8)]
    found = naive = 0
    for seed in range(60):
        cells = _cells(generator, dict.fromkeys(names, 20), dict.fromkeys(names, 0.1))
        gap = bootstrap_error_rates(cells, num_samples=200, seed=seed).columns["group"].gap
        assert gap is not None
        pairs = {"group": [(gap.bottom, gap.top)]}
        again = bootstrap_error_rates(cells, pairs=pairs, num_samples=200, seed=seed)
        alone = again.columns["group"].pairs[0].gap_points
        assert alone.value == pytest.approx(gap.gap_points.value)
        assert alone.low > gap.gap_points.low
        found += gap.gap_points.excludes_zero
        naive += alone.excludes_zero
    assert found <= 6 < 15 < naive


def test_a_large_gap_is_found() -> None:
    sizes = {"a": 40, "b": 40, "c": 40}
    cells = _cells(np.random.default_rng(3), sizes, {"a": 0.05, "b": 0.05, "c": 0.1})
    column = bootstrap_error_rates(cells).columns["group"]
    assert column.gap is not None and column.gap.bottom == "c"
    assert column.gap.gap_points.low > 2.0 and column.gap.ratio.low > 1.4


def test_small_groups_are_shown_and_never_ranked() -> None:
    sizes = {"few": 9, "one": 1, "a": 20, "b": 20}
    rates = {"few": 0.5, "one": 0.9, "a": 0.1, "b": 0.1}
    column = bootstrap_error_rates(_cells(np.random.default_rng(4), sizes, rates)).columns["group"]
    assert {one.group for one in column.ranked} == {"a", "b"}
    assert column.gap is not None and {column.gap.bottom, column.gap.top} == {"a", "b"}
    few, one = column.by_group["few"], column.by_group["one"]
    assert few.wer.low < few.wer.value < few.wer.high and not few.is_ranked
    assert one.wer.value > 0 and math.isnan(one.wer.low) and math.isnan(one.wer.high)
    pairs = {"group": [("one", "a")]}
    cells = _cells(np.random.default_rng(4), sizes, rates)
    gap = bootstrap_error_rates(cells, pairs=pairs, num_samples=50).columns["group"].pairs[0]
    assert gap.gap_points.value > 0 and math.isnan(gap.gap_points.low)


def test_a_column_without_two_ranked_groups_has_no_gap() -> None:
    cells = _cells(np.random.default_rng(5), {"a": 30, "b": 5}, {"a": 0.1, "b": 0.1})
    assert bootstrap_error_rates(cells, num_samples=20).columns["group"].gap is None


def test_groups_without_errors() -> None:
    cells = ErrorCells.of(
        [0] * 12 + [3, 1] * 6, [100] * 24, columns={"g": ["none"] * 12 + ["some"] * 12}
    )
    column = bootstrap_error_rates(cells, num_samples=200).columns["g"]
    none, gap = column.by_group["none"].wer, column.gap
    # 3 errors in 1200 words.
    assert (none.value, none.low) == (0.0, 0.0) and none.high == pytest.approx(0.25, rel=0.01)
    assert gap is not None and gap.gap_points.value == pytest.approx(2.0)
    assert 0.0 < gap.gap_points.low < 2.0 < gap.gap_points.high
    assert math.isnan(gap.ratio.value) and math.isnan(gap.gap_relative.low)
    pairs = {"g": [("none", "some")]}
    turned = bootstrap_error_rates(cells, pairs=pairs, num_samples=200).columns["g"].pairs[0]
    assert (turned.ratio.value, turned.ratio.low, turned.gap_relative.value) == (0.0, 0.0, -1.0)
    assert 0.0 < turned.ratio.high < 1.0


def test_no_errors_at_all() -> None:
    found = bootstrap_error_rates(ErrorCells.of([0] * 20, [100] * 20))
    assert found.overall.wer.value == 0.0 and found.overall.wer.high == pytest.approx(
        0.15, rel=0.01
    )


def test_speakers_in_two_groups_are_paired_draws() -> None:
    """Each speaker is at home and in the car; the gap is surer than with other speakers there."""
    generator = np.random.default_rng(6)
    rates = 0.1 * generator.gamma(2.0, 0.5, size=50)
    home, car = generator.poisson(400 * rates), generator.poisson(520 * rates)
    counts = np.concatenate([home, car]), [400] * 100
    columns = {"place": ["home"] * 50 + ["car"] * 50}
    speakers = np.tile(np.arange(50), 2)
    pairs = {"place": [("car", "home")]}

    def width(cells: ErrorCells) -> float:
        found = bootstrap_error_rates(cells, pairs=pairs)
        ratio = found.columns["place"].pairs[0].ratio
        return math.log(ratio.high / ratio.low)

    paired = width(ErrorCells.of(*counts, speakers=speakers, columns=columns))
    apart = width(ErrorCells.of(*counts, columns=columns))
    assert paired < 0.6 * apart


def test_row_order_and_seed() -> None:
    generator = np.random.default_rng(7)
    errors, words = generator.poisson(5.0, size=40), generator.integers(50, 90, size=40)
    groups, order = np.array(["a", "b"] * 20), generator.permutation(40)

    def estimate(rows: np.ndarray, seed: int) -> ErrorRateEstimates:
        cells = ErrorCells.of(errors[rows], words[rows], speakers=rows, columns={"g": groups[rows]})
        return bootstrap_error_rates(cells, num_samples=100, seed=seed)

    assert estimate(np.arange(40), 0) == estimate(order, 0) != estimate(order, 1)


def test_few_speakers_have_no_interval_and_no_errors_no_gap() -> None:
    groups = ["a"] * 4 + ["b"] * 12 + ["c"] * 12
    errors = [1, 2, 3, 4] + [0] * 24
    cells = ErrorCells.of(errors, [100] * 28, columns={"g": groups})
    found = bootstrap_error_rates(cells, num_samples=50).columns["g"]
    assert found.by_group["a"].wer.value == 2.5 and np.isnan(found.by_group["a"].wer.high)
    assert found.by_group["b"].wer.high > 0
    assert found.gap is not None and found.gap.gap_points.value == 0
    assert np.isnan(found.gap.gap_points.high)


def test_bad_input() -> None:
    cells = ErrorCells.of([1, 2], [10, 10], columns={"g": ["a", "b"]})
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        bootstrap_error_rates(cells, level=95)
    with pytest.raises(ValueError, match="num_samples must be >= 1"):
        bootstrap_error_rates(cells, num_samples=0)
    with pytest.raises(ValueError, match="no group 'c'; it has: a, b"):
        bootstrap_error_rates(cells, pairs={"g": [("c", "a")]})
    with pytest.raises(ValueError, match="no column 'h'"):
        bootstrap_error_rates(cells, pairs={"h": [("c", "a")]})
    with pytest.raises(ValueError, match="at least two, got 1"):
        bootstrap_error_rates(ErrorCells.of([1], [10]))


def test_twenty_thousand_speakers_in_four_columns() -> None:
    generator = np.random.default_rng(8)
    columns = {f"c{number}": generator.integers(10, size=20_000).astype(str) for number in range(4)}
    words = generator.integers(50, 500, size=20_000)
    cells = ErrorCells.of(generator.poisson(0.1 * words), words, columns=columns)
    begun = time.process_time()
    found = bootstrap_error_rates(cells)
    assert time.process_time() - begun < 5.0
    assert all(len(one.ranked) == 10 for one in found.columns.values())
