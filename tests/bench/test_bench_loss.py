"""The command as a whole, on tiny sizes."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sb_alexa.bench import loss, loss_suite, loss_sweep, loss_trained
from sb_alexa.bench.loss_cases import LossSize
from sb_alexa.bench.loss_run import LossMismatchError
from sb_alexa.bench.machine import MachineReport, MachineWatch
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

_TINY = LossSize(3, 40, 8, 50, joint_size=32)
_RATIOS = (
    "time_ratio_torchaudio",
    "time_ratio_torchaudio_low",
    "time_ratio_torchaudio_high",
    "memory_ratio_torchaudio",
    "full_length_time_ratio_torchaudio",
    "floor_random_time_ratio_torchaudio",
    "floor_trained_time_ratio_torchaudio",
    "floor_trained_cells_kept",
    "loss_only_time_ratio_torchaudio",
    "loss_only_memory_ratio_torchaudio",
    "time_over_matrix_products",
    "large_time_ratio_torchaudio",
    "large_memory_ratio_torchaudio",
    "memory_growth_vocabulary_4x",
    "memory_growth_frames_4x",
    "sweep_t_40_seconds_exact",
    "sweep_v_90_memory_mib_torchaudio",
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = loss_suite.CASES["cpu"]
    cases = replace(small, size=_TINY, num_rounds=2), replace(large, size=_TINY)
    monkeypatch.setitem(loss_suite.CASES, "cpu", cases)
    monkeypatch.setattr(loss_trained, "train_aligned_transducer", _untrained)
    sizes = [("t", _TINY), ("t", replace(_TINY, num_frames=60)), ("v", _TINY)]
    sizes.append(("v", replace(_TINY, vocabulary_size=90)))
    monkeypatch.setattr(loss_sweep, "sweep_sizes", lambda: sizes)


def _untrained(  # type: ignore[no-untyped-def]
    *, vocabulary_size: int, joint_size: int, seed: int, num_steps: int | None
):
    """The modules without the seconds of training."""
    assert num_steps is None
    predictor = LSTMPredictor(
        num_labels=vocabulary_size, embedding_size=4, hidden_size=joint_size, output_size=None
    )
    joiner = Joiner(
        encoder_size=joint_size,
        predictor_size=joint_size,
        num_labels=vocabulary_size,
        joint_size=joint_size,
    )
    return predictor, joiner


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    loss.add_arguments(parser)
    return loss.run(parser.parse_args(["--device", "cpu", "--threads", "1", *arguments]))


def test_command_writes_figures_table_and_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    outputs = ["--json", str(tmp_path / "loss.json"), "--plot", str(tmp_path / "loss.png")]
    assert _run(*outputs) == 0
    assert torch.get_num_threads() == threads

    content = json.loads((tmp_path / "loss.json").read_text())
    assert content["command"] == "bench loss"
    figures = content["figures"]
    assert not [name for name in _RATIOS if name not in figures]
    for name in ("", "full_length_", "loss_only_", "floor_trained_"):
        ratio = figures[f"{name}time_ratio_torchaudio"]
        low, high = (figures[f"{name}time_ratio_torchaudio_{end}"] for end in ("low", "high"))
        assert 0 < low <= ratio <= high
    assert figures["memory_ratio_torchaudio"] == pytest.approx(
        figures["memory_mib_exact"] / figures["memory_mib_torchaudio"]
    )
    assert 0.5 < figures["valid_cells_exact"] < 0.8

    printed = capsys.readouterr()
    table = printed.out
    assert re.search(r"\| ours, exact \| [\d.e-]+ \| \*\*[\d.]+\*\* \(", table)
    assert "full-length batch, 100 % of the cells valid" in table
    kept = 100 * figures["floor_trained_cells_kept"]
    assert f"ours, floor 1e-6 ({kept:.2g} % of the cells kept)" in table
    assert "without warprnnt_numba: it runs on CUDA only." in table
    assert "1 thread of " in table
    assert "training a model to align, V 50" in printed.err
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_one_case_without_sweep(tmp_path: Path) -> None:
    path = tmp_path / "loss.json"
    assert _run("--case", "large", "--runs", "1", "--no-sweep", "--json", str(path)) == 0
    figures = json.loads(path.read_text())["figures"]
    assert "large_time_ratio_torchaudio" in figures
    assert figures["large_time_ratio_torchaudio_low"] == figures["large_time_ratio_torchaudio_high"]
    assert not [name for name in figures if name.startswith(("sweep_", "time_ratio_"))]


def test_peer_without_memory_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sb_alexa.bench.loss_peers._free_memory_bytes", lambda device: 1)
    assert _run("--case", "large", "--runs", "1", "--no-sweep") == 0
    out = capsys.readouterr().out
    assert "without torchaudio: it needs about 0.0 GiB of memory" in out
    assert "ours, exact" in out and "| torchaudio |" not in out


def test_busy_machine_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = MachineReport(2.0, 1.5, num_cores=2, calibration_ms=(1.0, 1.0))
    monkeypatch.setattr(MachineWatch, "report", lambda self: busy)
    assert _run("--case", "large", "--runs", "1", "--no-sweep") == 0
    printed = capsys.readouterr()
    assert "The machine was not idle, do not quote these figures: other processes" in printed.err
    assert "Not idle: other processes used 1.50 of 2 cores." in printed.out


def test_losses_that_disagree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def differ(*args: object, **kwargs: object) -> None:
        raise LossMismatchError("the loss of torchaudio is 1.0, that of ours 2.0")

    monkeypatch.setattr(loss_suite, "measure", differ)
    assert _run("--case", "small", "--no-sweep") == 1
    assert "that of ours 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "0"], "--runs must be at least 1, got 0"),
        (["--threads", "-1"], "--threads must be at least 1"),
        (["--device", "tpu"], "--device must be cpu, cuda"),
        (["--plot", "a.png", "--no-sweep"], "drop one of them"),
    ],
)
def test_bad_input(arguments: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _run(*arguments)
