"""The LibriCSS recipe from its command line on a tiny corpus: pre-training, then two channels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file

from sb_alexa import cli
from sb_alexa.corpora.recorded_meetings import write_recorded_meetings
from sb_alexa.corpora.turn_files import read_turns
from tests.recipes.conftest import ROOT, WORDS, output_of

RECIPE = ROOT / "recipes" / "LibriCSS" / "ASR"
HEADER = "start_time\tend_time\tspeaker\tutterance_id\ttranscription\n"
TINY = {
    "num_steps": 4, "warmup_steps": 2, "batch_size": 4, "num_word_pieces": 30, "joint_size": 16,
    "embedding_size": 16, "hidden_size": 16, "valid_interval_epochs": 1, "n_mels": 16,
    "mixtures_per_epoch": 8, "joiner": "{joint_size: 16}",
}  # fmt: skip


@pytest.fixture(scope="session")
def meetings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of two conditions in LibriCSS's layout; one group has three talkers at once."""
    folder = tmp_path_factory.mktemp("meetings")
    random = np.random.default_rng(1)
    turns = [(0.5, 2.0, "5"), (1.5, 3.0, "6"), (4.0, 5.0, "5"), (6.0, 8.0, "5"), (6.5, 8.5, "6")]
    collision = [*turns, (7.0, 7.5, "7")]
    for condition, ratio in (("0S", 0.0), ("OV40", 40.0)):
        for number in range(3):
            name = f"overlap_ratio_{ratio}_sil0.1_0.5_session{number}_actual{ratio}"
            session = folder / condition / name
            (session / "record").mkdir(parents=True)
            (session / "transcription").mkdir()
            samples = 0.1 * random.standard_normal(16000 * 9)
            soundfile.write(session / "record" / "raw_recording.wav", samples, 16000)
            said = collision if (condition, number) == ("OV40", 2) else turns
            lines = [
                f"{start}\t{end}\t{speaker}\t{speaker}-10-{count:04d}\t"
                f"{' '.join(random.choice(WORDS, size=3))}\n"
                for count, (start, end, speaker) in enumerate(said)
            ]
            (session / "transcription" / "meeting_info.txt").write_text(HEADER + "".join(lines))
    return folder


def recipe(hparams: str, **options: object) -> subprocess.CompletedProcess[str]:
    settings = {**TINY, **options}
    return subprocess.run(
        [
            sys.executable,
            str(RECIPE / "train.py"),
            str(RECIPE / "hparams" / f"{hparams}.yaml"),
            *(f"--{name}={value}" for name, value in settings.items()),
            "--noprogressbar",
            "--device=cpu",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def pretrained(corpus: Path, meetings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("pretrained")
    folders = {"data_folder": corpus, "libricss_folder": meetings, "output_folder": output}
    done = recipe("mini_pretrain", ctc_only_steps=2, **folders)
    assert done.returncode == 0, output_of(done)[-3000:]
    return output


@pytest.fixture(scope="module")
def finished(
    corpus: Path, meetings: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("finished")
    folders = {"data_folder": corpus, "libricss_folder": meetings, "output_folder": output}
    done = recipe("mini_everything", pretrained_folder=pretrained, test_sessions=True, **folders)
    assert done.returncode == 0, output_of(done)[-3000:]
    return output


def test_results_are_reported_by_condition(finished: Path) -> None:
    text = (finished / "results.json").read_text()
    results = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
    groups = results["groups"]
    # Sessions 1 and 2 of two conditions, three groups each; three at once are scored too.
    assert groups["groups"] == 12 and groups["sessions"] == 4
    assert groups["0S"]["groups"] == groups["OV40"]["groups"] == 6
    assert groups["0S"]["words"] == 30 and groups["OV40"]["words"] == 33
    assert groups["errors"] == groups["0S"]["errors"] + groups["OV40"]["errors"]
    assert groups["wer_low"] <= groups["wer"] <= groups["wer_high"]
    assert groups["wer"] <= groups["cp_wer"] <= groups["tcp_wer"]
    assert results["sessions"]["groups"] == 4


def test_hypotheses_and_references_are_left_as_turns(finished: Path) -> None:
    references = read_turns(finished / "wer" / "groups.reference.json")
    assert len(references) == 12
    assert sum(len(turn.text.split()) for turns in references.values() for turn in turns) == 63
    lines = [json.loads(line) for line in (finished / "wer" / "groups.jsonl").open()]
    assert {len(line["channels"]) for line in lines} == {2}
    assert all(isinstance(line["end_point_ms"], list) for line in lines)
    assert (finished / "wer" / "groups.hypothesis.json").exists()


def test_both_channels_start_from_the_one_that_was_pretrained(
    corpus: Path, meetings: Path, pretrained: Path, tmp_path: Path
) -> None:
    folders = {"data_folder": corpus, "libricss_folder": meetings, "output_folder": tmp_path}
    # A learning rate of nearly nothing: the model is what it started from.
    pieces = {"word_pieces_file": pretrained / "word_pieces.model"}
    done = recipe("mini", pretrained_folder=pretrained, lr=1e-12, **pieces, **folders)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert "mean something else" not in output_of(done)
    before = load_file(pretrained / "model.safetensors")
    after = load_file(tmp_path / "model.safetensors")
    names = [name for name in before if ".separation.0." in name]
    assert names
    for name in names:
        for channel in ("0", "1"):
            found = after[name.replace(".separation.0.", f".separation.{channel}.")]
            assert (found - before[name]).abs().max() < 1e-6


def test_labels_that_mean_something_else_are_pointed_out(
    corpus: Path, meetings: Path, pretrained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(pretrained, other, ignore=shutil.ignore_patterns("save", "prepared"))
    with (other / "word_pieces.model").open("ab") as file:
        file.write(b"another")
    folders = {"data_folder": corpus, "libricss_folder": meetings, "output_folder": tmp_path / "o"}
    done = recipe("mini", pretrained_folder=other, test_splits=[], **folders)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert f"word_pieces_file={other / 'word_pieces.model'} keeps them" in output_of(done)


@pytest.mark.parametrize(
    ("hparams", "options"),
    [("mini_single_channel", {}), ("mini_cot", {}), ("mini", {"permutation_invariant": True})],
)
def test_the_baselines_run(
    hparams: str,
    options: dict[str, bool],
    corpus: Path,
    meetings: Path,
    pretrained: Path,
    tmp_path: Path,
) -> None:
    folders = {"data_folder": corpus, "libricss_folder": meetings, "output_folder": tmp_path}
    done = recipe(hparams, pretrained_folder=pretrained, **folders, **options)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert json.loads((tmp_path / "results.json").read_text())["groups"]["groups"] == 12


@pytest.mark.realdata
def test_mixtures_of_real_speech_train_and_stream(realdata: Path, tmp_path: Path) -> None:
    speech = realdata / "LibriSpeech"
    meetings = write_recorded_meetings(
        tmp_path / "meetings", speech / "dev-clean", conditions=["0S", "OV40"], num_sessions=2
    )
    output = tmp_path / "output"
    done = recipe(
        "mini",
        data_folder=speech,
        train_splits=["dev-clean"],
        libricss_folder=meetings,
        output_folder=output,
        num_statistics_utterances=20,
    )
    assert done.returncode == 0, output_of(done)[-3000:]
    groups = json.loads((output / "results.json").read_text())["groups"]
    assert groups["OV40"]["words"] > 50 and groups["sessions"] == 2
    events = [json.loads(line) for line in (output / "train_log.jsonl").open()]
    losses = [event["loss"] for event in events if event["event"] == "train"]
    assert all(0 < loss < 10_000 for loss in losses)
    recording = next(meetings.glob("OV40/*session1*/record/raw_recording.wav"))
    heard = {}
    for name, options in {"whole": [], "stream": ["--stream", "--chunk-ms", "500"]}.items():
        path = tmp_path / f"{name}.json"
        arguments = [str(output), str(recording), "--device", "cpu", "--output", str(path)]
        assert cli.main(["transcribe", *arguments, *options]) == 0
        heard[name] = read_turns(path)
    assert heard["stream"] == heard["whole"]
