"""The VoxCeleb recipe from its command line on a tiny corpus of coloured noise."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from sb_alexa import cli
from sb_alexa.inference.speaker_recognition import SpeakerRecognition
from sb_alexa.training.run_log import read_events
from tests.recipes.conftest import ROOT, output_of

RECIPE = ROOT / "recipes" / "VoxCeleb" / "SpeakerRec"
TINY = {
    "num_steps": 8, "warmup_steps": 2, "speakers_per_batch": 3, "utterances_per_speaker": 2,
    "crop_seconds": 0.4, "embedding_size": 8, "n_mels": 16, "num_dev_speakers": 2,
    "num_dev_utterances_per_speaker": 3, "num_dev_trials_per_speaker": 3, "num_clusters": 2,
    "normalization_top_n": 3, "adversary_warmup_batches": 1, "valid_interval_epochs": 1,
    "test_lists": "[veri_test.txt]", "num_bootstrap_samples": 20,
    "embedding_model": "{channels: [8, 8, 8, 8, 16], attention_channels: 4, se_channels: 4}",
}  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TRAIN = [f"id1000{number}" for number in range(6)]
TEST = ["id20000", "id20001", "id20002"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody has a hum of a pitch of their own, five recordings each."""
    folder = tmp_path_factory.mktemp("voices")
    random = np.random.default_rng(0)
    for number, speaker in enumerate([*TRAIN, *TEST]):
        for session in range(5):
            samples = np.arange(9600 + 800 * session) / 16000
            hum = np.sin(2 * np.pi * 200 * (number + 1) * samples)
            path = folder / "wav" / speaker / f"s{session}" / "00001.wav"
            path.parent.mkdir(parents=True)
            noise = 0.3 * random.standard_normal(len(samples))
            soundfile.write(path, 0.2 * (hum + noise), 16000)
    rows = [f"{one}\tx\t{'mf'[i % 2]}\tUK\tdev" for i, one in enumerate(TRAIN)]
    rows += [f"{one}\tx\t{'mf'[i % 2]}\tUSA\ttest" for i, one in enumerate(TEST)]
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    (folder / "vox1_meta.csv").write_text("\n".join([header, *rows]) + "\n")
    trials = [f"1 {one}/s0/00001.wav {one}/s{k}/00001.wav" for one in TEST for k in (1, 2, 3)]
    trials += [
        f"0 {one}/s0/00001.wav {other}/s{k}/00001.wav"
        for one in TEST
        for other in TEST
        if one != other
        for k in (1, 2)
    ]
    (folder / "veri_test.txt").write_text("\n".join(trials) + "\n")
    return folder


def command(
    hparams: str, corpus: Path, output: Path, processes: int = 1, **options: object
) -> list[str]:
    settings = {"data_folder": corpus, "output_folder": output, **TINY, **options}
    if "arw" not in hparams or "aps" in hparams:
        del settings["num_clusters"]
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [
        *launcher,
        str(RECIPE / "train.py"),
        str(RECIPE / "hparams" / f"{hparams}.yaml"),
        *(f"--{name}={value}" for name, value in settings.items()),
        *(["--distributed_backend=gloo"] if processes > 1 else []),
        "--noprogressbar",
        "--device=cpu",
    ]


def recipe(hparams: str, *args: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(hparams, *args, **options),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("finished")
    done = recipe("mini_arw_pw", corpus, output)
    assert done.returncode == 0, output_of(done)[-3000:]
    return output


def test_it_leaves_a_model_scores_and_figures(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert set(results) == {"veri_test"}
    figures = results["veri_test"]
    assert 0 <= figures["eer"] <= 100 and 0 <= figures["eer_cosine"] <= 100
    assert 0 <= figures["min_dcf"] <= 1
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    assert figures["gender_m_ranked"] == 0  # 2 speakers are shown, never ranked
    assert "index.html" in os.listdir(finished / "report" / "veri_test")
    verifier = SpeakerRecognition.from_hparams(finished)
    assert verifier.verification is not None
    cohort = verifier.verification.cohort
    assert cohort is not None and cohort.shape == (4, 8)  # 6 speakers, 2 of them held out


def test_the_log_tells_eer_and_weights(finished: Path) -> None:
    events = read_events(finished)
    valid = [event for event in events if event["event"] == "valid"]
    assert valid and all(0 <= event["eer"] <= 100 for event in valid)
    # Two batches in an epoch: weights set in with the second epoch, when clusters exist.
    means = [event for event in events if "weight_gender_M" in event]
    assert means and all(0.5 < event["weight_gender_F"] < 2 for event in means)
    assert {event["epoch"] for event in means} == set(range(2, means[-1]["epoch"] + 1))


def test_verify_says_the_threshold(
    finished: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(corpus / "wav" / one / "s0" / "00001.wav") for one in TEST[:2]]
    assert cli.main(["verify", str(finished), files[0], files[0]]) == 0
    assert "one speaker" in capsys.readouterr().out
    assert cli.main(["verify", str(finished), files[0], str(corpus / "nobody.wav")]) == 2
    assert "nobody.wav" in capsys.readouterr().err


def steps_saved(folder: Path) -> int:
    """Of the newest whole checkpoint."""
    found = [0]
    for path in folder.glob("save/CKPT*/brain.ckpt"):
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile
            found.append(json.loads(path.read_text())["optimizer_step"])
    return max(found)


def test_kill_9_and_resume_give_the_same_weights(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    """In the middle of an epoch, with an adversary, its optimizer and clusters."""
    options = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}
    argv = command("mini_arw_pw", corpus, tmp_path, **options)
    process = subprocess.Popen(
        argv, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while steps_saved(tmp_path) < 3 and process.poll() is None:
        assert time.time() < deadline, "no checkpoint was written"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = recipe("mini_arw_pw", corpus, tmp_path, **options)
    assert done.returncode == 0, output_of(done)[-3000:]
    expected, found = (load_file(one / "model.safetensors") for one in (finished, tmp_path))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("hparams", ["mini", "mini_aam", "mini_arw_aps", "mini_arw_pl"])
def test_the_other_objectives_run(hparams: str, corpus: Path, tmp_path: Path) -> None:
    done = recipe(hparams, corpus, tmp_path, num_steps=4)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert (tmp_path / "verification.json").is_file()


def test_two_processes_share_batches_extraction_and_scores(corpus: Path, tmp_path: Path) -> None:
    done = recipe("mini_arw_pw", corpus, tmp_path, processes=2, speakers_per_batch=2, num_steps=4)
    assert done.returncode == 0, output_of(done)[-3000:]
    assert json.loads((tmp_path / "results.json").read_text())["veri_test"]["eer"] <= 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"utterances_per_speaker": 6}, "utterances_per_speaker"),
        ({"speakers_per_batch": 9}, "speakers"),
        ({"group_columns": "[gendre]"}, "Did you mean gender"),
        ({"num_dev_speakers": 6}, "num_dev_speakers=6"),
        ({"train_subsets": "[]"}, "train_subsets"),
    ],
)
def test_bad_input_is_named(
    corpus: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    done = recipe("mini", corpus, tmp_path, **options)
    assert done.returncode != 0
    assert message in output_of(done)


def test_silence_is_found_before_training(corpus: Path, tmp_path: Path) -> None:
    voices = tmp_path / "voices"
    shutil.copytree(corpus, voices)
    # Of everybody, for the development speakers are drawn by lot.
    silent = [voices / "wav" / one / "s3" / "00001.wav" for one in TRAIN]
    for path in silent:
        soundfile.write(path, np.zeros(12000), 16000)
    done = recipe("mini", voices, tmp_path / "run", cohort_utterances_per_speaker=5)
    assert done.returncode != 0
    assert "recordings cannot be embedded: " in output_of(done)
    assert "/s3/00001 (is silent: all samples are equal)" in output_of(done)
    assert not any(event["event"] == "train" for event in read_events(tmp_path / "run"))
