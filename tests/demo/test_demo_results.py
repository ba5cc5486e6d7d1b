"""Reading a run back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sb_alexa.demo.report import DemoReport, align
from sb_alexa.demo.results import RecognisedUtterance, RunResults
from tests.demo.fake_run import write_run

SPEAKERS = {
    "a": {"accent": "scottish", "gender": "F"},
    "b": {"accent": "scottish", "gender": "M"},
    "c": {"accent": "american", "gender": "F"},
}


def results(*rows: tuple[str, str, str], events: tuple[dict, ...] = ()) -> RunResults:
    utterances = tuple(
        RecognisedUtterance(f"{speaker}-{i}", speaker, said, heard)
        for i, (speaker, said, heard) in enumerate(rows)
    )
    return RunResults(events, utterances, SPEAKERS)


def test_rates_are_pooled_over_words_not_averaged_over_utterances() -> None:
    run = results(("a", "ONE", "TWO"), ("a", "ONE TWO THREE", "ONE TWO THREE"))
    assert run.overall.wer == 25.0
    assert (run.overall.num_speakers, run.overall.num_words) == (1, 4)
    # One speaker has no interval over speakers.
    assert (run.overall.low, run.overall.high) == (25.0, 25.0)


def test_rates_by_accent_come_in_order() -> None:
    run = results(("a", "X Y", "X Y"), ("b", "X Y", "X Z"), ("c", "X Y", "X Y"))
    rates = run.by_accent
    assert {name: rate.wer for name, rate in rates.items()} == {"american": 0.0, "scottish": 25.0}
    assert list(rates) == ["american", "scottish"]
    assert rates["scottish"].low == 0.0 and rates["scottish"].high == 50.0
    assert rates["scottish"].num_speakers == 2


def test_speaker_missing_in_the_table_is_unknown() -> None:
    assert list(results(("z", "X", "X")).by_accent) == ["unknown"]


def test_median_speaker_is_neither_best_nor_worst() -> None:
    run = results(("a", "X Y", "X Y"), ("b", "X Y", "P Q"), ("c", "X Y", "X Z"))
    assert run.median_speaker == "c"


def test_curve_leaves_out_means_over_epochs_and_what_was_not_measured() -> None:
    events = (
        {"event": "train", "step": 10, "seconds": 2.0, "loss": 5.0},
        {"event": "train", "step": 12, "seconds": 3.0, "loss": 9.0, "end_of_epoch": True},
        {"event": "valid", "step": 12, "seconds": 3.0, "loss": 6.0, "wer": 80.0},
    )
    run = results(("a", "X", "X"), events=events)
    assert run.curve("train", "loss") == [(2.0, 5.0)]
    assert run.curve("valid", "wer") == [(3.0, 80.0)]
    assert run.curve("train", "wer") == []
    assert run.seconds_training == 3.0


def test_a_run_that_is_not_finished_names_what_is_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"test-other\.jsonl is missing.*run it again"):
        RunResults.read(folder, "test-other")
    (folder / "prepared" / "speakers.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"speakers\.csv is missing"):
        RunResults.read(folder, "test-clean")


def test_figures_are_those_of_the_utterances(report: DemoReport, tmp_path: Path) -> None:
    figures = report.figures()
    assert {"wer", "wer_low", "wer_high", "seconds_total", "seconds_training"} <= figures.keys()
    rows = (tmp_path / "run" / "wer" / "test-clean.jsonl").read_text().splitlines()
    pairs = [(row["reference"].split(), row["hypothesis"].split()) for row in map(json.loads, rows)]
    # Made-up errors are substitutions only.
    wrong = sum(a != b for said, heard in pairs for a, b in zip(said, heard, strict=True))
    assert figures["wer"] == pytest.approx(100 * wrong / sum(len(said) for said, _ in pairs))
    assert figures["wer_low"] < figures["wer"] < figures["wer_high"]
    assert figures["test_speakers"] == 32
    assert figures["seconds_training"] == 300.0


def test_align_covers_every_word_once() -> None:
    said, heard = ["a", "b", "c", "d"], ["b", "x", "d", "e"]
    pairs = align(said, heard)
    assert [i for _, i, _ in pairs if i is not None] == list(range(4))
    assert [j for _, _, j in pairs if j is not None] == list(range(4))
    assert all(said[i] == heard[j] for tag, i, j in pairs if tag == "equal")
    assert sum(tag != "equal" for tag, _, _ in pairs) == 3
