"""Recordings of trials are found in folders, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.inference.trial_recordings import find_recordings


def write(path: Path, num_samples: int = 1600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, [0.1] * num_samples, 16000)


def test_wherever_they_lie(tmp_path: Path) -> None:
    write(tmp_path / "one" / "ann" / "s1" / "1.flac", 800)
    write(tmp_path / "two" / "wav" / "id10001" / "x" / "00001.wav")
    write(tmp_path / "two" / "dev" / "wav" / "id10002" / "y" / "00001.wav", 3200)
    names = ["id10002/y/00001", "ann/s1/1", "id10001/x/00001"]
    found = find_recordings(names[:1] + names[2:], [tmp_path / "two"])
    assert [one.duration_s for one in found] == [0.2, 0.1]
    found = find_recordings(names[1:], [tmp_path / "one", tmp_path / "two"])
    assert [(one.id, one.speaker, one.duration_s) for one in found] == [
        ("ann/s1/1", "ann", 0.05),
        ("id10001/x/00001", "id10001", 0.1),
    ]


def test_missing_and_damaged_ones_are_named(tmp_path: Path) -> None:
    write(tmp_path / "id10001" / "x" / "00001.wav")
    with pytest.raises(CorpusError, match="1 of 2 recordings .* id10001/x/00002; give"):
        find_recordings(["id10001/x/00001", "id10001/x/00002"], [tmp_path])
    (tmp_path / "id10001" / "x" / "00003.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="1 recordings cannot be used: .*00003.wav: empty"):
        find_recordings(["id10001/x/00003"], [tmp_path])
    with pytest.raises(CorpusError, match="data folder .*absent does not exist"):
        find_recordings([], [tmp_path / "absent"])
