from __future__ import annotations

from pathlib import Path

import pytest
from speechbrain.dataio.dataset import DynamicItemDataset

from sb_alexa.corpora.manifest import Utterance, read_manifest, write_manifest

HEADER = "ID,duration,wav,spk_id,wrd\n"


def test_what_is_written_is_read_back_exactly(tmp_path: Path) -> None:
    utterances = [
        Utterance("2-1-0000", 1 / 3, "/data/LibriSpeech/a b/2-1-0000.flac", "2", 'IT\'S, "A" TEST'),
        Utterance("1-1-0000", 35.155, "/elsewhere/1-1-0000.flac", "1", ""),
    ]
    write_manifest(tmp_path / "x.csv", utterances, "/data/")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[1].startswith("2-1-0000,0.3333333333333333,$data_root/LibriSpeech/a b/2-1-0000")
    assert lines[2] == "1-1-0000,35.155,/elsewhere/1-1-0000.flac,1,"
    assert read_manifest(tmp_path / "x.csv", "/data") == utterances


def test_the_data_may_move(tmp_path: Path) -> None:
    write_manifest(tmp_path / "x.csv", [Utterance("a", 1.0, "/old/a.flac", "s", "A")], "/old")
    assert read_manifest(tmp_path / "x.csv", "/new/place/")[0].path == "/new/place/a.flac"


def test_a_folder_whose_name_only_begins_alike_is_not_the_root(tmp_path: Path) -> None:
    write_manifest(tmp_path / "x.csv", [Utterance("a", 1.0, "/data2/a.flac", "s", "A")], "/data")
    assert "/data2/a.flac" in (tmp_path / "x.csv").read_text()


def test_speechbrain_reads_it(tmp_path: Path) -> None:
    hello = Utterance("1-1-0000", 1.25, "/data/1-1-0000.flac", "1", "HELLO, YOU")
    write_manifest(tmp_path / "x.csv", [hello], "/data")
    dataset = DynamicItemDataset.from_csv(
        str(tmp_path / "x.csv"), replacements={"data_root": "/data"}
    )
    dataset.set_output_keys(["id", "duration", "wav", "spk_id", "wrd"])
    assert dataset[0] == {
        "id": hello.id,
        "duration": hello.duration_s,
        "wav": hello.path,
        "spk_id": hello.speaker,
        "wrd": hello.text,
    }


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent.csv does not exist; prepare the corpus"):
        read_manifest(tmp_path / "absent.csv", "/data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks the column.*ID, duration, wav, spk_id, wrd"),
        ("ID,duration,wav,wrd\n", "lacks the column.*spk_id"),
        (HEADER + "a,1.0,/a.flac,s,A\na,1.0,/a.flac,s,A\n", "line 3: ID 'a' is repeated"),
        (HEADER + "a,long,/a.flac,s,A\n", "line 2: duration 'long' is not a positive number"),
        (HEADER + "a,0.0,/a.flac,s,A\n", "duration '0.0' is not a positive number"),
        (HEADER + "a,nan,/a.flac,s,A\n", "duration 'nan' is not a positive number"),
        (HEADER + "a,1.0,/a.flac\n", "line 2: the line is shorter than the header"),
    ],
)
def test_a_broken_manifest_is_refused_with_the_line(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / "x.csv", "/data")


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_manifest(path, [Utterance("a", 1.0, "/a.flac", "s", "A")], "/data")
    before = path.read_bytes()

    def fails_half_way():
        yield Utterance("b", 1.0, "/b.flac", "s", "B")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_manifest(path, fails_half_way(), "/data")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
