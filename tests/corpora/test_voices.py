from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from sb_alexa.corpora.voices import (
    ACCENTS,
    EASTERN_ACCENTS,
    check_rare_accents,
    make_speakers,
    without_most_of,
)


def test_balanced_over_accents_and_genders() -> None:
    speakers = make_speakers(32, seed=3, first_id=30001)
    groups = Counter((speaker.accent, speaker.gender) for speaker in speakers)
    assert len(groups) == 16 and set(groups.values()) == {2}
    assert {speaker.accent for speaker in speakers} == set(ACCENTS)
    assert [speaker.speaker_id for speaker in speakers] == list(range(30001, 30033))


def test_a_speaker_depends_on_seed_and_id_only() -> None:
    many, few = make_speakers(40, seed=1), make_speakers(2, seed=1, first_id=17)
    assert few == many[16:18]
    assert make_speakers(2, seed=2, first_id=17) != few


def test_voices_lie_in_the_intelligible_range_and_differ() -> None:
    speakers = make_speakers(320, seed=0)
    assert len({(speaker.formants, speaker.pitch_hz) for speaker in speakers}) == 320
    for speaker in speakers:
        low, high = speaker.pitch_hz
        scale = np.mean([frequency for frequency, _, _ in speaker.formants]) / 100
        if speaker.gender == "M":
            assert 68 <= low <= 112 and 0.84 < scale < 1.08
        else:
            assert 140 <= low <= 205 and 1.01 < scale < 1.27
        assert low < high and 140 <= speaker.rate_wpm <= 205


def test_places_have_something_to_find() -> None:
    """Accents cluster on the map, attribute A follows them, attribute B does not."""
    speakers = make_speakers(800, seed=0)
    by_accent = defaultdict(list)
    by_area = defaultdict(set)
    for speaker in speakers:
        by_accent[speaker.accent].append(speaker)
        by_area[speaker.zip_code].add((speaker.attribute_a, speaker.attribute_b))
        assert len(speaker.zip_code) == 5 and speaker.zip_code.isdecimal()
    assert len(by_area) == 32 and all(len(shares) == 1 for shares in by_area.values())
    medians = [
        (np.median([s.latitude for s in group]), np.median([s.longitude for s in group]))
        for group in by_accent.values()
    ]
    gaps = [np.hypot(a[0] - b[0], a[1] - b[1]) for a in medians for b in medians if a is not b]
    assert min(gaps) > 5

    def between_accents(attribute: str) -> float:
        values = np.array([getattr(s, attribute) for s in speakers])
        means = [np.mean([getattr(s, attribute) for s in group]) for group in by_accent.values()]
        return float(np.var(means) / np.var(values))

    assert between_accents("attribute_a") > 0.5 > 0.3 > between_accents("attribute_b")


def test_planted_hardness() -> None:
    planted = {"accent": {"caribbean": 0.7}, "gender": {"M": 0.2}}
    for speaker in make_speakers(16, seed=0, hardness=planted):
        expected = {True: 0.7}.get(speaker.accent == "caribbean", 0.2 * (speaker.gender == "M"))
        assert speaker.hardness == expected


@pytest.mark.parametrize(
    ("hardness", "message"),
    [
        ({"age": {"old": 1.0}}, "by accent or gender, not by 'age'"),
        ({"accent": {"welsh": 1.0}}, "no accent is called 'welsh'; choose from american"),
        ({"gender": {"F": 1.5}}, "within 0..1, got 1.5"),
        ({"gender": {"F": float("nan")}}, "within 0..1, got nan"),
    ],
)
def test_bad_hardness(hardness: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_speakers(1, seed=0, hardness=hardness)


def test_bad_numbers() -> None:
    with pytest.raises(ValueError, match="num_speakers must be >= 1, got 0"):
        make_speakers(0, seed=0)
    with pytest.raises(ValueError, match="first_id must be >= 1, got 0"):
        make_speakers(1, seed=0, first_id=0)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0, got -1"):
        make_speakers(1, seed=-1)
    with pytest.raises(ValueError, match=r"seed must be a whole number >= 0, got 0\.5"):
        make_speakers(1, seed=0.5)  # type: ignore[arg-type]


def test_rare_accents_keep_a_share_of_their_speakers_of_both_genders() -> None:
    speakers = make_speakers(192, seed=0, first_id=10001)
    kept = without_most_of(speakers, {"scottish": 0.2, "caribbean": 0.5})
    groups = Counter((speaker.accent, speaker.gender) for speaker in kept)
    assert groups["scottish", "F"] == groups["scottish", "M"] == 3  # 2.4 of 12, rounded up
    assert groups["caribbean", "F"] == groups["caribbean", "M"] == 6
    assert groups["american", "F"] == 12
    assert kept == [speaker for speaker in speakers if speaker in kept]
    # 0.15 x 20 is 3.0000000000000004 or so; nobody is added by that.
    many = without_most_of(make_speakers(320, seed=0), {"scottish": 0.15})
    assert sum(speaker.accent == "scottish" for speaker in many) == 6
    assert without_most_of(speakers, {}) == speakers
    assert without_most_of(speakers, {"scottish": 1.0}) == speakers


def test_a_meridian_parts_the_eastern_accents_from_the_others() -> None:
    at_home = defaultdict(list)
    for speaker in make_speakers(800, seed=0):
        at_home[speaker.accent in EASTERN_ACCENTS].append(speaker.longitude)
    # 15 % have moved, a quarter of them to one of the two eastern towns.
    assert 0.85 < np.mean(np.array(at_home[True]) > -88) < 0.95
    assert 0.01 < np.mean(np.array(at_home[False]) > -88) < 0.06


@pytest.mark.parametrize(
    ("rare", "words"),
    [
        ({"welsh": 0.2}, "no accent is called 'welsh'"),
        ({"scottish": 0.0}, "nothing to learn the accent from"),
        ({"scottish": 1.5}, "at most 1, got 1.5"),
    ],
)
def test_impossible_rare_accents_are_refused(rare: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_rare_accents(rare)
