from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.fairness.speaker_totals import (
    SpeakerTotals,
    discovery_half,
    nameless_speakers,
    speakers_in_discovery,
)


def test_the_order_of_rows_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    speakers, errors = generator.integers(0, 30, 500), generator.integers(0, 9, 500)
    words, values = generator.integers(1, 20, 500), generator.integers(0, 4, 500)
    order = generator.permutation(500)
    first = SpeakerTotals.of(errors, words, speakers)
    second = SpeakerTotals.of(errors[order], words[order], speakers[order].tolist())
    assert first.names == second.names and len(first.names) == 30
    assert np.array_equal(first.errors, second.errors)
    assert np.array_equal(first.words, second.words)
    everyone = np.ones(500, dtype=bool)
    who, main, several = first.main_values(values, everyone)
    other_who, other_main, other_several = second.main_values(values[order], everyone)
    assert np.array_equal(who, other_who) and np.array_equal(main, other_main)
    assert several == other_several


def test_sums_and_main_values_are_those_of_a_dictionary() -> None:
    generator = np.random.default_rng(1)
    speakers = [f"s{number}" for number in generator.integers(0, 12, 200)]
    errors, words = generator.integers(0, 9, 200), generator.integers(0, 5, 200)
    values, known = generator.integers(0, 3, 200), generator.random(200) < 0.1
    totals = SpeakerTotals.of(errors, words, speakers)
    spoken: dict[str, dict[int, int]] = {}
    for row in np.flatnonzero(known):
        by_value = spoken.setdefault(speakers[row], {})
        by_value[int(values[row])] = by_value.get(int(values[row]), 0) + int(words[row])
    who, main, several = totals.main_values(values[known], known)
    expected = {name: min(v, key=lambda one: (-v[one], one)) for name, v in spoken.items()}
    assert {totals.names[s]: m for s, m in zip(who, main.tolist(), strict=True)} == expected
    assert several == sum(len(by_value) > 1 for by_value in spoken.values()) > 0
    for name, total in zip(totals.names, totals.errors, strict=True):
        assert total == sum(e for e, s in zip(errors, speakers, strict=True) if s == name)


def test_nobody_may_have_a_value() -> None:
    totals = SpeakerTotals.of([1, 2], [3, 4], ["a", "b"])
    who, main, several = totals.main_values(np.zeros(0, dtype=int), np.zeros(2, dtype=bool))
    assert (who.size, main.size, several) == (0, 0, 0)


def test_bad_rows_are_named() -> None:
    with pytest.raises(ValueError, match="errors of 1 rows are not counts, such as -1.0: rows 1"):
        SpeakerTotals.of([1, -1], [3, 4], ["a", "b"])
    with pytest.raises(ValueError, match="words of 1 rows are not counts.* rows 0"):
        SpeakerTotals.of([1, 1], [float("nan"), 4], ["a", "b"])
    with pytest.raises(ValueError, match="2 rows name no speaker: 0, 2"):
        SpeakerTotals.of([1, 1, 1], [3, 4, 5], [None, "a", float("nan")])
    with pytest.raises(ValueError, match="one entry for each row, got 2, 2 and 1"):
        SpeakerTotals.of([1, 1], [3, 4], ["a"])


def test_halves_differ_by_seed_and_nothing_else() -> None:
    half = discovery_half(101, seed=0)
    assert half.sum() == 51
    assert np.array_equal(half, discovery_half(101, seed=0))
    assert not np.array_equal(half, discovery_half(101, seed=1))


def test_nameless_rows_keep_their_names_in_another_order() -> None:
    values = np.random.default_rng(0).normal(size=(2, 50))
    order = np.random.default_rng(1).permutation(50)
    names = nameless_speakers(*values)
    assert nameless_speakers(*values[:, order]) == [names[row] for row in order]


def test_given_halves_are_those_of_the_speakers() -> None:
    totals = SpeakerTotals.of([1, 1, 1, 1], [9, 9, 9, 9], ["c", "a", "b", "a"])
    chosen = np.array([0, 2])
    given = speakers_in_discovery(totals, chosen, [False, True, False, True], seed=0)
    assert given.tolist() == [True, False]
    drawn = speakers_in_discovery(totals, chosen, None, seed=5)
    assert np.array_equal(drawn, discovery_half(2, seed=5))
    with pytest.raises(ValueError, match="1 speakers on both sides, such as 'a'"):
        speakers_in_discovery(totals, chosen, [False, True, False, False], seed=0)
    with pytest.raises(ValueError, match="3 entries for 4 rows"):
        speakers_in_discovery(totals, chosen, [False, True, False], seed=0)
