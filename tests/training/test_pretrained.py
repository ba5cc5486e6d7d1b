"""Trainings that start from the weights of a trained model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sb_alexa.training.pretrained import load_pretrained


def modules() -> dict[str, nn.Module]:
    return {"encoder": nn.Linear(3, 4), "joiner": nn.Linear(4, 2)}


def folder_with(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    save_file(weights, path / "model.safetensors")
    return path


def test_weights_are_those_of_the_folder(tmp_path: Path) -> None:
    trained, fresh = modules(), modules()
    folder_with(tmp_path, nn.ModuleDict(trained).state_dict())
    load_pretrained(fresh, tmp_path)
    expected = nn.ModuleDict(trained).state_dict()
    for name, tensor in nn.ModuleDict(fresh).state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_what_only_one_side_has_stays_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weight, bias = torch.randn(4, 3), torch.randn(4)
    folder_with(
        tmp_path,
        {"encoder.weight": weight, "encoder.bias": bias, "arbitrator.weight": torch.ones(1)},
    )
    fresh = modules()
    joiner = fresh["joiner"].state_dict()["weight"].clone()
    with caplog.at_level(logging.INFO):
        load_pretrained(fresh, tmp_path)
    assert torch.equal(fresh["encoder"].state_dict()["weight"], weight)
    assert torch.equal(fresh["joiner"].state_dict()["weight"], joiner)
    assert "2 tensors loaded" in caplog.text
    assert "2 tensors keep their initial values: joiner.bias, joiner.weight" in caplog.text
    assert "1 tensors are left out: arbitrator.weight" in caplog.text


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors.*finished run"):
        load_pretrained(modules(), tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="model.safetensors is damaged or not safetensors"):
        load_pretrained(modules(), tmp_path)


def test_another_size_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    folder_with(tmp_path, {"encoder.weight": torch.ones(4, 3), "joiner.weight": torch.ones(5, 4)})
    fresh = modules()
    with pytest.raises(ValueError, match=r"joiner.weight has shape \(5, 4\).*and \(2, 4\)"):
        load_pretrained(fresh, tmp_path)
    assert not torch.equal(fresh["encoder"].state_dict()["weight"], torch.ones(4, 3))


def test_a_model_without_a_common_weight_is_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, {"other.weight": torch.ones(2)})
    with pytest.raises(ValueError, match="no weight of .* belongs to a module"):
        load_pretrained(modules(), tmp_path)
