from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.error_rate import count_errors
from sb_alexa.metrics.latency import EmissionLatency, emission_latency

words = st.lists(st.sampled_from("abc"), max_size=10)


def test_only_matched_words_count() -> None:
    measured = emission_latency(
        ["play", "some", "quiet", "music"], [0.25, 0.5, 1.0, 1.5],
        ["play", "sun", "quiet", "jazz", "music"], [0.5, 0.75, 0.875, 1.25, 2.0],
    )  # fmt: skip
    assert measured == EmissionLatency((250.0, -125.0, 500.0), words=4)
    assert measured.matched == 0.75
    assert measured.median_ms == 250.0


@settings(max_examples=200, deadline=None)
@given(reference=words, hypothesis=words)
def test_times_follow_a_minimal_alignment(reference: list[str], hypothesis: list[str]) -> None:
    """Times 1 s apart in the reference and 1000 s apart in the hypothesis tell who was matched."""
    measured = emission_latency(
        reference, range(len(reference)), hypothesis, [1000.0 * h for h in range(len(hypothesis))]
    )
    matched = []
    for latency_ms in measured.latencies_ms:
        h = math.ceil(latency_ms / 1e6)
        matched.append((h, 1000 * h - round(latency_ms / 1000)))
    assert all(reference[r] == hypothesis[h] for h, r in matched)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(matched, matched[1:], strict=False))
    counts = count_errors(reference, hypothesis)
    assert len(matched) == counts.words - counts.substitutions - counts.deletions


def test_sum_equals_pooled() -> None:
    generator = np.random.default_rng(0)
    parts = [
        EmissionLatency(tuple(generator.normal(300, 90, size=n)), words=n + 1) for n in (3, 0, 40)
    ]
    total = sum(parts, EmissionLatency())
    pooled = np.concatenate([part.latencies_ms for part in parts])
    assert total.median_ms == pytest.approx(np.median(pooled))
    assert total.p90_ms == pytest.approx(np.percentile(pooled, 90))
    assert total.words == 46


def test_nothing_matched() -> None:
    measured = emission_latency(["a"], [1.0], ["b"], [1.5])
    assert measured.matched == 0.0
    assert math.isnan(measured.median_ms)
    assert math.isnan(EmissionLatency().p90_ms)
    assert math.isnan(EmissionLatency().matched)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], [], ["a"], [1.0]), "reference has 1 words but 0 times"),
        ((["a"], [1.0], ["a"], [1.0, 2.0]), "hypothesis has 1 words but 2 times"),
    ],
)
def test_times_must_fit_words(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emission_latency(*arguments)


def test_more_latencies_than_words() -> None:
    with pytest.raises(ValueError, match="emission_latency"):
        EmissionLatency((1.0, 2.0), words=1)
