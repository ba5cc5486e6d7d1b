from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sb_alexa.corpora.speaker_table import (
    SPEAKER_COLUMNS,
    parse_speaker_line,
    read_speaker_table,
    write_speaker_table,
)
from sb_alexa.corpora.text_files import CorpusError

SPEAKERS_TXT = """\
; Some pipe(|) separated metadata about all LibriVox readers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | |CBW|Simon
"""


def write_table(folder: Path, speakers: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    write_speaker_table(
        folder / "out.csv",
        speakers,
        speakers_txt=folder / "SPEAKERS.TXT",
        speakers_csv=folder / "speakers.csv",
    )
    with (folder / "out.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), list(reader)


@pytest.mark.parametrize("line", ["14 F train", "14 | F | train | many | Name", "a|b|c|1.0"])
def test_a_line_of_another_kind_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is not 'ID | SEX | SUBSET | MINUTES | NAME'"):
        parse_speaker_line(line)


def test_speakers_txt_gives_genders_in_the_order_of_the_readers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS_TXT)
    columns, rows = write_table(tmp_path, ["1272", "60", "14"])
    assert columns == list(SPEAKER_COLUMNS)
    names = "speaker gender accent latitude longitude zip attribute_a attribute_b hardness"
    assert " ".join(columns) == names
    assert [(row["speaker"], row["gender"]) for row in rows] == [
        ("14", "F"),
        ("60", "M"),
        ("1272", ""),
    ]
    assert {row[c] for row in rows for c in SPEAKER_COLUMNS[2:]} == {""}
    assert caplog.messages == ["Nothing is known about 1 speakers: 1272"]


def test_a_table_of_the_corpus_wins_and_keeps_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS_TXT)
    (tmp_path / "speakers.csv").write_text(
        "speaker,accent,latitude,gender,age\n14,scottish,55.9,,40\n60,us,,female,\n7,x,1.0,m,9\n"
    )
    columns, rows = write_table(tmp_path, ["14", "60"])
    assert columns == [*SPEAKER_COLUMNS, "age"]
    assert [
        [row[c] for c in ("speaker", "gender", "accent", "latitude", "age")] for row in rows
    ] == [
        ["14", "F", "scottish", "55.9", "40"],
        ["60", "F", "us", "", ""],
    ]


def test_without_any_metadata_every_cell_is_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, rows = write_table(tmp_path, ["b", "a"])
    assert [row["speaker"] for row in rows] == ["a", "b"]
    assert caplog.messages == ["Nothing is known about 2 speakers: a, b"]


def test_broken_metadata_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS_TXT + "61 M train-clean-100\n")
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT, line 5: '61 M train-clean-100' is not"):
        write_table(tmp_path, ["14"])
    (tmp_path / "SPEAKERS.TXT").unlink()
    (tmp_path / "speakers.csv").write_text("name,gender\n14,F\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv lacks the column 'speaker'"):
        write_table(tmp_path, ["14"])


@pytest.mark.realdata
def test_every_line_of_the_real_table_parses(realdata: Path) -> None:
    lines = (realdata / "LibriSpeech" / "SPEAKERS.TXT").read_text("utf-8").splitlines()
    speakers = [s for s in map(parse_speaker_line, lines) if s is not None]
    assert len(speakers) == 2484
    assert {s.gender for s in speakers} == {"F", "M"}
    assert len({s.id for s in speakers}) == 2484


def test_a_written_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS_TXT)
    (tmp_path / "speakers.csv").write_text("speaker,accent\n14, us \n")
    write_table(tmp_path, ["60", "14", "7"])
    table = read_speaker_table(tmp_path / "out.csv")
    assert table.columns == SPEAKER_COLUMNS[1:]
    assert table.values("gender", ["60", "7", "14", "60"]) == {"60": "M", "7": "", "14": "F"}
    assert table.values("accent", ["14"]) == {"14": "us"}


def test_padding_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "speakers.csv"
    path.write_text("speaker , gender\n14 , F \n", encoding="utf-8-sig")
    assert read_speaker_table(path).values("gender", ["14"]) == {"14": "F"}
    path.write_text("speaker,gender\n14,F\n14 ,M\n")
    with pytest.raises(CorpusError, match="line 3: speaker '14' is repeated"):
        read_speaker_table(path)


def test_what_a_table_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "speakers.csv"
    path.write_text("speaker,gender,accent\n14,F,us\n")
    table = read_speaker_table(path)
    with pytest.raises(ValueError, match=r"no column 'acent'\. Did you mean accent\?"):
        table.values("acent", ["14"])
    with pytest.raises(ValueError, match="There are: gender, accent"):
        table.values("shoe size", ["14"])
    speakers = ["14", *map(str, range(100, 112))]
    with pytest.raises(ValueError, match="lacks 12 of 13 speakers: 100, 101, .* and 2 more"):
        table.values("gender", speakers)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_speaker_table(tmp_path / "none.csv")
    path = tmp_path / "speakers.csv"
    path.write_text("gender\nF\n")
    with pytest.raises(CorpusError, match="lacks the column 'speaker'"):
        read_speaker_table(path)
    path.write_text("speaker,gender\n14,F\n14,M\n")
    with pytest.raises(CorpusError, match="line 3: speaker '14' is repeated"):
        read_speaker_table(path)
    path.write_text("speaker;gender\n14;F\n")
    with pytest.raises(CorpusError, match="'speaker;gender' between ';'; write .* with commas"):
        read_speaker_table(path)
    path.write_text("speaker,gender,gender\n14,F,M\n")
    with pytest.raises(CorpusError, match="column 'gender' twice"):
        read_speaker_table(path)
    path.write_bytes(b"speaker,gender\n14,\xff\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_speaker_table(path)


def test_what_is_known_already_is_overridden_by_files(tmp_path: Path) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS_TXT)
    known = {"14": {"gender": "m", "nationality": "UK"}, "7": {"gender": "m", "nationality": "USA"}}
    write_speaker_table(
        tmp_path / "out.csv", ["14", "7"], known=known, speakers_txt=tmp_path / "SPEAKERS.TXT"
    )
    table = read_speaker_table(tmp_path / "out.csv")
    assert table.columns == (*SPEAKER_COLUMNS[1:], "nationality")
    assert [table.values(column, ["14", "7"]) for column in ("gender", "nationality")] == [
        {"14": "F", "7": "M"},
        {"14": "UK", "7": "USA"},
    ]
