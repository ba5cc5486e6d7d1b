"""The log of a run and the picture made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sb_alexa.training.learning_curves import plot_learning_curves
from sb_alexa.training.run_log import RunLog, read_events


def event(name: str, step: int, **figures: Any) -> dict[str, Any]:
    return {"event": name, "step": step, "epoch": 1, "seconds": 0.5 * step, **figures}


def test_a_resumed_run_forgets_what_it_makes_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (10, 20, 30):
        log.write(event("train", step, loss=1.0))
    log.write(event("test", 30, split="test-clean", loss=1.0, wer=5.0))
    log.forget_after(20)
    assert [(one["event"], one["step"]) for one in read_events(tmp_path)] == [
        ("train", 10),
        ("train", 20),
    ]


def test_a_test_set_has_one_result(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for split in ("test-clean", "test-other"):
        log.write(event("test", 30, split=split, loss=1.0, wer=5.0))
    log.forget_test("test-clean")
    assert [one["split"] for one in read_events(tmp_path)] == ["test-other"]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(event("train", 10, loss=1.0))
    with open(tmp_path / "train_log.jsonl", "a") as file:
        file.write('{"event": "tra')
    assert [one["step"] for one in read_events(tmp_path)] == [10]


def test_tensorboard_shows_each_step_once_after_a_resumption(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path, tensorboard=True)
    for step in (10, 20, 30):
        log.write(event("train", step, loss=1.0))
    log.write(event("train", 30, loss=7.0, end_of_epoch=True))
    for split, wer in (("test-clean", 5.0), ("test-other", 9.0)):
        log.write(event("test", 30, split=split, loss=1.0, wer=wer))
    resumed = RunLog(tmp_path, tensorboard=True)
    resumed.forget_after(10)
    resumed.write(event("train", 20, loss=2.0))
    shown = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [(one.step, one.value) for one in shown.Scalars("train/loss")] == [(10, 1.0), (20, 2.0)]
    assert {"test/test-clean/wer", "test/test-other/wer"} <= set(shown.Tags()["scalars"])


def test_the_picture_needs_no_validation_and_shows_a_test_worse_than_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    figure = pytest.importorskip("matplotlib.figure")
    save = figure.Figure.savefig

    def keep(self: Any, *args: Any, **options: Any) -> None:
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(figure.Figure, "savefig", keep)
    log = RunLog(tmp_path)
    log.write(event("train", 10, loss=30.0))
    assert plot_learning_curves(tmp_path) == tmp_path / "learning_curves.png"
    log.write(event("valid", 10, loss=30.0, wer=5.0))
    log.write(event("test", 10, split="test-other", loss=30.0, wer=12.0))
    plot_learning_curves(tmp_path)
    assert figures[-1].axes[1].get_ylim()[1] > 12.0
