"""`sb-alexa corpus`."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sb_alexa import cli
from sb_alexa.commands.corpus import rare_accents
from sb_alexa.corpora import librispeech_layout
from sb_alexa.corpora.librispeech_layout import SplitSpec
from sb_alexa.corpora.session_timeline import TIMINGS
from tests.corpora.recorded_speech_files import write_speech


@pytest.fixture
def tiny_splits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """A corpus of two readers; what was asked for is recorded."""
    asked: list[dict[str, float]] = []

    def splits(**arguments: float) -> dict[str, SplitSpec]:
        asked.append(arguments)
        return {"train-clean": SplitSpec(1, 2), "test-clean": SplitSpec(1, 1)}

    monkeypatch.setattr(librispeech_layout, "default_splits", splits)
    return asked


def test_writes_the_layout_and_says_what_it_holds(
    tmp_path: Path, tiny_splits: list[dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "corpus"
    arguments = [str(folder), "--num-train-speakers", "48", "--hours", "1.5", "--num-workers", "1"]
    assert cli.main(["corpus", *arguments]) == 0
    assert tiny_splits == [{"num_train_speakers": 48, "hours_of_training": 1.5}]
    assert len(list(folder.glob("train-clean/*/*/*.flac"))) == 2
    output = capsys.readouterr().out
    assert "train-clean     1 speakers x 2 utterances" in output
    assert f"0.00 hours of synthetic speech in {folder}" in output


def test_rare_accents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, object]] = []

    def splits(**arguments: object) -> dict[str, SplitSpec]:
        asked.append(arguments)
        rare = {"british": 0.4}
        return {"train-clean": SplitSpec(48, 1, rare), "test-clean": SplitSpec(1, 1)}

    monkeypatch.setattr(librispeech_layout, "default_splits", splits)
    folder = tmp_path / "corpus"
    options = ["--num-test-speakers", "480", "--rare-accents", "british", "--rare-share", "0.4"]
    options += ["--new-speakers", "96", "--test-utterances", "9"]
    assert cli.main(["corpus", str(folder), "--num-workers", "2", *options]) == 0
    assert asked == [
        {
            "num_test_speakers": 480,
            "utterances_per_test_speaker": 9,
            "num_new_speakers": 96,
            "rare_accents": {"british": 0.4},
        }
    ]
    # Of 3 readers of each gender 1.2, rounded up.
    assert "train-clean    46 speakers x 1 utterances" in capsys.readouterr().out


def test_rare_accents_without_names_are_neighbours() -> None:
    assert rare_accents([], None) == {"scottish": 0.1, "west_midlands": 0.1}
    assert rare_accents(["british"], 0.5) == {"british": 0.5}
    assert rare_accents(None, None) == {}


def test_a_share_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["corpus", str(tmp_path / "c"), "--rare-share", "0.1"]) == 2
    assert "needs --rare-accents" in capsys.readouterr().err
    options = ["--layout", "VoxCeleb", "--rare-accents", "british"]
    assert cli.main(["corpus", str(tmp_path / "c"), *options]) == 2
    assert "--rare-accents belongs to --layout librispeech" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["LibriSpeech", "VoxCeleb"])
def test_hardness_is_planted(
    tmp_path: Path, tiny_splits: list[dict[str, float]], layout: str
) -> None:
    sizes = ["--num-train-speakers", "2", "--num-test-speakers", "2", "--hours", "0.001"]
    options = ["--layout", layout, "--hardness", "0.3", "american=0.6", "--num-workers", "1"]
    assert cli.main(["corpus", str(tmp_path / "c"), *sizes, *options, "--quiet"]) == 0
    with (tmp_path / "c/speakers.csv").open(encoding="utf-8") as file:
        levels = {row["accent"]: row["hardness"] for row in csv.DictReader(file)}
    assert levels.pop("american") == "0.6"
    assert set(levels.values()) <= {"0.3"}


def test_hardness_of_nobody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["corpus", str(tmp_path / "c"), "--hardness", "welsh=0.5"]) == 2
    assert "no accent is called 'welsh'" in capsys.readouterr().err
    options = ["--layout", "LibriCSS", "--hardness", "0.5"]
    assert cli.main(["corpus", str(tmp_path / "c"), *options]) == 2
    assert "--hardness belongs to --layout librispeech or voxceleb" in capsys.readouterr().err


def test_seed_decides_the_bytes(tmp_path: Path, tiny_splits: list[dict[str, float]]) -> None:
    first = {}
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert cli.main(["corpus", str(tmp_path / name), "--seed", seed, "--quiet"]) == 0
        flac = next((tmp_path / name).glob("test-clean/*/*/*.flac"))
        first[name] = flac.read_bytes()
    assert first["a"] == first["b"]
    assert first["a"] != first["c"]


def test_a_folder_with_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    assert cli.main(["corpus", str(tmp_path)]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_zero_hours_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["corpus", str(tmp_path / "c"), "--hours", "0"]) == 2
    assert "hours_of_training must be > 0" in capsys.readouterr().err


def test_conversations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "corpus"
    sizes = ["--num-sessions", "1", "--minutes", "0.1", "--num-workers", "1"]
    assert cli.main(["corpus", str(folder), "--layout", "LibriCSS", *sizes]) == 0
    assert len(list(folder.glob("*/*_session0_*/record/raw_recording.wav"))) == 6
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [
        ["0L", "1", "sessions"],
        ["0S", "1", "sessions"],
    ]
    assert lines[5].startswith("OV40") and lines[5].endswith("40.0 % overlap")
    assert lines[6].endswith(f"hours of synthetic conversation in {folder}")


def test_conversations_of_recorded_speech(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = write_speech(tmp_path / "LibriSpeech" / "dev-clean", num_readers=3, num_utterances=8)
    folder = tmp_path / "meetings"
    sizes = ["--num-sessions", "1", "--minutes", "0.2", "--seed", "3"]
    arguments = ["corpus", str(folder), "--layout", "LibriCSS", "--speech", str(speech), *sizes]
    assert cli.main(arguments) == 0
    assert len(list(folder.glob("*/*_session0_*/record/raw_recording.wav"))) == 6
    assert not list(folder.glob("*/*/transcription/words.txt"))
    output = capsys.readouterr().out
    assert "synthetic" not in output
    assert [line.split()[0] for line in output.splitlines()[:6]] == sorted(TIMINGS)
    assert output.endswith(f"hours of conversation made of recorded speech in {folder}\n")
    assert cli.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_speakers_to_tell_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "corpus"
    # 2 speakers x 2.6 s x 3 utterances.
    sizes = ["--num-train-speakers", "2", "--num-test-speakers", "2", "--hours", "0.0043"]
    arguments = ["corpus", str(folder), "--layout", "VoxCeleb", *sizes, "--num-workers", "1"]
    assert cli.main(arguments) == 0
    assert len(list(folder.glob("wav/id10001/*/*.wav"))) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "train    2 speakers x 3 utterances",
        "test     2 speakers x 10 utterances",
        "veri_test.txt          160 trials",
    ]
    assert lines[3].endswith(f"hours of synthetic speech in {folder}") and len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--speech belongs to --layout libricss, not to librispeech"),
        (["--layout", "LibriCSS", "--text-file", "book.txt"], "--text-file book.txt has sentences"),
        (["--layout", "LibriCSS", "--num-workers", "2"], "--num-workers 2 is for synthetic voices"),
        (["--layout", "LibriCSS"], "absent is not a folder; give that of a split"),
    ],
)
def test_what_recorded_speech_does_not_go_with(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert cli.main(["corpus", str(tmp_path / "c"), "--speech", "absent", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--layout", "LibriCSS", "--hours", "3"],
            "--hours belongs to --layout librispeech or voxceleb, not to libricss",
        ),
        (
            ["--layout", "LibriCSS", "--num-test-speakers", "32"],
            "--num-test-speakers belongs to --layout librispeech or voxceleb, not to libricss",
        ),
        (["--layout", "VoxCeleb", "--num-train-speakers", "0"], "num_train_speakers must be >= 1"),
        (["--layout", "VoxCeleb", "--num-test-speakers", "1"], "num_test_speakers must be a whole"),
        (["--minutes", "3"], "--minutes belongs to --layout libricss, not to librispeech"),
        (["--layout", "LibriCSS", "--num-sessions", "0"], "num_sessions must be a whole number"),
    ],
)
def test_sizes_of_another_layout_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["corpus", str(tmp_path / "c"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
