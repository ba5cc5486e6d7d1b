from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest

from sb_alexa.corpora import librispeech
from sb_alexa.corpora.librispeech import prepare_librispeech
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.word_pieces import WordPieces
from tests.corpora.tiny_librispeech import ALL, prepare, write_corpus, written


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


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


def test_word_pieces_of_an_earlier_training_are_kept(corpus: Path, tmp_path: Path) -> None:
    earlier = prepare(corpus).tokenizer_model
    assert earlier is not None
    file = Path(shutil.copy(earlier, tmp_path / "word_pieces.model"))
    other = {"train_splits": ["test-tiny"], "test_splits": [], "num_word_pieces": 18}
    learnt = prepare(corpus, **other)
    kept = prepare(corpus, **other, word_pieces_file=file)
    assert learnt.num_word_pieces != kept.num_word_pieces == 24
    assert kept.tokenizer_model is not None
    assert kept.tokenizer_model.read_bytes() == file.read_bytes()
    before = written(kept.tokenizer_model.parent)
    assert prepare(corpus, **other, word_pieces_file=file) == kept
    assert written(kept.tokenizer_model.parent) == before
    # Of another training, so everything is done again; and not at all without the file.
    file.write_bytes(learnt_bytes(corpus, tmp_path))
    assert prepare(corpus, **other, word_pieces_file=file).num_word_pieces != 24
    with pytest.raises(FileNotFoundError, match=r"name word_pieces\.model in the folder"):
        prepare(corpus, **other, word_pieces_file=tmp_path / "nothing.model")


def learnt_bytes(corpus: Path, tmp_path: Path) -> bytes:
    """Word pieces of their own."""
    prepared = prepare_librispeech(
        corpus, tmp_path / "learnt", ["train-clean-5"], num_word_pieces=20
    )
    assert prepared.tokenizer_model is not None
    return prepared.tokenizer_model.read_bytes()


def test_hidden_files_and_other_folders_are_passed_over(corpus: Path) -> None:
    chapter = corpus / "train-clean-5" / "84" / "7"
    (chapter / "._84-7-0000.flac").write_bytes(b"resource fork of another file system")
    (chapter / "._84-7.trans.txt").write_bytes(b"\xff\xfe")
    (chapter / "notes.md").write_text("mine")
    (corpus / "train-clean-5" / "README").write_text("mine")
    (corpus / "train-clean-5" / "84" / "README").write_text("mine")
    assert prepare(corpus).counts["train-clean-5"].num_utterances == 24


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
