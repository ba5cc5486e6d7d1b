from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import spoken_corpus
from sb_alexa.corpora.librispeech_layout import SplitSpec, default_splits, write_librispeech
from sb_alexa.corpora.speaker_table import parse_speaker_line

pytest.importorskip("espeakng_loader")

SPLITS = {
    "train-clean": SplitSpec(num_speakers=4, num_utterances_per_speaker=3),
    "test-clean": SplitSpec(num_speakers=2, num_utterances_per_speaker=2),
}
SPLITS_FOR_TEST = {"test-clean": SPLITS["test-clean"]}


def _write(folder: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {"splits": SPLITS, "num_workers": 2, "progress": False, **changes}
    return write_librispeech(folder, **arguments)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _stamp(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "synthetic_corpus.json").read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus that no test changes."""
    return _write(tmp_path_factory.mktemp("corpus") / "LibriSpeech")


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A finished corpus to be damaged."""
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def test_utterances_of_several_sentences(tmp_path: Path) -> None:
    splits = {"test-clean": SplitSpec(2, 3)}
    one = write_librispeech(tmp_path / "one", splits=splits, progress=False)
    several = write_librispeech(
        tmp_path / "several", splits=splits, sentences_per_utterance=3, progress=False
    )
    words = [
        sum(len(path.read_text().split()) for path in folder.rglob("*.trans.txt"))
        for folder in (one, several)
    ]
    assert words[1] > 1.4 * words[0]
    with pytest.raises(ValueError, match="made otherwise"):
        write_librispeech(tmp_path / "one", splits=splits, sentences_per_utterance=3)


def test_rare_accents_are_rare_in_their_split_only(tmp_path: Path, corpus: Path) -> None:
    def splits(share: float) -> dict[str, SplitSpec]:
        rare = SplitSpec(32, 1, {"british": share})
        return {"train-clean": rare, "train-new": SplitSpec(2, 1), **SPLITS_FOR_TEST}

    fewer = _write(tmp_path / "fewer", splits=splits(0.5))
    readers = {path.name for path in (fewer / "train-clean").iterdir()}
    assert {str(10001 + n) for n in range(32)} - readers == {"10018", "10026"}
    # The next readers, whoever was left out.
    assert {path.name for path in (fewer / "train-new").iterdir()} == {"10033", "10034"}
    stamped = _stamp(fewer)["arguments"]["splits"]
    assert stamped["train-clean"]["rare_accents"] == {"british": 0.5}
    assert "rare_accents" not in stamped["train-new"]
    # Everybody else, and what they say, is as it would have been.
    plain, others = _contents(corpus), _contents(fewer)
    test = [name for name in plain if name.startswith("test-clean/")]
    assert test and all(plain[name] == others[name] for name in test)
    first = "train-clean/10001/110001/10001-110001-0000.flac"
    assert plain[first] == others[first]
    assert _write(fewer, splits=splits(0.5)) == fewer.resolve()
    with pytest.raises(ValueError, match="made otherwise"):
        _write(fewer, splits=splits(0.25))


def test_corpora_without_rare_accents_have_the_stamp_they_had(corpus: Path) -> None:
    assert set(_stamp(corpus)["arguments"]) == {
        "format", "seed", "splits", "text_sha256", "hardness",
    }  # fmt: skip
    assert all(
        set(split) == {"num_speakers", "num_utterances_per_speaker"}
        for split in _stamp(corpus)["arguments"]["splits"].values()
    )


def test_more_test_speakers_say_less_each() -> None:
    sizes = [default_splits(num_test_speakers=n)["test-clean"] for n in (32, 640, 960, 2000)]
    assert [size.num_utterances_per_speaker for size in sizes] == [12, 12, 8, 4]
    with pytest.raises(ValueError, match="num_test_speakers"):
        default_splits(num_test_speakers=0)
    many = default_splits(num_test_speakers=128, utterances_per_test_speaker=40)
    assert many["test-clean"] == SplitSpec(128, 40)
    with pytest.raises(ValueError, match="num_utterances_per_speaker must be .* got 0"):
        default_splits(utterances_per_test_speaker=0)


def test_new_readers_are_balanced_and_say_as_much() -> None:
    splits = default_splits(rare_accents={"british": 0.1}, num_new_speakers=48)
    assert list(splits) == ["train-clean", "train-new", "dev-clean", "test-clean"]
    assert splits["train-new"].num_speakers == 48 and not splits["train-new"].rare_accents
    assert splits["train-clean"].rare_accents == {"british": 0.1}
    each = {splits[name].num_utterances_per_speaker for name in ("train-clean", "train-new")}
    assert len(each) == 1
    assert "train-new" not in default_splits()
    with pytest.raises(ValueError, match="no accent is called 'welsh'"):
        default_splits(rare_accents={"welsh": 0.1})


def test_audio_is_laid_out_as_in_librispeech(corpus: Path) -> None:
    audio = sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.flac"))
    assert len(audio) == 4 * 3 + 2 * 2
    for name in audio:
        split, reader, chapter, file = name.split("/")
        assert split in SPLITS and re.fullmatch(rf"{reader}-{chapter}-\d{{4}}\.flac", file)
        info = soundfile.info(corpus / name)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        samples, _ = soundfile.read(corpus / name)
        assert 0.01 < np.abs(samples).max() <= 0.951 and 0.8 < info.duration < 10
    assert audio[0] == "test-clean/30001/130001/30001-130001-0000.flac"


def test_transcripts_and_word_times_agree(corpus: Path) -> None:
    transcripts = sorted(corpus.glob("*/*/*/*.trans.txt"))
    assert len(transcripts) == 6
    for path in transcripts:
        text = dict(line.split(" ", 1) for line in path.read_text().splitlines())
        assert sorted(text) == sorted(file.stem for file in path.parent.glob("*.flac"))
        split, name = path.relative_to(corpus).parts[0], path.name.removesuffix(".trans.txt")
        with (corpus / "alignments" / split / f"{name}.words.csv").open() as file:
            rows = list(csv.DictReader(file))
        for utterance, words in text.items():
            assert re.fullmatch(r"[A-Z']+( [A-Z']+)*", words)
            mine = [row for row in rows if row["utterance"] == utterance]
            assert " ".join(row["word"] for row in mine) == words
            samples, _ = soundfile.read(path.parent / f"{utterance}.flac")
            _check_times(samples, [(float(r["start_s"]), float(r["end_s"])) for r in mine])


def _check_times(samples: np.ndarray, words: list[tuple[float, float]]) -> None:
    before = samples[: round(words[0][0] * 16000) - 80]
    for start_s, end_s in words:
        word = samples[round(start_s * 16000) : round(end_s * 16000)]
        assert np.mean(word**2) > 2 * np.mean(before**2)
    assert words[0][0] >= 0.1 and words[-1][1] < samples.size / 16000 - 0.15


def test_speaker_tables(corpus: Path) -> None:
    lines = (corpus / "SPEAKERS.TXT").read_text().splitlines()
    readers = [reader for reader in map(parse_speaker_line, lines) if reader is not None]
    # As "45   | F | train-other-500  | 8.85  | Kelly Bescherer" in the real file.
    body = [line for line in lines if not line.startswith(";")]
    assert all(re.match(r"\d+ *\| [FM] \| .{16} \| \d+\.\d\d +\| \S", line) for line in body)
    assert ";ID  |SEX| SUBSET           |MINUTES| NAME" in lines
    with (corpus / "speakers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["speaker"] for row in rows] == [reader.id for reader in readers]
    assert [row["gender"] for row in rows] == [reader.gender for reader in readers]
    assert [reader.subset for reader in readers] == ["train-clean"] * 4 + ["test-clean"] * 2
    assert all(row["hardness"] == "0.0" and row["accent"] for row in rows)
    for reader in readers:
        files = (corpus / reader.subset / reader.id).rglob("*.flac")
        minutes = sum(soundfile.info(path).duration for path in files) / 60
        assert reader.minutes == pytest.approx(minutes, abs=0.0051)
    hours = _stamp(corpus)["hours"]
    assert hours == pytest.approx(sum(reader.minutes for reader in readers) / 60, abs=0.001)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_workers(
    corpus: Path, tmp_path: Path, num_workers: int
) -> None:
    """The corpus of the fixture was written by two."""
    assert _contents(_write(tmp_path / "other", num_workers=num_workers)) == _contents(corpus)


def test_another_seed_gives_another_corpus(corpus: Path, tmp_path: Path) -> None:
    other = _contents(_write(tmp_path / "other", seed=1))
    first = _contents(corpus)
    assert other.keys() == first.keys()
    assert not [
        name for name in first if name.endswith((".flac", ".csv")) and first[name] == other[name]
    ]
    assert _stamp(tmp_path / "other")["sha256"] != _stamp(corpus)["sha256"]


def test_splits_do_not_depend_on_each_other(corpus: Path, tmp_path: Path) -> None:
    splits = {"test-clean": SplitSpec(1, 2), "test-other": SplitSpec(1, 1)}
    other = _contents(_write(tmp_path / "other", splits=splits))
    first = _contents(corpus)
    shared = [name for name in other if name.startswith("test-clean")]
    assert len(shared) == 3 and all(other[name] == first[name] for name in shared)
    assert "test-other/30002/130002/30002-130002-0000.flac" in other


def test_a_finished_corpus_is_left_alone(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished corpus was written again")

    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    monkeypatch.setattr(spoken_corpus, "map_in_fresh_processes", refuse)
    assert _write(corpus, num_workers=1) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_run_is_resumed(corpus: Path, tmp_path: Path) -> None:
    """Killed for good when the first reader is in place."""
    folder = tmp_path / "killed"
    script = tmp_path / "write.py"
    script.write_text(
        "import sys\n"
        "from sb_alexa.corpora.librispeech_layout import SplitSpec, write_librispeech\n"
        "splits = {'train-clean': SplitSpec(4, 3), 'test-clean': SplitSpec(2, 2)}\n"
        "write_librispeech(sys.argv[1], splits=splits, num_workers=1, progress=False)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, script, folder], env=environment)
    deadline = time.monotonic() + 60
    while not (folder / "train-clean").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # The worker server notices at its next result.
    time.sleep(0.5)
    assert not _stamp(folder)["complete"]
    (kept,) = list((folder / "train-clean").glob("10001/*/*-0000.flac"))
    written_ns = kept.stat().st_mtime_ns
    _write(folder)
    assert _contents(folder) == _contents(corpus)
    assert kept.stat().st_mtime_ns == written_ns


def test_half_written_readers_are_not_believed(corpus: Path, copy: Path) -> None:
    stamp = _stamp(copy)
    (copy / "synthetic_corpus.json").write_text(
        json.dumps({"arguments": stamp["arguments"], "complete": False})
    )
    shutil.rmtree(copy / "train-clean" / "10002")
    half = copy / ".unfinished" / "train-clean" / "10002" / "110002"
    half.mkdir(parents=True)
    (half / "10002-110002-0000.flac").write_bytes(b"half")
    (copy / "alignments" / "test-clean" / "30001-130001.words.csv").unlink()
    assert _contents(_write(copy)) == _contents(corpus)


@pytest.mark.parametrize(
    "damaged",
    [
        "train-clean/10003/110003/10003-110003-0001.flac",
        "train-clean/10003/110003/10003-110003.trans.txt",
        "alignments/test-clean/30002-130002.words.csv",
        "SPEAKERS.TXT",
    ],
)
def test_damage_is_repaired(corpus: Path, copy: Path, damaged: str) -> None:
    if damaged.endswith(".flac"):
        (copy / damaged).write_bytes((copy / damaged).read_bytes()[:1000])
    else:
        (copy / damaged).unlink()
    assert _contents(_write(copy)) == _contents(corpus)


def test_hardness_is_planted_and_recorded(corpus: Path, tmp_path: Path) -> None:
    hard = _write(tmp_path / "hard", hardness={"accent": {"british": 1.0}})
    with (hard / "speakers.csv").open() as file:
        levels = {row["accent"]: row["hardness"] for row in csv.DictReader(file)}
    assert levels == {
        "american": "0.0",
        "british": "1.0",
        "received_pronunciation": "0.0",
        "scottish": "0.0",
    }
    for reader, same in (("10001", True), ("10002", False)):
        name = f"train-clean/{reader}/1{reader}/{reader}-1{reader}-0000.flac"
        assert ((hard / name).read_bytes() == (corpus / name).read_bytes()) is same


def test_sentences_of_a_text(tmp_path: Path) -> None:
    nouns = ["dog", "cat", "tree", "river", "cloud", "stone", "road", "field", "bird", "boat"]
    book = tmp_path / "book.txt"
    book.write_text(" ".join(f"The {a}'s {b} was cold." for a in nouns for b in nouns))
    folder = _write(tmp_path / "read", text_file=book)
    lines = [
        line.split(" ", 1)[1]
        for path in folder.rglob("*.trans.txt")
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 16
    assert all(re.fullmatch(r"THE [A-Z]+'S [A-Z]+ WAS COLD", line) for line in lines)
    book.write_text(book.read_text() + " One more sentence here.")
    with pytest.raises(ValueError, match="made otherwise .*text_sha256"):
        _write(folder, text_file=book)


def test_default_is_what_the_demonstration_needs() -> None:
    splits = default_splits()
    train, dev, test = (splits[name] for name in ("train-clean", "dev-clean", "test-clean"))
    assert train.num_speakers >= 48 and dev.num_speakers >= 8
    assert test.num_speakers == 32 and test.num_utterances_per_speaker >= 6
    doubled = default_splits(num_train_speakers=48, hours_of_training=6)["train-clean"]
    assert doubled.num_utterances_per_speaker == pytest.approx(
        4 * train.num_utterances_per_speaker, abs=3
    )
    assert default_splits(hours_of_training=0.001)["train-clean"].num_utterances_per_speaker == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train_speakers": 0}, "num_train_speakers must be >= 1, got 0"),
        ({"hours_of_training": 0}, "hours_of_training must be > 0, got 0"),
        ({"hours_of_training": float("nan")}, "hours_of_training must be > 0, got nan"),
    ],
)
def test_bad_sizes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        default_splits(**arguments)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (10_000, 1), (1.5, 2)])
def test_bad_split_size(size: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be a whole number within 1\.\.9999"):
        SplitSpec(*size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splits": {}}, "splits is empty"),
        ({"splits": {"valid": SplitSpec(1, 1)}}, "'valid' must be a folder name that begins"),
        ({"splits": {"test/../x": SplitSpec(1, 1)}}, "must be a folder name"),
        (
            {"splits": {"test-a": SplitSpec(9000, 1), "test-b": SplitSpec(1000, 1)}},
            "more than 9999 test speakers",
        ),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"hardness": {"accent": {"welsh": 1}}}, "no accent is called 'welsh'"),
        ({"text_file": "absent.txt"}, "cannot read text_file"),
        ({"num_workers": 0}, "num_workers must be >= 1, got 0"),
    ],
)
def test_bad_arguments_write_nothing(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _write(tmp_path / "new", **arguments)
    assert not [path for path in (tmp_path / "new").rglob("*") if path.suffix == ".flac"]


def test_folders_that_hold_something_else(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"made otherwise \(seed: 0 there, 7 asked for\)"):
        _write(copy, seed=7)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "SPEAKERS.TXT").write_text("real")
    with pytest.raises(ValueError, match="not empty and holds no synthetic corpus"):
        _write(precious)
    assert _contents(precious) == {"SPEAKERS.TXT": b"real"}
    with pytest.raises(ValueError, match="not empty and holds no synthetic corpus"):
        _write(precious / "SPEAKERS.TXT")
    (copy / "synthetic_corpus.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        _write(copy)


def test_without_the_engine(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished corpus needs no engine; a new one says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert _write(corpus) == corpus
    with pytest.raises(ImportError, match=r"pip install sb-alexa\[corpus\]"):
        _write(tmp_path / "new")


def test_progress_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = {"dev-clean": SplitSpec(1, 2)}
    _write(tmp_path / "shown", splits=splits, progress=True)
    assert "2/2" in capsys.readouterr().err
    _write(tmp_path / "silent", splits=splits, progress=False)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""
