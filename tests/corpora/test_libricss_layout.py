from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import libricss_layout
from sb_alexa.corpora.audio import read_audio
from sb_alexa.corpora.libricss import prepare_libricss
from sb_alexa.corpora.libricss_files import SessionFiles, read_turns, scan_sessions
from sb_alexa.corpora.libricss_layout import write_libricss
from sb_alexa.corpora.librispeech_layout import SplitSpec, write_librispeech
from sb_alexa.corpora.mixture_manifest import read_mixture_manifest
from sb_alexa.corpora.sentences import partition_of
from sb_alexa.corpora.session_timeline import TIMINGS
from sb_alexa.corpora.utterance_groups import count_session, utterance_groups
from sb_alexa.multitalker.arrangement import overlaps_at_most
from sb_alexa.turn import Turn

pytest.importorskip("espeakng_loader")

SMALL: dict[str, Any] = {
    "conditions": ["0S", "OV40"],
    "num_sessions": 2,
    "minutes_per_session": 0.4,
    "speakers_per_session": 4,
    "num_workers": 1,
    "progress": False,
}


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _stamp(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "synthetic_corpus.json").read_text())


def _sessions(folder: Path) -> list[tuple[SessionFiles, tuple[Turn, ...]]]:
    return [(files, read_turns(folder, files)) for files in scan_sessions(folder, folder)]


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus that no test changes."""
    return write_libricss(tmp_path_factory.mktemp("corpus") / "LibriCSS", **SMALL)


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A finished corpus to be damaged."""
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def test_sessions_are_laid_out_as_in_libricss(corpus: Path) -> None:
    sessions = _sessions(corpus)
    assert [files.name for files, _ in sessions] == [
        *("0S-session0", "0S-session1", "OV40-session0", "OV40-session1"),
    ]
    for files, turns in sessions:
        nominal = TIMINGS[files.condition].overlap_ratio
        found = count_session(turns, 0.0)
        assert overlaps_at_most(turns, 1 if nominal == 0.0 else 2)
        assert found.overlap_ratio == pytest.approx(nominal, abs=0.002)
        assert files.folder.endswith(f"_actual{100 * found.overlap_ratio:.1f}")
        assert 2 <= len({turn.speaker for turn in turns}) <= 4
        last_s = max(turn.end_s for turn in turns)
        for name in ("record/raw_recording.wav", "clean/mix.wav"):
            info = soundfile.info(corpus / files.path(name))
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            assert info.duration == pytest.approx(last_s + 0.5, abs=1e-4)
        assert 18 < last_s < 31


def test_speech_is_where_the_words_are(corpus: Path) -> None:
    for files, turns in _sessions(corpus):
        clean = read_audio(corpus / files.path("clean/mix.wav")).numpy()
        spoken = np.zeros(clean.size, dtype=bool)
        for turn in turns:
            assert [word.text for word in turn.words] == turn.text.split()
            assert turn.start_s + 0.09 < turn.words[0].start_s
            assert turn.words[-1].end_s < turn.end_s - 0.19
            for word in turn.words:
                first, last = round(word.start_s * 16000), round(word.end_s * 16000)
                assert _level(clean[first:last]) > 0.002
                spoken[first:last] = True
        assert _level(clean[~spoken]) < 0.05 * _level(clean[spoken])


def test_the_far_microphone_hears_the_same_with_room_and_noise(corpus: Path) -> None:
    for files, turns in _sessions(corpus):
        clean = read_audio(corpus / files.path("clean/mix.wav")).numpy()
        recorded = read_audio(corpus / files.path("record/raw_recording.wav")).numpy()
        assert recorded.shape == clean.shape
        # The direct sound arrives without delay, so words have the same times in both.
        similarity = float(np.dot(clean, recorded)) / (
            np.linalg.norm(clean) * np.linalg.norm(recorded)
        )
        assert 0.6 < similarity < 0.999
        silence = recorded[: round(turns[0].start_s * 16000)]
        assert 1e-4 < _level(silence) < 0.3 * _level(recorded)
        assert np.abs(recorded).max() <= 0.951


def test_speakers_and_sentences_are_those_of_the_test_partition(
    corpus: Path, tmp_path: Path
) -> None:
    for _, turns in _sessions(corpus):
        assert all(30001 <= int(turn.speaker) <= 30032 for turn in turns)
        assert all(partition_of(turn.text.lower()) == "test" for turn in turns)
    table = (corpus / "speakers.csv").read_text().splitlines()
    splits = {"test-clean": SplitSpec(2, 1)}
    other = write_librispeech(tmp_path, splits=splits, num_workers=1, progress=False)
    assert (other / "speakers.csv").read_text().splitlines() == table[:3] and len(table) == 33


def test_nobody_speaks_twice_in_a_row(corpus: Path) -> None:
    for _, turns in _sessions(corpus):
        assert all(a.speaker != b.speaker for a, b in zip(turns, turns[1:], strict=False))


def test_preparation_finds_the_groups_written(corpus: Path, tmp_path: Path) -> None:
    prepared = prepare_libricss(corpus, tmp_path / "save", num_workers=1)
    groups = read_mixture_manifest(prepared.test_groups, corpus)
    for files, turns in _sessions(corpus):
        path = corpus / files.path("transcription/utterance_groups.txt")
        rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
        assert [int(row[2]) for row in rows] == [len(group) for group in utterance_groups(turns)]
        if files.number == 1:
            mine = [group for group in groups if group.session == files.name]
            assert [(f"{g.start_s:.7f}", f"{g.end_s:.7f}", str(len(g.turns))) for g in mine] == [
                tuple(row) for row in rows
            ]
    assert all(group.turns[0].words for group in groups)
    counts = {name: count.num_turns for name, count in prepared.counts.items()}
    written = _stamp(corpus)["conditions"]
    assert counts == {name: count["num_turns"] for name, count in written.items()}


@pytest.mark.parametrize("changes", [{"num_workers": 3}, {"conditions": ["OV40", "0S"]}])
def test_the_bytes_do_not_depend_on_the_workers(
    corpus: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Nor on the order in which conditions are named."""
    assert _contents(write_libricss(tmp_path / "other", **SMALL | changes)) == _contents(corpus)


def test_sessions_do_not_depend_on_each_other(corpus: Path, tmp_path: Path) -> None:
    changes = {"conditions": ["OV40"], "num_sessions": 1}
    other = _contents(write_libricss(tmp_path / "other", **SMALL | changes))
    first = _contents(corpus)
    shared = [name for name in other if name.startswith("OV40/")]
    assert len(shared) == 5 and all(other[name] == first[name] for name in shared)


def test_another_seed_gives_another_corpus(corpus: Path, tmp_path: Path) -> None:
    changes = {"conditions": ["0S"], "num_sessions": 1, "seed": 1}
    other = _contents(write_libricss(tmp_path / "other", **SMALL | changes))
    first = _contents(corpus)
    shared = [name for name in other if name in first and name.startswith("0S")]
    assert len(shared) == 5 and all(other[name] != first[name] for name in shared)


def test_turns_of_several_sentences(tmp_path: Path) -> None:
    changes = {"conditions": ["OV40"], "num_sessions": 1, "sentences_per_turn": 3}
    corpus = write_libricss(tmp_path, **SMALL | changes)
    ((_, turns),) = _sessions(corpus)
    lengths = [len(turn.text.split()) for turn in turns]
    assert max(lengths) > 12 and min(lengths) >= 4
    assert max(turn.duration_s for turn in turns) > 4


def test_sentences_of_a_text(tmp_path: Path) -> None:
    nouns = ["dog", "cat", "tree", "river", "cloud", "stone", "road", "field", "bird", "boat"]
    book = tmp_path / "book.txt"
    book.write_text(" ".join(f"The {a}'s {b} was cold." for a in nouns for b in nouns))
    changes = {"conditions": ["0L"], "num_sessions": 1, "text_file": book}
    corpus = write_libricss(tmp_path / "read", **SMALL | changes)
    ((_, turns),) = _sessions(corpus)
    assert all(turn.text.endswith("WAS COLD") for turn in turns) and len(turns) > 3


def test_a_finished_corpus_is_left_alone(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libricss_layout, "map_in_fresh_processes", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert write_libricss(corpus, **SMALL) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_run_is_resumed(corpus: Path, copy: Path) -> None:
    """As a kill leaves it: a session is missing, another half written, and the stamp says so."""
    stamp = _stamp(copy)
    text = json.dumps({"arguments": stamp["arguments"], "complete": False})
    (copy / "synthetic_corpus.json").write_text(text)
    (kept,) = copy.glob("0S/*session0*/record/raw_recording.wav")
    written_ns = kept.stat().st_mtime_ns
    (gone,) = copy.glob("OV40/*session1*")
    half = copy / ".unfinished" / "OV40" / gone.name
    half.parent.mkdir(parents=True)
    gone.rename(half)
    (half / "transcription" / "words.txt").unlink()
    write_libricss(copy, **SMALL)
    assert _contents(copy) == _contents(corpus)
    assert kept.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("damaged", ["transcription/words.txt", "clean/mix.wav"])
def test_damage_is_repaired(corpus: Path, copy: Path, damaged: str) -> None:
    (path,) = copy.glob(f"OV40/*session0*/{damaged}")
    path.write_bytes(path.read_bytes()[:500])
    assert _contents(write_libricss(copy, **SMALL)) == _contents(corpus)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": "OV10"}, "conditions='OV10' must be a list"),
        ({"conditions": []}, "must be a list such as"),
        ({"conditions": ["OV50"]}, "must be different ones of 0L, 0S, OV10"),
        ({"conditions": ["0L", "0L"]}, "must be different ones"),
        ({"num_sessions": 0}, r"num_sessions must be a whole number within 1\.\.999, got 0"),
        ({"speakers_per_session": 1}, r"speakers_per_session must be .* 2\.\.32, got 1"),
        ({"sentences_per_turn": 0}, "sentences_per_turn must be a whole number"),
        ({"minutes_per_session": 0.05}, "minutes_per_session must be >= 0.1, got 0.05"),
        ({"minutes_per_session": float("nan")}, "minutes_per_session must be >= 0.1"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"text_file": "absent.txt"}, "cannot read text_file"),
        ({"num_workers": 0}, "num_workers must be >= 1, got 0"),
    ],
)
def test_bad_arguments_write_no_audio(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_libricss(tmp_path / "new", **SMALL | arguments)
    assert not list((tmp_path / "new").rglob("*.wav"))


def test_folders_that_hold_something_else(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"made otherwise \(seed: 0 there, 7 asked for\)"):
        write_libricss(copy, **SMALL | {"seed": 7})
    with pytest.raises(ValueError, match="made otherwise .*splits"):
        write_librispeech(copy)
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match="not empty and holds no synthetic corpus"):
        write_libricss(tmp_path, **SMALL)


def test_without_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install sb-alexa\[corpus\]"):
        write_libricss(tmp_path / "new", **SMALL)


def test_workers_need_not_load_torch() -> None:
    code = "import sys; import sb_alexa.corpora.spoken_session; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout == "False\n"
