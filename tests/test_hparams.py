"""Every recipe YAML: it builds, nothing in it is unread, its model runs and can be opened again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sb_alexa.inference.model_configuration import model_configuration
from sb_alexa.training.configuration import TRAINING_KEYS, Configuration

ROOT = Path(__file__).parent.parent
RECIPES = sorted(ROOT.glob("recipes/*/*/hparams/*.yaml"))
RECIPE_KEYS = {"log_mel", "normalize", "transducer_loss"}
MILLION = 1e6


def load(path: Path) -> Configuration:
    return Configuration.from_file(path, {"data_folder": "nowhere"})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_key_is_read_and_every_model_opens_again(path: Path) -> None:
    configuration = load(path)
    configuration.check_keys({*TRAINING_KEYS, *RECIPE_KEYS})
    text = model_configuration(configuration.resolved_text())
    assert "!apply" not in text and "!new:" in text


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_model_hears_and_emits(path: Path) -> None:
    hparams = load(path).build()
    modules = torch.nn.ModuleDict(hparams["modules"]).eval()
    samples = torch.tensor([16000, 9000])
    with torch.no_grad():
        features = modules["features"].forward_counted(torch.randn(2, 16000), samples)
        frames = modules["features"].num_outputs(samples)
        encoded = modules["encoder"].forward_counted(features, frames)
        hypotheses = hparams["search"](encoded, modules["encoder"].num_outputs(frames))
    assert len(hypotheses) == 2
    assert modules["ctc_head"](encoded).shape[-1] == hparams["num_labels"]
    assert hparams["lr_schedule"](1) > 0 and hparams["loss_schedule"](1).ctc >= 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_an_ablation_is_a_short_list_of_differences(path: Path) -> None:
    lines = path.read_text().splitlines()
    settings = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if settings[0].startswith("base:") and path.stem not in {"mini", "conv_rnnt_small"}:
        assert len(settings) <= 15


def count(*modules: torch.nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / MILLION


def test_the_parity_model_has_the_parameters_of_the_paper_s_table() -> None:
    hparams = load(ROOT / "recipes/LibriSpeech/ASR/hparams/conv_rnnt_parity.yaml").build()
    encoder, predictor = hparams["encoder"], hparams["predictor"]
    embedding = count(predictor.embedding)
    table = {
        "convolutions": (5.40, count(encoder.local_cnn, encoder.global_cnn, encoder.fusing)),
        "LSTM encoder": (18.93, count(encoder.lstm)),
        "joint": (1.28, count(hparams["joiner"])),
        "embedding": (0.62, embedding),
        "predictor": (2.62, count(predictor) - embedding),
    }
    for name, (published, ours) in table.items():
        assert ours == pytest.approx(published, rel=0.01), name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_readme_states_the_parameters_of_every_model(path: Path) -> None:
    modules = load(path).build()["modules"]
    trained_only = {"ctc_head", "transducer_loss"}
    counted = count(*(module for name, module in modules.items() if name not in trained_only))
    readme = (path.parent.parent / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{path.stem}` |"))
    assert float(row.split("|")[3]) == pytest.approx(counted, abs=0.06)
