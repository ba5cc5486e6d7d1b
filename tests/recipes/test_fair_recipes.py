"""Trainings for a cohort of speakers, from the command line of the LibriSpeech recipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sb_alexa.inference.asr import TransducerASR
from sb_alexa.training.fisher_information import FisherInformation
from sb_alexa.training.run_log import read_events
from tests.recipes.conftest import MINI, TRAIN, Run, arguments, output_of

FAIR = {"num_steps": 4, "warmup_steps": 1, "ctc_only_steps": 0}


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model to start from."""
    output = tmp_path_factory.mktemp("model")
    done = subprocess.run(
        [sys.executable, str(TRAIN), *arguments(corpus, output, num_steps=4)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output


@pytest.fixture
def bottom(tmp_path: Path) -> Path:
    path = tmp_path / "bottom.csv"
    path.write_text("speaker\n2\n5\n")
    return path


def yaml(name: str) -> Path:
    return MINI.with_name(f"{name}.yaml")


def test_elastic_fine_tuning_on_a_cohort(
    corpus: Path, model: Path, bottom: Path, tmp_path: Path, run: Run
) -> None:
    argv = arguments(
        corpus, tmp_path / "out", recipe=yaml("fair_mini_ewc"), pretrained_folder=model,
        cohort_speakers=bottom, cohort_sampling="{share: 0.5}", elastic="{fisher_utterances: 6}",
        **FAIR,
    )  # fmt: skip
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert "the cohort has 4 of 12 training utterances and 1 of 3 speakers" in output_of(done)
    fisher = FisherInformation.load(model / "fisher.safetensors")
    assert fisher.stamp.num_utterances == 6
    assert {share.module for share in fisher.shares()} == {
        "encoder", "predictor", "joiner", "ctc_head",
    }  # fmt: skip
    penalties = [one["elastic_penalty"] for one in read_events(tmp_path / "out")
                 if one["event"] == "train" and "elastic_penalty" in one]  # fmt: skip
    assert penalties and penalties[-1] > 0
    assert json.loads((tmp_path / "out" / "results.json").read_text())["test-clean"]["words"] > 0


def test_new_recordings_keep_the_labels_and_the_statistics_of_the_start(
    corpus: Path, model: Path, bottom: Path, tmp_path: Path, run: Run
) -> None:
    """Other text would give other word pieces, other speech other means of the features."""
    argv = arguments(
        corpus, tmp_path / "out", recipe=yaml("fair_mini_l2"), pretrained_folder=model,
        train_splits=["train-clean", "dev-clean"], cohort_speakers=bottom,
        word_pieces_file=model / "word_pieces.model", **FAIR,
    )  # fmt: skip
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-3000:]
    pieces = [(one / "word_pieces.model").read_bytes() for one in (model, tmp_path / "out")]
    assert pieces[0] == pieces[1]
    before, after = (load_file(one / "model.safetensors") for one in (model, tmp_path / "out"))
    statistics = [name for name in before if name.startswith("features.")]
    assert statistics and all(torch.equal(before[name], after[name]) for name in statistics)


def test_a_frozen_encoder_is_that_of_the_start(
    corpus: Path, model: Path, bottom: Path, tmp_path: Path, run: Run
) -> None:
    argv = arguments(
        corpus, tmp_path / "out", recipe=yaml("fair_mini_frozen_encoder"), pretrained_folder=model,
        cohort_speakers=bottom, batch_size=2, **FAIR,
    )  # fmt: skip
    done = run(*argv, "--distributed_backend=gloo", processes=2)
    assert done.returncode == 0, output_of(done)[-3000:]
    before, after = (load_file(one / "model.safetensors") for one in (model, tmp_path / "out"))
    encoder = [name for name in before if name.startswith("encoder.")]
    assert encoder and all(torch.equal(before[name], after[name]) for name in encoder)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_model_with_a_cohort_input_works_without_it(
    corpus: Path, bottom: Path, tmp_path: Path, run: Run
) -> None:
    argv = arguments(
        corpus, tmp_path / "out", recipe=yaml("fair_mini_cohort_input"), cohort_speakers=bottom,
        num_steps=4,
    )  # fmt: skip
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-3000:]
    audio = next(corpus.rglob("5-10-0001.flac"))
    text = TransducerASR.from_hparams(source=str(tmp_path / "out")).transcribe_file(str(audio))
    assert isinstance(text, str)


def test_what_is_missing_is_named_before_anything_long(
    corpus: Path, model: Path, bottom: Path, tmp_path: Path, run: Run
) -> None:
    other = tmp_path / "model"
    shutil.copytree(model, other, ignore=shutil.ignore_patterns("save", "prepared"))
    with (other / "word_pieces.model").open("ab") as file:
        file.write(b"another")
    for options, message in (
        ({"pretrained_folder": model}, "name them in cohort_speakers"),
        ({"pretrained_folder": other, "cohort_speakers": bottom}, "labels mean something else"),
    ):
        recipe = yaml("fair_mini_ewc")
        done = run(*arguments(corpus, tmp_path / "out", recipe=recipe, **FAIR, **options))
        assert done.returncode != 0 and message in output_of(done)
