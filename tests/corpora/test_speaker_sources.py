"""Speaker tables and VoxCeleb's metadata are read alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.corpora.speaker_sources import read_speakers
from sb_alexa.corpora.text_files import CorpusError


def test_a_table_and_metadata(tmp_path: Path) -> None:
    table = tmp_path / "speakers.csv"
    table.write_text("speaker,gender\nann,F\n")
    assert read_speakers(table).values("gender", ["ann"]) == {"ann": "F"}
    vox2 = tmp_path / "vox2_meta.csv"
    header = "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
    vox2.write_text(header + "id00012 ,n000012 ,m ,dev \n")
    found = read_speakers(vox2)
    assert found.values("gender", ["id00012"]) == {"id00012": "M"}
    assert found.values("nationality_group", ["id00012"]) == {"id00012": ""}


def test_damaged_metadata_is_not_taken_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "vox1_meta.csv"
    path.write_text("VoxCeleb1 ID|Gender|Nationality|Set\nid10001|m|USA|dev\n")
    with pytest.raises(CorpusError, match="not a header such as"):
        read_speakers(path)
    with pytest.raises(FileNotFoundError):
        read_speakers(tmp_path / "absent.csv")
