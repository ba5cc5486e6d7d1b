"""The training loop: resumption, accumulation, processes, batches that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from speechbrain import Stage
from torch import Tensor

from sb_alexa.training.experiment import NonFiniteError
from sb_alexa.training.interruption import TrainingStopped
from tests.training import toy


def same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    assert first.keys() == second.keys()
    return all((first[name] - second[name]).abs().max() <= tolerance for name in first)


def trained(folder: Path, **settings: Any) -> tuple[toy.ToyExperiment, dict[str, Tensor]]:
    experiment, loader, counter = toy.make_experiment(folder, **settings)
    experiment.fit(counter, loader)
    return experiment, toy.weights(experiment)


@pytest.mark.parametrize("die_after", [2, 4, 5])
def test_a_killed_and_resumed_run_ends_with_the_same_bits(tmp_path: Path, die_after: int) -> None:
    # Dropout and accumulation are the hard parts: random states and half-accumulated gradients.
    settings = {"steps": 6, "dropout": 0.2, "global_batch": 2, "grad_accumulation_factor": 2}
    whole_folder, killed_folder = tmp_path / "whole", tmp_path / "killed"
    whole_folder.mkdir(), killed_folder.mkdir()
    _, expected = trained(whole_folder, **settings)
    interval = {"ckpt_interval_steps": 1}
    experiment, loader, counter = toy.make_experiment(killed_folder, run_opts=interval, **settings)
    experiment.die_after = die_after
    with pytest.raises(RuntimeError, match="killed"):
        experiment.fit(counter, loader)
    resumed, found = trained(killed_folder, run_opts=interval, **settings)
    assert resumed.optimizer_step == 6
    assert len(resumed.seen) < 12, "the resumed run started from the beginning"
    assert same(expected, found)


def test_a_request_to_stop_saves_and_the_rerun_finishes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    _, expected = trained(tmp_path / "a", steps=5)
    experiment, loader, counter = toy.make_experiment(tmp_path / "b", steps=5)
    compute = experiment.compute_objectives

    def interrupt(predictions: Any, batch: Any, stage: Stage) -> Tensor:
        if experiment.optimizer_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return compute(predictions, batch, stage)

    experiment.compute_objectives = interrupt  # type: ignore[method-assign]
    with pytest.raises(TrainingStopped, match="run the same command to resume"):
        experiment.fit(counter, loader)
    assert experiment.optimizer_step == 2
    _, found = trained(tmp_path / "b", steps=5)
    assert same(expected, found)


def test_a_changed_training_set_restarts_the_interrupted_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, loader, counter = toy.make_experiment(
        tmp_path, steps=6, run_opts={"ckpt_interval_steps": 1}
    )
    experiment.die_after = 2
    with pytest.raises(RuntimeError, match="killed"):
        experiment.fit(counter, loader)
    resumed, _ = trained(tmp_path, steps=6, global_batch=3)
    assert "interrupted epoch starts anew" in caplog.text
    assert len(resumed.seen) == 5  # steps 2 to 6


def test_accumulated_batches_give_the_gradient_of_the_whole(tmp_path: Path) -> None:
    # 12 utterances in batches of 5, 5, 2 accumulated to one step = one batch of 12; BatchNorm would
    # differ.
    def without_batch_norm(settings: dict[str, Any]) -> dict[str, Tensor]:
        experiment, loader, counter = toy.make_experiment(
            tmp_path, steps=1, optimizer="SGD", double=True, checkpoints=False, **settings
        )
        experiment.modules.train = lambda mode=True: torch.nn.Module.train(
            experiment.modules, False
        )  # type: ignore
        experiment.fit(counter, loader)
        return toy.weights(experiment)

    whole = without_batch_norm({"global_batch": 12})
    parts = without_batch_norm({"global_batch": 5, "grad_accumulation_factor": 3})
    trailing = without_batch_norm({"global_batch": 5, "grad_accumulation_factor": 4})
    assert same(whole, parts, 1e-12)
    assert same(whole, trailing, 1e-12), "the last micro-batches of the epoch were discarded"


def test_batches_differ_between_epochs(tmp_path: Path) -> None:
    experiment, _ = trained(tmp_path, steps=6)
    first, second = experiment.seen[:3], experiment.seen[3:]
    assert sorted(sum(first, [])) == sorted(sum(second, []))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def poison(experiment: toy.ToyExperiment, loader: Any) -> None:
    experiment.poison = frozenset(utterance.id for utterance in loader.dataset.utterances)


def test_a_nan_batch_is_reported_and_never_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, loader, counter = toy.make_experiment(
        tmp_path, steps=1, checkpoints=False, run_opts={"nonfinite_patience": 3}
    )
    before = toy.weights(experiment)
    poison(experiment, loader)
    finish = experiment.on_stage_end

    def heal(*args: Any) -> None:
        assert experiment.nonfinite_count == 3, "all three batches of the epoch are poisoned"
        assert same(before, toy.weights(experiment)), "parameters or running statistics changed"
        experiment.poison = frozenset()
        finish(*args)

    experiment.on_stage_end = heal  # type: ignore[method-assign]
    with pytest.raises(AssertionError):  # heal() runs again after the healthy epoch
        experiment.fit(counter, loader)
    assert experiment.optimizer_step == 1
    assert "Skipped batch 1 of epoch 1: its loss is not finite" in caplog.text
    assert not same(before, toy.weights(experiment)), "training did not go on"


def test_too_many_nan_batches_stop_training(tmp_path: Path) -> None:
    experiment, loader, counter = toy.make_experiment(
        tmp_path, steps=50, run_opts={"nonfinite_patience": 2}
    )
    poison(experiment, loader)
    with pytest.raises(NonFiniteError, match="nonfinite_patience=2"):
        experiment.fit(counter, loader)
    assert all(tensor.isfinite().all() for tensor in toy.weights(experiment).values())


def test_a_nonfinite_gradient_is_not_applied(tmp_path: Path) -> None:
    experiment, loader, counter = toy.make_experiment(
        tmp_path, steps=1, checkpoints=False, run_opts={"nonfinite_patience": 1}
    )
    before = toy.weights(experiment)
    compute = experiment.compute_objectives

    def infinite_gradient(predictions: Any, batch: Any, stage: Stage) -> Tensor:
        loss = compute(predictions, batch, stage)
        zero = experiment.modules.joiner.output.bias.sum() * 0.0
        return loss + zero.abs().sqrt()  # value 0, gradient infinite

    experiment.compute_objectives = infinite_gradient  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError, match="gradient"):
        experiment.fit(counter, loader)
    assert experiment.nonfinite_count == 2 and experiment.optimizer_step == 0
    assert same(before, toy.weights(experiment))


def run_processes(folder: Path, number: int, *options: str) -> dict[str, Tensor]:
    output = folder / f"weights{number}.pt"
    command = [sys.executable]
    if number > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={number}"]
    command += [str(Path(toy.__file__)), str(folder), "--output", str(output), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output)


def test_two_processes_train_to_the_weights_of_one(tmp_path: Path) -> None:
    toy.write_utterances(tmp_path)
    options = ("--steps", "20", "--global_batch", "5")
    one, two = run_processes(tmp_path, 1, *options), run_processes(tmp_path, 2, *options)
    assert same(one, two, 1e-9)
    assert any("running_mean" in name for name in one), "BatchNorm is part of the claim"


def test_two_processes_skip_a_nan_batch_together(tmp_path: Path) -> None:
    toy.write_utterances(tmp_path)
    options = ("--steps", "6", "--poison", "03")  # one utterance: NaN on one of the processes only
    one, two = run_processes(tmp_path, 1, *options), run_processes(tmp_path, 2, *options)
    assert all(tensor.isfinite().all() for tensor in two.values())
    assert same(one, two, 1e-9)


def stop_in(experiment: toy.ToyExperiment, at_step: int) -> None:
    """Ask for a stop while the batch after an optimizer step is computed."""
    compute = experiment.compute_objectives

    def interrupt(predictions: Any, batch: Any, stage: Stage) -> Tensor:
        if experiment.optimizer_step == at_step and not experiment.stop.requested:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(predictions, batch, stage)

    experiment.compute_objectives = interrupt  # type: ignore[method-assign]


def test_a_stop_waits_for_the_end_of_an_accumulated_step(tmp_path: Path) -> None:
    settings = {"steps": 5, "global_batch": 2, "grad_accumulation_factor": 3}
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    _, expected = trained(tmp_path / "a", **settings)
    experiment, loader, counter = toy.make_experiment(tmp_path / "b", **settings)
    stop_in(experiment, 2)
    with pytest.raises(TrainingStopped):
        experiment.fit(counter, loader)
    assert experiment.optimizer_step == 3
    resumed, found = trained(tmp_path / "b", **settings)
    assert len(resumed.seen) == 2 * 3, "what was done before the stop was not saved"
    assert same(expected, found)


def test_a_request_during_validation_stops_after_it(tmp_path: Path) -> None:
    experiment, loader, counter = toy.make_experiment(tmp_path, steps=3)
    validate = experiment.save_epoch

    def interrupt(*args: Any, **figures: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        validate(*args, **figures)

    experiment.save_epoch = interrupt  # type: ignore[method-assign]
    with pytest.raises(TrainingStopped):
        experiment.fit(counter, loader)


def test_without_validation_every_epoch_is_saved_and_the_newest_are_tested(tmp_path: Path) -> None:
    experiment, _ = trained(tmp_path, steps=9, avg_checkpoints=2)
    assert experiment.checkpointer is not None
    found = experiment.checkpointer.find_checkpoints()
    assert [one.meta["epoch"] for one in found] == [3, 2]
    states = [torch.load(one.paramfiles["model"]) for one in found]
    experiment.on_evaluate_start(min_key="WER")
    for name, value in toy.weights(experiment).items():
        if value.is_floating_point():
            mean = (states[0][name] + states[1][name]) / 2
            assert torch.allclose(value, mean, atol=1e-7), name
    assert len(experiment.checkpointer.find_checkpoints()) == 2, "the training state is gone"


def test_a_finished_run_neither_trains_nor_saves_again(tmp_path: Path) -> None:
    first, expected = trained(tmp_path, steps=4, avg_checkpoints=3)
    assert first.checkpointer is not None
    before = sorted(one.path for one in first.checkpointer.list_checkpoints())
    again, found = trained(tmp_path, steps=4, avg_checkpoints=3)
    assert again.seen == [] and same(expected, found)
    assert again.checkpointer is not None
    # One more copy of the last weights would count twice in an average.
    assert sorted(one.path for one in again.checkpointer.list_checkpoints()) == before


def test_a_run_killed_after_its_last_step_is_still_validated(tmp_path: Path) -> None:
    options = {"ckpt_interval_steps": 1}
    experiment, loader, counter = toy.make_experiment(tmp_path, steps=2, run_opts=options)

    def die(*args: Any, **figures: float) -> None:
        raise RuntimeError("killed")

    experiment.save_epoch = die  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="killed"):
        experiment.fit(counter, loader)
    again, _ = trained(tmp_path, steps=2, run_opts=options)
    assert again.checkpointer is not None
    assert [one.meta.get("epoch") for one in again.checkpointer.find_checkpoints()][0] == 1


def test_the_loss_of_an_epoch_starts_from_nothing(tmp_path: Path) -> None:
    experiment, loader, counter = toy.make_experiment(tmp_path, steps=6, checkpoints=False)
    started = []

    def note(stage: Stage, epoch: int | None = None) -> None:
        started.append((experiment.loss_sum, experiment.loss_count))

    experiment.on_stage_start = note  # type: ignore[method-assign]
    experiment.fit(counter, loader)
    assert started == [(0.0, 0), (0.0, 0)]


def test_run_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--compile is not supported"):
        toy.make_experiment(tmp_path, steps=1, run_opts={"compile": True})


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"max_batch_seconds": 3.0}])
def test_workers_and_dynamic_batches_resume_to_the_same_bits(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    settings = {"steps": 7, "dropout": 0.2, "run_opts": {"ckpt_interval_steps": 1}, **options}
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    _, expected = trained(tmp_path / "a", **settings)
    experiment, loader, counter = toy.make_experiment(tmp_path / "b", **settings)
    experiment.die_after = 5
    with pytest.raises(RuntimeError, match="killed"):
        experiment.fit(counter, loader)
    resumed, found = trained(tmp_path / "b", **settings)
    assert 0 < len(resumed.seen) < 7
    assert same(expected, found)
