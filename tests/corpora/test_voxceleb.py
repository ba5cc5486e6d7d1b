from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sb_alexa.corpora import audio as audio_module
from sb_alexa.corpora import bad_audio
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.trial_lists import read_trials, speaker_of, utterances_of
from sb_alexa.corpora.voxceleb import PreparedVoxCeleb, SetCounts, prepare_voxceleb
from tests.corpora.tiny_librispeech import record_inspections, written
from tests.corpora.tiny_voxceleb import (
    ALL,
    SESSIONS,
    TEST,
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


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return record_inspections(monkeypatch)


def speakers_in(prepared: PreparedVoxCeleb) -> dict[str, set[str]]:
    manifests = {
        "train": prepared.train_csv,
        "dev": prepared.dev_csv,
        "test": prepared.test_csv,
    }
    return {
        name: {u.speaker for u in read_manifest(path, prepared.data_root)}
        for name, path in manifests.items()
        if path is not None
    }


def table(prepared: PreparedVoxCeleb) -> list[dict[str, str]]:
    with prepared.speakers_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def test_manifests_lists_and_speakers(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepare(corpus)
    assert prepared.data_root == corpus
    assert prepared.test_csv is not None and prepared.train_csv is not None
    test = read_manifest(prepared.test_csv, corpus)
    assert [u.id for u in test] == utterances_of(TRIALS) and len(test) == 5
    first = test[0]
    assert (first.id, first.speaker) == ("id10270/8jEAjG6SegY/00002", "id10270")
    assert first.path == str(corpus / "wav/id10270/8jEAjG6SegY/00002.wav")
    assert (first.duration_s, first.text) == (0.103, "")
    assert "$data_root/wav/id10270/8jEAjG6SegY/00002.wav" in prepared.test_csv.read_text()
    assert read_trials(prepared.test_trials["veri_mine"]) == TRIALS
    found = speakers_in(prepared)
    assert found["train"] | found["dev"] == set(TRAIN) and not found["train"] & found["dev"]
    assert len(found["dev"]) == 3 and found["test"] == set(TEST)
    train = prepared.counts["train"]
    assert train == SetCounts(5, 20, train.duration_s, 4)
    assert train.duration_s == pytest.approx(5 * 0.406)
    assert prepared.counts["test"] == SetCounts(3, 5, sum(u.duration_s for u in test), 1)
    rows = {row["speaker"]: row for row in table(prepared)}
    assert list(rows) == [*TRAIN, *TEST]
    assert [rows["id10271"][c] for c in ("gender", "nationality", "subset")] == [
        *("F", "New Zealand", "vox1_test")
    ]
    assert rows["id10271"]["nationality_group"] == "other" and rows["id10271"]["accent"] == ""
    (message,) = caplog.messages
    assert message == (
        "Not what was published (fine for a subset): vox1_dev 8 speakers with 32 utterances "
        "instead of 1211 speakers with 148642 utterances"
    )


def test_the_development_list_is_of_speakers_held_out(corpus: Path) -> None:
    prepared = prepare(corpus)
    assert prepared.dev_trials is not None and prepared.dev_csv is not None
    trials = read_trials(prepared.dev_trials)
    held_out = speakers_in(prepared)["dev"]
    assert {speaker_of(name) for name in utterances_of(trials)} == held_out
    assert sum(trial.is_target for trial in trials) == 3 * 2 == len(trials) / 2
    assert [u.id for u in read_manifest(prepared.dev_csv, corpus)] == utterances_of(trials)
    genders = [row["gender"] for row in table(prepared) if row["speaker"] in held_out]
    assert set(genders) == {"F", "M"}


def test_the_seed_decides_who_is_held_out(corpus: Path, tmp_path: Path) -> None:
    held_out = []
    for seed in range(4):
        prepared = prepare_voxceleb(corpus, tmp_path / f"save{seed}", **{**ALL, "seed": seed})
        held_out.append(frozenset(speakers_in(prepared)["dev"]))
    assert len(set(held_out)) > 1
    again = prepare_voxceleb(corpus, tmp_path / "again", **ALL)
    assert written(tmp_path / "again") == written(tmp_path / "save0")
    assert again.counts["dev"].num_speakers == 3


def test_a_part_is_prepared_alone(corpus: Path, tmp_path: Path) -> None:
    only_test = prepare_voxceleb(corpus, tmp_path / "a", test_lists=[corpus / "veri_mine.txt"])
    assert (only_test.train_csv, only_test.dev_csv, only_test.dev_trials) == (None,) * 3
    assert list(only_test.test_trials) == ["veri_mine"] and list(only_test.counts) == ["test"]
    arguments: dict[str, Any] = {**ALL, "test_lists": [], "num_dev_speakers": 0}
    only_train = prepare_voxceleb(corpus, tmp_path / "b", **arguments)
    assert (only_train.test_csv, only_train.dev_csv, only_train.test_trials) == (None, None, {})
    assert only_train.counts["train"].num_speakers == 8


def test_two_corpora_in_any_arrangement(tmp_path: Path) -> None:
    """VoxCeleb2 for training, as FLAC below dev/aac; VoxCeleb1-O for testing, below test/wav."""
    one, two = tmp_path / "corpora" / "vox1", tmp_path / "corpora" / "vox2"
    for speaker in TEST:
        write_speaker(one / "test" / "wav", speaker)
    for number in range(5):
        write_speaker(two / "dev" / "aac", f"id0001{number}", suffix=".flac")
    (one / "meta").mkdir()
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    lines = "".join(metadata_line(speaker, "test") for speaker in TEST)
    (one / "meta" / "vox1_meta.csv").write_text(header + lines)
    lines = "".join(f"id0001{number} ,n ,f ,dev \r\n" for number in range(5))
    text = "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \r\n" + lines
    (tmp_path / "mine.csv").write_bytes(text.encode())
    write_trials(one, TRIALS)
    prepared = prepare_voxceleb(
        [one, two],
        tmp_path / "save",
        ["vox2_dev"],
        ["veri_mine.txt"],
        metadata_files=["vox1_meta.csv", tmp_path / "mine.csv"],
        num_dev_speakers=2,
    )
    assert prepared.data_root == tmp_path / "corpora"
    assert prepared.train_csv is not None
    assert prepared.counts["train"].num_utterances == 12
    assert f"$data_root/vox2/dev/aac/id00010/{SESSIONS[1]}/00001.flac" in (
        prepared.train_csv.read_text() + (tmp_path / "save" / "dev.csv").read_text()
    )
    train = read_manifest(prepared.train_csv, prepared.data_root)
    assert all(os.path.isfile(u.path) for u in train)
    rows = {row["speaker"]: row for row in table(prepared)}
    assert rows["id00010"]["nationality"] == rows["id00010"]["nationality_group"] == ""
    assert rows["id00010"]["subset"] == "vox2_dev"


def test_the_same_corpus_gives_the_same_bytes_anywhere(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    corpus.rename(elsewhere / "data")
    prepare(elsewhere / "data", num_workers=3)
    assert written(tmp_path / "save") == written(elsewhere / "save")


def test_a_second_run_touches_nothing(corpus: Path, inspected: list[str]) -> None:
    first = prepare(corpus)
    # Test speakers say 12 utterances, of which the list names 5.
    assert len(inspected) == 32 + 5
    save = corpus.parent / "save"
    times = {path: path.stat().st_mtime_ns for path in save.rglob("*")}
    inspected.clear()
    assert prepare(corpus, num_workers=2) == first
    assert not inspected
    assert times == {path: path.stat().st_mtime_ns for path in save.rglob("*")}


@pytest.mark.parametrize(
    "change",
    [
        lambda corpus: audio(corpus, "id10001/x6uYqmx31kE/00001").unlink(),
        lambda corpus: write_trials(corpus, TRIALS[:3]),
        # As long as before.
        lambda corpus: write_trials(corpus, [*TRIALS[2:], *TRIALS[:2]]),
        lambda corpus: (corpus / "vox1_meta.csv").write_text(
            (corpus / "vox1_meta.csv").read_text().replace("\tm\tUK", "\tf\tUK")
        ),
    ],
)
def test_changes_of_the_corpus_are_noticed(corpus: Path, change: Any) -> None:
    prepare(corpus)
    before = written(corpus.parent / "save")
    change(corpus)
    prepare(corpus)
    assert written(corpus.parent / "save") != before


@pytest.mark.parametrize(
    "arguments",
    [{"seed": 1}, {"num_dev_speakers": 2}, {"test_lists": []}, {"num_dev_trials_per_speaker": 1}],
)
def test_other_arguments_are_noticed(corpus: Path, arguments: dict[str, Any]) -> None:
    prepare(corpus)
    before = (corpus.parent / "save" / "voxceleb.stamp.json").read_bytes()
    prepare(corpus, **arguments)
    assert (corpus.parent / "save" / "voxceleb.stamp.json").read_bytes() != before


def test_an_interrupted_run_goes_on(
    corpus: Path, inspected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb_alexa.corpora.voxceleb.write_manifest", None)
    with pytest.raises(TypeError):
        prepare(corpus)
    assert not (corpus.parent / "save" / "voxceleb.stamp.json").exists()
    monkeypatch.undo()
    again = record_inspections(monkeypatch)
    assert prepare(corpus).counts["train"].num_utterances == 20
    assert not again and len(inspected) == 37


def test_skip_prep(corpus: Path, inspected: list[str]) -> None:
    with pytest.raises(CorpusError, match="skip_prep=True, but .*save does not hold a finished"):
        prepare(corpus, skip_prep=True)
    first = prepare(corpus)
    inspected.clear()
    audio(corpus, "id10001/x6uYqmx31kE/00001").unlink()
    assert prepare(corpus, skip_prep=True) == first
    assert not inspected
    with pytest.raises(CorpusError, match="run it once with skip_prep=False"):
        prepare(corpus, skip_prep=True, num_dev_speakers=2)
    first.speakers_csv.unlink()
    with pytest.raises(CorpusError, match="run it once with skip_prep=False"):
        prepare(corpus, skip_prep=True)


def test_other_formats_are_kept_and_said(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(audio(corpus, "id10001/x6uYqmx31kE/00001"), [0.0] * 800, 8_000)
    assert prepare(corpus).counts["train"].num_utterances == 20
    assert caplog.messages[1:] == [
        "1 audio files are not 16 kHz mono: they are converted when they are read."
    ]


def test_a_repaired_file_is_noticed_even_at_the_same_size(corpus: Path) -> None:
    assert audio_module.inspect_audio is bad_audio.inspect_audio
    path = audio(corpus, "id10001/x6uYqmx31kE/00001")
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))
    arguments: dict[str, Any] = {"max_bad_fraction": 0.1, "num_dev_speakers": 0}
    assert prepare(corpus, **arguments).counts["train"].num_utterances == 31
    path.write_bytes(good)
    assert prepare(corpus, **arguments).counts["train"].num_utterances == 32


@pytest.mark.realdata
def test_real_metadata_and_list(
    realdata: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Audio of noise for the first trials of VoxCeleb1-O, everything else as it is."""
    meta = realdata / "voxceleb_meta"
    trials = read_trials(meta / "veri_test2.txt")[:40]
    for name in utterances_of(trials):
        path = tmp_path / "vox1" / "wav" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, [0.1, -0.1] * 800, 16_000)
    write_trials(tmp_path / "vox1", trials)
    for number in (12, 15, 16, 18):
        write_speaker(tmp_path / "vox2", f"id{number:05d}")
    prepared = prepare_voxceleb(
        [tmp_path / "vox1", tmp_path / "vox2"],
        tmp_path / "save",
        ["vox2_dev"],
        ["veri_mine.txt"],
        metadata_files=[meta / "vox1_meta.csv", meta / "vox2_meta.csv"],
        num_dev_speakers=2,
    )
    assert prepared.counts["train"].num_speakers == 2
    assert read_trials(prepared.test_trials["veri_mine"]) == trials
    rows = {row["speaker"]: row for row in table(prepared)}
    assert rows["id10270"]["nationality"] and rows["id00012"]["gender"] == "M"
    assert not [m for m in caplog.messages if "nationality" in m]
    with pytest.raises(CorpusError, match=r"names 39 speakers without a folder|files that are not"):
        prepare_voxceleb(
            tmp_path / "vox1",
            tmp_path / "other",
            test_lists=[meta / "veri_test2.txt"],
            metadata_files=[meta / "vox1_meta.csv"],
        )
