"""Whom a training is to favour."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.training.cohort_speakers import read_cohort_speakers


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_may_repeat_speakers_and_have_other_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "\ufeffid,speaker\n1,84\n2, 84 \n3,174\n4,\n")
    assert read_cohort_speakers(path) == {"84", "174"}


def test_cohorts_of_a_list_are_chosen_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "speaker,cohort\n1,north\n2,south\n3,east\n")
    assert read_cohort_speakers(path, ["north", "east"]) == {"1", "3"}
    assert read_cohort_speakers(path, "south") == {"2"}
    with pytest.raises(ValueError, match="no cohort 'west'; it has: east, north, south"):
        read_cohort_speakers(path, ["west"])


def test_a_model_of_cohorts_is_applied_to_the_speaker_table(tmp_path: Path) -> None:
    model = tmp_path / "groups.json"
    CohortModel(DeclaredGroups.of({"gender": ["F", "M"]})).save(model)
    table = written(tmp_path / "speakers.csv", "speaker,gender\n1,F\n2,M\n3,F\n4,\n")
    assert read_cohort_speakers(model, ["gender=F"], speakers_csv=table) == {"1", "3"}
    with pytest.raises(ValueError, match="name those to favour: gender=F, gender=M"):
        read_cohort_speakers(model, speakers_csv=table)
    with pytest.raises(ValueError, match="no cohort 'gender=X'"):
        read_cohort_speakers(model, ["gender=X"], speakers_csv=table)
    bare = written(tmp_path / "bare.csv", "speaker,age\n1,40\n")
    with pytest.raises(ValueError, match="has no gender; write the speakers"):
        read_cohort_speakers(model, ["gender=F"], speakers_csv=bare)


def test_bad_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cohort_speakers=.*none.csv does not exist"):
        read_cohort_speakers(tmp_path / "none.csv")
    path = written(tmp_path / "a.csv", "name\nx\n")
    with pytest.raises(ValueError, match="lacks the column 'speaker'; it has: name"):
        read_cohort_speakers(path)
    path = written(tmp_path / "b.csv", "speaker\n")
    with pytest.raises(ValueError, match="names no speaker"):
        read_cohort_speakers(path)
