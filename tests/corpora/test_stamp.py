from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.corpora.stamp import Journal, Stamp, replaced_atomically, sizes_bytes


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replaced_atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_the_folder_is_created(tmp_path: Path) -> None:
    with replaced_atomically(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "new" / "a.txt").read_text() == "x"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"arguments": {}}', "null"])
def test_an_unreadable_stamp_is_no_stamp(tmp_path: Path, content: str) -> None:
    (tmp_path / "stamp.json").write_text(content)
    assert Stamp.read(tmp_path / "stamp.json") is None


def test_a_stamp_is_stale_when_an_output_is_gone_or_cut(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1234")
    stamp = Stamp({}, "inputs", sizes_bytes(tmp_path, ["a.csv"]), {})
    assert stamp.is_current(tmp_path, {}, "inputs")
    assert not stamp.is_current(tmp_path, {}, "other inputs")
    (tmp_path / "a.csv").write_text("12")
    assert not stamp.is_current(tmp_path, {}, "inputs")
    (tmp_path / "a.csv").unlink()
    assert not stamp.is_current(tmp_path, {}, "inputs")


@pytest.mark.parametrize("num_bytes_lost", range(0, 45, 4))
def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path: Path, num_bytes_lost: int) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - num_bytes_lost])
    num_whole = content[: len(content) - num_bytes_lost].count(b"\n")
    journal = Journal(path)
    assert list(journal.entries) == ["a", "b", "c"][:num_whole]
    journal.append([("d", {"n": 4})])
    assert list(Journal(path).entries) == [*["a", "b", "c"][:num_whole], "d"]


def test_a_damaged_line_counts_as_work_not_done(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'\0\0\0\0\n["a", 3]\n"b"\n["c", {"n": 3}]\n')
    assert Journal(path).entries == {"c": {"n": 3}}
