from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.bench.timing import ChunkTimes, capacity, next_batch


@given(limit=st.integers(0, 70), largest=st.integers(1, 64))
def test_search_finds_the_limit_in_few_measurements(limit: int, largest: int) -> None:
    keeps_up: dict[int, bool] = {}
    while (batch := next_batch(keeps_up, largest)) is not None:
        assert batch not in keeps_up and 1 <= batch <= largest
        keeps_up[batch] = batch <= limit
    assert capacity(keeps_up) == min(limit, largest)
    assert len(keeps_up) <= 13


def test_a_lucky_large_batch_does_not_count() -> None:
    assert capacity({1: True, 4: False, 8: True}) == 1


def _times(*total_ms: float, streams: int = 1) -> ChunkTimes:
    return ChunkTimes(100.0, streams, tuple(t / 2 for t in total_ms), total_ms, len(total_ms))


def test_quantiles_are_derived_from_pooled_times() -> None:
    pooled = _times(*[10.0] * 90) + _times(*[200.0] * 10)
    assert pooled.p50_ms() == 10.0
    assert pooled.p95_ms() == 200.0
    assert pooled.rtf() == pytest.approx(0.29)
    assert not pooled.keeps_up()
    assert pooled.keeps_up("encoder")
    assert pooled.tokens_per_second == pytest.approx(10.0)


def test_keeps_up_tolerates_five_percent() -> None:
    assert _times(*[90.0] * 97, *[500.0] * 3).keeps_up()


def test_times_of_different_batches_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="cannot be pooled"):
        _times(1.0) + _times(1.0, streams=2)
