"""The recipe with an encoder that has arbitrators: both phases, resumption, random gates."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.training.configuration import Configuration, ConfigurationError
from sb_alexa.training.run_log import read_events
from tests.recipes.conftest import MINI, TRAIN, Run, arguments, output_of

SIZES = {
    "d_model": 16, "nhead": 2, "num_layers": 2, "d_ffn": 64, "left_context_frames": 5,
    "max_symbols_per_frame": 2,
}  # fmt: skip
# CTC for two steps, soft gates until step 3, then three steps, of which the last takes the gates of
# evaluation; they do not reach the target.
GATES = {
    "toggles": "query_key", "feed_forward_groups": 4, "arbitrator_hidden_size": 4,
    "phase_one_steps": 3, "cost_weight": 1.0, "straight_through_steps": 1, "frozen_steps": 1,
    "cost_ramp_steps": 1, "target_compute": 0.5, "avg_checkpoints": 2,
}  # fmt: skip


def amortized(corpus: Path, output: Path, **options: object) -> list[str]:
    recipe = MINI.with_name("amortized_mini.yaml")
    return arguments(corpus, output, recipe=recipe, sizes={**SIZES, **GATES, **options})


def random(corpus: Path, output: Path, **options: object) -> list[str]:
    recipe = MINI.with_name("amortized_mini_random.yaml")
    return arguments(corpus, output, recipe=recipe, sizes={**SIZES, "ctc_only_steps": 0, **options})


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "wer" / "test-clean.jsonl").open()]


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run."""
    output = tmp_path_factory.mktemp("finished")
    done = subprocess.run(
        [sys.executable, str(TRAIN), *amortized(corpus, output)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, output_of(done)[-3000:]
    return output


def test_results_tell_what_was_computed(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())["test-clean"]
    lines = lines_of(finished)
    spent, dense = (sum(line[key] for line in lines) for key in ("gated_macs", "dense_macs"))
    assert results["compute"] == pytest.approx(spent / dense)
    for kind in ("query_rate", "key_rate", "feed_forward_rate"):
        assert 0 <= results[kind] <= 1
    measured = [event for event in read_events(finished) if event["event"] in ("valid", "test")]
    assert [event["step"] for event in measured] == [3, 6, 6]
    assert all(0 < event["compute"] < 1.2 for event in measured)


def test_a_missed_target_is_in_the_log(finished: Path) -> None:
    compute = json.loads((finished / "results.json").read_text())["test-clean"]["compute"]
    log = (finished / "run" / "log.txt").read_text()
    assert abs(compute - 0.5) > 0.02
    assert (
        f"target_compute=0.5 was not met: on test-clean the encoder computes {compute:.3f}" in log
    )


def test_soft_gates_offer_no_candidate_for_the_test(finished: Path) -> None:
    metas = [path.read_text() for path in sorted(finished.glob("save/CKPT*/CKPT.yaml"))]
    assert ["WER" in meta for meta in metas] == [False, True]


def test_the_model_opens_and_streams_what_the_test_saw(finished: Path, corpus: Path) -> None:
    model = GatedASR.from_hparams(str(finished))
    lines = lines_of(finished)
    assert any(line["hypothesis"] for line in lines)
    for line in lines[:3]:
        audio = next(corpus.rglob(f"{line['id']}.flac"))
        words = line["hypothesis"].split()
        assert model.transcribe_file(str(audio)).split() == words
        *_, last = model.transcribe_file_streaming(str(audio), chunk_ms=170)
        assert last.text.split() == words
        found = model.recognize_with_gates(model.load_audio(audio))
        assert found.counts.gated.total == line["gated_macs"]


def step_of_checkpoint(folder: Path) -> int:
    """Of the newest whole checkpoint; they come and go while the run works."""
    steps = [0]
    for path in folder.glob("save/CKPT*/brain.ckpt"):
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            steps.append(json.loads(path.read_text())["optimizer_step"])
    return max(steps)


def kill_after(step: int, folder: Path, argv: list[str]) -> None:
    """Run the recipe, and kill it when a checkpoint of a step is whole."""
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *argv],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 120
    while step_of_checkpoint(folder) < step and process.poll() is None:
        assert time.time() < deadline, f"step {step} was not reached"
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert step <= step_of_checkpoint(folder) and not (folder / "results.json").exists()


EVERY_STEP = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}


def test_kill_9_in_the_second_phase_and_resume_give_the_same_weights(
    finished: Path, corpus: Path, tmp_path: Path, run: Run
) -> None:
    argv = amortized(corpus, tmp_path, **EVERY_STEP)
    kill_after(4, tmp_path, argv)
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-2000:]
    expected, resumed = (load_file(one / "model.safetensors") for one in (finished, tmp_path))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert (tmp_path / "results.json").read_text() == (finished / "results.json").read_text()


def test_a_resumed_training_has_the_same_teacher(
    finished: Path, corpus: Path, tmp_path: Path, run: Run
) -> None:
    """The pretrained encoder with every gate on teaches; what it says depends on the weights
    before the first step."""
    options = {
        "pretrained_folder": finished, "distillation_weight": 5.0, "phase_one_steps": 0,
        "ctc_only_steps": 0, "test_splits": [],
    }  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run(*amortized(corpus, whole, **options))
    assert done.returncode == 0, output_of(done)[-2000:]
    argv = amortized(corpus, killed, **options, **EVERY_STEP)
    kill_after(2, killed, argv)
    assert run(*argv).returncode == 0
    expected, resumed = (load_file(one / "model.safetensors") for one in (whole, killed))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert not any("teacher" in name for name in expected)


def test_random_gates_start_from_the_weights_of_another_run(
    finished: Path, corpus: Path, tmp_path: Path, run: Run
) -> None:
    # Steps of no length: the weights stay those of the other run.
    options = {"pretrained_folder": finished, "lr": 1e-30, "random_key_rate": 0.0, "num_steps": 3}
    done = run(*random(corpus, tmp_path, **options))
    assert done.returncode == 0, output_of(done)[-2000:]
    before, after = (load_file(one / "model.safetensors") for one in (finished, tmp_path))
    left_out = before.keys() - after.keys()
    assert left_out and all(name.startswith("encoder.arbitrators.") for name in left_out)
    assert all(torch.equal(before[name], after[name]) for name in after)
    assert f"{len(left_out)} tensors are left out: encoder.arbitrators." in output_of(done)
    results = json.loads((tmp_path / "results.json").read_text())["test-clean"]
    assert results["key_rate"] == 0 and 0.2 < results["query_rate"] < 0.6
    assert 0.2 < results["feed_forward_rate"] < 0.6 and results["compute"] < 0.8


def test_debugging_does_not_ask_for_the_whole_schedule(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    done = run(*amortized(corpus, tmp_path), "--debug")
    assert done.returncode == 0, output_of(done)[-2000:]
    assert read_events(tmp_path / "debug")[-1]["compute"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number_of_epochs": 1}, "over 6 steps, but this training makes 3 (number_of_epochs=1"),
        ({"target_compute": 0.01}, "target_compute=0.01 cannot be met"),
        ({"pretrained_folder": "nowhere"}, "pretrained_folder=nowhere holds no model.safetensors"),
        ({"distillation_weight": 1.0}, "distillation_weight=1.0 needs a trained teacher"),
    ],
)
def test_bad_input_is_named_before_the_training(
    corpus: Path, tmp_path: Path, run: Run, options: dict, message: str
) -> None:
    done = run(*amortized(corpus, tmp_path, **options))
    assert done.returncode != 0
    assert message in " ".join(output_of(done).split())
    assert not list(tmp_path.glob("save/CKPT*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase_one_steps": 99}, "99 must lie within the training of num_steps=6; lower it"),
        ({"straight_through_steps": 4}, "=4 must lie within the second phase of 3 steps; lower it"),
        ({"threshold": 1.5}, "threshold must lie between 0"),
        ({"nhead": 3}, "nhead must divide d_model, got nhead=3 and d_model=16"),
        ({"feed_forward_groups": 3}, "divide d_ffn, got feed_forward_groups=3 and d_ffn=64"),
    ],
)
def test_bad_settings_are_named_by_the_constructors(options: dict, message: str) -> None:
    argv = amortized(Path("nowhere"), Path("nowhere"), **options)
    with pytest.raises(ConfigurationError) as raised:
        Configuration.from_arguments(argv).build()
    assert message in str(raised.value)
