"""Word times from an alignments folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.corpora import alignments
from sb_alexa.corpora.alignments import AlignmentFolder
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.turn import Word

HEADER = "utterance,word,start_s,end_s\n"


def utterance(name: str) -> Utterance:
    return Utterance(name, 1.0, f"{name}.flac", name.partition("-")[0], "GO UP")


def write(folder: Path, chapter: str, rows: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{chapter}.words.csv").write_text(HEADER + rows)


def test_words_are_found_by_chapter_in_every_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignments, "_MAX_CHAPTERS", 1)
    write(tmp_path / "train", "7-17", "7-17-0000,GO,0.1,0.2\n7-17-0000,UP,0.2,0.4\n")
    write(tmp_path / "test", "8-18", "8-18-0001,STOP,0.5,0.75\n")
    times = AlignmentFolder(tmp_path)
    for _ in range(2):
        assert times.words(utterance("7-17-0000")) == (Word("GO", 0.1, 0.2), Word("UP", 0.2, 0.4))
        assert times.words(utterance("8-18-0001")) == (Word("STOP", 0.5, 0.75),)
    assert times.words(utterance("8-18-0002")) == times.words(utterance("9-19-0000")) == ()


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no word times"):
        AlignmentFolder(tmp_path)
    write(tmp_path, "7-17", "7-17-0000,GO,0.5,0.2\n")
    with pytest.raises(CorpusError, match=r"7-17.words.csv, line 2: .*'GO' ends at 0.2 s"):
        AlignmentFolder(tmp_path).words(utterance("7-17-0000"))
    (tmp_path / "7-17.words.csv").write_text("word,start\n")
    with pytest.raises(CorpusError, match="the header must be utterance,word,start_s,end_s"):
        AlignmentFolder(tmp_path).words(utterance("7-17-0000"))
