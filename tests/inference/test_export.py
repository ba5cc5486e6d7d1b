"""Exported graphs: the frames, logits and labels of the model, with numpy alone around them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch

from sb_alexa.inference import onnx_recognizer
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.model_folder import Model, read_model_folder
from tests.tiny_model import RECIPE, noise, write_tiny_model

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from sb_alexa.inference.export import export_streaming_step
from sb_alexa.inference.export_check import largest_difference
from sb_alexa.inference.onnx_recognizer import OnnxRecognizer, read_description


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return read_model_folder(write_tiny_model(tmp_path_factory.mktemp("export") / "model"))


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("graphs") / "step.onnx"
    return export_streaming_step(model, output, chunk_ms=150)


def test_files(exported: Path) -> None:
    assert {path.name for path in exported.parent.iterdir()} == {
        "step.onnx",
        "step.predictor.onnx",
        "step.joiner.onnx",
        "step.json",
    }


def test_description(exported: Path, model: Model) -> None:
    content = read_description(exported)
    assert content["chunk_samples"] == 2880, "150 ms in whole frames of 60 ms"
    assert content["sample_rate"] == 16000 and content["batch_size"] == 1
    assert len(content["labels"]) == 17 and content["labels"][:2] == ["", "\u2047"]
    encoder = content["graphs"]["encoder"]
    assert encoder["inputs"] == [
        {"name": "samples", "shape": [1, 2880], "dtype": "float32"},
        {"name": "num_samples", "shape": [1], "dtype": "int64"},
    ]
    assert encoder["outputs"] == [{"name": "encoder_out", "shape": [1, 3, 10], "dtype": "float32"}]
    by_name = {one["input"]: one for one in encoder["state"]}
    total = by_name["state.1.global_cnn.0.gate.total"]
    assert (total["dtype"], total["shape"], total["initial"]) == ("float64", [1, 24], 0.0)
    assert exported.stat().st_size < 20_000, "initial states are constants, not lists"


def test_parity_over_several_steps(model: Model, exported: Path) -> None:
    assert 0 < largest_difference(model, exported, num_steps=20) <= 1e-4


@pytest.mark.parametrize("num_samples", [0, 1, 481, 2880, 50001])
def test_a_waveform_gives_the_labels_of_the_model(model, exported, num_samples) -> None:
    samples = noise(num_samples)
    recognizer = OnnxRecognizer(exported)
    for piece in samples.split(1234):
        recognizer.push(piece.numpy())
    text = recognizer.finish()
    session = TransducerASR.from_model(model, {"device": "cpu"}).streaming_session()
    updates = [session.push(samples), session.finish()]
    assert recognizer.labels == [token.label for update in updates for token in update.tokens]
    assert text == session.text
    if num_samples == 50001:
        assert len(set(recognizer.labels)) > 3


def test_several_streams_in_a_step(model: Model, tmp_path: Path) -> None:
    stateless = read_model_folder(
        write_tiny_model(
            tmp_path / "model",
            RECIPE.replace(
                "lstm_predictor.LSTMPredictor", "stateless_predictor.StatelessPredictor"
            ).replace("    hidden_size: 8\n", ""),
        )
    )
    path = export_streaming_step(stateless, tmp_path / "step.onnx", chunk_ms=60, batch_size=3)
    assert largest_difference(stateless, path) <= 1e-4
    with pytest.raises(ValueError, match="for 3 streams at a time"):
        OnnxRecognizer(path)


@pytest.mark.parametrize(
    "options", [{"chunk_ms": 0}, {"batch_size": 0}, {"output": Path("step.json")}]
)
def test_bad_arguments(model: Model, tmp_path: Path, options: dict) -> None:
    arguments = {"output": tmp_path / "step.onnx", **options}
    with pytest.raises(ValueError, match=r"ends in \.onnx, chunk_ms > 0 and batch_size >= 1"):
        export_streaming_step(model, **arguments)


def test_growing_states_are_refused(model: Model, tmp_path: Path) -> None:
    from sb_alexa.encoders.conformer import ConformerEncoder

    torch.manual_seed(0)
    encoder = ConformerEncoder(
        input_size=24, d_model=10, nhead=1, num_layers=1, d_ffn=8, attention_type="RelPosMHAXL"
    ).eval()
    conformer = Model(model.hparams, {**model.modules, "encoder": encoder}, model.word_pieces)
    with pytest.raises(ValueError, match="changes its shape while streaming"):
        export_streaming_step(conformer, tmp_path / "step.onnx", chunk_ms=150)


def test_missing_packages(model: Model, exported: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match="sb-alexa\\[export\\]"):
        export_streaming_step(model, tmp_path / "step.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        OnnxRecognizer(exported)


def test_the_loop_needs_numpy_and_onnxruntime_only() -> None:
    """Its file is meant to be copied away."""
    tree = ast.parse(Path(onnx_recognizer.__file__).read_text())
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    standard = {"__future__", "json", "os", "pathlib", "typing"}
    assert imported == standard | {"numpy", "onnxruntime"}
