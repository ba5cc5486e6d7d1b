from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import spoken_corpus
from sb_alexa.corpora.librispeech_layout import SplitSpec, write_librispeech
from sb_alexa.corpora.trial_lists import read_trials, speaker_of
from sb_alexa.corpora.voxceleb import prepare_voxceleb
from sb_alexa.corpora.voxceleb_layout import write_voxceleb
from sb_alexa.corpora.voxceleb_metadata import read_metadata
from tests.corpora.tiny_librispeech import written

pytest.importorskip("espeakng_loader")

SMALL: dict[str, Any] = {
    "num_train_speakers": 4,
    "num_test_speakers": 3,
    "utterances_per_train_speaker": 3,
    "utterances_per_test_speaker": 4,
    "num_workers": 1,
    "progress": False,
}


def _write(folder: Path, **changes: Any) -> Path:
    return write_voxceleb(folder, **{**SMALL, **changes})


def _stamp(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "synthetic_corpus.json").read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus that no test changes."""
    return _write(tmp_path_factory.mktemp("corpus") / "VoxCeleb")


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A finished corpus to be damaged."""
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def test_audio_is_laid_out_as_in_voxceleb(corpus: Path) -> None:
    audio = sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.wav"))
    assert len(audio) == 4 * 3 + 3 * 4
    assert audio[:3] == [
        "wav/id10001/session000/00001.wav",
        "wav/id10001/session000/00002.wav",
        "wav/id10001/session001/00001.wav",
    ]
    for name in audio:
        info = soundfile.info(corpus / name)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert 0.8 < info.duration < 10
    assert _stamp(corpus)["hours"] == pytest.approx(
        sum(soundfile.info(corpus / name).duration for name in audio) / 3600, abs=1e-4
    )


def test_every_utterance_has_noise_of_its_own(corpus: Path) -> None:
    """The silence before the speech tells rooms apart: one per speaker would give them away."""
    levels = []
    for path in sorted(corpus.glob("wav/id10001/*/*.wav")):
        samples, _ = soundfile.read(path)
        levels.append(20 * np.log10(np.sqrt(np.mean(samples[:1600] ** 2))))
    assert min(abs(a - b) for i, a in enumerate(levels) for b in levels[:i]) > 0.5


def test_metadata_and_speaker_table_agree(corpus: Path) -> None:
    infos = read_metadata(corpus / "vox1_meta.csv")
    assert Counter(one.subset for one in infos.values()) == {"vox1_dev": 4, "vox1_test": 3}
    with (corpus / "speakers.csv").open() as file:
        rows = {row["speaker"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(infos)
    for one in infos.values():
        assert (rows[one.id]["gender"], rows[one.id]["accent"]) == (one.gender, one.nationality)
    header = (corpus / "vox1_meta.csv").read_text().splitlines()[0]
    assert header == "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"


def test_test_speakers_and_sentences_never_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[tuple[Any, list[str]]] = []

    def only_note(write: Any, given: Any, *, num_workers: int | None) -> Iterator[Any]:
        jobs.extend(given)
        yield from ()

    monkeypatch.setattr(spoken_corpus, "map_in_fresh_processes", only_note)
    monkeypatch.setattr(spoken_corpus.SpokenCorpus, "finish", lambda *_: None)
    write_voxceleb(tmp_path / "large", num_train_speakers=40, num_test_speakers=40, progress=False)
    said: dict[str, set[str]] = {"train": set(), "test": set()}
    for folder, sentences in jobs:
        said[folder.partition].update(sentences)
        assert (folder.speaker.speaker_id > 30000) == (folder.partition == "test")
    assert len(said["train"]) > 500 and len(said["test"]) > 100
    assert not said["train"] & said["test"]


def test_groups_by_default() -> None:
    """Ten test speakers of each accent and gender, or a group could not be ranked."""
    default = write_voxceleb.__kwdefaults__
    assert default is not None and default["num_test_speakers"] == 160


def test_trial_lists(tmp_path: Path) -> None:
    folder = _write(
        tmp_path, num_train_speakers=2, num_test_speakers=34, utterances_per_test_speaker=2
    )
    who = read_metadata(folder / "vox1_meta.csv")
    groups = {one.id: (one.gender, one.nationality) for one in who.values()}
    for name in ("veri_test.txt", "veri_test_hard.txt"):
        trials = read_trials(folder / name)
        assert {who[speaker_of(t.enrol)].subset for t in trials} == {"vox1_test"}
        assert sum(trial.is_target for trial in trials) == 34
        impostors = [trial for trial in trials if not trial.is_target]
        assert len(impostors) == 34
        same = [groups[speaker_of(t.enrol)] == groups[speaker_of(t.test)] for t in impostors]
        assert all(same) if "hard" in name else sum(same) < 17
    first = (folder / "veri_test.txt").read_text().splitlines()[0]
    assert first == "1 id30001/session000/00001.wav id30001/session000/00002.wav"


def test_few_test_speakers_have_no_hard_list(corpus: Path) -> None:
    assert [path.name for path in corpus.glob("*.txt")] == ["veri_test.txt"]
    # Two sessions of two: four pairs across them for each speaker.
    assert len(read_trials(corpus / "veri_test.txt")) == 3 * 4 * 2


def test_preparation_of_the_embedded_corpus(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = prepare_voxceleb(
        corpus, tmp_path / "save", ["vox1_dev"], ["veri_test.txt"], num_dev_speakers=2
    )
    counts = {name: (c.num_speakers, c.num_utterances) for name, c in prepared.counts.items()}
    assert counts == {"train": (2, 6), "dev": (2, 6), "test": (3, 12)}
    with prepared.speakers_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 and all(row["nationality"] == row["accent"] != "" for row in rows)
    assert all(row["latitude"] and row["hardness"] == "0.0" for row in rows)
    assert not caplog.messages


@pytest.mark.parametrize("num_workers", [2, 3])
def test_the_bytes_do_not_depend_on_the_workers(
    corpus: Path, tmp_path: Path, num_workers: int
) -> None:
    """The corpus of the fixture was written by one."""
    assert written(_write(tmp_path / "other", num_workers=num_workers)) == written(corpus)


def test_another_seed_gives_another_corpus(corpus: Path, tmp_path: Path) -> None:
    other, first = written(_write(tmp_path / "other", seed=1)), written(corpus)
    assert other.keys() == first.keys()
    same = [name for name in first if other[name] == first[name]]
    # Accents and genders run through the ids, and so few pairs are all in the list.
    assert set(same) <= {"vox1_meta.csv", "veri_test.txt"}


def test_speakers_do_not_depend_on_how_many_there_are(corpus: Path, tmp_path: Path) -> None:
    other = written(_write(tmp_path / "other", num_train_speakers=2, num_test_speakers=2))
    first = written(corpus)
    shared = [name for name in other if name.endswith(".wav")]
    assert len(shared) == 2 * 3 + 2 * 4 and all(other[name] == first[name] for name in shared)


def test_a_finished_corpus_is_left_alone(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken_corpus, "map_in_fresh_processes", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert _write(corpus) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_run_is_resumed(corpus: Path, copy: Path) -> None:
    """As a kill leaves it: a speaker is missing, another half written, and the stamp says so."""
    text = json.dumps({"arguments": _stamp(copy)["arguments"], "complete": False})
    (copy / "synthetic_corpus.json").write_text(text)
    kept = copy / "wav" / "id10001" / "session000" / "00001.wav"
    written_ns = kept.stat().st_mtime_ns
    shutil.rmtree(copy / "wav" / "id30003")
    half = copy / ".unfinished" / "wav" / "id10002"
    half.parent.mkdir(parents=True)
    (copy / "wav" / "id10002").rename(half)
    (half / "session000" / "00001.wav").write_bytes(b"half")
    assert written(_write(copy)) == written(corpus)
    assert kept.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize(
    "damaged", ["wav/id30002/session001/00001.wav", "veri_test.txt", "vox1_meta.csv"]
)
def test_damage_is_repaired(corpus: Path, copy: Path, damaged: str) -> None:
    if damaged.endswith(".wav"):
        (copy / damaged).write_bytes((copy / damaged).read_bytes()[:1000])
    else:
        (copy / damaged).unlink()
    assert written(_write(copy)) == written(corpus)


def test_hardness_is_planted_and_recorded(corpus: Path, tmp_path: Path) -> None:
    hard = _write(tmp_path / "hard", hardness={"accent": {"british": 1.0}})
    with (hard / "speakers.csv").open() as file:
        levels = {row["accent"]: row["hardness"] for row in csv.DictReader(file)}
    assert levels["british"] == "1.0" and levels["american"] == "0.0"
    for speaker, same in (("id10001", True), ("id10002", False)):
        name = f"wav/{speaker}/session000/00001.wav"
        assert ((hard / name).read_bytes() == (corpus / name).read_bytes()) is same


def test_sentences_of_a_text(tmp_path: Path) -> None:
    nouns = ["dog", "cat", "tree", "river", "cloud", "stone", "road", "field", "bird", "boat"]
    book = tmp_path / "book.txt"
    book.write_text(" ".join(f"The {a}'s {b} was cold." for a in nouns for b in nouns))
    folder = _write(tmp_path / "read", text_file=book, num_train_speakers=2, num_test_speakers=2)
    book.write_text(book.read_text() + " One more sentence here.")
    with pytest.raises(ValueError, match="made otherwise .*text_sha256"):
        _write(folder, text_file=book, num_train_speakers=2, num_test_speakers=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train_speakers": 1}, r"num_train_speakers must be a whole number within 2\.\.9999"),
        ({"num_test_speakers": 10_000}, "num_test_speakers must be a whole number"),
        ({"utterances_per_train_speaker": 1.5}, "utterances_per_train_speaker must be a whole"),
        ({"utterances_per_test_speaker": 1}, "utterances_per_test_speaker must be a whole number"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"hardness": {"accent": {"welsh": 1}}}, "no accent is called 'welsh'"),
        ({"text_file": "absent.txt"}, "cannot read text_file"),
        ({"num_workers": 0}, "num_workers must be >= 1, got 0"),
    ],
)
def test_bad_arguments_write_no_audio(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _write(tmp_path / "new", **arguments)
    assert not list((tmp_path / "new").rglob("*.wav"))


def test_folders_that_hold_something_else(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"made otherwise \(seed: 0 there, 7 asked for\)"):
        _write(copy, seed=7)
    with pytest.raises(ValueError, match="made otherwise .*splits"):
        write_librispeech(copy, splits={"test-clean": SplitSpec(1, 1)})
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match="not empty and holds no synthetic corpus"):
        _write(tmp_path)


def test_without_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install sb-alexa\[corpus\]"):
        _write(tmp_path / "new")
