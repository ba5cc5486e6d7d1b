"""`sb-alexa audit` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sb_alexa import cli
from sb_alexa.commands.audit_inputs import normalized
from sb_alexa.fairness.cohort_model import CohortModel
from tests.audit_tables import ZIPS, audit_table, write_table
from tests.html_page import parse


def call(*arguments: object) -> int:
    return cli.main(["audit", *map(str, arguments), "--num-samples", "100"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder / "before.csv", audit_table())
    write_table(folder / "after.csv", audit_table(seed=1, better=0.6))
    lines = [f"{code},{share}" for code, share in zip(ZIPS, (0.2, 0.4, 0.6, 0.8), strict=True)]
    (folder / "census.csv").write_text("\n".join(["zip,renters", *lines]) + "\n")
    names = sorted(set(audit_table().speakers))
    np.savez(folder / "voices.npz", names=names, embeddings=np.random.rand(len(names), 4))
    return folder


def test_an_audit(files: Path, tmp_path: Path, capsys) -> None:
    report, path = tmp_path / "report", tmp_path / "audit.json"
    options = ["--by", "accent,sex", "accent+sex", "-o", report, "--json", path]
    options += ["--attributes", files / "census.csv", "--embeddings", files / "voices.npz"]
    assert call(files / "before.csv", *options) == 0
    out = capsys.readouterr().out
    table = audit_table()
    wer = 100 * table.errors.sum() / table.words.sum()
    figures = json.loads(path.read_text())["figures"]
    assert figures["wer"] == pytest.approx(wer) and f"WER {wer:.2f} [" in out
    assert figures["gap_accent_low"] > 0 and "## By accent & sex" in out
    page = (report / "index.html").read_text()
    assert f"{wer:.2f}" in parse(page).text and "http" not in page and "<script" not in page
    assert (report / "report.md").read_text().strip() in out
    model = CohortModel.load(report / "regions.json")
    assert model.assign({"latitude": [31.0], "longitude": [-109.0]}).tolist() == ["R1"]
    assert {p.name for p in report.iterdir()} == {
        *("index.html", "report.md", "regions.json", "zip_cohorts.json", "voice_cohorts.json")
    }
    # What was found is applied to other speakers.
    assert call(files / "after.csv", "--cohorts", report / "regions.json", "--no-map") == 0
    assert "## By regions" in capsys.readouterr().out


def test_a_reader_who_leaves_early_takes_no_file_with_him(files: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sb_alexa.cli", "audit", "before.csv", "--no-map", "-o"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "report")], cwd=files, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0
    assert (tmp_path / "report" / "index.html").is_file()


def test_before_and_after(files: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "audit.json"
    compared = ["--by", "accent", "--no-map", "--json", path]
    assert call("--compare", files / "before.csv", files / "after.csv", *compared) == 0
    out = capsys.readouterr().out
    assert out.startswith("after: 1,920 utterances") and "## Minus before" in out
    figures = json.loads(path.read_text())["figures"]
    assert figures["after_accent_hard_wer_difference_high"] < 0
    assert figures["after_worst_accent_wer_difference"] < 0
    names = json.loads(path.read_text())["names"]
    assert names["system"] == "after" and names["base"] == "before"
    assert names["worst_accent"] in ("hard", "plain", "other")
    assert call(files / "after.csv", "--compare", files / "before.csv", *compared) == 0
    assert capsys.readouterr().out == out, "the two ways to say it are the same"


def test_the_gap_decides_about_the_exit_code(files: Path, capsys) -> None:
    options = [files / "before.csv", "--by", "accent", "--no-map", "--max-gap"]
    assert call(*options, 50) == 0
    assert "within the 50 allowed" in capsys.readouterr().out
    assert call(*options, 1) == 1
    assert "points, by accent; more than the 1 allowed" in capsys.readouterr().out
    # What nobody asked for is judged only where nothing was asked for.
    assert call(files / "before.csv", "--by", "sex", "--max-gap", 4) == 0
    assert "points, by sex; within the 4 allowed" in capsys.readouterr().out
    assert call(files / "before.csv", "--max-gap", 4) == 1
    assert "by found region; more than the 4 allowed" in capsys.readouterr().out
    assert call(files / "before.csv", "--no-map", "--max-gap", 1) == 2
    assert "no column has two groups" in capsys.readouterr().err


def test_hypotheses_in_files_of_their_own(tmp_path: Path, capsys) -> None:
    (tmp_path / "ref.tsv").write_text("a-1\tone two\na-2\tthree\nb-1\tfour five six\n")
    (tmp_path / "x.tsv").write_text("a-1\tOne, two.\na-2\tthree\nb-1\tfour five six\nc-1\tso\n")
    (tmp_path / "y.tsv").write_text("b-1\tfour five\na-1\tone two\na-2\tthree\n")
    (tmp_path / "SPEAKERS.TXT").write_text(";ID |SEX|\na | F | x | 1.0 | A\nb | M | x | 2.0 | B\n")
    options = ["--hypotheses", tmp_path / "x.tsv", tmp_path / "y.tsv", "--normalize"]
    options += ["--speaker-pattern", "(.)-.", "--speakers", tmp_path / "SPEAKERS.TXT"]
    assert call(tmp_path / "ref.tsv", *options, "--by", "gender") == 0
    out = capsys.readouterr().out
    assert "y: 3 utterances of 2 speakers, 6 words" in out and "WER 16.67" in out
    assert "1 utterances of " in out and "are left out: c-1" in out
    assert "shown, neither ranked nor tested" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "acent"], "no column 'acent'. Did you mean accent? There are: accent, sex"),
        (["--by", "zip"], "--by: 'zip' says what an utterance is or where"),
        (["--by", "accent+speaker"], "--by: 'speaker' says what an utterance is or where"),
        (["--by", "accent", "--utterance-columns", "sex"], "'sex' is not among the columns of"),
        (["--geo", "lat", "lon"], "no column 'lat', which is said to hold latitude."),
        (["--geo", "latitude"], "--geo takes two columns, of latitude and of longitude, got"),
        (["--zip", "zap"], "no column 'zap', which is said to hold zip. Did you mean zip?"),
        (["--names", "speker=x"], "no 'speker' to rename. Did you mean speaker?"),
        (["--names", "speaker"], "'speaker' is not OURS=THEIRS"),
        (["--num-samples", "0"], "--num-samples must be >= 1, got 0"),
        (["--seed", "-1"], "--seed must be >= 0, got -1"),
        (["--max-gap", "-1"], "--max-gap is a number of points >= 0, got -1"),
        (["--compare", "x.csv"], "x.csv does not exist"),
        (["--speakers", "x.csv"], "x.csv"),
        (["--cohorts", "before.csv"], "before.csv is not JSON"),
        (["--embeddings", "before.csv"], "before.csv is no NumPy archive with the arrays names"),
        (["--attributes", "voices.npz"], "voices.npz is not UTF-8 text"),
        (["--attributes", "nothing.csv"], "attribute table nothing.csv does not exist"),
        (["-o", "before.csv"], "-o before.csv is a file; name a folder"),
        (["--json", "."], "--json . is a folder; name a file"),
    ],
)
def test_bad_input(files: Path, options: list[str], said: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(files)
    assert cli.main(["audit", "before.csv", *options]) == 2
    assert said in capsys.readouterr().err


def test_tables_that_are_not_there(files: Path, capsys) -> None:
    for arguments, said in (
        ([], "name a table of transcripts"),
        (["--compare", "a.csv"], "--compare a.csv is the base; name the table to compare"),
        (["--compare", "a", "b", "--hypotheses", "c"], "--hypotheses belong to the references"),
    ):
        assert cli.main(["audit", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_texts_of_all_scripts_are_normalized() -> None:
    for one, other, is_same in (
        ("नमस्ते, दुनिया।", "नमस्ते दुनिया", True),
        ("मैं", "में", False),
        ("naïve café", "naïve cafe\u0301", True),
        ("مرحبا\u200f، يا عالم", "مرحبا يا عالم", True),
        ("''It's'' the dogs' — well-known", "it’s the dogs well known", True),
    ):
        assert (normalized(one).split() == normalized(other).split()) is is_same, one
    assert len(normalized("สวัสดีครับ ผม").split()) == 2


def test_groups_that_are_too_small_are_not_judged_in_silence(files: Path, capsys) -> None:
    options = [files / "before.csv", "--by", "town", "--no-map", "--max-gap", 90]
    table = (files / "before.csv").read_text().splitlines()
    header = table[0].split(",")
    who = header.index("speaker")
    rows = [line + ",rare" if line.split(",")[who] < "s003" else line + ",usual" for line in table]
    rows = [line.replace(",usual", ",other") if "s1" in line else line for line in rows[1:]]
    (files / "towns.csv").write_text("\n".join([table[0] + ",town", *rows]) + "\n")
    assert call(files / "towns.csv", *options[1:]) == 0
    assert "Not judged: 1 groups with too few speakers" in capsys.readouterr().out


def test_what_would_be_lost_is_found_before_measuring(files: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    for option in ("-o", "--json"):
        assert call(files / "before.csv", option, tmp_path / "file" / "there") == 2
        shown = capsys.readouterr()
        assert f"{option}: nothing can be written to" in shown.err and not shown.out
