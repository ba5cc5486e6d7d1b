"""`sb-alexa export` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa import cli
from sb_alexa.commands import export
from sb_alexa.inference.asr import TransducerASR
from tests.tiny_model import noise, write_tiny_model

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("export") / "model")


def test_export_and_the_example_of_the_help(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["export", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "model_step.json" in out and "largest difference from the model over 5 steps" in out
    # The example in the help is run as it stands.
    block = export._EPILOG.split("only:\n\n")[1].split("\n\nexample:")[0]
    code = "\n".join(line.removeprefix("  ") for line in block.splitlines())
    code = code.replace("model_step.json", str(folder / "model_step.json"))
    samples = noise(20000)
    exec(code, {"microphone": [piece.numpy() for piece in samples.split(2000)]})
    expected = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"}).recognize(samples)
    assert capsys.readouterr().out.splitlines()[-1] == expected.text != ""
    # The graphs in the folder do not get in the way of opening it.
    assert cli.main(["transcribe", str(folder), "missing.wav"]) == 2


def test_a_difference_is_an_exit_code(folder, tmp_path, capsys, monkeypatch) -> None:
    from sb_alexa.inference import export as library
    from sb_alexa.inference import export_check

    monkeypatch.setattr(library, "export_streaming_step", lambda model, output, **options: output)
    monkeypatch.setattr(export_check, "largest_difference", lambda *args: 2e-4)
    assert cli.main(["export", str(folder), "--output", str(tmp_path / "a.onnx")]) == 1
    assert "2.0e-04" in capsys.readouterr().out


def test_bad_input(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["export", str(tmp_path)]) == 2
    assert "is not a model folder" in capsys.readouterr().err
    assert cli.main(["export", str(folder), "--chunk-ms", "-1"]) == 2
    assert "chunk_ms > 0" in capsys.readouterr().err
