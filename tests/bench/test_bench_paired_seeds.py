from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.bench.paired_seeds import (
    Estimate,
    SeededErrors,
    absolute_difference,
    mean_error_rate,
    mean_quantile,
    relative_difference,
)

WORDS = np.full(40, 200)


def runs(rates: np.ndarray, words: np.ndarray = WORDS) -> SeededErrors:
    """Errors without rounding: rates (S, P) in percent."""
    return SeededErrors(rates / 100.0 * words, words)


def test_means_over_seeds_of_pooled_rates() -> None:
    words = np.array([100, 300])
    base = SeededErrors(np.array([[10, 10], [20, 20]]), words)
    other = SeededErrors(np.array([[10, 12], [20, 28]]), words)
    assert mean_error_rate(base).by_seed == (5.0, 10.0)
    difference = relative_difference(other, base)
    assert difference is not None
    # Within each pair first: 22/20 and 48/40, not (22 + 48)/(20 + 40).
    assert difference.by_seed == pytest.approx((10.0, 20.0))
    assert difference.mean == pytest.approx(15.0)


def test_the_same_runs_do_not_differ() -> None:
    base = runs(np.random.default_rng(0).uniform(2, 20, size=(5, 40)))
    assert relative_difference(base, base) == Estimate(0.0, 0.0, 0.0, (0.0,) * 5)


def test_hard_speakers_hit_all_runs_alike() -> None:
    """Resampling the same speakers for both arms leaves a common factor exact."""
    rates = np.random.default_rng(0).uniform(1, 40, size=(1, 40)).repeat(3, axis=0)
    difference = relative_difference(runs(1.1 * rates), runs(rates))
    assert difference is not None
    assert (difference.low, difference.high) == pytest.approx((10.0, 10.0))
    wer = mean_error_rate(runs(rates))
    assert wer.high - wer.low > 3.0  # while the error rate itself does depend on the speakers


def test_interval_of_seeds_alone_is_students() -> None:
    by_seed = np.array([8.0, 9.0, 10.0, 11.0, 12.0])
    estimate = mean_error_rate(runs(by_seed[:, None].repeat(40, axis=1)))
    half_width = 2.776 * by_seed.std(ddof=1) / np.sqrt(5)
    assert estimate.low == pytest.approx(10.0 - half_width, rel=0.01)
    assert estimate.high == pytest.approx(10.0 + half_width, rel=0.01)


def test_a_single_seed_gives_the_interval_of_speakers() -> None:
    rates = np.random.default_rng(0).normal(10, 2, size=(1, 40))
    estimate = mean_error_rate(runs(rates))
    half_width = 1.96 * rates.std() / np.sqrt(40)
    assert estimate.high - estimate.low == pytest.approx(2 * half_width, rel=0.1)


@pytest.mark.parametrize(
    ("of_seeds", "of_speakers", "of_both"), [(1.0, 0.0, 0.0), (0.5, 4.0, 2.0), (0.0, 4.0, 1.0)]
)
def test_interval_covers_what_it_claims(
    of_seeds: float, of_speakers: float, of_both: float
) -> None:
    """Whichever level varies more; a bootstrap of five seeds would cover 84 % in the first case."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        rates = 20.0 + of_seeds * random.standard_normal((5, 1))
        rates = rates + of_speakers * random.standard_normal((1, 40))
        rates = rates + of_both * random.standard_normal((5, 40))
        estimate = mean_error_rate(runs(rates), num_samples=400)
        covered += estimate.low <= 20.0 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.99


def test_repeatable() -> None:
    base = runs(np.random.default_rng(0).uniform(2, 20, size=(3, 40)))
    assert mean_error_rate(base) == mean_error_rate(base)
    assert mean_error_rate(base).low != mean_error_rate(base, seed=1).low


def test_many_speakers_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    base = runs(np.random.default_rng(0).uniform(2, 20, size=(3, 40)))
    whole = mean_error_rate(base)
    monkeypatch.setattr("sb_alexa.bench.paired_seeds._BLOCK_CELLS", 40 * 7)
    blocks = mean_error_rate(base)
    # The same draws of speakers, in other pieces.
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high))


def test_a_base_without_errors_has_no_ratio() -> None:
    words = np.array([10, 10])
    perfect = SeededErrors(np.array([[1, 0], [0, 0]]), words)
    assert relative_difference(perfect, perfect) is None


def test_refusals() -> None:
    base = runs(np.ones((2, 40)))
    with pytest.raises(ValueError, match="must be pairs"):
        relative_difference(runs(np.ones((3, 40))), base)
    with pytest.raises(ValueError, match="same words"):
        relative_difference(runs(np.ones((2, 40)), WORDS + 1), base)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        mean_error_rate(base, level=95)
    with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
        mean_error_rate(base, num_samples=0)
    with pytest.raises(ValueError, match="errors must be"):
        SeededErrors(np.ones((2, 3)), np.ones(4))
    with pytest.raises(ValueError, match="two speakers"):
        SeededErrors(np.ones((2, 1)), np.ones(1))
    with pytest.raises(ValueError, match="reference words"):
        SeededErrors(np.ones((1, 2)), np.array([0, 4]))


def test_points_are_taken_within_pairs() -> None:
    words = np.array([100, 300])
    base = SeededErrors(np.array([[10, 10], [20, 20]]), words)
    other = SeededErrors(np.array([[10, 14], [20, 28]]), words)
    assert absolute_difference(other, base).by_seed == pytest.approx((1.0, 2.0))
    with pytest.raises(ValueError, match="tested on the same words"):
        absolute_difference(other, SeededErrors(base.errors, words + 1))


def test_quantiles_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    run = [random.normal(500, 100, size=random.integers(0, 6)).tolist() for _ in range(30)]
    for probability in (0.5, 0.9):
        estimate = mean_quantile([run], probability)
        assert estimate is not None
        values = np.concatenate(run)
        assert estimate.mean == np.quantile(values, probability, method="inverted_cdf")
        assert estimate.low < estimate.mean < estimate.high


def test_quantile_interval_covers() -> None:
    """The median of other sessions of the same kind lies within it, as often as it claims."""
    random = np.random.default_rng(1)
    found = 0
    for number in range(200):
        run = [random.exponential(100, size=5).tolist() for _ in range(40)]
        estimate = mean_quantile([run], 0.5, num_samples=300, seed=number)
        assert estimate is not None
        found += estimate.low <= 100 * np.log(2) <= estimate.high
    assert 0.89 * 200 <= found <= 199


def test_quantiles_of_pairs() -> None:
    base = [[[1.0, 2.0], [3.0]], [[5.0], []]]
    more = [[[11.0, 12.0], [13.0]], [[7.0], [7.0]]]
    difference = mean_quantile(more, 0.5, base)
    assert difference is not None and difference.by_seed == (10.0, 2.0)
    assert mean_quantile([[[], []]], 0.5) is None
    with pytest.raises(ValueError, match="measured on the same speakers"):
        mean_quantile(more, 0.5, base[:1])
