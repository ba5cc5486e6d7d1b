"""The journal of a demo, and the recipe stages as told by its log."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sb_alexa.demo.journal import DemoJournal
from sb_alexa.demo.narration import Narrator
from sb_alexa.demo.plan import Plan, Stage
from sb_alexa.demo.recipe_stage import RecipeCall, run_recipe_stages
from sb_alexa.demo.settings import DemoFiles, DemoSettings
from sb_alexa.demo.terminal import StatusLine


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_time_adds_up_over_interruptions(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "demo.json"
    journal = DemoJournal(path, {"seed": 0}, clock=clock)
    with pytest.raises(KeyboardInterrupt), journal.working():
        clock.now = 10.0
        raise KeyboardInterrupt
    clock.now = 1000.0
    with DemoJournal(path, {"seed": 0}, clock=clock).working(since=998.0) as journal:
        clock.now = 1005.0
        assert journal.seconds_total == 17.0
        journal.complete()
        clock.now = 1500.0
    # Looking at a finished demo again takes nothing.
    with DemoJournal(path, {"seed": 0}, clock=clock).working() as journal:
        clock.now = 2000.0
        journal.complete()
    assert DemoJournal(path, {"seed": 0}, clock=clock).seconds_total == 17.0


def test_stages_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    DemoJournal(path, {"seed": 0}).finish("recipe")
    journal = DemoJournal(path, {"seed": 0})
    assert journal.is_done("recipe") and not journal.is_done("everything")


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    DemoJournal(path, {"seed": 0, "hours": 3.0}).finish("recipe")
    with pytest.raises(ValueError, match="made with seed 0, hours 3.0, not seed 1, hours 3.0"):
        DemoJournal(path, {"seed": 1, "hours": 3.0})


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text('{"arguments": ')
    with pytest.raises(ValueError, match="is damaged; delete"):
        DemoJournal(path, {"seed": 0})


def test_recipe_call_is_that_of_the_yaml(tmp_path: Path) -> None:
    call = RecipeCall.plan(DemoSettings(seed=7), DemoFiles(tmp_path))
    assert f"--data_folder={tmp_path / 'corpus'}" in call.options
    assert "--seed=7" in call.options
    assert not [option for option in call.options if "steps" in option]
    assert 0 < call.ctc_only_steps < call.num_steps
    assert call.test_split.startswith("test")


def test_fewer_steps_shorten_the_schedules_in_proportion(tmp_path: Path) -> None:
    whole = RecipeCall.plan(DemoSettings(), DemoFiles(tmp_path))
    half = RecipeCall.plan(DemoSettings(num_steps=whole.num_steps // 2), DemoFiles(tmp_path))
    assert half.num_steps == whole.num_steps // 2
    assert half.ctc_only_steps == pytest.approx(whole.ctc_only_steps / 2, abs=1)
    options = dict(option[2:].split("=") for option in half.options)
    assert int(options["num_steps"]) == half.num_steps
    assert 0 < int(options["warmup_steps"]) < half.num_steps


@dataclass(frozen=True)
class FakeCall(RecipeCall):
    """Logs steps instead of training."""

    folder: Path
    steps: tuple[int, ...]

    def run(self) -> None:
        with (self.folder / "train_log.jsonl").open("a") as file:
            for step in self.steps:
                event = {"event": "train", "step": step, "seconds": float(step), "loss": 1.0}
                file.write(json.dumps(event) + "\n")


def tell(folder: Path, *steps: int) -> list[str]:
    """The lines that stay while a recipe of 40 steps logs the given ones."""
    files = DemoFiles(folder)
    files.model.mkdir(parents=True, exist_ok=True)
    call = FakeCall(("--seed=0",), 40, 10, "train-clean", "test-clean", files.model, steps)
    stages = [Stage(key, key.title(), 10.0) for key in ("prepare", "train", "test")]
    stream = io.StringIO()
    narrator = Narrator(Plan(stages), StatusLine(stream))
    run_recipe_stages(call, files, narrator)
    return [line for line in stream.getvalue().splitlines() if "left in all" not in line]


def test_stages_follow_from_the_log(tmp_path: Path) -> None:
    lines = tell(tmp_path, 10, 20, 30, 40)
    assert lines[0].strip() == "sb-alexa recipe LibriSpeech/ASR mini --seed=0"
    assert [line[:14] for line in lines[1:]] == ["[1/3] Prepare ", "[2/3] Train   "]
    assert "40 steps" in lines[2]


def test_a_resumed_run_says_where_it_goes_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ended before step 40"):
        tell(tmp_path, 10, 20)
    assert tell(tmp_path, 30, 40)[1].strip() == "continues near step 20 of 40"


def test_a_trained_run_is_only_tested(tmp_path: Path) -> None:
    tell(tmp_path, 40)
    assert tell(tmp_path) == []
