from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.trial_lists import Trial
from sb_alexa.corpora.voxceleb import prepare_voxceleb
from tests.corpora.tiny_voxceleb import (
    TRAIN,
    TRIALS,
    audio,
    metadata_line,
    prepare,
    write_corpus,
    write_speaker,
    write_trials,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_trial_that_names_an_absent_file(corpus: Path) -> None:
    audio(corpus, "id10270/8jEAjG6SegY/00002").unlink()
    with pytest.raises(CorpusError) as raised:
        prepare(corpus)
    message = str(raised.value)
    assert message.startswith(
        "trial list veri_mine names 1 files that are not there (id10270/8jEAjG6SegY/00002), in 2 "
        "of its 4 trials; looked in "
    )
    assert "an error rate over a part of a list is not that of the list" in message
    assert not (corpus.parent / "save").exists()


def test_a_trial_that_names_an_absent_speaker(corpus: Path) -> None:
    stranger = Trial(False, "id10270/x6uYqmx31kE/00001", "id19999/x/00001")
    write_trials(corpus, [*TRIALS, stranger])
    with pytest.raises(
        CorpusError, match=r"names 1 speakers without a folder \(id19999\), in 1 of its 5 trials"
    ):
        prepare(corpus)


def test_trials_that_are_there_twice(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_trials(corpus, [*TRIALS, TRIALS[1]])
    prepared = prepare(corpus)
    assert len(prepared.test_trials["veri_mine"].read_text().splitlines()) == 4
    assert "repeats 1 trials, which are counted once: id10270/x6uYqmx31kE" in caplog.messages[0]


def test_speakers_that_train_and_test(corpus: Path) -> None:
    seen = Trial(False, "id10270/x6uYqmx31kE/00001", "id10001/x6uYqmx31kE/00001")
    write_trials(corpus, [*TRIALS, seen])
    with pytest.raises(CorpusError) as raised:
        prepare(corpus)
    message = str(raised.value)
    assert message.startswith(
        "1 of the 4 speakers of trial list veri_mine belong to the training subset vox1_dev: "
        "id10001."
    )
    assert "VoxCeleb1-E and -H consist of speakers of vox1_dev: train on vox2_dev" in message
    # As a list of VoxCeleb1-E it can be used where nobody of VoxCeleb1 trains.
    assert prepare(corpus, train_subsets=[]).counts["test"].num_speakers == 4
    with pytest.raises(CorpusError, match="3 of the 4 speakers .* subset vox1_test: id10270"):
        prepare(corpus, train_subsets=["vox1_test"])


def test_a_list_of_another_kind_stops_with_its_place(corpus: Path) -> None:
    edit(corpus / "veri_mine.txt", "0 id10270", "0,id10270")
    with pytest.raises(CorpusError, match=r"veri_mine\.txt, line 2: .* is not 'label enrol test'"):
        prepare(corpus)


def test_a_list_that_is_not_there(corpus: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"veri_test2\.txt is not there, neither as a path nor in"
    ):
        prepare(corpus, test_lists=["veri_test2.txt"])
    with pytest.raises(CorpusError, match=r"these folders hold veri_mine\.txt, vox1_meta\.csv$"):
        prepare(corpus, test_lists=["veri_test2.txt"])


def test_two_lists_of_one_name(corpus: Path) -> None:
    (corpus / "meta").mkdir()
    (corpus / "meta" / "veri_mine.txt").write_bytes((corpus / "veri_mine.txt").read_bytes())
    with pytest.raises(CorpusError, match="two trial lists are called veri_mine"):
        prepare(corpus, test_lists=["veri_mine.txt", corpus / "meta" / "veri_mine.txt"])


def test_published_lists_are_compared(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    (corpus / "veri_mine.txt").rename(corpus / "veri_test2.txt")
    prepare(corpus, train_subsets=[], test_lists=["veri_test2.txt"])
    assert caplog.messages == [
        "Not what was published (fine for a subset): veri_test2 4 trials instead of 37611"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t", ";", r"vox1_meta\.csv, line 1: .* if it has another delimiter, write the file"),
        ("id10271\tname_withheld\t", "id10271\t", r"vox1_meta\.csv, line 11: .* holds 4 fields"),
        ("id10271", "id10270", "speaker id10270 is there twice"),
    ],
)
def test_metadata_of_another_kind(corpus: Path, old: str, new: str, message: str) -> None:
    edit(corpus / "vox1_meta.csv", old, new)
    with pytest.raises(CorpusError, match=message):
        prepare(corpus)


def test_a_byte_order_mark_does_no_harm(corpus: Path) -> None:
    first = prepare(corpus)
    for name in ("vox1_meta.csv", "veri_mine.txt"):
        (corpus / name).write_text("\ufeff" + (corpus / name).read_text())
    assert prepare(corpus).counts == first.counts


def test_nationalities_that_are_not_known(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(corpus / "vox1_meta.csv", "New Zealand", "NewZealand")
    edit(corpus / "vox1_meta.csv", "USA", "")
    prepared = prepare(corpus)
    _, unknown, strange = caplog.messages
    assert unknown.startswith(
        "nationality unknown for 4 speakers (id10002, id10005, id10008, id10272"
    )
    assert strange.startswith("nationality 'NewZealand' of 4 speakers is none of VoxCeleb1's (did")
    with prepared.speakers_csv.open() as file:
        rows = {row["speaker"]: row for row in csv.DictReader(file)}
    found = [(rows[one]["nationality"], rows[one]["nationality_group"]) for one in TRAIN[2:5]]
    assert found == [("UK", "UK"), ("NewZealand", ""), ("", "")]


def test_metadata_that_are_not_there(corpus: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"training subset vox2_dev: .*\(vox1_meta\.csv\) describe"
    ):
        prepare(corpus, train_subsets=["vox2_dev"])
    copy = corpus / "copy.csv"
    copy.write_bytes((corpus / "vox1_meta.csv").read_bytes())
    with pytest.raises(CorpusError, match=r"copy\.csv describes id10001, .* again"):
        prepare(corpus, metadata_files=["vox1_meta.csv", "copy.csv"])
    (corpus / "vox1_meta.csv").unlink()
    with pytest.raises(CorpusError, match=r"neither vox1_meta\.csv nor vox2_meta\.csv in"):
        prepare(corpus)
    with pytest.raises(CorpusError, match=r"absent\.csv is not there"):
        prepare(corpus, metadata_files=["absent.csv"])


def test_folders_of_speakers_without_metadata(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_speaker(corpus / "wav", "id11999")
    assert prepare(corpus).counts["train"].num_speakers == 5
    assert caplog.messages[0] == (
        "1 folders of speakers are in no metadata and not trained on: id11999"
    )


def test_an_utterance_in_two_places(corpus: Path) -> None:
    write_speaker(corpus / "flac", "id10001", suffix=".flac")
    with pytest.raises(CorpusError, match=r"id10001/.*\.flac and .*\.wav are the same utterance"):
        prepare(corpus)


def test_a_format_that_is_not_read(corpus: Path) -> None:
    for path in corpus.rglob("*.wav"):
        path.rename(path.with_suffix(".m4a"))
    with pytest.raises(CorpusError, match=r"holds 32 files as wav/id10001/.*m4a.*: ffmpeg -i"):
        prepare(corpus)


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere does not exist; expected folders of speakers"):
        prepare(tmp_path / "nowhere")
    (tmp_path / "data" / "clips").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"data is not VoxCeleb: expected .*; found clips/"):
        prepare(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="file is not a folder"):
        prepare(tmp_path / "file")
    with pytest.raises(ValueError, match="data_folder is an empty list"):
        prepare_voxceleb([], tmp_path / "save", ["vox1_dev"])


def test_bad_audio_is_left_out_of_training_and_named(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio(corpus, "id10001/x6uYqmx31kE/00001").write_bytes(b"")
    audio(corpus, "id10002/x6uYqmx31kE/00001").write_text("<html>404 Not Found</html>")
    with pytest.raises(CorpusError, match=r"2 of 37 audio files \(5.41%\) cannot be used, more"):
        prepare(corpus)
    prepared = prepare(corpus, max_bad_fraction=0.1, num_dev_speakers=0)
    assert prepared.counts["train"].num_utterances == 30
    listed = (corpus.parent / "save" / "bad_audio.txt").read_text().splitlines()
    assert listed[0] == "wav/id10001/x6uYqmx31kE/00001.wav\tempty file" and len(listed) == 2
    assert any("2 of 37 audio files (5.41%) left out" in message for message in caplog.messages)
    named = "".join(p.read_text() for p in (corpus.parent / "save").glob("*.csv"))
    assert "id10001/x6uYqmx31kE/00001" not in named and "id10001/x6uYqmx31kE/00002" in named


def test_bad_audio_of_a_test_list_stops(corpus: Path) -> None:
    audio(corpus, "id10270/8jEAjG6SegY/00002").write_bytes(b"")
    with pytest.raises(
        CorpusError, match=r"name 1 audio files that cannot be used: wav/id10270/.*\(empty file\)"
    ):
        prepare(corpus, max_bad_fraction=0.5)


def test_training_without_any_good_audio(corpus: Path) -> None:
    for path in corpus.glob("wav/id100*/*/*.wav"):
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match="no audio of the training subsets can be used"):
        prepare(corpus, max_bad_fraction=1.0)


def test_too_many_development_speakers(corpus: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"num_dev_speakers=7 leaves no training speakers of the 8 there are"
    ):
        prepare(corpus, num_dev_speakers=7)


def test_a_training_speaker_with_one_utterance_is_never_held_out(corpus: Path) -> None:
    (corpus / "vox1_meta.csv").open("a").write(metadata_line("id10099", "dev"))
    write_speaker(corpus / "wav", "id10099")
    for path in sorted(corpus.glob("wav/id10099/*/*.wav"))[1:]:
        path.unlink()
    for seed in range(5):
        prepared = prepare(corpus, seed=seed)
        assert prepared.dev_csv is not None and "id10099" not in prepared.dev_csv.read_text()
        assert prepared.counts["train"].fewest_utterances == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_subsets": "vox1_dev"}, "must be lists, such as"),
        ({"test_lists": "veri_mine.txt"}, "must be lists, such as"),
        ({"train_subsets": ["vox3_dev"]}, "must be different ones of vox1_dev, vox1_test"),
        ({"train_subsets": ["vox1_dev"] * 2}, "must be different ones of"),
        ({"train_subsets": [], "test_lists": []}, "nothing was asked for"),
        ({"num_dev_speakers": 1}, "num_dev_speakers=1 must be 0, or 2 or more"),
        ({"num_dev_utterances_per_speaker": 1}, "must be at least 2: a target trial compares two"),
        ({"num_dev_trials_per_speaker": 0}, "num_dev_trials_per_speaker=0 must be at least 1"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"num_workers": -1}, "num_workers=-1 must not be negative"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction=1.5 must lie between 0 and 1"),
    ],
)
def test_arguments_are_checked(corpus: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(corpus, **arguments)
