from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sb_alexa.corpora import librispeech
from sb_alexa.corpora.librispeech import CorpusError, PreparedLibriSpeech, prepare_librispeech
from sb_alexa.corpora.manifest import read_manifest
from tests.corpora.tiny_librispeech import (
    ALL,
    flac,
    prepare,
    record_inspections,
    transcript,
    write_chapter,
    write_corpus,
    written,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return record_inspections(monkeypatch)


def test_a_second_run_touches_nothing(corpus: Path, inspected: list[str]) -> None:
    first = prepare(corpus)
    assert len(inspected) == 32
    times = {p: p.stat().st_mtime_ns for p in (corpus.parent / "save").rglob("*")}
    inspected.clear()
    assert prepare(corpus, num_workers=1) == first
    assert not inspected
    assert times == {p: p.stat().st_mtime_ns for p in (corpus.parent / "save").rglob("*")}


def test_changes_are_noticed(corpus: Path, inspected: list[str]) -> None:
    prepare(corpus)
    save = corpus.parent / "save"

    def changed(**kwargs: Any) -> PreparedLibriSpeech:
        before = (save / "librispeech.stamp.json").read_bytes()
        inspected.clear()
        prepared = prepare(corpus, **kwargs)
        assert (save / "librispeech.stamp.json").read_bytes() != before
        return prepared

    assert changed(num_word_pieces=26).num_word_pieces == 26
    assert not inspected, "audio already checked must not be read again"
    flac(corpus, "dev-tiny", "14-1-0003").unlink()
    with transcript(corpus, "dev-tiny", "14-1").open("r+") as file:
        lines = file.readlines()[:-1]
        file.seek(0)
        file.truncate()
        file.writelines(lines)
    assert changed().counts["dev-tiny"].num_utterances == 3
    write_chapter(corpus / "dev-tiny", 14, 2, 2)
    assert changed().counts["dev-tiny"].num_utterances == 5
    assert inspected == ["14-2-0000.flac", "14-2-0001.flac"]
    (save / "train.csv").write_text("")
    prepare(corpus)
    assert len(read_manifest(save / "train.csv", corpus)) == 24


KILLED = """
import os, signal, sys
from sb_alexa.corpora import audio, librispeech
real, calls = audio.inspect_audio, []
def inspect(path, **kwargs):
    calls.append(path)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, **kwargs)
audio.inspect_audio = inspect
audio._BATCH_FILES = 4
librispeech.prepare_librispeech(sys.argv[1], sys.argv[2], ["train-clean-5"], ["dev-tiny"],
    ["test-tiny"], num_word_pieces=24, num_workers=1)
"""


def test_a_killed_run_goes_on_where_it_was(
    corpus: Path, tmp_path: Path, inspected: list[str]
) -> None:
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(corpus), str(killed), "15"]
    assert subprocess.run(command, check=False).returncode == -9
    assert list(written(killed)) == ["audio_check.jsonl"]
    resumed = prepare_librispeech(corpus, killed, **ALL)
    # Three batches of four were written down; the rest of the 32 is left.
    assert len(inspected) == 20
    prepare(corpus)
    assert written(killed) == written(tmp_path / "save")
    assert resumed.counts["train-clean-5"].num_utterances == 24


@pytest.mark.parametrize("step", ["write_manifest", "write_speaker_table", "train_word_pieces"])
def test_a_run_stopped_while_writing_is_not_taken_for_finished(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(librispeech, step, stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus)
    prepare(corpus)
    prepare_librispeech(corpus, tmp_path / "fresh", **ALL)
    assert written(tmp_path / "save") == written(tmp_path / "fresh")


def test_skip_prep_returns_what_there_is_without_looking(
    corpus: Path, inspected: list[str]
) -> None:
    first = prepare(corpus)
    inspected.clear()
    flac(corpus, "dev-tiny", "14-1-0000").unlink()
    assert prepare(corpus, skip_prep=True) == first
    assert prepare(corpus, skip_prep=True, num_word_pieces=99) == first
    assert not inspected


def test_skip_prep_needs_a_finished_preparation(corpus: Path) -> None:
    with pytest.raises(CorpusError, match="skip_prep=True, but .*save does not hold a finished"):
        prepare(corpus, skip_prep=True)
    prepared = prepare(corpus)
    with pytest.raises(CorpusError, match="run it once with skip_prep=False"):
        prepare(corpus, skip_prep=True, test_splits=[])
    prepared.speakers_csv.unlink()
    with pytest.raises(CorpusError, match="run it once with skip_prep=False"):
        prepare(corpus, skip_prep=True)
