from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.mixture_manifest import (
    RecordedMixture,
    read_mixture_manifest,
    write_mixture_manifest,
)
from sb_alexa.turn import Turn, Word

TURNS = (
    Turn("84", 0.0, 1.1, "TURN ON", (Word("TURN", 0.1, 0.4), Word("ON", 0.4, 1 / 3 + 0.5))),
    Turn("14", 1.0, 2.0, "STÖP"),
)
ROW: dict[str, Any] = {
    "id": "OV10-session1-000",
    "session": "OV10-session1",
    "condition": "OV10",
    "path": "/data/OV10/a.wav",
    "channel": 0,
    "start_s": 10.0,
    "end_s": 12.5,
    "turns": TURNS,
}
BACKWARDS = json.dumps(
    {**ROW, "turns": [{"speaker": "84", "start_s": 2, "end_s": 1, "text": "A"}]},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    first = RecordedMixture(**ROW)
    other = RecordedMixture(**{**ROW, "id": "b", "path": "/else/b.wav", "turns": ()})
    path = tmp_path / "new" / "test.jsonl"
    write_mixture_manifest(path, [first, other], "/data/")
    assert read_mixture_manifest(path, "/data") == [first, other]
    moved = read_mixture_manifest(path, "/moved/to")
    assert [mixture.path for mixture in moved] == ["/moved/to/OV10/a.wav", "/else/b.wav"]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["path"] == "$data_root/OV10/a.wav"
    assert "words" not in rows[0]["turns"][1]


def test_reads_its_stretch_of_its_channel(tmp_path: Path) -> None:
    samples = np.arange(3 * 16_000)[:, None] % 2 + np.array([0.0, 1.0])
    samples[16_000:32_000] *= 2
    soundfile.write(tmp_path / "a.wav", samples / 8, 16_000, subtype="FLOAT")
    row = {**ROW, "path": str(tmp_path / "a.wav"), "start_s": 1.0, "end_s": 1.5}
    read = RecordedMixture(**{**row, "channel": 1}).read()
    assert read.shape == (8000,) and read.dtype == torch.float32
    assert read[:2].tolist() == [0.25, 0.5]
    assert RecordedMixture(**row).read()[:2].tolist() == [0.0, 0.25]
    with pytest.raises(AudioError, match=r"has 2 channel\(s\), none is number 2"):
        RecordedMixture(**{**row, "channel": 2}).read()
    with pytest.raises(AudioError, match=r"lasts 3.0 s and has nothing from 1.0 to 3.001 s"):
        RecordedMixture(**{**row, "end_s": 3.001}).read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end_s": 10.0}, "mixture OV10-session1-000 lasts from 10.0 to 10.0 s"),
        ({"start_s": -1.0}, "must start at 0 or later"),
        ({"end_s": float("nan")}, "lasts from 10.0 to nan s"),
        ({"channel": -1}, "channel=-1 must be 0 or more"),
        ({"turns": TURNS[::-1]}, "not in order of start"),
    ],
)
def test_impossible_mixtures(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordedMixture(**{**ROW, **changes})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Expecting"),
        ("[1]", "line 2: a mixture needs the keys id, session"),
        ('{"id": "a"}', "line 2: a mixture needs the keys"),
        ("REPEATED", "line 2: id 'OV10-session1-000' is repeated"),
        (
            json.dumps(
                {**ROW, "turns": [{"speaker": "84", "start_s": 2, "end_s": 1, "text": "A"}]}
            ),
            "line 2: the turn 'A' of 84 ends at 1 s, before its start",
        ),
        (json.dumps({**ROW, "turns": [{"speaker": "84"}]}), "line 2: not a mixture: .*start_s"),
        (json.dumps({**ROW, "turns": [], "gain": 1}), "line 2: not a mixture: .*gain"),
        (json.dumps({**ROW, "turns": [], "path": None}), "line 2: not a mixture"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "test.jsonl"
    write_mixture_manifest(path, [RecordedMixture(**ROW)], "/data")
    good = path.read_text(encoding="utf-8")
    path.write_text(good + (good if line == "REPEATED" else line), encoding="utf-8")
    with pytest.raises(ValueError, match=f"test.jsonl, {message}"):
        read_mixture_manifest(path, "/data")


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="prepare the corpus first"):
        read_mixture_manifest(tmp_path / "test.jsonl", "/data")


def test_three_at_once_do_not_fit_two_channels() -> None:
    third = Turn("20", 1.05, 1.5, "GO")
    assert RecordedMixture(**ROW).fits_two_channels
    assert not RecordedMixture(**{**ROW, "turns": (*TURNS, third)}).fits_two_channels
