from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import audio, librispeech
from sb_alexa.corpora.audio import inspect_audio
from sb_alexa.corpora.librispeech import (
    CorpusError,
    PreparedLibriSpeech,
    parse_transcript_line,
    prepare_librispeech,
)
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.word_pieces import WordPieces

WORDS = ["TURN", "ON", "THE", "KITCHEN", "LIGHT", "PLEASE", "AND", "PLAY", "A", "SONG"]


def write_chapter(folder: Path, reader: int, chapter: int, num_utterances: int) -> None:
    """Write one chapter in LibriSpeech's layout; utterance i lasts 0.1 s + i ms."""
    place = folder / str(reader) / str(chapter)
    place.mkdir(parents=True)
    lines = []
    for i in range(num_utterances):
        name = f"{reader}-{chapter}-{i:04d}"
        random = np.random.default_rng([reader, chapter, i])
        soundfile.write(place / f"{name}.flac", random.uniform(-0.1, 0.1, 1600 + 16 * i), 16_000)
        words = " ".join(WORDS[(reader + k * (i + 1)) % len(WORDS)] for k in range(2 + i % 5))
        lines.append(f"{name} {words}\n")
    (place / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of 24 + 4 + 4 utterances."""
    data = tmp_path / "data"
    for reader in (84, 1272):
        write_chapter(data / "train-clean-5", reader, 7, 6)
        write_chapter(data / "train-clean-5", reader, 12, 6)
    write_chapter(data / "dev-tiny", 14, 1, 4)
    write_chapter(data / "test-tiny", 16, 1, 4)
    (data / "SPEAKERS.TXT").write_text(
        "; comment\n84 | F | train-clean-5 | 8 | A\n1272 | M | train-clean-5 | 8 | B\n"
        "14 | F | dev-tiny | 8 | C\n16 | M | test-tiny | 8 | D\n"
    )
    return data


ALL: dict[str, Any] = {
    "train_splits": ["train-clean-5"],
    "dev_splits": ["dev-tiny"],
    "test_splits": ["test-tiny"],
    "num_word_pieces": 24,
    "num_workers": 2,
}


def prepare(corpus: Path, **kwargs: Any) -> PreparedLibriSpeech:
    return prepare_librispeech(corpus, corpus.parent / "save", **{**ALL, **kwargs})


def flac(corpus: Path, split: str, utterance: str) -> Path:
    reader, chapter, _ = utterance.split("-")
    return corpus / split / reader / chapter / f"{utterance}.flac"


def transcript(corpus: Path, split: str, chapter: str) -> Path:
    return corpus / split / chapter.replace("-", "/") / f"{chapter}.trans.txt"


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the audio files inspected since."""
    names: list[str] = []

    def inspect(path: Path, *, full_decode: bool) -> audio.AudioInfo:
        names.append(Path(path).name)
        return inspect_audio(path, full_decode=full_decode)

    for module in (audio, librispeech):
        monkeypatch.setattr(module, "inspect_audio", inspect)
    return names


def test_manifests_speakers_and_word_pieces(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepare(corpus)
    assert prepared.train_csv is not None and prepared.dev_csv is not None
    train = read_manifest(prepared.train_csv, prepared.data_root)
    assert [u.id for u in train] == sorted(u.id for u in train) and len(train) == 24
    first = train[0]
    assert (first.id, first.speaker, first.duration_s) == ("1272-12-0000", "1272", 0.1)
    assert first.path == str(corpus / "train-clean-5/1272/12/1272-12-0000.flac")
    assert first.text == "THE KITCHEN"
    assert "$data_root/train-clean-5/1272/12/1272-12-0000.flac" in prepared.train_csv.read_text()
    assert len(read_manifest(prepared.dev_csv, corpus)) == 4
    assert list(prepared.test_csv) == ["test-tiny"]
    assert len(read_manifest(prepared.test_csv["test-tiny"], corpus)) == 4
    with prepared.speakers_csv.open() as file:
        speakers = [(row["speaker"], row["gender"]) for row in csv.DictReader(file)]
    assert speakers == [("14", "F"), ("16", "M"), ("84", "F"), ("1272", "M")]
    assert prepared.tokenizer_model is not None
    assert WordPieces(prepared.tokenizer_model).num_labels == 25 == prepared.num_word_pieces + 1
    counts = prepared.counts["train-clean-5"]
    assert counts.num_utterances == 24
    assert counts.duration_s == pytest.approx(4 * (6 * 0.1 + 0.015))
    assert sum(prepared.counts.values(), librispeech.SplitCounts()).num_utterances == 32
    assert not caplog.messages


def test_the_parent_folder_serves_too(corpus: Path, tmp_path: Path) -> None:
    parent = tmp_path / "corpora"
    parent.mkdir()
    corpus.rename(parent / "LibriSpeech")
    prepared = prepare_librispeech(parent, tmp_path / "save", **ALL)
    assert prepared.train_csv is not None
    assert "$data_root/LibriSpeech/train-clean-5/" in prepared.train_csv.read_text()
    utterances = read_manifest(prepared.train_csv, prepared.data_root)
    assert all(os.path.isfile(u.path) for u in utterances)


def test_paths_may_be_relative_and_contain_the_home_folder(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    monkeypatch.setenv("HOME", str(corpus.parent))
    prepared = prepare_librispeech(".", "~/save", **ALL)
    assert prepared.train_csv == corpus.parent / "save" / "train.csv"
    utterances = read_manifest(prepared.train_csv, prepared.data_root)
    assert utterances[0].path == str(corpus / "train-clean-5/1272/12/1272-12-0000.flac")


def test_any_part_will_do_and_a_split_may_serve_twice(corpus: Path, tmp_path: Path) -> None:
    only_test = prepare_librispeech(corpus, tmp_path / "a", test_splits=["dev-tiny", "test-tiny"])
    assert (only_test.train_csv, only_test.dev_csv, only_test.tokenizer_model) == (None,) * 3
    assert list(only_test.test_csv) == ["dev-tiny", "test-tiny"]
    twice = prepare(corpus, train_splits=["dev-tiny"])
    assert twice.train_csv is not None and twice.dev_csv is not None
    assert twice.train_csv.read_bytes() == twice.dev_csv.read_bytes()


def test_several_splits_make_one_training_set(corpus: Path) -> None:
    prepared = prepare(corpus, train_splits=["test-tiny", "train-clean-5"])
    assert prepared.train_csv is not None
    ids = [u.id for u in read_manifest(prepared.train_csv, corpus)]
    assert len(ids) == 28 and ids[:4] == [f"16-1-{i:04d}" for i in range(4)]


def test_the_same_corpus_gives_the_same_bytes_anywhere(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    corpus.rename(elsewhere / "data")
    prepare(elsewhere / "data", num_workers=1)
    assert written(tmp_path / "save") == written(elsewhere / "save")


def test_a_corpus_with_its_own_speaker_table(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (corpus / "dev-tiny").rename(corpus / "dev-clean")
    (corpus / "speakers.csv").write_text(
        "speaker,gender,accent\n84,F,scottish\n1272,M,us\n14,F,us\n16,M,us\n"
    )
    prepared = prepare(corpus, dev_splits=["dev-clean"])
    with prepared.speakers_csv.open() as file:
        accents = {row["speaker"]: row["accent"] for row in csv.DictReader(file)}
    assert accents == {"14": "us", "16": "us", "84": "scottish", "1272": "us"}
    # It is not the published corpus, so it is not compared with it.
    assert not caplog.messages


def test_published_counts_are_compared_in_one_warning(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (corpus / "dev-tiny").rename(corpus / "dev-clean")
    (corpus / "test-tiny").rename(corpus / "test-other")
    prepare(corpus, dev_splits=["dev-clean"], test_splits=["test-other"])
    assert caplog.messages == [
        "Not the number of utterances published (fine for a subset): "
        "dev-clean 4 instead of 2703; test-other 4 instead of 2939"
    ]


def test_fewer_word_pieces_than_asked_for_are_reported(corpus: Path) -> None:
    prepared = prepare(corpus, num_word_pieces=2500)
    assert prepared.tokenizer_model is not None
    found = WordPieces(prepared.tokenizer_model).num_labels - 1
    assert prepared.num_word_pieces == found < 100


def test_hidden_files_and_other_folders_are_passed_over(corpus: Path) -> None:
    chapter = corpus / "train-clean-5" / "84" / "7"
    (chapter / "._84-7-0000.flac").write_bytes(b"resource fork of another file system")
    (chapter / "._84-7.trans.txt").write_bytes(b"\xff\xfe")
    (chapter / "notes.md").write_text("mine")
    (corpus / "train-clean-5" / "README").write_text("mine")
    (corpus / "train-clean-5" / "84" / "README").write_text("mine")
    assert prepare(corpus).counts["train-clean-5"].num_utterances == 24


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


def damage(corpus: Path) -> dict[str, str]:
    """Damage four files of train-clean-5 in four ways; returns the reason expected for each."""
    split = "train-clean-5"
    flac(corpus, split, "84-7-0000").unlink()
    flac(corpus, split, "84-7-0001").write_bytes(b"")
    cut = flac(corpus, split, "84-12-0002")
    cut.write_bytes(cut.read_bytes()[:-20])
    flac(corpus, split, "1272-7-0003").write_text("<html>404 Not Found</html>")
    return {
        f"{split}/84/7/84-7-0000.flac": "missing",
        f"{split}/84/7/84-7-0001.flac": "empty file",
        f"{split}/84/12/84-12-0002.flac": "lost sync",
        f"{split}/1272/7/1272-7-0003.flac": "Format not recognised",
    }


@pytest.mark.parametrize("full_decode", [True, False])
def test_bad_audio_is_left_out_and_named(
    corpus: Path, caplog: pytest.LogCaptureFixture, full_decode: bool
) -> None:
    expected = damage(corpus)
    prepared = prepare(corpus, max_bad_fraction=0.2, full_decode=full_decode)
    lines = (corpus.parent / "save" / "bad_audio.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(expected)
    assert prepared.train_csv is not None
    ids = {u.id for u in read_manifest(prepared.train_csv, corpus)}
    assert len(ids) == 20 and "84-7-0000" not in ids and "84-7-0002" in ids
    assert prepared.counts["train-clean-5"].num_bad_audio == 4
    assert prepared.counts["dev-tiny"].num_bad_audio == 0
    (message,) = caplog.messages
    assert message.startswith("4 of 32 audio files (12.50%) left out, listed in ")
    for path, reason in expected.items():
        assert path in message
        if full_decode:
            (line,) = (line for line in lines if line.startswith(path))
            assert reason in line


def test_more_than_the_part_allowed_stops_with_the_list(corpus: Path) -> None:
    expected = damage(corpus)
    with pytest.raises(CorpusError) as raised:
        prepare(corpus)
    message = str(raised.value)
    assert "4 of 32 audio files (12.50%) cannot be used" in message
    assert "max_bad_fraction=0.01" in message
    assert all(path in message for path in expected)
    listing = corpus.parent / "save" / "bad_audio.txt"
    assert str(listing) in message and len(listing.read_text().splitlines()) == 4
    assert not (corpus.parent / "save" / "train.csv").exists()


def test_exactly_the_part_allowed_goes_on(corpus: Path) -> None:
    flac(corpus, "dev-tiny", "14-1-0000").write_bytes(b"")
    assert prepare(corpus, max_bad_fraction=1 / 32).counts["dev-tiny"].num_bad_audio == 1


def test_many_bad_files_are_not_all_named_in_the_warning(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in sorted(corpus.glob("train-clean-5/84/*/*.flac")):
        path.write_bytes(b"")
    prepare(corpus, max_bad_fraction=0.5)
    (message,) = caplog.messages
    assert message.count("empty file") == 10 and message.endswith("and 2 more")


def test_a_repaired_file_is_noticed_even_at_the_same_size(corpus: Path) -> None:
    path = flac(corpus, "dev-tiny", "14-1-0002")
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))
    assert prepare(corpus, max_bad_fraction=0.1).counts["dev-tiny"].num_utterances == 3
    assert prepare(corpus, max_bad_fraction=0.1).counts["dev-tiny"].num_utterances == 3
    path.write_bytes(good)
    assert prepare(corpus, max_bad_fraction=0.1).counts["dev-tiny"].num_utterances == 4
    assert (corpus.parent / "save" / "bad_audio.txt").read_text() == ""


def test_a_split_without_any_good_audio_is_an_error(corpus: Path) -> None:
    for path in corpus.glob("dev-tiny/*/*/*.flac"):
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match="split dev-tiny holds no utterance.* 4 bad"):
        prepare(corpus, max_bad_fraction=1.0)


def test_other_sample_rates_and_stereo_are_kept_and_said_once(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(flac(corpus, "dev-tiny", "14-1-0000"), np.zeros(4000), 8_000)
    soundfile.write(flac(corpus, "dev-tiny", "14-1-0001"), np.zeros((8000, 2)), 16_000)
    prepared = prepare(corpus)
    assert prepared.dev_csv is not None
    assert [u.duration_s for u in read_manifest(prepared.dev_csv, corpus)][:2] == [0.5, 0.5]
    assert prepared.counts["dev-tiny"].num_converted == 2
    assert caplog.messages == [
        "2 audio files are not 16 kHz mono: they are converted when they are read."
    ]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_empty_transcripts_are_tested_but_not_trained_on(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, chapter in (("train-clean-5", "84-7"), ("test-tiny", "16-1")):
        path = transcript(corpus, split, chapter)
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0].split()[0], lines[1].split()[0] + " ", *lines[2:]]))
    prepared = prepare(corpus)
    assert prepared.train_csv is not None
    ids = [u.id for u in read_manifest(prepared.train_csv, corpus)]
    assert len(ids) == 22 and "84-7-0000" not in ids and "84-7-0001" not in ids
    test = read_manifest(prepared.test_csv["test-tiny"], corpus)
    assert [u.text for u in test[:2]] == ["", ""] and len(test) == 4
    assert prepared.counts["train-clean-5"].num_empty_transcripts == 2
    (message,) = caplog.messages
    assert message.startswith("empty transcript (kept for testing, left out of training): 4")
    assert "train-clean-5/84/7/84-7-0001.flac" in message
    listed = (corpus.parent / "save" / "bad_transcripts.txt").read_text().splitlines()
    assert len(listed) == 4 and all("empty transcript" in line for line in listed)


def test_training_splits_with_nothing_but_empty_transcripts(corpus: Path) -> None:
    path = transcript(corpus, "dev-tiny", "14-1")
    path.write_text("".join(f"14-1-{i:04d}\n" for i in range(4)))
    with pytest.raises(CorpusError, match="every transcript of the training splits is empty"):
        prepare(corpus, train_splits=["dev-tiny"])


def test_audio_without_a_transcript_is_left_out_and_named(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = transcript(corpus, "train-clean-5", "84-7")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    transcript(corpus, "train-clean-5", "1272-7").unlink()
    prepared = prepare(corpus)
    counts = prepared.counts["train-clean-5"]
    assert (counts.num_utterances, counts.num_audio_without_transcript) == (17, 7)
    (message,) = caplog.messages
    assert message.startswith("audio without a transcript (left out): 7, namely train-clean-5/")
    listed = (corpus.parent / "save" / "bad_transcripts.txt").read_text()
    assert "train-clean-5/84/7/84-7-0000.flac\taudio without a transcript" in listed


def test_line_ends_blank_lines_and_byte_order_marks_do_no_harm(corpus: Path) -> None:
    path = transcript(corpus, "dev-tiny", "14-1")
    lines = path.read_text().splitlines()
    path.write_bytes(("\ufeff" + "\r\n\r\n".join(lines) + "\r\n\r\n").encode())
    prepared = prepare(corpus)
    assert prepared.dev_csv is not None
    texts = [u.text for u in read_manifest(prepared.dev_csv, corpus)]
    assert texts == [line.split(" ", 1)[1] for line in lines]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GO DO YOU HEAR\n", r"14-1\.trans\.txt, line 1: 'GO DO YOU HEAR' is not"),
        (b"14-1-0000 A\n14-1-0000 B\n", "14-1-0000 has a transcript already"),
        (b"14-1-0000 \xff\xfe\n", r"14-1\.trans\.txt is not UTF-8 text"),
    ],
)
def test_a_transcript_of_another_kind_stops_with_its_place(
    corpus: Path, content: bytes, message: str
) -> None:
    transcript(corpus, "dev-tiny", "14-1").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        prepare(corpus)


@pytest.mark.parametrize("line", ["", "HELLO WORLD", "84-121123 HELLO", "84--0000 HELLO"])
def test_lines_without_an_utterance_id_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="such as '84-121123-0000 GO DO YOU HEAR'"):
        parse_transcript_line(line)


def test_a_missing_data_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere does not exist; expected <split>/<reader>/"):
        prepare(tmp_path / "nowhere")


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="file is not a folder; expected <split>/<reader>/"):
        prepare(tmp_path / "file")


def test_an_empty_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(CorpusError, match="data is not LibriSpeech: .*; the folder is empty"):
        prepare(tmp_path / "data")
    (tmp_path / "data" / "LibriSpeech").mkdir()
    with pytest.raises(CorpusError, match="data is not LibriSpeech: .*; found LibriSpeech/"):
        prepare(tmp_path / "data")


def test_a_folder_that_is_not_librispeech_says_what_it_expected_and_found(tmp_path: Path) -> None:
    for name in ("clips", "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "validated.tsv").write_text("")
    with pytest.raises(CorpusError) as raised:
        prepare(tmp_path / "data")
    assert "is not LibriSpeech: expected <split>/<reader>/<chapter>/" in str(raised.value)
    assert str(raised.value).endswith("found clips/, other/, validated.tsv")


def test_a_split_of_another_shape(corpus: Path) -> None:
    (corpus / "flat").mkdir()
    (corpus / "flat" / "84-7-0000.flac").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"flat is not LibriSpeech: .* found 84-7-0000\.flac"):
        prepare(corpus, test_splits=["flat"])


def test_an_unknown_split_is_answered_with_the_nearest(corpus: Path) -> None:
    with pytest.raises(CorpusError) as raised:
        prepare(corpus, train_splits=["train-clean-50"], test_splits=["xyz"])
    message = str(raised.value)
    assert "has no split 'train-clean-50' (did you mean train-clean-5 or train-clean-" in message
    assert "'xyz'; it holds dev-tiny, test-tiny, train-clean-5" in message


def test_a_known_split_that_is_not_there(corpus: Path) -> None:
    with pytest.raises(CorpusError, match="has no split 'dev-clean'"):
        prepare(corpus, dev_splits=["dev-clean"])


def test_training_splits_that_overlap(corpus: Path) -> None:
    write_chapter(corpus / "train-clean-100", 84, 7, 2)
    with pytest.raises(
        CorpusError, match="utterance 84-7-0000 is in both train-clean-5 and train-clean-100"
    ):
        prepare(corpus, train_splits=["train-clean-5", "train-clean-100"])


def test_two_files_of_the_same_name(corpus: Path) -> None:
    write_chapter(corpus / "dev-tiny", 14, 2, 1)
    moved = flac(corpus, "dev-tiny", "14-2-0000")
    moved.rename(moved.with_name("14-1-0000.flac"))
    with pytest.raises(CorpusError, match=r"14/2/14-1-0000\.flac and .*14/1/.* have the same id"):
        prepare(corpus)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_splits": "dev-tiny"}, r"train_splits='dev-tiny' must be a list"),
        ({"dev_splits": ["../x"]}, r"dev_splits: '\.\./x' is not the name of a folder"),
        ({"test_splits": [""]}, "test_splits: '' is not the name of a folder"),
        ({"test_splits": ["a", "a"]}, "names a split twice"),
        ({"train_splits": [], "dev_splits": [], "test_splits": []}, "no splits were asked for"),
        ({"num_word_pieces": 0}, "num_word_pieces=0 must be at least 1"),
        ({"num_workers": -1}, "num_workers=-1 must not be negative"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction=1.5 must lie between 0 and 1"),
        ({"num_word_pieces": 5}, "num_word_pieces=5 is too few: the text has"),
    ],
)
def test_arguments_are_checked(corpus: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(corpus, **arguments)


@pytest.mark.realdata
def test_real_librispeech(realdata: Path, tmp_path: Path) -> None:
    prepared = prepare_librispeech(
        realdata, tmp_path, ["train-clean-5"], ["dev-clean"], ["dev-clean"]
    )
    train, dev = prepared.counts["train-clean-5"], prepared.counts["dev-clean"]
    assert (train.num_utterances, dev.num_utterances) == (531, 86)
    assert train.duration_s == pytest.approx(6450.74) and dev.duration_s == pytest.approx(1012.335)
    assert (train.num_bad_audio, train.num_empty_transcripts, train.num_converted) == (0, 0, 0)
    assert prepared.num_word_pieces == 2500
    with prepared.speakers_csv.open() as file:
        genders = {row["speaker"]: row["gender"] for row in csv.DictReader(file)}
    assert len(genders) == 11
    assert (genders["4640"], genders["3242"]) == ("F", "M")
    assert prepared.train_csv is not None and prepared.tokenizer_model is not None
    pieces = WordPieces(prepared.tokenizer_model)
    for u in read_manifest(prepared.train_csv, prepared.data_root):
        assert pieces.decode(pieces.encode(u.text)) == u.text


def test_the_embedded_corpus(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("espeakng_loader")
    from sb_alexa.corpora.librispeech_layout import SplitSpec, write_librispeech

    size = SplitSpec(num_speakers=2, num_utterances_per_speaker=3)
    splits = {"train-clean": size, "test-clean": size}
    data = write_librispeech(tmp_path / "data", splits=splits, num_workers=1, progress=False)
    prepared = prepare_librispeech(
        data, tmp_path / "save", ["train-clean"], [], ["test-clean"], num_word_pieces=40
    )
    assert [c.num_utterances for c in prepared.counts.values()] == [6, 6]
    with prepared.speakers_csv.open() as file:
        ours = list(csv.DictReader(file))
    with (data / "speakers.csv").open() as file:
        theirs = list(csv.DictReader(file))
    assert ours == theirs and len(ours) == 4
    assert not [m for m in caplog.messages if "word pieces" not in m]
