from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sb_alexa.bench import amortized_run, streaming_run, turns
from sb_alexa.bench.amortized_paper_size import PaperEncoders, check_operations, measure_regime
from sb_alexa.bench.amortized_regimes import (
    REGIMES,
    OperationCheck,
    Regime,
    RegimeResult,
)
from sb_alexa.bench.amortized_replay import GateRecording
from sb_alexa.bench.amortized_report import markdown
from sb_alexa.bench.amortized_run import PAPER_SIZES, Effort, measure
from sb_alexa.bench.amortized_speech import TestSpeech, open_amortized_model
from sb_alexa.bench.amortized_sweep import ThresholdModel, recognise_all
from sb_alexa.bench.roofline import Roofline
from sb_alexa.cli import main
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.encoders.transformer import TransformerEncoder
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.metrics.error_rate import count_errors
from sb_alexa.nn.gates import ToggleLayout
from sb_alexa.nn.transformer_shape import TransformerShape
from tests.bench.tiny_amortized import trained_encoder, write_test_speech, write_tiny_amortized
from tests.tiny_model import write_tiny_model

SMALL = TransformerShape(
    input_size=5,
    d_model=32,
    nhead=4,
    num_layers=3,
    d_ffn=48,
    output_size=7,
    left_context_frames=4,
)
ROOFLINE = Roofline(weights_per_second=1e9, macs_per_second=1e9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("amortized")
    write_tiny_amortized(folder / "model")
    write_test_speech(folder)
    return folder


@pytest.fixture
def _small_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {**PAPER_SIZES, "d_model": 24, "num_layers": 4, "d_ffn": 32}
    monkeypatch.setattr(amortized_run, "PAPER_SIZES", sizes)
    monkeypatch.setattr(streaming_run, "_WARM_UP_SECONDS", 0.3)


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "bench",
        "amortized",
        str(folder / "model"),
        "--manifest",
        str(folder / "test.csv"),
        "--data-root",
        str(folder),
        *more,
    ]


@pytest.mark.usefixtures("_small_paper")
def test_command_writes_figures_table_and_plot(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    quick = ["--quick", "--thresholds", "0", "0.5", "1", "--paper-left-context", "6"]
    outputs = ["--json", str(tmp_path / "figures.json"), "--output", str(tmp_path / "b")]
    assert main(arguments(folder, *quick, *outputs)) == 0
    assert torch.get_num_threads() == threads

    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["command"] == "bench amortized"
    assert content["machine"]["threads"] == 1
    figures = content["figures"]
    for threshold in ("0", "0.5", "1"):
        prefix = f"sweep_{threshold}_"
        low, high = figures[f"{prefix}wer_low"], figures[f"{prefix}wer_high"]
        assert low <= figures[f"{prefix}wer"] <= high
        assert figures[f"{prefix}chunk_ms"] == 150
        assert 0 < figures[f"{prefix}chunk_ms_p50"] <= figures[f"{prefix}chunk_ms_p95"]
        assert 0 <= figures[f"{prefix}streams_per_core"] <= 2
        encoder = figures[f"{prefix}offline_encoder_s_per_audio_s"]
        assert 0 < encoder < figures[f"{prefix}offline_s_per_audio_s"]
    assert figures["sweep_0_compute"] > 1  # everything, and the arbitrators
    assert figures["sweep_0_key_kept"] == figures["sweep_0_query_kept"] == 1
    assert figures["sweep_1_key_kept"] == figures["sweep_1_feed_forward_kept"] == 0
    assert figures["sweep_1_compute"] < figures["sweep_0.5_compute"] < figures["sweep_0_compute"]
    for regime in REGIMES:
        ratio = (
            figures[f"{regime.name}_measured_reduction"]
            / figures[f"{regime.name}_counted_reduction"]
        )
        assert figures[f"{regime.name}_measured_over_counted"] == pytest.approx(ratio)
        assert figures[f"{regime.name}_roofline_ms"] > 0
    assert abs(figures["frame_by_frame_executed_beyond_formula_percent"]) < 1

    table = (tmp_path / "b" / "amortized.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert all(f"| {regime.shortened().title} |" in table for regime in REGIMES)
    assert (tmp_path / "b" / "amortized.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("_small_paper")
def test_a_second_device_runs_the_batches_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor under another name stands in for a GPU."""
    waited: list[str] = []
    monkeypatch.setattr(turns, "_wait_for", waited.append)
    monkeypatch.setattr(amortized_run, "measure_roofline", lambda *_, **__: ROOFLINE)
    model = open_amortized_model(folder / "model")
    speech = TestSpeech.read(folder / "test.csv", folder, sample_rate=16000, max_utterances=2)
    effort = Effort.quick().changed(max_streams=1, num_rounds=1)
    result = measure(
        model, speech, [0.9], effort, left_context_frames=6, device="cpu:0", chunk_ms=90.0
    )
    on_gpu = [one.regime.name for one in result.regimes if one.device == "cpu:0"]
    assert on_gpu == ["offline", "streams", "streams_chunkwise"]
    assert {"gpu_streams_measured_reduction", "gpu_bandwidth_gb_per_s"} <= result.figures.keys()
    assert waited.count("cpu:0") == 2 * 2 * len(on_gpu)  # before and after each turn of both
    # The replayed gates are those of the model's threshold, which the sweep left out.
    assert result.model_threshold == 0.5
    assert [point.threshold for point in result.sweep] == [0.9]
    assert "16 utterances" not in markdown(result)


@pytest.mark.usefixtures("_small_paper")
def test_the_papers_toggles_stand_in_for_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--own-toggles measures the groups; a model with the paper's toggles keeps them."""
    monkeypatch.setattr(amortized_run, "measure_roofline", lambda *_, **__: ROOFLINE)
    model = open_amortized_model(write_tiny_amortized(tmp_path / "model", groups=4))
    write_test_speech(tmp_path)
    speech = TestSpeech.read(tmp_path / "test.csv", tmp_path, sample_rate=16000, max_utterances=2)
    effort = Effort.quick().changed(max_streams=1, num_rounds=1)
    for own, groups in ((False, 1), (True, 4)):
        result = measure(model, speech, [0.5], effort, left_context_frames=6, own_toggles=own)
        assert result.shape.feed_forward_groups == groups
        assert result.stand_in is not own
        assert ("takes the decisions of one" in markdown(result)) is not own


def test_paper_sizes_are_the_defaults_of_the_encoders() -> None:
    shape = TransformerShape(**PAPER_SIZES, left_context_frames=100)
    with torch.device("meta"):
        assert TransformerEncoder(left_context_frames=100).shape == shape


def test_titles_tell_what_is_run() -> None:
    assert [regime.title for regime in REGIMES] == [
        "one stream, 30 ms",
        "16 utterances of 12 s",
        "one stream, 150 ms",
        "one stream, 150 ms, toggles every 150 ms",
        "32 streams, 150 ms",
        "32 streams, 150 ms, toggles every 150 ms",
    ]


@pytest.mark.parametrize("regime", [one.shortened() for one in REGIMES], ids=lambda one: one.name)
def test_counted_reduction_is_that_of_the_replayed_gates(regime: Regime) -> None:
    """All on: the arbitrators are the only difference. All off: they and the projections remain."""
    dense = 5 * 32 + 3 * (4 * 32 * 32 + 2 * 32 * 48) + 32 * 7
    scores = 2 * 8 * 4 * 3 * 5  # by a frame whose left context is full
    for keep, without in ((True, 0.0), (False, 100.0)):
        recording = GateRecording(torch.full((50, 2, 5), keep), ToggleLayout(1, 2))
        encoders = PaperEncoders(SMALL, trained_encoder(), recording)
        found = measure_regime(regime, encoders, ROOFLINE, num_rounds=2)
        arbitrators = encoders.gated(regime).shape.arbitrator_macs
        if keep and not regime.is_offline:
            expected = -100.0 * arbitrators / (dense + scores)
            assert found.counted_reduction == pytest.approx(expected)
        if not keep and not regime.is_offline:
            rest = 5 * 32 + 32 * 7 + arbitrators
            assert found.counted_reduction == pytest.approx(100 * (1 - rest / (dense + scores)))
        assert found.counted_reduction <= without
        assert len(found.dense_ms) == len(found.gated_ms) == 2
        assert min(found.dense_ms + found.gated_ms) > 0


def test_roofline_of_a_step() -> None:
    """One frame with everything on reads all weights; many rows compute."""
    recording = GateRecording(torch.ones(50, 2, 5, dtype=torch.bool), ToggleLayout(1, 2))
    encoders = PaperEncoders(SMALL, trained_encoder(), recording)
    weights = sum(p.numel() for p in encoders.dense.parameters() if p.dim() == 2)
    slow_reader = Roofline(weights_per_second=1e6, macs_per_second=1e12)
    found = measure_regime(REGIMES[0].shortened(), encoders, slow_reader, num_rounds=1)
    assert found.dense_roofline_ms == pytest.approx(weights / 1e3)
    assert found.gated_roofline_ms > found.dense_roofline_ms  # the arbitrators' weights
    slow_computer = Roofline(weights_per_second=1e12, macs_per_second=1e6)
    streams = measure_regime(REGIMES[4].shortened(), encoders, slow_computer, num_rounds=1)
    scores = 2 * 8 * 4 * 3 * 5
    assert streams.dense_roofline_ms == pytest.approx(4 * 5 * (weights + scores) / 1e3)


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_executed_operations_are_those_of_the_formula(keep: float) -> None:
    toggles = torch.rand(64, 2, 5, generator=torch.Generator().manual_seed(1)) < keep
    encoders = PaperEncoders(SMALL, trained_encoder(), GateRecording(toggles, ToggleLayout(1, 2)))
    check = check_operations(REGIMES[0], encoders)
    assert check.executed == pytest.approx(check.formula, rel=1e-9)


def test_deviation_has_a_sign() -> None:
    assert OperationCheck(executed=102.0, formula=100.0).deviation_percent == pytest.approx(2.0)


def test_reduction_is_taken_within_a_round() -> None:
    found = RegimeResult(REGIMES[0], "cpu", (10.0, 20.0, 40.0), (5.0, 11.0, 10.0), 50.0, 1.0, 0.5)
    assert found.measured_reduction.median == pytest.approx(50.0)
    assert found.measured_over_counted == pytest.approx(1.0)
    assert found.figures["frame_by_frame_ours_ms"] == 10.0
    on_gpu = RegimeResult(REGIMES[1], "cuda", (2.0,), (1.0,), 50.0, 1.0, 0.5)
    assert "gpu_offline_measured_reduction" in on_gpu.figures


def test_recognition_is_that_of_the_model(folder: Path) -> None:
    model = open_amortized_model(folder / "model")
    speech = TestSpeech.read(folder / "test.csv", folder, sample_rate=16000)
    models = [ThresholdModel(model, threshold) for threshold in (0.0, 0.5)]
    found, recordings = recognise_all(models, speech)
    assert found[0].total.words == 3 * len(speech.utterances)
    assert found[0].errors.keys() == {"0", "1", "2"}

    asr = TransducerASR.from_hparams(source=str(folder / "model"), run_opts={"device": "cpu"})
    texts = [asr.transcribe_file(one.path).split() for one in speech.utterances]
    errors = sum(one.errors for one in found[1].errors.values())
    assert errors == sum(count_errors(["TEA", "FOR", "TWO"], text).errors for text in texts)

    # The recording: utterance after utterance, as the encoder decides about each alone.
    batch = speech.batch(speech.utterances[:2])
    frames, num_frames = models[1].frames(batch)
    gates = models[1].encoder.forward_with_gates(frames, num_frames)[1]
    first, second = GateRecording.of_each(gates, num_frames)
    start = recordings[1].toggles[: len(first) + len(second)]
    assert torch.equal(start, torch.cat([first, second]))
    assert recordings[0].toggles.all()
    assert len(recordings[0].toggles) == found[0].counts.frames


def test_model_is_left_as_it_is(folder: Path) -> None:
    model = open_amortized_model(folder / "model")
    at_zero = ThresholdModel(model, 0.0)
    assert at_zero.encoder.threshold == 0.0
    assert model.hparams["encoder"].threshold == 0.5


def test_utterances_are_spread_over_the_manifest(folder: Path) -> None:
    speech = TestSpeech.read(folder / "test.csv", folder, sample_rate=16000, max_utterances=3)
    assert [one.id for one in speech.utterances] == ["0", "2", "4"]
    assert len(speech.stream(1000.0)) == sum(8000 + 1500 * n for n in (0, 2, 4))


def test_batches_hold_every_utterance_once(monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = [Utterance(str(n), 1.0 + n % 3, "x.wav", "1", "A") for n in range(7)]
    monkeypatch.setattr(TestSpeech, "batch", lambda self, some: list(some))
    speech = TestSpeech(tuple(utterances), 16000)
    batches: list[Any] = list(speech.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert sorted(sum(batches, []), key=lambda one: one.id) == utterances
    assert [one.duration_s for one in sum(batches, [])] == [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    typical: Any = speech.typical_batch(3)
    assert [one.duration_s for one in typical] == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--thresholds", "0.5", "1.2"], "--thresholds must lie between 0 and 1, got 1.2"),
        (["--thresholds", "-0.1"], "got -0.1"),
        (["--rounds", "0"], "--rounds must be positive"),
        (["--chunk-ms", "-1"], "--chunk-ms must be positive"),
        (["--paper-left-context", "-2"], "--paper-left-context must be 0 frames or more, got -2"),
        (["--manifest", "missing.csv"], "missing.csv does not exist"),
        (["--device", "tpu"], "--device tpu is not there"),
    ],
)
def test_bad_input(
    more: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, *more)) == 2
    assert words in capsys.readouterr().err


def test_data_root_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = arguments(folder)
    del words[words.index("--data-root") :]
    assert main(words) == 2
    assert "--data-root FOLDER" in capsys.readouterr().err


def test_model_without_gates_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(folder)
    words[2] = str(write_tiny_model(tmp_path / "model"))
    assert main(words) == 2
    assert "its encoder is a ConvRNNTEncoder and has no gates" in capsys.readouterr().err
