"""`sb-alexa verify` as a user meets it: outputs, exit codes, messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from sb_alexa import cli
from sb_alexa.inference.speaker_recognition import SpeakerRecognition
from sb_alexa.inference.verification_settings import write_verification
from sb_alexa.metrics.score_calibration import Calibration
from tests.tiny_model import write_tiny_model
from tests.tiny_speaker_model import write_recordings, write_speaker_model


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaker_model(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a cohort, a calibration and a threshold that only a recording itself reaches."""
    folder = write_speaker_model(tmp_path_factory.mktemp("verify") / "model")
    generator = torch.Generator().manual_seed(0)
    write_verification(
        folder,
        cohort=torch.randn(12, 8, generator=generator),
        calibration=Calibration(scale=1.0, offset=-1.5),
        threshold=-99.0,
        target_prior=0.01,
        top_n=5,
    )
    return folder


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    audio = tmp_path_factory.mktemp("audio")
    return tuple(u.path for u in write_recordings(audio, {"a": 8000, "b": 7000, "c": 8000}))


def call(*arguments: object) -> int:
    return cli.main(["verify", *map(str, arguments), "--device", "cpu"])


def test_score_decision_and_evidence(folder, wavs, capsys) -> None:
    found = SpeakerRecognition.from_hparams(folder, run_opts={"device": "cpu"}).verify_files(
        wavs[0], wavs[1]
    )
    assert call(folder, wavs[0], wavs[1]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{wavs[0]} and {wavs[1]}: the same speaker"
    assert second == (
        f"  score {found.score:.3f} reaches the threshold -99.000 "
        f"(cosine {found.cosine:.3f}, normalised by 5 speakers)"
    )
    assert third.endswith(f"(log-likelihood ratio {found.log_likelihood_ratio:.2f})")


def test_a_decision_against_the_evidence_is_explained(wavs, tmp_path, capsys) -> None:
    folder = write_speaker_model(tmp_path / "model")
    calibration = Calibration(scale=1.0, offset=3.0)  # below the prior's log odds of 4.6
    write_verification(
        folder, cohort=None, calibration=calibration, threshold=1.6, target_prior=0.01
    )
    assert call(folder, wavs[0], wavs[0]) == 0
    out = capsys.readouterr().out
    assert "different speakers" in out and "probable with one speaker as with two" in out
    assert "the threshold assumes one speaker in 1 % of comparisons" in out
    assert call(folder, wavs[0], wavs[0], "--threshold", "0.5") == 0
    assert "the threshold assumes" not in capsys.readouterr().out


def test_a_check_decides_the_exit_code(folder, wavs, capsys) -> None:
    assert call(folder, wavs[0], wavs[1], "--check") == 0
    assert call(folder, wavs[0], wavs[1], "--threshold", 99) == 0
    assert "different speakers\n" in capsys.readouterr().out
    assert call(folder, wavs[0], wavs[1], "--threshold", 99, "--check") == 1


def test_several_recordings_and_json(plain, wavs, tmp_path, capsys) -> None:
    path = tmp_path / "scores.json"
    recognition = SpeakerRecognition.from_hparams(plain, run_opts={"device": "cpu"})
    low = recognition.verify_files(wavs[0], wavs[1]).score
    assert low < 1 - 1e-5
    threshold = 0.5 * (low + 1)
    options = ["--threshold", threshold, "--json", path]
    assert call(plain, wavs[0], wavs[1], wavs[0], *options, "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"{wavs[1]}: different speakers")
    assert lines[1] == f"  score {low:.3f} is below the threshold {threshold:.3f}"
    assert lines[2].endswith(f"{wavs[0]}: the same speaker") and len(lines) == 4
    content = json.loads(path.read_text())
    assert content["command"] == "verify"
    figures = content["figures"]
    assert figures["score"] == figures["cosine"] == pytest.approx(low, abs=1e-6)
    assert figures["score_2"] == pytest.approx(1.0, abs=1e-6)
    assert (figures["same_speaker"], figures["same_speaker_2"]) == (0, 1)
    assert figures["threshold_2"] == threshold and figures["log_likelihood_ratio"] is None


def test_without_a_threshold_nothing_is_decided(plain, wavs, capsys) -> None:
    assert call(plain, wavs[0], wavs[1]) == 0
    out = capsys.readouterr().out
    assert ": compared\n" in out and "holds no threshold, so nothing is decided" in out
    assert call(plain, wavs[0], wavs[1], "--check") == 2
    assert "--check needs a threshold" in capsys.readouterr().err


def test_the_beginning_of_a_long_recording(plain, wavs, capsys) -> None:
    assert call(plain, wavs[0], wavs[1], "--max-seconds", 0.45) == 0
    captured = capsys.readouterr()
    note = f"note: only the first 0.45 of 0.5 s of {wavs[0]} are used\n"
    assert captured.err == note and "note" not in captured.out


def test_what_cannot_be_compared(plain, wavs, tmp_path, capsys) -> None:
    silent, short, text = (tmp_path / name for name in ("silent.wav", "short.wav", "text.wav"))
    soundfile.write(silent, [0.0] * 8000, 16000)
    soundfile.write(short, [0.0, 0.5] * 200, 16000)
    text.write_text("hello")
    for path, message in (
        (silent, "silent.wav: is silent"),
        (short, "short.wav: recordings of 400 samples give"),
        (text, "text.wav: "),
        (tmp_path / "nowhere.wav", "nowhere.wav: missing"),
        (tmp_path, "is a folder, not an audio file"),
    ):
        assert call(plain, wavs[0], wavs[1], path) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.out == ""
        assert call(plain, path, wavs[0]) == 2
        capsys.readouterr()


def test_other_bad_input(plain, wavs, tmp_path, capsys) -> None:
    words = write_tiny_model(tmp_path / "words")
    for arguments, message in (
        ([words, *wavs], "this model recognises words and does not tell speakers apart"),
        ([tmp_path / "nowhere", *wavs], "there is no folder"),
        ([tmp_path, *wavs], "is not a model folder"),
        ([plain, *wavs, "--threshold", "nan"], "--threshold must be a finite score"),
        ([plain, *wavs, "--max-seconds", "0"], "--max-seconds must be > 0"),
    ):
        assert call(*arguments) == 2
        assert message in capsys.readouterr().err


def test_a_device_that_is_not_there_is_not_another_speaker(plain, wavs, capsys) -> None:
    assert cli.main(["verify", str(plain), *map(str, wavs), "--device", "cuda:99"]) == 2
    assert "device 'cuda:99' is not there" in capsys.readouterr().err


def test_transcribe_names_this_command(plain, wavs, capsys) -> None:
    assert cli.main(["transcribe", str(plain), wavs[0], "--device", "cpu"]) == 2
    assert "`sb-alexa verify`" in capsys.readouterr().err
