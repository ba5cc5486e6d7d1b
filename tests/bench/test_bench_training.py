from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from sb_alexa.bench import training, training_run
from sb_alexa.bench.training_run import measure_training, synthetic_batch
from sb_alexa.training.experiment import Experiment


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    return training.run(parser.parse_args(arguments))


def test_command_writes_figures(
    tiny_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--models", str(tiny_yaml), "--device", "cpu", "--batch-seconds", "2"]
    outputs = ["--json", str(path), "--output", str(tmp_path)]
    assert _run(*arguments, "--steps", "2", "--warm-up-steps", "1", *outputs) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench training"
    figures = content["figures"]
    assert figures["tiny_bf16"] == 0
    expected = 1000 * figures["tiny_batch_seconds"] / figures["tiny_step_ms_p50"]
    assert figures["tiny_hours_per_hour"] == pytest.approx(expected)
    assert (tmp_path / "training.md").read_text().strip() in capsys.readouterr().out


def test_steps_train(tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed changes the weights and computes both losses."""
    norms: list[float] = []
    step = Experiment.fit_batch

    def recorded(self, batch):  # type: ignore[no-untyped-def]
        before = [parameter.detach().clone() for parameter in self.modules.parameters()]
        loss = step(self, batch)
        after = self.modules.parameters()
        norms.append(
            min(float((a.detach() - b).norm()) for a, b in zip(after, before, strict=True))
        )
        return loss

    monkeypatch.setattr(Experiment, "fit_batch", recorded)
    result = measure_training(
        str(tiny_yaml), device="cpu", batch_seconds=2.0, num_steps=2, warm_up_steps=1
    )
    assert len(result.step_ms) == 2 and len(norms) == 3
    assert min(norms) > 0  # no parameter of any part stood still


def test_spec_augment_is_optional(tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def augment(self, features, num_frames):  # type: ignore[no-untyped-def]
        calls.append(len(features))
        return features

    monkeypatch.setattr("sb_alexa.nn.spec_augment.SpecAugment.forward", augment)
    options = {"device": "cpu", "batch_seconds": 2.0, "num_steps": 1, "warm_up_steps": 0}
    measure_training(str(tiny_yaml), spec_augment=False, **options)  # type: ignore[arg-type]
    assert calls == []
    measure_training(str(tiny_yaml), **options)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_batch_is_halved_until_it_fits(tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time_steps = training_run._time_steps

    def limited(experiment, batch, *args):  # type: ignore[no-untyped-def]
        if batch.seconds > 15:
            raise torch.OutOfMemoryError
        return time_steps(experiment, batch, *args)

    monkeypatch.setattr(training_run, "_time_steps", limited)
    result = measure_training(
        str(tiny_yaml), device="cpu", batch_seconds=50.0, num_steps=1, warm_up_steps=0
    )
    assert 11 < result.batch_seconds < 14


def test_one_utterance_too_many(tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*args):  # type: ignore[no-untyped-def]
        raise torch.OutOfMemoryError

    monkeypatch.setattr(training_run, "_time_steps", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        measure_training(str(tiny_yaml), device="cpu", batch_seconds=50.0)


def test_synthetic_batch() -> None:
    batch = synthetic_batch(600.0, num_labels=2501)
    assert len(batch) == 49
    assert batch.seconds == pytest.approx(600.0, rel=0.05)
    assert batch.wav_lens.min() > 0.8
    assert batch.num_labels.sum() == pytest.approx(3.5 * batch.seconds, rel=0.02)
    assert batch.labels.max() < 2501
    assert torch.equal(batch.wavs, synthetic_batch(600.0, num_labels=2501).wavs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--steps", "0"), "--steps must be >= 1"), (("--batch-seconds", "0"), "must be positive")],
)
def test_bad_input(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _run(*arguments)
