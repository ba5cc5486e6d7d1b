from __future__ import annotations

import math

import meeteval
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.error_rate import ErrorCounts, character_errors, count_errors, word_errors

# Few distinct words, so that repetitions, shifts and ties between alignments are frequent.
texts = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), max_size=12).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(reference=texts, hypothesis=texts)
def test_equals_meeteval(reference: str, hypothesis: str) -> None:
    ours = word_errors(reference, hypothesis)
    oracle = meeteval.wer.siso_word_error_rate(reference, hypothesis)
    assert ours.errors == oracle.errors
    assert ours.words == oracle.length
    # The split between kinds is not unique, but this difference is.
    assert ours.insertions - ours.deletions == oracle.insertions - oracle.deletions
    if ours.words:
        assert ours.error_rate == pytest.approx(100 * oracle.error_rate)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_sum_equals_meeteval(pairs: list[tuple[str, str]]) -> None:
    ours = sum((word_errors(*pair) for pair in pairs), ErrorCounts())
    oracle = meeteval.wer.combine_error_rates(
        *[meeteval.wer.siso_word_error_rate(*pair) for pair in pairs]
    )
    assert (ours.errors, ours.words) == (oracle.errors, oracle.length)


@settings(max_examples=100, deadline=None)
@given(reference=texts.filter(bool), hypothesis=texts.filter(bool))  # meeteval refuses empty ones
def test_characters_equal_meeteval(reference: str, hypothesis: str) -> None:
    ours = character_errors(reference, hypothesis)
    oracle = meeteval.wer.siso_character_error_rate(reference, hypothesis)
    assert (ours.errors, ours.words) == (oracle.errors, oracle.length)


def test_kinds() -> None:
    assert count_errors("abcd", "axcd") == ErrorCounts(substitutions=1, words=4)
    assert count_errors("abcd", "abd") == ErrorCounts(deletions=1, words=4)
    assert count_errors("abcd", "abxcd") == ErrorCounts(insertions=1, words=4)
    assert count_errors([7, 8], [7, 8]) == ErrorCounts(words=2)


def test_zero_words() -> None:
    assert word_errors("", "").error_rate == 0.0
    assert math.isinf(word_errors("", "oh").error_rate)
    assert word_errors("oh", "").error_rate == 100.0
    assert (word_errors("", "oh") + word_errors("a b", "a b")).error_rate == 50.0


def test_rate_above_hundred() -> None:
    assert word_errors("a", "b c d").error_rate == 300.0


def test_white_space_is_not_an_error() -> None:
    assert word_errors(" a\tb\n", "a b").errors == 0
    assert character_errors(" a\tb\n", "a b").errors == 0


def test_counts_are_checked_and_frozen() -> None:
    with pytest.raises(ValueError, match="negative"):
        ErrorCounts(insertions=-1)
    with pytest.raises(ValueError, match="count_errors"):
        ErrorCounts(substitutions=2, deletions=1, words=2)
    with pytest.raises(AttributeError):
        ErrorCounts().words = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        ErrorCounts() + 1  # type: ignore[operator]
