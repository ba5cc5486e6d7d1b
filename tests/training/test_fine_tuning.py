"""Fine-tuning within the training loop: the pull, frozen modules, the Fisher file, resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sb_alexa.training.dataio import SpeechDataset, collate
from sb_alexa.training.fine_tuning import ElasticConsolidation, FineTuning
from sb_alexa.training.fine_tuning_setup import start_fine_tuning
from sb_alexa.training.fisher_information import FisherInformation
from tests.training import toy

EWC = ElasticConsolidation(weight=5.0)


def pretrained(folder: Path) -> Path:
    """A model folder with the weights that toy experiments begin with."""
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    modules = torch.nn.ModuleDict(toy.make_modules())
    save_file({n: t.contiguous() for n, t in modules.state_dict().items()},
              model / "model.safetensors")  # fmt: skip
    return model


def start(
    experiment: toy.ToyExperiment,
    folder: Path,
    elastic: ElasticConsolidation | None,
    frozen: tuple[str, ...] = (),
    **changes: Any,
) -> FineTuning | None:
    utterances = toy.write_utterances(folder)
    settings = {"pretrained_folder": pretrained(folder), **changes}
    return start_fine_tuning(
        experiment,
        SpeechDataset(utterances, encode=toy.encode),
        ids=[utterance.id for utterance in utterances],
        collate_fn=collate,
        elastic=elastic,
        frozen_modules=frozen,
        folder=folder,
        **settings,
    )


def trained(
    folder: Path,
    elastic: ElasticConsolidation | None = None,
    frozen: tuple[str, ...] = (),
    **settings: Any,
) -> tuple[toy.ToyExperiment, dict[str, Tensor]]:
    folder.mkdir(exist_ok=True)
    options = {"steps": 4, "dropout": 0.2, "checkpoints": False, **settings}
    experiment, loader, counter = toy.make_experiment(folder, **options)
    start(experiment, folder, elastic, frozen)
    experiment.fit(counter, loader)
    return experiment, toy.weights(experiment)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def distance(weights: dict[str, Tensor]) -> float:
    """From the start, over parameters."""
    begun = torch.nn.ModuleDict(toy.make_modules())
    moved = [(weights[name] - p).square().sum() for name, p in begun.named_parameters()]
    return float(torch.stack(moved).sum().detach().sqrt())


def test_no_weight_is_plain_fine_tuning_bit_for_bit(tmp_path: Path) -> None:
    _, plain = trained(tmp_path / "a")
    _, nothing = trained(tmp_path / "b", ElasticConsolidation(weight=0.0))
    assert same(plain, nothing)
    assert not (tmp_path / "b" / "model" / "fisher.safetensors").exists(), "estimated for nothing"


def test_the_pull_keeps_weights_near_the_start(tmp_path: Path) -> None:
    _, plain = trained(tmp_path / "a")
    held, elastic = trained(tmp_path / "b", EWC)
    _, l2 = trained(tmp_path / "c", ElasticConsolidation(weight=5.0, use_fisher=False))
    assert distance(l2) < 0.8 * distance(plain)
    assert not same(elastic, plain) and not same(elastic, l2)
    assert held.fine_tuning is not None
    figures = held.fine_tuning.figures()
    assert figures.keys() == {"elastic_penalty"} and figures["elastic_penalty"] > 0
    assert not (tmp_path / "c" / "model" / "fisher.safetensors").exists()


def test_a_constant_fisher_is_l2_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    experiment, _, _ = toy.make_experiment(folder, steps=1, checkpoints=False)
    start(experiment, folder, EWC)
    path = folder / "model" / "fisher.safetensors"
    fisher = FisherInformation.load(path)
    ones = {name: torch.full_like(f, 0.25) for name, f in fisher.diagonal.items()}
    FisherInformation(ones, fisher.stamp).save(path)
    _, elastic = trained(folder, EWC)
    _, l2 = trained(tmp_path / "b", ElasticConsolidation(weight=5.0, use_fisher=False))
    assert same(elastic, l2)


def test_accumulation_does_not_change_the_pull(tmp_path: Path) -> None:
    """The penalty is added to every batch of a step and must count once."""
    options = {"steps": 1, "optimizer": "SGD", "double": True, "dropout": 0.0}
    found = []
    for name, more in (
        ("a", {"global_batch": 12}),
        ("b", {"global_batch": 5, "grad_accumulation_factor": 3}),
    ):
        (tmp_path / name).mkdir()
        experiment, loader, counter = toy.make_experiment(
            tmp_path / name, checkpoints=False, **options, **more
        )
        elastic = ElasticConsolidation(weight=5.0, use_fisher=False)
        # BatchNorm in training sees other statistics in smaller batches.
        tuning = start(experiment, tmp_path / name, elastic, ("encoder",))
        assert tuning is not None and tuning.penalty is not None
        for tensor in tuning.penalty.start.values():
            tensor += 0.1  # so that there is a pull at the first step
        experiment.fit(counter, loader)
        found.append(toy.weights(experiment))
    assert all((found[0][n] - found[1][n]).abs().max() < 1e-12 for n in found[0])


def test_a_killed_and_resumed_fine_tuning_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = {"checkpoints": True, "run_opts": {"ckpt_interval_steps": 1}, "steps": 5}
    _, expected = trained(tmp_path / "a", EWC, ("predictor",), **options)
    folder = tmp_path / "b"
    folder.mkdir()
    experiment, loader, counter = toy.make_experiment(folder, dropout=0.2, **options)
    start(experiment, folder, EWC, ("predictor",))
    experiment.die_after = 3
    with pytest.raises(RuntimeError, match="killed"):
        experiment.fit(counter, loader)
    resumed, found = trained(folder, EWC, ("predictor",), **options)
    assert len(resumed.seen) < 5 and same(expected, found)


def test_a_frozen_module_does_not_change_at_all(tmp_path: Path) -> None:
    _, after = trained(tmp_path / "a", frozen=("encoder", "joiner.output"))
    begun = torch.nn.ModuleDict(toy.make_modules()).state_dict()
    names = [name for name in begun if name.startswith(("encoder", "joiner.output"))]
    assert any("running_mean" in name for name in names), "BatchNorm is part of the claim"
    assert all(torch.equal(begun[name], after[name]) for name in names)
    assert not torch.equal(begun["predictor.embedding.weight"], after["predictor.embedding.weight"])


def test_the_fisher_file_is_reused_and_replaced_when_stale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, _, _ = toy.make_experiment(tmp_path, steps=1, checkpoints=False)
    start(experiment, tmp_path, EWC)
    path = tmp_path / "model" / "fisher.safetensors"
    written = path.stat().st_mtime_ns
    assert FisherInformation.load(path).stamp.num_utterances == 12
    start(experiment, tmp_path, ElasticConsolidation(weight=1.0, parts=["joiner"]))
    assert path.stat().st_mtime_ns == written
    start(experiment, tmp_path, ElasticConsolidation(weight=1.0, fisher_utterances=3))
    assert FisherInformation.load(path).stamp.num_utterances == 3
    with torch.no_grad():
        experiment.modules.joiner.output.bias += 1.0
    named = ElasticConsolidation(weight=1.0, fisher_file=str(path))
    with pytest.raises(ValueError, match="estimated at other weights"):
        start(experiment, tmp_path, named)


def test_only_what_the_pretrained_model_has_is_held(tmp_path: Path) -> None:
    experiment, _, _ = toy.make_experiment(tmp_path, steps=1, checkpoints=False)
    model = pretrained(tmp_path)
    joiner = torch.nn.ModuleDict(toy.make_modules()).state_dict()
    kept = {n: t for n, t in joiner.items() if n.startswith("joiner")}
    save_file(kept, model / "model.safetensors")
    settings = {"ids": ["a"], "collate_fn": collate, "frozen_modules": ()}
    tuning = start_fine_tuning(
        experiment,
        SpeechDataset(toy.write_utterances(tmp_path)[:1], encode=toy.encode),
        elastic=EWC,
        pretrained_folder=model,
        folder=tmp_path,
        **settings,  # type: ignore[arg-type]
    )
    assert tuning is not None and tuning.penalty is not None
    assert set(tuning.penalty.start) == {n for n, _ in experiment.modules.named_parameters()
                                         if n.startswith("joiner")}  # fmt: skip


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    experiment, _, _ = toy.make_experiment(tmp_path, steps=1, checkpoints=False)
    assert start(experiment, tmp_path, None) is None
    with pytest.raises(ValueError, match="name its folder in pretrained_folder"):
        start(experiment, tmp_path, EWC, pretrained_folder=None)
    with pytest.raises(ValueError, match="no module 'decoder'; there are: features, encoder"):
        start(experiment, tmp_path, None, ("decoder",))
    with pytest.raises(ValueError, match="weight .lambda. must be >= 0"):
        ElasticConsolidation(weight=-1.0)
    with pytest.raises(ValueError, match="fisher_utterances must be >= 1"):
        ElasticConsolidation(weight=1.0, fisher_utterances=0)
    with pytest.raises(ValueError, match="leave nothing to train"):
        start(experiment, tmp_path, None, ("encoder", "predictor", "joiner"))
