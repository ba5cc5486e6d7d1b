"""Levels of planted difficulty as somebody writes them."""

from __future__ import annotations

import pytest

from sb_alexa.corpora.planted_hardness import parse_hardness
from sb_alexa.corpora.voices import ACCENTS, make_speakers


def test_nothing_is_planted_without_levels() -> None:
    assert parse_hardness([]) == {}


def test_a_number_is_for_everybody() -> None:
    assert parse_hardness(["0.45"]) == {"accent": dict.fromkeys(ACCENTS, 0.45)}
    speakers = make_speakers(16, seed=0, hardness=parse_hardness(["0.45"]))
    assert {speaker.hardness for speaker in speakers} == {0.45}


@pytest.mark.parametrize(
    "texts", [["0.2", "scottish=0.6", "F=0.5"], ["F=0.5", "scottish=0.6", "0.2"]]
)
def test_groups_have_levels_of_their_own(texts: list[str]) -> None:
    for speaker in make_speakers(16, seed=0, hardness=parse_hardness(texts)):
        levels = [0.6 if speaker.accent == "scottish" else 0.2, 0.5 if speaker.gender == "F" else 0]
        assert speaker.hardness == max(levels)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["very"], "'very' must be a level"),
        (["british="], "'british=' must be a level"),
        (["welsh=0.5"], "no accent is called 'welsh'"),
        (["=0.5"], "no accent is called ''"),
        (["nan"], "within 0..1, got nan"),
        (["1.5"], "within 0..1, got 1.5"),
        (["0.1", "0.2"], "two levels for everybody, 0.1 and 0.2"),
        (["F=0.1", "F=0.2"], "of 'F' is given twice, 0.1 and 0.2"),
    ],
)
def test_bad_levels(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_hardness(texts)
