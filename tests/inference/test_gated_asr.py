"""A model folder whose encoder holds a list of arbitrators: opened, offline, streaming, export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.inference.model_folder import read_model_folder
from tests.tiny_gated_model import ARBITRATORS, DENSE_RECIPE, gated_recipe, write_gated_model
from tests.tiny_model import noise, write_tiny_model

CPU = {"device": "cpu"}


@pytest.fixture(scope="module", params=sorted(ARBITRATORS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gated_model(tmp_path_factory.mktemp("gated") / "model", request.param)


def streamed(asr: TransducerASR, samples: torch.Tensor, size: int) -> str:
    session = asr.streaming_session()
    for chunk in samples.split(size):
        session.push(chunk)
    return session.finish().text


@pytest.mark.parametrize("size", [480, 2560, 7777])
def test_streaming_equals_offline(folder: Path, size: int) -> None:
    asr = TransducerASR.from_hparams(folder, run_opts=CPU)
    text = asr.recognize(noise(30_000)).text
    assert len(set(text.split())) > 1
    assert streamed(asr, noise(30_000), size) == text


def test_gates_come_with_the_same_words(folder: Path) -> None:
    asr = GatedASR.from_hparams(folder, run_opts=CPU)
    found = asr.recognize_with_gates(noise(30_000))
    plain = asr.recognize(noise(30_000))
    assert found.update.words == plain.words and found.update.text == plain.text
    assert found.gates.feed_forward.shape == (1, 63, 3, 1)
    assert found.gates.key.shape == (1, 63, 3, 2)
    assert found.counts.frames == 63
    assert found.counts.query.kept == int(found.gates.query.sum())
    assert 0.1 < found.counts.query.keep_rate < 0.9, "some gates are open and some are closed"


def test_a_batch_gives_what_each_recording_gives_alone(folder: Path) -> None:
    asr = GatedASR.from_hparams(folder, run_opts=CPU)
    recordings = [noise(12_345, 1), noise(30_000, 2), noise(1, 3)]
    together = asr.recognize_batch_with_gates(recordings)
    for one, samples in zip(together, recordings, strict=True):
        alone = asr.recognize_with_gates(samples)
        assert (one.update.text, one.counts) == (alone.update.text, alone.counts)
        assert torch.equal(one.gates.key, alone.gates.key)


def test_the_threshold_is_a_dial(folder: Path) -> None:
    asr = GatedASR.from_hparams(folder, run_opts=CPU)
    assert asr.threshold == 0.5
    asr.threshold = 0.0
    everything = asr.recognize_with_gates(noise(30_000)).counts
    assert everything.query.keep_rate == everything.feed_forward.keep_rate == 1
    asr.threshold = 1.0
    nothing = asr.recognize_with_gates(noise(30_000)).counts
    assert nothing.query.kept == nothing.key.kept == nothing.feed_forward.kept == 0
    with pytest.raises(ValueError, match=r"1\.5"):
        asr.threshold = 1.5


def test_the_dense_encoder_opens_and_streams(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", DENSE_RECIPE)
    asr = TransducerASR.from_hparams(folder, run_opts=CPU)
    text = asr.recognize(noise(30_000)).text
    assert text and streamed(asr, noise(30_000), 2000) == text
    with pytest.raises(ValueError, match="a TransformerEncoder, which has no arbitrators"):
        GatedASR.from_hparams(folder, run_opts=CPU)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (gated_recipe(), "AmortizedTransformerEncoder, which decides for each frame"),
        (DENSE_RECIPE, "a TransformerEncoder, which keeps its keys in a cache"),
    ],
)
def test_export_refuses(recipe: str, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from sb_alexa.inference.export import export_streaming_step

    model = read_model_folder(write_tiny_model(tmp_path / "model", recipe))
    with pytest.raises(ValueError, match=reason):
        export_streaming_step(model, tmp_path / "graphs" / "step.onnx")
    assert not (tmp_path / "graphs").exists()
