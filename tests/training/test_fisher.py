"""The diagonal Fisher information: its value, what it does not depend on, resumption."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import speechbrain as sb
import torch
import torch.distributed as dist
from speechbrain import Stage
from torch import Tensor, nn
from torch.utils.data import Dataset

from sb_alexa.training.dataio import SpeechDataset, collate
from sb_alexa.training.fisher import estimate_fisher
from sb_alexa.training.fisher_information import FisherInformation, FisherStamp
from sb_alexa.training.interruption import TrainingStopped
from tests.training import toy

SIGMA = 0.5


class Regression(sb.Brain):
    """y = w x + noise of a known deviation: a linear Gaussian model, and no batch class."""

    def compute_forward(self, batch: Tensor, stage: Stage) -> Tensor:
        return self.modules.linear(self.modules.dropout(batch[:, :1]))

    def compute_objectives(self, predictions: Tensor, batch: Tensor, stage: Stage) -> Tensor:
        assert stage == Stage.TRAIN
        return ((batch[:, 1:] - predictions).square() / (2 * SIGMA**2)).mean()


class Pairs(Dataset[Tensor]):
    def __init__(self, number: int = 50) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(number, generator=generator, dtype=torch.float64)
        noise = torch.randn(number, generator=generator, dtype=torch.float64)
        self.y = 3.0 * self.x + SIGMA * noise
        self.ids = [f"pair{index}" for index in range(number)]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        return torch.stack([self.x[index], self.y[index]])


def regression() -> Regression:
    linear = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(linear.weight, 2.9)
    modules = {"linear": linear, "dropout": nn.Dropout(0.5)}
    return Regression(modules, run_opts={"device": "cpu"})


def fisher_of(brain: sb.Brain, data: Any, **options: Any) -> FisherInformation:
    settings = {"ids": data.ids, "collate_fn": torch.stack, "progress": False, **options}
    return estimate_fisher(brain, data, **settings)


def test_a_linear_gaussian_model_has_the_fisher_of_the_formula() -> None:
    brain, data = regression(), Pairs()
    found = fisher_of(brain, data).diagonal["linear.weight"].item()
    residual = data.y - 2.9 * data.x
    expected = (residual.square() * data.x.square() / SIGMA**4).mean().item()
    assert found == pytest.approx(expected, rel=1e-6)
    # The square of the mean gradient, which a batch would have given, is nothing like it.
    assert (residual * data.x / SIGMA**2).mean().square().item() < 0.3 * expected


def test_a_selection_is_the_mean_over_it() -> None:
    brain, data = regression(), Pairs()
    some = fisher_of(brain, data, num_utterances=7, seed=3)
    squares = [fisher_of(brain, one(data, i)).diagonal["linear.weight"] for i in range(50)]
    assert some.stamp.num_utterances == 7
    assert some.stamp == fisher_of(brain, data, num_utterances=7, seed=3).stamp
    assert (
        some.stamp.utterances != fisher_of(brain, data, num_utterances=7, seed=4).stamp.utterances
    )
    every = fisher_of(brain, data, num_utterances=500)
    assert every.stamp.num_utterances == 50
    mean = torch.stack(squares).mean().item()
    assert every.diagonal["linear.weight"].item() == pytest.approx(mean, rel=1e-5)


def one(data: Pairs, index: int) -> Pairs:
    single = Pairs(1)
    single.x, single.y, single.ids = data.x[index, None], data.y[index, None], [data.ids[index]]
    return single


# ---- a transducer with BatchNorm and dropout


class Speech(SpeechDataset):
    @property
    def ids(self) -> list[str]:
        return [utterance.id for utterance in self.utterances]


def speech(folder: Path, dropout: float = 0.3) -> tuple[toy.ToyExperiment, Speech]:
    experiment, _, _ = toy.make_experiment(
        folder, steps=1, double=True, dropout=dropout, checkpoints=False
    )
    return experiment, Speech(toy.write_utterances(folder), encode=toy.encode)


def speech_fisher(folder: Path, *, dropout: float = 0.3, **options: Any) -> FisherInformation:
    experiment, data = speech(folder, dropout)
    return fisher_of(experiment, data, collate_fn=collate, **options)


def difference(first: FisherInformation, second: FisherInformation) -> float:
    """Largest difference relative to the largest element of the parameter."""
    assert first.diagonal.keys() == second.diagonal.keys()
    pairs = [(first.diagonal[n].double(), second.diagonal[n].double()) for n in first.diagonal]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


def test_the_brain_is_left_as_it_was(tmp_path: Path) -> None:
    experiment, data = speech(tmp_path)
    experiment.modules.train()
    modes = [module.training for module in experiment.modules.modules()]
    before, state = toy.weights(experiment), torch.get_rng_state()
    fisher = fisher_of(experiment, data, collate_fn=collate)
    assert [module.training for module in experiment.modules.modules()] == modes
    after = toy.weights(experiment)
    assert any("running_mean" in name for name in after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in experiment.modules.parameters())
    assert set(fisher.diagonal) == {name for name, _ in experiment.modules.named_parameters()}
    assert all(bool((f > 0).any()) for f in fisher.diagonal.values())


def test_dropout_is_off(tmp_path: Path) -> None:
    assert difference(speech_fisher(tmp_path), speech_fisher(tmp_path, dropout=0.0)) == 0.0


def test_it_is_the_mean_of_squared_gradients_of_single_utterances(tmp_path: Path) -> None:
    experiment, data = speech(tmp_path)
    experiment.modules.eval()
    names, parameters = zip(*experiment.modules.named_parameters(), strict=True)
    total = [torch.zeros_like(p) for p in parameters]
    for item in data:  # type: ignore[attr-defined]
        batch = collate([item])
        outputs = experiment.compute_forward(batch, Stage.VALID)
        loss = experiment.compute_objectives(outputs, batch, Stage.VALID)
        for sum_, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
            sum_ += gradient.square()
    expected = {n: (t / len(data)).float() for n, t in zip(names, total, strict=True)}
    wanted = FisherInformation(expected, FisherStamp("", "", 0))
    assert difference(speech_fisher(tmp_path), wanted) < 1e-6


def test_augmentation_is_off_meanwhile(tmp_path: Path) -> None:
    experiment, data = speech(tmp_path)
    experiment.hparams.wav_augment = augment = nn.Identity()
    seen: list[Any] = []
    compute = experiment.compute_forward

    def forward(batch: Any, stage: Stage) -> Any:
        seen.append(experiment.hparams.wav_augment)
        return compute(batch, stage)

    experiment.compute_forward = forward  # type: ignore[method-assign]
    fisher_of(experiment, data, collate_fn=collate, num_utterances=2)
    assert seen == [None, None] and experiment.hparams.wav_augment is augment


def test_workers_change_nothing(tmp_path: Path) -> None:
    assert difference(speech_fisher(tmp_path), speech_fisher(tmp_path, num_workers=2)) == 0.0


def test_only_named_and_trained_parameters_are_looked_at(tmp_path: Path) -> None:
    experiment, data = speech(tmp_path)
    experiment.modules.joiner.requires_grad_(False)
    names = [n for n, _ in experiment.modules.named_parameters() if not n.startswith("encoder")]
    found = fisher_of(experiment, data, collate_fn=collate, names=names)
    assert {name.split(".")[0] for name in found.diagonal} == {"predictor"}
    experiment.modules.requires_grad_(False)
    with pytest.raises(ValueError, match="no trained parameter is left"):
        fisher_of(experiment, data, collate_fn=collate)


def test_an_utterance_without_a_finite_gradient_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, data = speech(tmp_path)
    experiment.poison = frozenset({"03"})
    found = fisher_of(experiment, data, collate_fn=collate)
    assert found.num_left_out == 1 and "1 of 12 utterances have no finite gradient" in caplog.text
    experiment, data = speech(tmp_path)
    data.utterances.pop(3)
    assert difference(found, fisher_of(experiment, data, collate_fn=collate)) < 1e-6
    experiment.poison = frozenset(data.ids)
    with pytest.raises(ValueError, match="no utterance has a finite gradient"):
        fisher_of(experiment, data, collate_fn=collate)


# ---- processes and interruptions


def kill_at(experiment: toy.ToyExperiment, number: int, kill: Callable[[], Any]) -> list[str]:
    """Let a computation end at its n-th utterance; returns those looked at."""
    seen: list[str] = []
    compute = experiment.compute_forward

    def forward(batch: Any, stage: Stage) -> Any:
        if len(seen) == number:
            kill()
        seen.extend(utterance.id for utterance in batch.utterances)
        return compute(batch, stage)

    experiment.compute_forward = forward  # type: ignore[method-assign]
    return seen


def die() -> None:
    raise RuntimeError("killed")


def test_an_interrupted_estimation_goes_on(tmp_path: Path) -> None:
    expected, journal = speech_fisher(tmp_path), tmp_path / "journal"
    options = {"collate_fn": collate, "journal": journal, "journal_interval_utterances": 3}
    experiment, data = speech(tmp_path)
    kill_at(experiment, 8, die)
    with pytest.raises(RuntimeError, match="killed"):
        fisher_of(experiment, data, **options)
    experiment, data = speech(tmp_path)
    kill_at(experiment, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingStopped, match="run the same command to resume"):
        fisher_of(experiment, data, **options)
    experiment, data = speech(tmp_path)
    seen = kill_at(experiment, 1000, die)
    found = fisher_of(experiment, data, **options)
    assert seen == ["09", "10", "11"], "6 were written at the kill, 3 at the request to stop"
    assert difference(found, expected) < 1e-6
    assert not journal.exists()


def test_a_journal_of_other_weights_is_ignored(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    options = {"collate_fn": collate, "journal": journal, "journal_interval_utterances": 1}
    experiment, data = speech(tmp_path)
    kill_at(experiment, 5, die)
    with pytest.raises(RuntimeError, match="killed"):
        fisher_of(experiment, data, **options)
    (journal / "part-7.safetensors").write_bytes(b"cut short")
    experiment, data = speech(tmp_path)
    with torch.no_grad():
        experiment.modules.joiner.output.bias += 0.1
    seen = kill_at(experiment, 1000, die)
    fisher_of(experiment, data, **options)
    assert len(seen) == 12


def _one_of_two_processes(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    path = Path(folder)
    plain = speech_fisher(path)
    # Both die after some utterances; the journal is resumed by two processes, then by one.
    options = {"collate_fn": collate, "journal_interval_utterances": 1}
    for journal in ("journal2", "journal1"):
        experiment, data = speech(path)
        kill_at(experiment, 2 + rank, die)
        try:
            fisher_of(experiment, data, journal=path / journal, **options)
        except RuntimeError as error:
            assert "killed" in str(error)
    experiment, data = speech(path)
    seen = kill_at(experiment, 1000, die)
    resumed = fisher_of(experiment, data, journal=path / "journal2", **options)
    torch.save((plain.diagonal, resumed.diagonal, seen), f"{folder}/result{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    toy.write_utterances(tmp_path)
    torch.multiprocessing.spawn(_one_of_two_processes, (str(tmp_path),), nprocs=2)
    expected = speech_fisher(tmp_path)
    parts = [torch.load(tmp_path / f"result{rank}.pt") for rank in (0, 1)]
    for plain, resumed, _ in parts:
        for diagonal in (plain, resumed):
            found = FisherInformation(diagonal, expected.stamp)
            assert difference(found, expected) < 1e-6
    assert sorted(parts[0][2] + parts[1][2]) == ["04"] + [f"{i:02d}" for i in range(6, 12)]
    experiment, data = speech(tmp_path)
    seen = kill_at(experiment, 1000, die)
    alone = fisher_of(experiment, data, collate_fn=collate, journal=tmp_path / "journal1")
    assert len(seen) == 7 and difference(alone, expected) < 1e-6


# ---- the file


def test_a_file_that_is_no_fisher_information_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fisher.safetensors"
    with pytest.raises(FileNotFoundError, match="no Fisher information"):
        FisherInformation.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="damaged or no Fisher information"):
        FisherInformation.load(path)


@pytest.mark.parametrize(("number", "wanted"), [(0, None), (5, 0)])
def test_nothing_to_estimate_from_is_refused(number: int, wanted: int | None) -> None:
    with pytest.raises(ValueError, match="needs utterances"):
        fisher_of(regression(), Pairs(number), num_utterances=wanted)


def test_shares_by_module(tmp_path: Path) -> None:
    fisher = speech_fisher(tmp_path)
    shares = fisher.shares()
    assert [share.module for share in shares] == ["encoder", "joiner", "predictor"]
    assert sum(share.share for share in shares) == pytest.approx(1.0)
    weighted = sum(share.mean * share.num_parameters for share in shares)
    assert weighted == pytest.approx(sum(share.num_parameters for share in shares))
    assert len(fisher.shares(depth=2)) > 5 and "encoder.lstm" in fisher.table(depth=2)
    with pytest.raises(ValueError, match="depth must be >= 1"):
        fisher.shares(depth=0)
