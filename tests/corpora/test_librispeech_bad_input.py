from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora.librispeech import CorpusError, parse_transcript_line
from sb_alexa.corpora.manifest import read_manifest
from tests.corpora.tiny_librispeech import flac, prepare, transcript, write_chapter, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


def damage(corpus: Path) -> dict[str, str]:
    """Damage five files of train-clean-5 in five ways; returns the reason expected for each."""
    split = "train-clean-5"
    flac(corpus, split, "84-7-0000").unlink()
    flac(corpus, split, "84-7-0005").unlink()
    flac(corpus, split, "84-7-0005").symlink_to("gone.flac")
    flac(corpus, split, "84-7-0001").write_bytes(b"")
    cut = flac(corpus, split, "84-12-0002")
    cut.write_bytes(cut.read_bytes()[:-20])
    flac(corpus, split, "1272-7-0003").write_text("<html>404 Not Found</html>")
    return {
        f"{split}/84/7/84-7-0000.flac": "missing",
        f"{split}/84/7/84-7-0005.flac": "missing",
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
    assert len(ids) == 19 and "84-7-0000" not in ids and "84-7-0002" in ids
    assert prepared.counts["train-clean-5"].num_bad_audio == 5
    assert prepared.counts["dev-tiny"].num_bad_audio == 0
    (message,) = caplog.messages
    assert message.startswith("5 of 32 audio files (15.62%) left out, listed in ")
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
    assert "5 of 32 audio files (15.62%) cannot be used" in message
    assert "max_bad_fraction=0.01" in message
    assert all(path in message for path in expected)
    listing = corpus.parent / "save" / "bad_audio.txt"
    assert str(listing) in message and len(listing.read_text().splitlines()) == 5
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
