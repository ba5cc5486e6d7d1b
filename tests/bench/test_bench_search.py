from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sb_alexa.bench import search, search_run
from sb_alexa.bench.aligned_transducer import train_aligned_transducer
from sb_alexa.bench.search_case import (
    Searcher,
    SearchMismatchError,
    SearchSize,
    build_searchers,
    measure,
)
from sb_alexa.bench.search_peers import SpeechBrainSearch
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

V, J = 12, 48
SIZE = SearchSize(3, 20, 4, V, joint_size=J)


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    search.add_arguments(parser)
    sizes = ["--vocabulary", str(V), "--joint-size", str(J), "--frames", "20", "--labels", "4"]
    return parser.parse_args(["--batch-size", "2", "--runs", "2", "--threads", "1", *sizes, *words])


@pytest.fixture(scope="module")
def trained() -> tuple[LSTMPredictor, Joiner]:
    return train_aligned_transducer(vocabulary_size=V, joint_size=J)


@pytest.fixture(autouse=True)
def _trained_once(trained: tuple[LSTMPredictor, Joiner], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_run, "train_aligned_transducer", lambda **_: trained)


@pytest.fixture
def searchers(trained: tuple[LSTMPredictor, Joiner]) -> dict[str, Searcher]:
    return build_searchers(*trained, beam_size=3, names=("greedy", "beam"))


def test_command_writes_figures_table_and_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    figures_file, picture = tmp_path / "a" / "search.json", tmp_path / "search.png"
    assert search.run(_arguments("--json", str(figures_file), "--plot", str(picture))) == 0
    assert torch.get_num_threads() == threads

    content = json.loads(figures_file.read_text())
    assert content["command"] == "bench search" and content["machine"]["threads"] == 1
    figures = content["figures"]
    for name in ("greedy", "beam", "greedy_padded"):
        speedup = f"{name}_speedup_speechbrain"
        assert 0 < figures[f"{speedup}_low"] <= figures[speedup] <= figures[f"{speedup}_high"]
        assert figures[f"{name}_seconds"] > 0 and figures[f"{name}_seconds_speechbrain"] > 0
        assert f"{name}_memory_mib" in figures and f"{name}_memory_mib_speechbrain" in figures
    assert figures["same_tokens_greedy"] == 1.0
    assert figures["same_tokens_beam"] > 0.8
    assert {"greedy_seconds_b1", "greedy_seconds_b4", "beam_seconds_speechbrain_b2"} <= set(figures)
    assert "greedy_seconds_b8" not in figures
    table = capsys.readouterr().out
    assert "**B 2, T 20, U 4, V 12, joint 48**" in table
    assert f"**{figures['greedy_speedup_speechbrain']:.2f}**" in table
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_only_the_chosen_search_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.run(_arguments("--search", "beam", "--runs", "1")) == 0
    table = capsys.readouterr().out
    assert "| beam 4 |" in table and "greedy" not in table


def test_both_searches_find_the_labels(searchers: dict[str, Searcher]) -> None:
    for searcher in searchers.values():
        result = measure(searcher, SIZE, num_rounds=1, seed=9)
        assert result.same_tokens == 1.0
        assert result.errors.error_rate == result.errors_speechbrain.error_rate < 10
        assert result.errors.words == 3 * 4


def test_other_weights_are_not_compared(searchers: dict[str, Searcher]) -> None:
    searcher = searchers["greedy"]
    with torch.no_grad():
        for parameter in searcher.speechbrain.output.parameters():
            parameter.mul_(1.01)
    with pytest.raises(SearchMismatchError, match="differ from ours by"):
        measure(searcher, SIZE, num_rounds=1, seed=9)


@pytest.mark.parametrize("output_size", [None, 7])
@pytest.mark.parametrize("joint_size", [None, 9])
def test_all_parts_are_copied(output_size: int | None, joint_size: int | None) -> None:
    torch.manual_seed(0)
    predictor = LSTMPredictor(
        num_labels=V, embedding_size=5, hidden_size=7, num_layers=2, output_size=output_size
    ).eval()
    joiner = Joiner(
        encoder_size=7,
        predictor_size=7,
        num_labels=V,
        joint_size=joint_size,
        activation=nn.ReLU,
    )
    peer = SpeechBrainSearch(predictor=predictor, joiner=joiner, beam_size=1)
    assert peer.difference(torch.randn(2, 6, 7), torch.randint(1, V, (2, 3))) < 1e-5


def test_parts_that_are_not_copied_are_refused() -> None:
    joiner = Joiner(encoder_size=7, predictor_size=7, num_labels=V)
    for option in ({"layer_norm": True}, {"dropout": 0.1}):
        predictor = LSTMPredictor(num_labels=V, hidden_size=7, output_size=None, **option)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="neither layer norm nor dropout"):
            SpeechBrainSearch(predictor=predictor, joiner=joiner, beam_size=1)


def test_both_stop_after_as_many_labels_at_a_frame() -> None:
    predictor = LSTMPredictor(num_labels=V, embedding_size=4, hidden_size=7, output_size=None)
    joiner = Joiner(encoder_size=7, predictor_size=7, num_labels=V)
    with torch.no_grad():
        joiner.output.weight.zero_()
        joiner.output.bias[5] = 9.0
    pair = build_searchers(predictor.eval(), joiner, beam_size=2, names=("greedy",))["greedy"]
    frames = torch.randn(2, 3, 7)
    assert isinstance(pair.ours, GreedySearch)
    assert pair.speechbrain(frames) == [one.tokens for one in pair.ours(frames)] == [(5,) * 18] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "0"], "--runs must be at least 1, got 0"),
        (["--beam-size", "1"], "--beam-size must be at least 2, got 1"),
        (["--vocabulary", "4"], "--vocabulary must be larger than the beam of 4, got 4"),
        (["--labels", "11"], "--frames must be at least twice the 11 labels, got 20"),
    ],
)
def test_bad_input_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search.run(_arguments(*words))
