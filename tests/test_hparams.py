"""Every recipe YAML: it builds, nothing in it is unread, its model runs and can be opened again."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.inference.model_configuration import model_configuration
from sb_alexa.metrics.compute import compute_share, dense_macs, gated_macs
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.recurrent_arbitrator import RecurrentArbitrator
from sb_alexa.training.configuration import TRAINING_KEYS, Configuration
from sb_alexa.training.recipe_task import RecipeTask

ROOT = Path(__file__).parent.parent
RECIPES = sorted(ROOT.glob("recipes/*/*/hparams/*.yaml"))
RECOGNISERS = [path for path in RECIPES if path.parts[-3] == "ASR"]
SPEAKER_MODELS = [path for path in RECIPES if path.parts[-3] == "SpeakerRec"]
HPARAMS = ROOT / "recipes/LibriSpeech/ASR/hparams"
MILLION = 1e6
# Arbitrators of the paper: class, how many, and the millions of parameters and of operations.
ARBITRATORS = {
    "single_ff": (FeedForwardArbitrator, 1, 0.08),
    "dual_ff": (FeedForwardArbitrator, 2, 0.16),
    "single_rnn": (RecurrentArbitrator, 1, 0.5),
    "dual_rnn": (RecurrentArbitrator, 2, 1.0),
}


def load(path: Path, **changes: object) -> Configuration:
    return Configuration.from_file(path, {"data_folder": "nowhere", **changes})


@lru_cache
def task_of(recipe: Path) -> RecipeTask[Any]:
    """What a recipe's script runs."""
    spec = importlib.util.spec_from_file_location("_recipe", recipe / "train.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["_recipe"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TASK


def name_of(path: Path) -> str:
    return f"{path.parts[-4]}-{path.stem}"


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_every_key_is_read_and_every_model_opens_again(path: Path) -> None:
    configuration, task = load(path), task_of(path.parent.parent)
    configuration.check_keys({*TRAINING_KEYS, *task.known_keys})
    text = model_configuration(configuration.resolved_text(), keys=task.model_keys)
    assert "!apply" not in text and "!new:" in text


@pytest.mark.parametrize("path", RECOGNISERS, ids=name_of)
def test_every_model_hears_and_emits(path: Path) -> None:
    # Untrained, a model emits as many symbols for every frame as it may.
    hparams = load(path, max_symbols_per_frame=1).build()
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


@pytest.mark.parametrize("path", SPEAKER_MODELS, ids=name_of)
def test_every_speaker_model_learns_from_a_batch(path: Path) -> None:
    hparams = load(path, num_speakers=3, adversary_warmup_batches=0).build()
    encoder, reweighting = hparams["speaker_encoder"], hparams["reweighting"]
    wavs = torch.randn(4, 8000)
    if hparams["augment"] is not None:
        wavs = hparams["augment"](wavs)
    embeddings = encoder(wavs)
    assert embeddings.shape == (4, hparams["embedding_size"])
    batch = SpeakerBatch.of(embeddings, torch.tensor([0, 0, 2, 2]))
    reweighting.loss(batch).backward()
    assert all(p.grad is not None for p in hparams["losses"].parameters())
    reweighting.update(batch)
    assert reweighting.num_batches == (0 if reweighting.game is None else 1)
    assert hparams["lr_schedule"](1) > 0


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_an_ablation_is_a_short_list_of_differences(path: Path) -> None:
    lines = path.read_text().splitlines()
    settings = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if settings[0].startswith("base:") and path.stem not in {"mini", "conv_rnnt_small"}:
        assert len(settings) <= 15


def build(name: str) -> dict[str, Any]:
    return load(HPARAMS / f"{name}.yaml").build()


def count(*modules: torch.nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / MILLION


def test_the_parity_model_has_the_parameters_of_the_paper_s_table() -> None:
    hparams = build("conv_rnnt_parity")
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


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_the_readme_states_the_parameters_of_every_model(path: Path) -> None:
    modules = load(path).build()["modules"]
    trained_only = {"ctc_head", "transducer_loss", "losses"}
    counted = count(*(module for name, module in modules.items() if name not in trained_only))
    readme = (path.parent.parent / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{path.stem}` |"))
    assert float(row.split("|")[3]) == pytest.approx(counted, abs=0.06)


@pytest.mark.parametrize("which", ARBITRATORS)
@pytest.mark.parametrize("toggles", ["query", "key", "query_key"])
def test_the_paper_s_grid_of_arbitrators_is_whole(toggles: str, which: str) -> None:
    """Deviation: two feed-forward arbitrators have 0.146 million, each with half of the toggles."""
    best = (toggles, which) == ("query_key", "dual_rnn")
    hparams = build("amortized" if best else f"amortized_{toggles}_{which}")
    encoder, schedule = hparams["encoder"], hparams["gate_schedule"]
    kind, number, size = ARBITRATORS[which]
    assert encoder.toggles == toggles and encoder.toggle_every_frames == 1
    assert [type(one) for one in encoder.arbitrators] == [kind] * number
    assert sum(one.num_toggles for one in encoder.arbitrators) == 12 + 48 + 48
    assert count(encoder.arbitrators) == pytest.approx(size, rel=0.1)
    assert encoder.shape.arbitrator_macs / MILLION == pytest.approx(size, rel=0.1)
    assert schedule.phase_one_steps / schedule.num_steps == 120 / 200
    hparams["compute_cost"].check(encoder.shape, toggles=toggles)


def test_the_dense_encoder_has_the_operations_of_the_paper_s_sizes() -> None:
    """25.8 million multiply-adds per frame; the paper prints 34 million FLOPs."""
    shapes = [build(name)["encoder"].shape for name in ("amortized_dense", "amortized")]
    dense = [dense_macs(shape, torch.tensor([300])) for shape in shapes]
    assert dense[0] == dense[1]
    assert (dense[0].total - dense[0].scores) / dense[0].frames == 25_824_768


def test_random_gates_leave_two_fifths_and_follow_the_seed() -> None:
    hparams = build("amortized_random")
    (arbitrator,), shape = hparams["encoder"].arbitrators, hparams["encoder"].shape
    assert arbitrator.seed == hparams["seed"]
    keep = arbitrator.eval()(torch.zeros(1, 400, 516)) > 0  # (1, T, 12, 9)
    gates = Gates(keep[..., :1], keep[..., 1:5], keep[..., 5:])
    frames = torch.tensor([400])
    share = compute_share(gated_macs(shape, gates, frames), dense_macs(shape, frames))
    assert share == pytest.approx(0.4, abs=0.01)


def test_the_sliding_window_saves_scores_only() -> None:
    dense, window = (
        dense_macs(build(name)["encoder"].shape, torch.tensor([400]))
        for name in ("amortized_dense", "amortized_sliding_window")
    )
    assert window.scores < 0.15 * dense.scores
    assert window.total - window.scores == dense.total - dense.scores


def test_decisions_for_chunks_of_150_ms() -> None:
    hparams = build("amortized_chunkwise")
    log_mel = hparams["log_mel"]
    frame_ms = 1000 * hparams["num_stacked_frames"] * log_mel.hop / hparams["sample_rate"]
    assert hparams["encoder"].toggle_every_frames * frame_ms == pytest.approx(150)


def test_the_small_models_that_are_compared_differ_in_their_gates_only() -> None:
    """They start from the weights of one another."""
    dense, learned, random = (
        build(name) for name in ("amortized_mini_dense", "amortized_mini", "amortized_mini_random")
    )
    names = dense["encoder"].state_dict().keys()
    assert names == random["encoder"].state_dict().keys()
    extra = learned["encoder"].state_dict().keys() - names
    assert names <= learned["encoder"].state_dict().keys()
    assert extra and all(name.startswith("arbitrators.") for name in extra)
    groups = [one["encoder"].shape.feed_forward_groups for one in (dense, learned, random)]
    assert groups == [1, 8, 8]
    shapes = {
        replace(one["encoder"].shape, arbitrator_macs=0, feed_forward_groups=1)
        for one in (dense, learned, random)
    }
    assert len(shapes) == 1
