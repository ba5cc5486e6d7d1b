"""What the benchmark of the Fisher information times, and what it says of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sb_alexa.bench import fisher, fisher_run
from sb_alexa.bench.fisher_run import FisherTiming, NoiseUtterances, figures, markdown, time_process
from sb_alexa.bench.models import build_hparams
from sb_alexa.training.fisher import estimate_fisher
from sb_alexa.training.fisher_information import FisherInformation


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    fisher.add_arguments(parser)
    return fisher.run(parser.parse_args(arguments))


def test_command_measures_several_processes(
    tiny_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--hparams", str(tiny_yaml), "--utterances", "5", "--seconds", "1"]
    assert _run(*arguments, "--processes", "2", "--json", str(path)) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench fisher"
    found = content["figures"]
    assert found["utterances"] == 5 and found["utterances_per_second_2"] > 0
    assert found["minutes_2"] == pytest.approx(500 / found["utterances_per_second_2"] / 60)
    modules = build_hparams(str(tiny_yaml))["modules"].values()
    size = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert found["parameters_m"] == size / 1e6
    text = capsys.readouterr().out
    assert "| 2 |" in text and "extrapolated from 5" in text


def test_what_is_timed_is_the_recipe(
    tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it: both losses, every parameter, single utterances of the length that is said."""
    estimates: list[FisherInformation] = []
    lengths: list[float] = []

    def recorded(experiment: Any, data: Any, **options: Any) -> FisherInformation:
        assert type(experiment).__name__ == "TransducerASR"
        weights = experiment.hparams.loss_schedule(experiment.optimizer_step + 1)
        assert weights.ctc > 0 and weights.transducer > 0
        collate = options.pop("collate_fn")

        def measured(items: list[Any]) -> Any:
            batch = collate(items)
            lengths.append(batch.seconds)
            return batch

        estimates.append(estimate_fisher(experiment, data, collate_fn=measured, **options))
        return estimates[-1]

    monkeypatch.setattr(fisher_run, "estimate_fisher", recorded)
    threads = torch.get_num_threads()
    try:
        time_process(0, str(tiny_yaml), 3, 1.5, 1, False, str(tmp_path))
    finally:
        torch.set_num_threads(threads)
    assert [one.stamp.num_utterances for one in estimates] == [1, 3], "one to warm up"
    assert lengths == [1.5] * 4
    assert estimates[1].num_left_out == 0
    assert all(bool((values > 0).any()) for values in estimates[1].diagonal.values())
    measured = json.loads((tmp_path / "measured-0.json").read_text())
    assert measured["seconds"] > 0 and measured["num_left_out"] == 0
    assert measured["peak_memory_gib"] is None or 0.05 < measured["peak_memory_gib"] < 50


def test_noise_is_the_same_again_and_never_twice() -> None:
    data = NoiseUtterances(2, 12.0, num_labels=2501)
    (_, wav, labels), (_, other, _) = data[0], data[1]
    assert torch.equal(wav, data[0][1]) and not torch.equal(wav, other)
    assert wav.shape == (192_000,) and labels.shape == (42,) and int(labels.min()) > 0


def test_table_says_when_it_extrapolates() -> None:
    one, two = FisherTiming(1, 500, 1000.0, 1.5, 10**7), FisherTiming(2, 500, 625.0, None, 10**7)
    text = markdown("conv_rnnt", [one, two], 12.0)
    assert "| 1 | 0.500 | **16.7** | 1.00 | 1.50 |" in text
    assert "| 2 | 0.800 | **10.4** | 1.60 |  |" in text
    assert "extrapolated" not in text and "ConvRNN-T with 10.0 million parameters" in text
    assert figures([one, two])["speedup_2"] == pytest.approx(1.6)
    assert figures([one, two])["peak_memory_gib_2"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--processes", "0"), "--processes must be >= 1"),
        (("--processes", "2", "--utterances", "1"), "--utterances at least as many"),
        (("--seconds", "nan"), "--seconds must be"),
        (("--hparams", "nothing"), "nothing"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _run(*arguments)
