from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.voxceleb_metadata import (
    NATIONALITIES,
    SpeakerInfo,
    nationality_group,
    parse_metadata_header,
    read_metadata,
    unknown_nationalities,
)

VOX1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
VOX2 = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \r\n"


def read(folder: Path, content: str, encoding: str = "utf-8") -> dict[str, SpeakerInfo]:
    path = folder / "meta.csv"
    path.write_bytes(content.encode(encoding))
    return read_metadata(path)


def test_voxceleb1_between_tabs(tmp_path: Path) -> None:
    found = read(tmp_path, VOX1 + "id10001\tA_B\tm\tTrinidad and Tobago\tdev\n")
    assert found == {"id10001": SpeakerInfo("id10001", "M", "Trinidad and Tobago", "vox1_dev")}


def test_voxceleb2_between_padded_commas_with_a_byte_order_mark(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufeff" + VOX2 + "id00017 ,n000017 ,f ,test \r\nid00012,n,m,dev")
    assert list(found.values()) == [
        SpeakerInfo("id00017", "F", "", "vox2_test"),
        SpeakerInfo("id00012", "M", "", "vox2_dev"),
    ]


def test_the_columns_may_lie_in_another_order_between_commas(tmp_path: Path) -> None:
    content = "voxceleb1 ID,Set,Nationality,Gender\n\nid10001,test,UK,Female\n"
    assert read(tmp_path, content) == {"id10001": SpeakerInfo("id10001", "F", "UK", "vox1_test")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VOX1.replace("\t", ";"), "line 1: .*if it has another delimiter, write the file with"),
        (VOX1.replace("\t", " "), r"line 1: .*\(lacking: id, gender, set\)"),
        (VOX1.replace("Gender", "Sex"), r"line 1: .*\(lacking: gender\)"),
        ("id10001\tA\tm\tUSA\tdev\n", "line 1: 'id10001.* is not a header such as 'VoxCeleb1 ID"),
        (VOX1 + "id10001,A,m,USA,dev\n", "line 2: .*holds 1 fields, the header 5 between tabs"),
        (VOX2 + "id00012,n,m\n", "line 2: .*holds 3 fields, the header 4 between commas"),
        (VOX1 + "10001\tA\tm\tUSA\tdev\n", "'10001' is not a speaker, such as id10001"),
        (VOX1 + "id10001\tA\tx\tUSA\tdev\n", "gender 'x' of id10001 is neither m nor f"),
        (VOX1 + "id10001\tA\tm\tUSA\ttrain\n", "set 'train' of id10001 is neither dev nor test"),
        (VOX1 + "id10001\tA\tm\tUSA\tdev\n" * 2, "speaker id10001 is there twice"),
        (VOX1, "holds no speaker"),
        ("", "holds no speaker"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, content)


def test_another_encoding_and_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"meta\.csv is not UTF-8 text"):
        read(tmp_path, VOX1, encoding="utf-16")
    with pytest.raises(CorpusError, match=r"metadata .*none\.csv does not exist"):
        read_metadata(tmp_path / "none.csv")


def test_an_unknown_gender_is_kept_empty(tmp_path: Path) -> None:
    assert read(tmp_path, VOX1 + "id10001\tA\t\t\tdev\n")["id10001"][1:3] == ("", "")


def test_unknown_nationalities_are_named() -> None:
    speakers = [
        SpeakerInfo("id10001", "M", "", "vox1_dev"),
        SpeakerInfo("id10002", "M", "usa", "vox1_dev"),
        SpeakerInfo("id10003", "M", "Qqq", "vox1_dev"),
        SpeakerInfo("id10004", "M", "Qqq", "vox1_dev"),
        SpeakerInfo("id10005", "M", "UK", "vox1_dev"),
        SpeakerInfo("id00012", "M", "", "vox2_dev"),
    ]
    absent, strange, misspelt = unknown_nationalities(speakers)
    assert absent == (
        "nationality unknown for 1 speakers (id10001): they are in no group of nationality"
    )
    assert strange.startswith("nationality 'Qqq' of 2 speakers is none of VoxCeleb1's: it")
    assert misspelt.startswith("nationality 'usa' of 1 speakers is none of VoxCeleb1's (did you")
    assert "did you mean USA?" in misspelt
    assert [nationality_group(one.nationality) for one in speakers[1:5]] == ["", "", "", "UK"]


def test_a_header_remembers_its_corpus() -> None:
    assert (parse_metadata_header(VOX1).corpus, parse_metadata_header(VOX2).corpus) == (
        "vox1",
        "vox2",
    )


@pytest.mark.realdata
def test_the_real_files(realdata: Path) -> None:
    vox1 = read_metadata(realdata / "voxceleb_meta" / "vox1_meta.csv")
    vox2 = read_metadata(realdata / "voxceleb_meta" / "vox2_meta.csv")
    assert Counter(one.subset for one in vox1.values()) == {"vox1_dev": 1211, "vox1_test": 40}
    # The release is described as 118 test speakers; its metadata list 120.
    assert Counter(one.subset for one in vox2.values()) == {"vox2_dev": 5994, "vox2_test": 120}
    assert Counter(one.gender for one in vox1.values()) == {"M": 690, "F": 561}
    assert {one.nationality for one in vox1.values()} == set(NATIONALITIES)
    groups = Counter(nationality_group(one.nationality) for one in vox1.values())
    assert groups == {"US": 799, "UK": 215, "other": 237}
    assert unknown_nationalities([*vox1.values(), *vox2.values()]) == []
    assert not vox1.keys() & vox2.keys()
