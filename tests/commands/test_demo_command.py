"""`sb-alexa demo` from end to end on a few sentences, stopped and resumed on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb_alexa import cli
from sb_alexa.commands import demo

# The real corpus would take the tests too long: 4 readers say 6 sentences each.
SCRIPT = """
import sys
import sb_alexa.demo.pipeline as pipeline
from sb_alexa.cli import main
from sb_alexa.corpora.librispeech_layout import SplitSpec
tiny = {"train-clean": SplitSpec(4, 6), "dev-clean": SplitSpec(2, 2), "test-clean": SplitSpec(3, 2)}
pipeline.default_splits = lambda **arguments: tiny
sys.exit(main(["demo", *sys.argv[1:]]))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(log: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        lines = log.read_text().splitlines() if log.is_file() else []
        if any(json.loads(line)["step"] >= step for line in lines):
            return
        time.sleep(0.05)
    pytest.fail(f"the demo did not get to step {step}: {process.communicate(timeout=60)}")


@pytest.mark.slow
def test_demo_is_stopped_resumed_and_shown_again(tmp_path: Path) -> None:
    output, figures = tmp_path / "demo", tmp_path / "figures.json"
    arguments = ("--output", output, "--steps", 60, "--json", figures)

    process = start(*arguments)
    wait_for_step(output / "model" / "train_log.jsonl", 10, process)
    process.send_signal(signal.SIGINT)
    told, complained = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "sb-alexa: interrupted; stopped after step" in complained
    assert "[1/5] Corpus" in told and "WER" not in told.splitlines()[-1]
    assert not figures.exists()

    process = start(*arguments)
    told, complained = process.communicate(timeout=600)
    assert process.returncode == 0, complained + (output / "demo.log").read_text()
    assert "continues near step" in told
    for line in ("[3/5] Train    60 steps", "[4/5] Test     WER", "[5/5] Live     speaker"):
        assert line in told
    assert f"sb-alexa transcribe {output / 'model'} recording.wav --stream" in told
    content = json.loads(figures.read_text())
    assert content["command"] == "demo"
    # No step is trained twice, none is left out.
    log = (output / "model" / "train_log.jsonl").read_text().splitlines()
    steps = [e["step"] for e in map(json.loads, log) if e["event"] == "train"]
    assert steps == sorted(steps) and steps[-1] == 60
    page = (output / "demo.html").read_text()
    assert "Streaming, live" in page
    assert (output / "demo.png").stat().st_size > 10_000

    process = start(*arguments, "--no-live")
    told, complained = process.communicate(timeout=300)
    assert process.returncode == 0, complained
    assert "trained and tested earlier" in told
    again = json.loads(figures.read_text())["figures"]
    for name in ("wer", "wer_low", "wer_high", "seconds_training", "seconds_total"):
        assert again[name] == pytest.approx(content["figures"][name], abs=0.01)

    process = start("--output", output, "--seed", 1)
    _, complained = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "choose another --output" in complained


def test_missing_extra_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "_is_installed", lambda name: name != "espeakng_loader")
    assert cli.main(["demo", "--output", str(tmp_path / "demo")]) == 2
    message = capsys.readouterr().err
    assert "needs espeakng_loader" in message and "pip install 'sb-alexa[demo]'" in message
    assert not (tmp_path / "demo").exists()


def test_too_few_steps_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["demo", "--output", str(tmp_path / "demo"), "--steps", "3"]) == 2
    assert "num_steps must be >= 10" in capsys.readouterr().err
