from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.fairness.gate_audit import (
    FEWEST_SPEAKERS,
    SpeakerCounts,
    audit_groups,
    group_speakers,
    overall_rates,
)
from sb_alexa.metrics.compute import MacCounts
from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.metrics.gate_statistics import GateCounts, ToggleCounts


def speaker(generator: np.random.Generator, keep: float, error_rate: float) -> SpeakerCounts:
    """A speaker of 300 words and 1000 frames around the given rates."""
    rate = generator.beta(40 * keep, 40 * (1 - keep))
    kept = [int(generator.binomial(1000 * n, rate)) for n in (3, 6, 6)]
    toggles = [ToggleCounts(k, 1000 * n) for k, n in zip(kept, (3, 6, 6), strict=True)]
    gated = MacCounts(feed_forward=50 * kept[0], query=10 * kept[1], key=10 * kept[2], frames=1000)
    dense = MacCounts(feed_forward=150_000, query=60_000, key=60_000, frames=1000)
    errors = int(generator.binomial(300, generator.beta(40 * error_rate, 40 * (1 - error_rate))))
    return SpeakerCounts(
        20, ErrorCounts(substitutions=errors, words=300), GateCounts(*toggles, gated, dense)
    )


def speakers(num: int, low: tuple[float, float], high: tuple[float, float]):
    """Two groups of `num` speakers with the given keep and error rates."""
    generator = np.random.default_rng(1)
    counts = {
        f"{group}{i}": speaker(generator, *rates)
        for group, rates in (("a", low), ("b", high))
        for i in range(num)
    }
    return counts, {name: name[0] for name in counts}


def test_a_planted_difference_is_found_with_its_sign() -> None:
    counts, values = speakers(30, (0.3, 0.2), (0.5, 0.1))
    first, second = audit_groups(counts, "voice", group_speakers("voice", values))
    assert (first.column, first.group, first.speakers) == ("voice", "a", 30)
    assert first.counts.utterances == 600 and first.counts.errors.words == 9000
    assert first.rates["compute"].value == pytest.approx(30, abs=3)
    assert first.rates["skip_query"].value == pytest.approx(70, abs=3)
    for name, expected in (("compute", -20), ("skip_feed_forward", 20), ("wer", 10)):
        difference = first.differences[name]
        assert difference.low < expected < difference.high and difference.excludes_zero
        assert difference.value == pytest.approx(-second.differences[name].value)


def test_nothing_is_found_where_nothing_is() -> None:
    counts, values = speakers(30, (0.4, 0.1), (0.4, 0.1))
    for group in audit_groups(counts, "voice", group_speakers("voice", values)):
        assert not group.differences["compute"].excludes_zero
        assert not group.is_small


def test_rates_are_those_of_sums() -> None:
    """A speaker with few words does not weigh as much as one with many."""
    short = SpeakerCounts(1, ErrorCounts(deletions=1, words=1))
    long = SpeakerCounts(1, ErrorCounts(words=99))
    assert overall_rates([short, long])["wer"].value == 1.0


def test_the_rest_are_speakers_with_another_known_value() -> None:
    right = SpeakerCounts(1, ErrorCounts(words=10))
    wrong = SpeakerCounts(1, ErrorCounts(deletions=10, words=10))
    counts = {"a": right, "b": right, "c": wrong, "d": wrong, "e": right, "f": wrong}
    values = {"a": "x", "b": "x", "c": "", "d": "", "e": "y", "f": "y"}
    group, _ = audit_groups(counts, "accent", group_speakers("accent", values))
    assert group.rates["wer"].value == 0
    assert group.differences["wer"].value == -50.0


def test_what_is_too_little_has_no_interval() -> None:
    one = SpeakerCounts(1, ErrorCounts(deletions=1, words=10))
    silent = SpeakerCounts(1)
    counts = {"a": one, "b": one, "c": one, "d": silent, "e": silent}
    values = {"a": "x", "b": "x", "c": "y", "d": "z", "e": "z"}
    x, y, z = audit_groups(counts, "accent", group_speakers("accent", values))
    assert (x.rates["wer"].low, x.rates["wer"].high) == pytest.approx((10, 10))
    assert (y.rates["wer"].value, y.rates["wer"].low) == (10, None)
    assert y.differences["wer"].value == 0 and y.differences["wer"].low is None
    assert z.rates["wer"].value is None and z.differences["wer"].value is None
    assert not y.differences["wer"].excludes_zero


def test_small_groups_are_flagged() -> None:
    for num, small in ((FEWEST_SPEAKERS - 1, True), (FEWEST_SPEAKERS, False)):
        counts, values = speakers(num, (0.3, 0.1), (0.5, 0.1))
        groups = audit_groups(counts, "voice", group_speakers("voice", values))
        assert [group.is_small for group in groups] == [small, small]


def test_columns_that_make_no_groups() -> None:
    with pytest.raises(ValueError, match="'accent' is empty for all 2 speakers"):
        group_speakers("accent", {"a": "", "b": ""})
    with pytest.raises(ValueError, match="each of 2 speakers a group of its own, such as '98.5'"):
        group_speakers("latitude", {"a": "98.5", "b": "47.1", "c": ""})
