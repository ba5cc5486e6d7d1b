"""What a person sees: status line, time left, progress from the log."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sb_alexa.demo.narration import Narrator
from sb_alexa.demo.plan import Plan, Stage
from sb_alexa.demo.progress import TrainingProgress, output_to_file, polling
from sb_alexa.demo.terminal import StatusLine, minutes, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plan(clock: Clock) -> Plan:
    stages = [Stage("a", "First", 100.0), Stage("b", "Second", 200.0)]
    return Plan([*stages, Stage("live", "Live", 10.0, scales=False)], clock=clock)


def test_plan_believes_its_expectations_first(plan: Plan) -> None:
    plan.begin("a")
    assert plan.seconds_left(0.0) == pytest.approx(310.0)


def test_plan_learns_that_a_machine_is_slow(plan: Plan, clock: Clock) -> None:
    plan.begin("a")
    clock.now = 100.0
    # Half of the first stage took twice the time expected.
    slowness = (100.0 + 20.0) / (50.0 + 20.0)
    assert plan.seconds_left(0.5) == pytest.approx(250.0 * slowness + 10.0)
    clock.now = 200.0
    plan.begin("b")
    assert plan.seconds_left(0.0) == pytest.approx(200.0 * (220.0 / 120.0) + 10.0)


def test_plan_of_a_resumed_stage_counts_only_what_this_run_did(plan: Plan, clock: Clock) -> None:
    plan.begin("b", at_fraction=0.5)
    clock.now = 50.0
    assert plan.seconds_left(0.75) == pytest.approx(50.0 + 10.0)


def test_stages_at_the_speed_of_speech_do_not_scale(plan: Plan, clock: Clock) -> None:
    plan.begin("a")
    clock.now = 1000.0
    plan.begin("live")
    assert plan.seconds_left(0.0) == 10.0
    assert plan.seconds_left(0.5) == 5.0


def test_fraction_by_time_never_says_done(plan: Plan, clock: Clock) -> None:
    plan.begin("a")
    clock.now = 50.0
    assert plan.fraction_by_time() == 0.5
    clock.now = 5000.0
    assert plan.fraction_by_time() == 0.95


def test_status_is_rewritten_on_a_terminal() -> None:
    terminal = Terminal()
    status = StatusLine(terminal)
    status.show("one")
    status.show("two")
    status.finish("done")
    assert terminal.getvalue() == "\r\x1b[2Kone\r\x1b[2Ktwo\r\x1b[2Kdone\n"


def test_status_fits_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    size = os.terminal_size((11, 24))
    monkeypatch.setattr("shutil.get_terminal_size", lambda: size)
    terminal = Terminal()
    status = StatusLine(terminal)
    status.show("abcdefghijklmnop")
    status.show("abcdefghijklmnop", keep_end=True)
    assert terminal.getvalue().split("\r\x1b[2K") == ["", "abcdefghi…", "…hijklmnop"]


def test_log_file_gets_few_lines_and_no_control_characters(clock: Clock) -> None:
    file = io.StringIO()
    status = StatusLine(file, log_interval_seconds=15.0, clock=clock)
    for clock.now in range(40):
        status.show(f"at {clock.now}")
    status.finish("done")
    assert file.getvalue().splitlines() == ["at 0", "at 15", "at 30", "done"]


def test_bar_and_minutes() -> None:
    assert progress_bar(-1.0, width=4) == "░░░░"
    assert progress_bar(2.0, width=4) == "████"
    assert minutes(59.7) == "1 min"
    assert minutes(0.2) == "0 s"


def test_narrator_tells_stage_progress_and_time_left(plan: Plan, clock: Clock) -> None:
    file = io.StringIO()
    narrator = Narrator(plan, StatusLine(file, log_interval_seconds=0.0), clock=clock)
    narrator.begin("a")
    narrator.show("step 5 of 10", 0.5)
    clock.now = 65.0
    narrator.done("10 steps")
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("[1/3] First")
    assert "████████████░░░░░░░░░░░░  step 5 of 10  about 1 min" in lines[1]
    assert lines[-1] == "[1/3] First    10 steps  (1 min 5 s)"


def write_log(folder: Path, *events: dict) -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"seconds": 1.0, **event}) + "\n" for event in events]
    (folder / "train_log.jsonl").write_text("".join(lines))


def test_progress_follows_the_log(tmp_path: Path) -> None:
    assert TrainingProgress.read(tmp_path / "none") == TrainingProgress()
    train = {"event": "train", "step": 10, "loss": 4.0}
    valid = {"event": "valid", "step": 20, "loss": 5.0, "wer": 50.0}
    write_log(tmp_path, train, valid)
    assert TrainingProgress.read(tmp_path) == TrainingProgress(20, 4.0, 50.0)


def test_progress_counts_quick_steps_less() -> None:
    halfway = TrainingProgress(step=50)
    assert halfway.fraction(100, 0) == 0.5
    assert halfway.fraction(100, 50) < 0.5
    assert TrainingProgress(step=120).fraction(100, 50) == 1.0


def test_polling_goes_on_until_the_block_ends() -> None:
    calls = []
    thrice = threading.Event()

    def call() -> None:
        calls.append(threading.current_thread())
        if len(calls) >= 3:
            thrice.set()

    with polling(call, seconds=0.001):
        assert thrice.wait(timeout=10.0)
    num_calls = len(calls)
    assert threading.current_thread() not in calls
    assert not calls[-1].is_alive()
    assert len(calls) == num_calls


def test_output_goes_to_the_file_and_comes_back(tmp_path: Path) -> None:
    """Python's own output, that of a child process, and after an error."""
    script = f"""
import os, sys
from pathlib import Path
from sb_alexa.demo.progress import output_to_file
print("before")
try:
    with output_to_file(Path({str(tmp_path / "log")!r})) as terminal:
        print("library")
        os.system("echo child")
        print("warning", file=sys.stderr)
        terminal.write("for people\\n")
        terminal.flush()
        raise ValueError
except ValueError:
    pass
print("after")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["before", "for people", "after"]
    assert done.stderr == ""
    assert sorted((tmp_path / "log").read_text().split()) == ["child", "library", "warning"]


def test_output_to_file_is_a_context(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with output_to_file(tmp_path / "sub" / "log") as terminal:
        os.write(1, b"hidden\n")
        terminal.write("seen\n")
        terminal.flush()
    os.write(1, b"seen again\n")
    assert capfd.readouterr().out == "seen\nseen again\n"
