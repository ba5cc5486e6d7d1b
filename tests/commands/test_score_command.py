"""`sb-alexa score` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sb_alexa import cli
from sb_alexa.inference.score_files import read_scores, write_scores
from sb_alexa.inference.speaker_recognition import SpeakerRecognition
from sb_alexa.inference.verification_settings import write_verification
from sb_alexa.metrics.score_calibration import Calibration
from sb_alexa.metrics.verification import equal_error_rate
from tests.html_page import parse
from tests.scored_speakers import group_of, scored_trials
from tests.tiny_speaker_model import write_recordings, write_speaker_model


def call(*arguments: object) -> int:
    return cli.main(["score", *map(str, arguments)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of two systems with development scores, and a table of speakers."""
    folder = tmp_path_factory.mktemp("scores")
    mine = scored_trials()
    write_scores(folder / "mine.csv", mine)
    write_scores(folder / "theirs.csv", scored_trials(worse_by=1.0))
    write_scores(folder / "dev.csv", scored_trials(seed=5))
    rows = [f"{one},{group_of(one)},{'x' if one < 'a05' else 'y'}" for one in mine.speakers]
    (folder / "speakers.csv").write_text("\n".join(["speaker,letter,size", *rows]) + "\n")
    return folder


def test_a_score_file(files: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "score.json"
    options = ["--by", "letter,size", "--dev-scores", files / "dev.csv", "-o", tmp_path / "report"]
    options += ["--speakers", files / "speakers.csv", "--num-samples", 40, "--json", path]
    options += ["--compare", files / "theirs.csv", "--compare-dev-scores", files / "dev.csv"]
    assert call(files / "mine.csv", *options) == 0
    out = capsys.readouterr().out
    content = json.loads(path.read_text())
    figures = content["figures"]
    trials = read_scores(files / "mine.csv")
    assert content["command"] == "score"
    assert figures["eer"] == pytest.approx(equal_error_rate(trials.scores, trials.is_target).rate)
    assert figures["eer_difference"] < 0 < figures["gap_letter"]
    assert f"EER       {figures['eer']:.2f} [" in out and "## By letter" in out
    assert "x *" in out and "## mine.csv minus theirs.csv" in out
    page = parse((tmp_path / "report" / "index.html").read_text())
    assert f"mine.csv: {figures['eer']:.2f}" in page.text and "Against theirs.csv" in page.text


def test_the_gap_decides_about_the_exit_code(files: Path, capsys) -> None:
    options = ["--speakers", files / "speakers.csv", "--num-samples", 2]
    assert call(files / "mine.csv", *options, "--by", "letter", "--max-gap", 50) == 0
    assert "by letter; within the 50 allowed" in capsys.readouterr().out
    assert call(files / "mine.csv", *options, "--by", "letter", "size", "--max-gap", 1) == 1
    assert "by letter; more than the 1 allowed" in capsys.readouterr().out
    assert call(files / "mine.csv", *options, "--by", "size", "--max-gap", 1) == 2
    assert "no column has two groups that can be ranked" in capsys.readouterr().err


def test_thresholds(files: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.json"
    assert call(files / "mine.csv", "--num-samples", 2, "--threshold", 1.5, "--json", path) == 0
    figures = json.loads(path.read_text())["figures"]
    assert figures["threshold"] == 1.5 and figures["cllr"] is None
    assert "Note: " not in capsys.readouterr().out
    assert call(files / "mine.csv", "--num-samples", 2) == 0
    assert "Note: The shared threshold was chosen on these very trials" in capsys.readouterr().out


def test_lines_of_groups(tmp_path: Path, capsys) -> None:
    path = tmp_path / "groups.txt"
    path.write_text("1 0.9 f f\n0 0.1 f f\n1 0.4 m m\n0 0.5 m m\n0 0.2 f m\n")
    assert call(path, "--max-gap", 0) == 1
    assert "does not tell speakers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "letter"], "--by needs --speakers"),
        (["--speakers", "TABLE"], "--speakers needs --by"),
        (["--speakers", "TABLE", "--by", "lettre"], "no column 'lettre'. Did you mean letter?"),
        (["--max-gap", "-1"], "--max-gap is a number of points >= 0"),
        (["--target-prior", "1"], "--target-prior must lie between 0 and 1"),
        (["--num-samples", "0"], "--num-samples must be >= 1"),
        (["-o", "TABLE"], "is a file; name a folder for the report"),
        (["--json", "."], "is a folder; name a file"),
        (["--compare-threshold", "1"], "belong to --compare"),
        (["--compare", "OTHER", "--threshold", "1"], "must come from elsewhere, or neither"),
        (["--data-folder", "x"], "not the folder of a model"),
        (["--speaker-pattern", "x"], "leave out the speaker pattern, or the columns"),
    ],
)
def test_bad_input(files: Path, capsys, options: list[str], said: str) -> None:
    known = {"TABLE": files / "speakers.csv", "OTHER": files / "theirs.csv"}
    assert call(files / "mine.csv", *[known.get(word, word) for word in options]) == 2
    assert said in capsys.readouterr().err


def test_absent_speaker(files: Path, tmp_path: Path, capsys) -> None:
    lines = (files / "speakers.csv").read_text().splitlines()
    (tmp_path / "some.csv").write_text("\n".join(lines[:-1]))
    options = ["--speakers", tmp_path / "some.csv", "--by", "letter"]
    assert call(files / "mine.csv", *options) == 2
    assert "lacks 1 of 24 speakers: b23" in capsys.readouterr().err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder, recordings of four speakers below `data`, and trials between them."""
    names = [f"id1000{speaker}/s{session}/00001" for speaker in range(4) for session in range(2)]
    (tmp_path / "flat").mkdir()
    lengths = {name: 4000 + 160 * number for number, name in enumerate(names)}
    for name, one in zip(names, write_recordings(tmp_path / "flat", lengths), strict=True):
        path = tmp_path / "data" / "wav" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        Path(one.path).rename(path)
    pairs = [(one, two) for one in names for two in names if one < two]
    lines = [f"{int(one[:7] == two[:7])} {one}.wav {two}.wav\n" for one, two in pairs]
    (tmp_path / "trials.txt").write_text("".join(lines))
    table = "VoxCeleb1 ID\tGender\tNationality\tSet\n"
    table += "".join(f"id1000{n}\t{'mf'[n % 2]}\tUSA\ttest\n" for n in range(4))
    (tmp_path / "vox1_meta.csv").write_text(table)
    return write_speaker_model(tmp_path / "model")


def test_a_model(model: Path, tmp_path: Path, capsys) -> None:
    given = [model, tmp_path / "trials.txt", "--data-folder", tmp_path / "data", "--device", "cpu"]
    given += ["--speakers", tmp_path / "vox1_meta.csv", "--by", "gender", "--num-samples", 5]
    given += ["-o", tmp_path / "report", "--json", tmp_path / "a.json"]
    assert call(*given) == 0
    assert "Note: The shared threshold was chosen" in capsys.readouterr().out
    trials = read_scores(tmp_path / "report" / "scores.csv")
    assert len(trials) == 28 and trials.enrol is not None and trials.test is not None
    recognition = SpeakerRecognition.from_hparams(model, run_opts={"device": "cpu"})
    for index in (0, 13, 27):
        paths = [
            tmp_path / "data/wav" / f"{side[index]}.wav" for side in (trials.enrol, trials.test)
        ]
        assert trials.scores[index] == pytest.approx(
            recognition.verify_files(*paths).score, abs=1e-5
        )
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert figures["gender_f_speakers"] == 2 and figures["gender_f_ranked"] == 0
    assert (tmp_path / "report" / "index.html").is_file()

    cohort = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    write_verification(
        model,
        cohort=cohort,
        calibration=Calibration(2.0, -3.0),
        threshold=1.5,
        target_prior=0.2,
        top_n=4,
    )
    assert call(*given) == 0
    out = capsys.readouterr().out
    assert "threshold 1.5, taken from the model, made for a target prior of 0.2" in out
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert figures["threshold"] == 1.5 and figures["cllr"] > 0
    normalized = read_scores(tmp_path / "report" / "scores.csv").scores
    score = SpeakerRecognition.from_hparams(model, run_opts={"device": "cpu"}).verify_files(*paths)
    assert normalized[27] == pytest.approx(score.score, abs=1e-4) and score.score != score.cosine
    assert call(*given, "--target-prior", 0.5) == 0
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert figures["threshold"] == pytest.approx(1.5), "of the calibration: 3 / 2"


def test_a_model_is_not_asked_before_the_arguments_are_right(model, tmp_path, capsys) -> None:
    out = tmp_path / "report"
    given = [model, tmp_path / "trials.txt", "--data-folder", tmp_path / "data", "-o", out]
    for options, said in (
        (["--num-samples", "0"], "--num-samples must be >= 1"),
        (["--speaker-pattern", "(x).*"], "--speaker-pattern is for score files"),
        (["--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["--device", "gpu"], "device 'gpu' is none that torch knows"),
    ):
        assert call(*given, *options) == 2
        assert said in capsys.readouterr().err
        assert not out.exists()


def test_a_model_needs_more(model: Path, tmp_path: Path, capsys) -> None:
    assert call(model) == 2
    assert "needs a trial list, --data-folder" in capsys.readouterr().err
    given = [model, tmp_path / "trials.txt", "--data-folder", tmp_path / "flat", "-o", tmp_path]
    assert call(*given) == 2
    assert "not VoxCeleb" in capsys.readouterr().err
