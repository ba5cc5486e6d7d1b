"""Jobs whose command is a small program in the place of the recipe."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from sb_alexa.bench import recipe_jobs
from sb_alexa.bench.recipe_jobs import RecipeFailed, RecipeJob, run_jobs
from sb_alexa.demo.terminal import StatusLine

# Writes when it began and ended, and what the test asks for in between.
_PROGRAM = """\
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1]); folder.mkdir(parents=True, exist_ok=True)
begun = time.monotonic()
{body}
(folder / "results.json").write_text(json.dumps([begun, time.monotonic()]))
"""
# As the recipe in training: SIGTERM is honoured after the step, with a checkpoint.
_TRAINING = """\
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
(folder / "started").touch()
while not stop: time.sleep(0.01)
time.sleep(0.1); (folder / "checkpoint").touch(); sys.exit(130)
"""


@dataclass(frozen=True)
class FakeJob(RecipeJob):
    body: str = "time.sleep(0.2)"

    def command(self) -> list[str]:
        return [sys.executable, "-c", _PROGRAM.format(body=self.body), str(self.folder)]


def job(folder: Path, name: str, *needs: str, body: str = "time.sleep(0.2)") -> FakeJob:
    return FakeJob(
        name, "LibriSpeech/ASR", "mini", folder / name, 0, 4, dict, needs=needs, body=body
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_jobs, "_POLL_SECONDS", 0.01)


def run(jobs: list[FakeJob], folder: Path, num_parallel: int = 2) -> str:
    stream = io.StringIO()
    run_jobs(jobs, num_parallel=num_parallel, folder=folder, status=StatusLine(stream))
    return stream.getvalue()


def interval(job: RecipeJob) -> tuple[float, float]:
    begun, ended = json.loads((job.folder / "results.json").read_text())
    return begun, ended


def test_needs_come_first_and_two_run_at_a_time(tmp_path: Path) -> None:
    first = job(tmp_path, "first")
    others = [job(tmp_path, name, "first", body="time.sleep(0.5)") for name in "abc"]
    text = run([first, *others], tmp_path)
    spans = [interval(one) for one in others]
    assert interval(first)[1] < min(begun for begun, _ in spans)
    at_once = [sum(b <= begun < e for b, e in spans) for begun, _ in spans]
    assert max(at_once) == 2
    assert "a: finished after" in text and "of 4 runs done" in text


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a"), job(tmp_path, "b", "a")]
    run(jobs[:1], tmp_path)
    before = interval(jobs[0])
    assert "finished before: a" in run(jobs, tmp_path)
    assert interval(jobs[0]) == before
    assert interval(jobs[1])[0] > before[1]


def test_each_run_has_one_thread_and_a_log(tmp_path: Path) -> None:
    body = "print('threads', os.environ['OMP_NUM_THREADS'])"
    run([job(tmp_path, "a", body=body)], tmp_path)
    assert (tmp_path / "logs" / "a.txt").read_text() == "threads 1\n"


def test_an_error_shows_the_log_and_stops_the_others_well(tmp_path: Path) -> None:
    wait = "while not (folder.parent / 'b' / 'started').exists(): time.sleep(0.01)\n"
    bad = job(tmp_path, "a", body=wait + "print('first'); sys.exit('no such corpus')")
    good = job(tmp_path, "b", body=_TRAINING)
    with pytest.raises(RecipeFailed, match=r"a ended with exit code 1[\s\S]*no such corpus"):
        run([bad, good], tmp_path)
    assert (good.folder / "checkpoint").exists()


def test_a_run_without_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeFailed, match=r"exit code 0 and without .*results\.json"):
        run([job(tmp_path, "a", body="sys.exit(0)")], tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_lets_the_runs_save(tmp_path: Path, number: signal.Signals) -> None:
    jobs = [job(tmp_path, name, body=_TRAINING) for name in "ab"]
    waiting = job(tmp_path, "c")

    def interrupt() -> None:
        while not all((one.folder / "started").exists() for one in jobs):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        run([*jobs, waiting], tmp_path)
    assert all((one.folder / "checkpoint").exists() for one in jobs)
    assert not waiting.folder.exists()


def test_runs_left_behind_keep_others_out(tmp_path: Path) -> None:
    """A second command would train into the same folders."""
    with recipe_jobs._sole_use(tmp_path) as lock:
        left_behind = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            pass_fds=(lock.fileno(),),
        )
    try:
        with pytest.raises(ValueError, match="still work in"):
            run([job(tmp_path, "a")], tmp_path)
    finally:
        left_behind.communicate(b"\n")
    run([job(tmp_path, "a")], tmp_path)


def test_command_is_the_recipes(tmp_path: Path) -> None:
    keys = {"data_folder": "corpus", "test_splits": []}
    one = RecipeJob("a", "LibriSpeech/ASR", "mini", tmp_path / "a", 3, 40, lambda: keys)
    assert one.command()[1:] == [
        *("-m", "sb_alexa.cli", "recipe", "LibriSpeech/ASR", "mini"),
        *(f"--output_folder={tmp_path / 'a'}", "--seed=3", "--num_steps=40"),
        *("--data_folder=corpus", "--test_splits=[]", "--noprogressbar"),
    ]


def test_another_training_in_the_folder_is_refused(tmp_path: Path) -> None:
    one = job(tmp_path, "a")
    one.check_earlier_run()
    (one.folder / "run").mkdir(parents=True)
    (one.folder / "run" / "train.yaml").write_text("seed: 0\nnum_steps: 4\n")
    one.check_earlier_run()
    (one.folder / "run" / "train.yaml").write_text("seed: 0\nnum_steps: 5\n")
    with pytest.raises(ValueError, match="num_steps 5, asked for is 4"):
        one.check_earlier_run()


def test_progress_counts_what_was_begun_before(tmp_path: Path) -> None:
    one = job(tmp_path, "a")
    one.folder.mkdir()
    event = {"event": "train", "step": 3, "epoch": 1, "seconds": 1.0, "loss": 2.0}
    (one.folder / "train_log.jsonl").write_text(json.dumps(event) + "\n")
    assert one.step == 3
    text = run([one], tmp_path)
    assert "a step 3 of 4" in text and "left" not in text  # no step was made in this session


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_parallel must be >= 1"):
        run([job(tmp_path, "a")], tmp_path, num_parallel=0)
    with pytest.raises(ValueError, match="b needs a, which must stand before it"):
        run([job(tmp_path, "b", "a"), job(tmp_path, "a")], tmp_path)
