"""The models of the recipes become folders that open, stream and export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sb_alexa.inference import safe_yaml, yaml_objects
from sb_alexa.inference.allowed_constructors import ALLOWED_CONSTRUCTORS
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.model_configuration import model_configuration
from sb_alexa.inference.model_folder import read_model_folder, write_model_folder
from sb_alexa.training.configuration import Configuration
from tests.tiny_model import noise, write_word_pieces

HPARAMS = Path(__file__).parents[2] / "recipes" / "LibriSpeech" / "ASR" / "hparams"
NAMES = sorted(path.stem for path in HPARAMS.glob("*.yaml"))


def configuration(name: str) -> str:
    overrides = {"data_folder": "nowhere", "num_labels": 17}
    recipe = Configuration.from_file(HPARAMS / f"{name}.yaml", overrides)
    return model_configuration(recipe.resolved_text())


def write(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    text = configuration(name)
    modules = {
        key: value
        for key, value in yaml_objects.build(safe_yaml.parse(text, name)).items()
        if isinstance(value, torch.nn.Module)
    }
    write_model_folder(
        folder,
        configuration=text,
        modules=modules,
        word_pieces_path=write_word_pieces(folder.parent / "word_pieces.model"),
    )
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_makes_a_folder_that_may_be_opened(name: str) -> None:
    safe_yaml.check(safe_yaml.parse(configuration(name), name), ALLOWED_CONSTRUCTORS)


def test_there_are_recipes() -> None:
    assert {"conv_rnnt", "rnnt", "conformer", "mini"} <= set(NAMES)


def test_streaming_equals_offline(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "mini")
    asr = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"})
    samples = noise(9000)
    session = asr.streaming_session()
    updates = [*map(session.push, samples.split(1777)), session.finish()]
    labels = [token.label for update in updates for token in update.tokens]
    assert labels == asr.transcribe_batch(samples[None], torch.ones(1))[1][0]


@pytest.mark.slow
def test_paper_size_streaming_equals_offline(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "conv_rnnt")
    asr = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"})
    samples = noise(9000)
    encoder_out = asr.encode_batch(samples[None], torch.ones(1))
    session = asr.streaming_session()
    updates = [*map(session.push, samples.split(1777)), session.finish()]
    labels = [token.label for update in updates for token in update.tokens]
    assert labels == list(asr.hparams.search(encoder_out)[0].tokens)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv_rnnt", "mini"])
def test_paper_size_export(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from sb_alexa.inference.export import export_streaming_step
    from sb_alexa.inference.export_check import largest_difference

    model = read_model_folder(write(tmp_path / "model", name))
    path = export_streaming_step(model, tmp_path / "step.onnx", chunk_ms=150)
    assert largest_difference(model, path) <= 1e-4
