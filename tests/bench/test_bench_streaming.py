from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.bench import streaming_run
from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.lstm_kernels import compare_lstm_kernels, onednn
from sb_alexa.bench.models import build_recogniser
from sb_alexa.bench.recogniser import Recogniser
from sb_alexa.bench.streaming_run import measure, single_thread
from sb_alexa.cli import main
from tests.bench.tiny_recogniser import build_tiny

_QUICK = ["--seconds", "0.5", "--rounds", "1", "--max-streams", "2"]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not depend on the arguments is made short too."""
    small = partial(compare_lstm_kernels, num_layers=1, hidden_size=8, num_repetitions=2)
    monkeypatch.setattr(streaming_run, "compare_lstm_kernels", small)
    monkeypatch.setattr(streaming_run, "_WARM_UP_SECONDS", 0.3)


def test_command_writes_figures_table_and_plot(
    tiny_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    arguments = ["--models", str(tiny_yaml), "--hours", "0.001", *_QUICK]
    outputs = ["--json", str(tmp_path / "a" / "figures.json"), "--output", str(tmp_path / "b")]
    assert main(["bench", "streaming", *arguments, *outputs]) == 0
    assert torch.get_num_threads() == threads

    content = json.loads((tmp_path / "a" / "figures.json").read_text())
    assert content["command"] == "bench streaming"
    assert content["machine"]["threads"] == 1
    figures = content["figures"]
    assert {
        "tiny_rtf",
        "tiny_chunk_ms_p50",
        "tiny_chunk_ms_p95",
        "tiny_streams_per_core",
        "tiny_encoder_rtf",
        "tiny_gmac_per_second",
        "tiny_parameters_m",
        "long_stream_rss_growth_mib",
        "idle",
    } <= figures.keys()
    assert figures["tiny_chunk_ms"] == 150
    assert 0 < figures["tiny_encoder_rtf"] < figures["tiny_rtf"] < 1
    streams = figures["tiny_streams_per_core"]
    assert 0 <= streams <= 2  # no more than were tried

    table = (tmp_path / "b" / "streaming.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert f"| **live streams per core** | **{streams}** |" in table
    assert (tmp_path / "b" / "streaming.png").read_bytes().startswith(b"\x89PNG")


def test_subject_has_no_prefix() -> None:
    """`rtf`, `chunk_ms_p50`, ... without a prefix are those of the paper-size ConvRNN-T."""
    recogniser = build_recogniser("conv_rnnt", chunk_ms=150.0)
    with single_thread():
        result = measure(
            [recogniser], EndlessAudio.noise(), seconds=0.3, num_rounds=1, max_streams=1
        )
    assert {"rtf", "chunk_ms_p50", "chunk_ms_p95", "streams_per_core"} <= result.figures.keys()
    assert recogniser.chunk_samples == 2400
    parameters_m, gmac = result.figures["parameters_m"], result.figures["gmac_per_second"]
    assert parameters_m is not None and 26 < parameters_m < 30
    assert gmac is not None and 3.8 < gmac < 4.4


def test_models_take_turns(tiny: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, int]] = []
    timed = streaming_run.time_chunks

    def recorded(recogniser, *args, num_streams, **kwargs):  # type: ignore[no-untyped-def]
        order.append((recogniser.name, num_streams))
        return timed(recogniser, *args, num_streams=num_streams, **kwargs)

    other = build_tiny()
    other.name = "other"
    monkeypatch.setattr(streaming_run, "time_chunks", recorded)
    with single_thread():
        measure([tiny, other], EndlessAudio.noise(), seconds=0.3, num_rounds=2, max_streams=2)
    turns = [("tiny", 1), ("other", 1)]
    # Warming up, two rounds, then the batches.
    assert order[:8] == 4 * turns
    assert order[8:] in ([("tiny", 2), ("other", 2)], [])  # [] if not even one stream kept up


def test_recording_is_streamed(
    tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav = tmp_path / "tone.wav"
    soundfile.write(wav, 0.1 * np.sin(np.arange(8000)), 16000)
    heard: list[int] = []
    chunk = EndlessAudio.chunk

    def listen(self: EndlessAudio, *args: int) -> torch.Tensor:
        heard.append(len(self.samples))
        return chunk(self, *args)

    monkeypatch.setattr(EndlessAudio, "chunk", listen)
    assert (
        main(["bench", "streaming", "--models", str(tiny_yaml), "--audio", str(wav), *_QUICK]) == 0
    )
    assert set(heard) == {8000}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "con_rnnt"], "Did you mean conv_rnnt?"),
        (["--seconds", "0"], "--seconds must be positive"),
        (["--max-streams", "-1"], "--max-streams must be positive"),
        (["--audio", "missing.wav"], "missing.wav"),
    ],
)
def test_bad_input(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "streaming", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_onednn_is_restored() -> None:
    before = torch._C._get_mkldnn_enabled()
    with onednn(enabled=False):
        assert not torch._C._get_mkldnn_enabled()
    assert torch._C._get_mkldnn_enabled() == before


def test_lstm_kernels_are_compared() -> None:
    times = compare_lstm_kernels(num_layers=1, hidden_size=8, num_repetitions=2)
    assert times.keys() == {"ours", "onednn", "native"}
    assert min(times.values()) > 0
