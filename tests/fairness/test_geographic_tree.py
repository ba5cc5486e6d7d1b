from __future__ import annotations

import json
import resource
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.fairness.cohort_gap import speaker_moments, welch_gap
from sb_alexa.fairness.geographic_growth import GrowthRules, best_line
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.map_simulation import simulate_map

CORNER = (40.0, 50.0, -120.0, -105.0)
MIDDLE = (36.0, 42.0, -104.0, -92.0)


def test_a_planted_corner_is_the_worst_region() -> None:
    case = simulate_map(3000, seed=0, regions=(CORNER,))
    tree = GeographicTree.grow(*case.columns)
    worst = tree.regions[0]
    assert (worst.south, worst.east) == pytest.approx((40, -105), abs=0.7)
    assert (worst.north, worst.west) == (90, -180)
    assert worst.held_out.wer > 1.4 * tree.regions[1].held_out.wer
    assert all(split.is_supported for split in tree.splits)
    assert tree.splits[0].gap.low > 0


@pytest.mark.parametrize("criterion", ["z", "difference"])
def test_planted_regions_are_recovered(criterion: str) -> None:
    case = simulate_map(8000, seed=1, regions=(CORNER, MIDDLE), factor=2.0)
    tree = GeographicTree.grow(*case.columns, criterion=criterion)
    found = tree.assign(case.latitude, case.longitude)
    for region in (CORNER, MIDDLE):
        inside = case.inside(region)
        bad = np.isin(found, [r.name for r in tree.regions if r.held_out.wer > 16])
        assert bad[inside].mean() > 0.9
    fine = np.isin(found, [r.name for r in tree.regions if r.held_out.wer < 14])
    assert fine.mean() > 0.5


@pytest.mark.parametrize(("num_speakers", "scatter"), [(400, 0.5), (300, 0.8)])
def test_no_region_is_reported_on_noise(num_speakers: int, scatter: float) -> None:
    divided = drawn = 0
    for seed in range(200):
        case = simulate_map(num_speakers, seed=seed, scatter=scatter)
        tree = GeographicTree.grow(*case.columns, seed=seed)
        divided += len(tree.regions) > 1
        drawn += tree.num_lines_tested > 0
    assert divided <= 0.05 * 200
    assert drawn > divided  # the held-out half has had something to refuse


def test_without_the_held_out_half_noise_would_be_reported() -> None:
    """What the corrections are there for."""
    case = simulate_map(2000, seed=3)
    moments = speaker_moments(case.errors, case.words)
    places = np.stack(case.columns[:2], axis=1)
    line = best_line(places, moments, places, GrowthRules(min_z=1.96), min_words=0.0)
    assert line is not None and abs(line.points) > 0.3


def test_the_order_of_rows_does_not_matter() -> None:
    case = simulate_map(1500, seed=4, regions=(CORNER,))
    rows = np.random.default_rng(0).permutation(1500)
    shuffled: Any = [column[rows] for column in case.columns]
    tree = GeographicTree.grow(*case.columns)
    assert len(tree.regions) > 1
    assert GeographicTree.grow(*shuffled) == tree
    names = np.array([f"speaker {number}" for number in range(1500)])
    named = GeographicTree.grow(*case.columns, names)
    assert GeographicTree.grow(*shuffled, names[rows].tolist()) == named


def test_utterances_count_as_their_speakers() -> None:
    case = simulate_map(600, seed=5, regions=(CORNER,), factor=3.0)
    names = np.array([f"{number:04d}" for number in range(600)])
    whole = GeographicTree.grow(*case.columns, names)
    half = case.errors // 2
    twice: Any = [np.tile(column, 2) for column in case.columns[:2]]
    divided = GeographicTree.grow(
        *twice,
        np.concatenate([half, case.errors - half]),
        np.concatenate([case.words - 1, np.ones(600)]),
        np.tile(names, 2),
    )
    assert divided == whole and len(whole.regions) > 1


@pytest.mark.parametrize("criterion", ["z", "difference"])
def test_the_best_line_is_that_of_a_slow_search(criterion: str) -> None:
    case = simulate_map(150, seed=6, regions=(CORNER,))
    # Rounded, so that speakers share coordinates.
    places = np.rint(np.stack(case.columns[:2], axis=1))
    moments = speaker_moments(case.errors, case.words)
    others = np.rint(np.stack(simulate_map(150, seed=7).columns[:2], axis=1))
    rules = GrowthRules(min_speakers=15, min_z=1.0, criterion=criterion)
    best: Any = -1.0
    expected = None
    for axis in (0, 1):
        for value in np.unique(places[:, axis])[:-1]:
            below = places[:, axis] <= value
            counts = [below.sum(), (~below).sum()]
            counts += [(others[:, axis] <= value).sum(), (others[:, axis] > value).sum()]
            words = [case.words[below].sum(), case.words[~below].sum()]
            if min(counts) < 15 or min(words) < 0.1 * case.words.sum():
                continue
            points, error, _ = welch_gap(moments[below].sum(0), moments[~below].sum(0))
            score = abs(points / error) if criterion == "z" else abs(points)
            if score > best and abs(points) >= max(0.3, error):
                best, expected = score, (axis, value, points)
    line = best_line(places, moments, others, rules, min_words=0.1 * case.words.sum())
    assert line is not None and expected is not None
    assert ("latitude", "longitude")[expected[0]] == line.axis
    assert expected[1] <= line.threshold_degrees < expected[1] + 1
    assert line.points == pytest.approx(expected[2])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(80, 400), st.sampled_from([1.0, 2.0, 4.0]))
def test_regions_divide_the_map_and_keep_the_rules(seed: int, num: int, factor: float) -> None:
    case = simulate_map(num, seed=seed, regions=(CORNER,), factor=factor)
    rules: Any = {"min_share": 0.1, "min_speakers": 10, "min_gap_points": 1.0}
    tree = GeographicTree.grow(*case.columns, **rules, seed=seed)
    names = tree.assign(case.latitude, case.longitude)
    for region in tree.regions:
        inside = (case.latitude > region.south) & (case.latitude <= region.north)
        inside &= (case.longitude > region.west) & (case.longitude <= region.east)
        assert np.array_equal(names == region.name, inside)
        both = region.discovery + region.held_out
        assert both.speakers == inside.sum() and both.errors == case.errors[inside].sum()
        if len(tree.regions) > 1:
            assert min(region.discovery.speakers, region.held_out.speakers) >= 10
    found = [region.discovery.wer for region in tree.regions]
    assert found == sorted(found, reverse=True)
    assert len(tree.splits) == len(tree.regions) - 1
    for split in tree.splits:
        if split.is_supported:
            assert split.gap.points >= 1.0 and split.adjusted_p_value <= 0.025


def test_missing_coordinates_are_counted_and_left_out() -> None:
    case = simulate_map(600, seed=8, regions=(CORNER,), factor=3.0)
    names = [f"{number:04d}" for number in range(600)]
    whole = GeographicTree.grow(*case.columns, names)
    columns: Any = [np.append(column, [99.0, 40.0, 41.0]) for column in case.columns]
    columns[0][-3:], columns[1][-3:] = [np.nan, 40.0, np.nan], [-90.0, np.nan, -90.0]
    tree = GeographicTree.grow(*columns, [*names, "x", "x", "0000"])
    assert (tree.num_rows_without_place, tree.num_speakers_without_place) == (3, 1)
    # The row of a speaker whose place is known from other rows still counts.
    total = sum(r.discovery.words + r.held_out.words for r in tree.regions)
    assert total == case.words.sum() + 41
    assert len(tree.regions) == len(whole.regions) > 1
    assert tree.assign([np.nan, 45.0], [-110.0, -110.0]).tolist() == ["", tree.regions[0].name]


def test_a_speaker_lives_where_most_words_were_spoken() -> None:
    case = simulate_map(100, seed=9)
    columns: Any = [
        np.append(column, column[0] + step)
        for column, step in zip(case.columns, (5.0, 0.0, 0.0, 1.0), strict=True)
    ]
    names = [f"{number:03d}" for number in range(100)]
    tree = GeographicTree.grow(*columns, [*names, "000"])
    assert tree.num_speakers_in_several_places == 1


def test_coordinates_out_of_range_are_named() -> None:
    case = simulate_map(100, seed=9)
    latitude, longitude, errors, words = (column.astype(float) for column in case.columns)
    latitude[[3, 7]] = 91.0
    with pytest.raises(ValueError, match=r"latitude must lie within -90..90.*2 rows, 3, 7; are"):
        GeographicTree.grow(latitude, longitude, errors, words)
    with pytest.raises(ValueError, match=r"longitude .* got 240.0: 1 rows, 1; subtract 360"):
        GeographicTree.grow([1.0, 2.0], [1.0, 240.0], [1, 1], [9, 9])
    with pytest.raises(ValueError, match="latitude .* got inf"):
        GeographicTree.grow([1.0, np.inf], [1.0, 2.0], [1, 1], [9, 9])


def test_bad_arguments_are_refused() -> None:
    case = simulate_map(100, seed=9)
    with pytest.raises(ValueError, match="0 speakers have coordinates .*2 rows have no"):
        nowhere: Any = [None, None]
        GeographicTree.grow(nowhere, [1.0, 2.0], [1, 1], [9, 9])
    with pytest.raises(ValueError, match="one number for each row"):
        GeographicTree.grow(*case.columns[:2], case.errors, case.words[1:])
    wrong: Any
    for wrong in ({"min_share": 0.6}, {"min_speakers": 1}, {"min_gap_points": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GeographicTree.grow(*case.columns, **wrong)
    with pytest.raises(ValueError, match="criterion must be one of"):
        GeographicTree.grow(*case.columns, criterion="gini")
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        GeographicTree.grow(*case.columns, level=0.0)


def test_json_makes_the_same_tree() -> None:
    case = simulate_map(2000, seed=0, regions=(CORNER,))
    tree = GeographicTree.grow(*case.columns)
    text = json.dumps(tree.to_json(), allow_nan=False)
    assert GeographicTree.from_json(json.loads(text)) == tree and tree.splits
    values = json.loads(text)
    values["root"]["axis"] = "height"
    with pytest.raises(ValueError, match="axis must be latitude or longitude, got 'height'"):
        GeographicTree.from_json(values)
    values = json.loads(text)
    del values["root"]["below"]["held_out" if "name" in values["root"]["below"] else "gap"]
    with pytest.raises(ValueError, match="CohortCounts must be a JSON object"):
        GeographicTree.from_json(values)


@pytest.mark.slow
def test_a_million_utterances_take_seconds() -> None:
    case = simulate_map(20_000, seed=0, regions=(CORNER, MIDDLE))
    generator = np.random.default_rng(0)
    who = generator.integers(0, 20_000, 1_000_000)
    words = generator.integers(1, 20, 1_000_000)
    errors = generator.poisson((case.errors / case.words)[who] * words)
    names = [f"speaker{number}" for number in who]
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    tree = GeographicTree.grow(case.latitude[who], case.longitude[who], errors, words, names)
    assert time.perf_counter() - start < 30
    # Kibibytes, as Linux counts. Other tests of this process may have needed more before.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before < 2 * 2**20
    assert len(tree.regions) > 3
