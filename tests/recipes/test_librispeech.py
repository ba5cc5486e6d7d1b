"""The LibriSpeech recipe from its command line: the whole course, kills, processes, bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.transcript_table import read_transcripts
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.model_folder import read_model_folder
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.training.run_log import read_events
from tests.recipes.conftest import MINI, TRAIN, Run, arguments, output_of


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run."""
    output = tmp_path_factory.mktemp("finished")
    command = [sys.executable, str(TRAIN), *arguments(corpus, output, tensorboard=True)]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output


def test_a_run_leaves_logs_results_and_a_model(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())["test-clean"]
    assert results["speakers"] == 2 and results["utterances"] == 8
    assert results["wer_low"] <= results["wer"] <= results["wer_high"]
    lines = [json.loads(line) for line in (finished / "wer" / "test-clean.jsonl").open()]
    assert sum(line["errors"] for line in lines) == results["errors"]
    assert {line["speaker"] for line in lines} == {"5", "6"}
    events = read_events(finished)
    assert [event["step"] for event in events if event["event"] == "valid"][-1] == 6
    assert events[-1]["event"] == "test" and events[-1]["wer"] == results["wer"]
    assert (finished / "learning_curves.png").stat().st_size > 10_000
    assert list((finished / "tensorboard").iterdir())
    assert (finished / "run" / "train.yaml").exists() and (finished / "run" / "log.txt").exists()


def test_the_folder_opens_and_transcribes_what_the_test_saw(finished: Path, corpus: Path) -> None:
    model = TransducerASR.from_hparams(source=str(finished))
    lines = [json.loads(line) for line in (finished / "wer" / "test-clean.jsonl").open()]
    for line in lines[:3]:
        audio = next(corpus.rglob(f"{line['id']}.flac"))
        assert model.transcribe_file(str(audio)) == line["hypothesis"]


def test_the_audit_reads_what_the_test_wrote(finished: Path) -> None:
    """The table of utterances, with what the corpus knows of its readers."""
    speakers = read_speaker_table(finished / "prepared" / "speakers.csv")
    table = read_transcripts(finished / "wer" / "test-clean.jsonl", speakers=speakers)
    results = json.loads((finished / "results.json").read_text())["test-clean"]
    assert len(table) == results["utterances"] and set(table.speakers) == {"5", "6"}
    assert table.errors.sum() == results["errors"] and table.words.sum() == results["words"]
    by_reader = dict(zip(table.speakers, table.columns["gender"], strict=True))
    assert by_reader == {"5": "F", "6": "M"}
    # Counting the texts anew gives what the recipe has counted.
    again = read_transcripts(finished / "wer" / "test-clean.jsonl", normalizer=str)
    assert again.ids == table.ids and (again.errors == table.errors).all()
    wer = bootstrap_error_rates(table.cells(["gender"])).overall.wer.value
    assert wer == pytest.approx(results["wer"])


def test_a_rerun_only_tests_again(finished: Path, corpus: Path, run: Run) -> None:
    before, events = load_file(finished / "model.safetensors"), read_events(finished)
    results = (finished / "results.json").read_text()
    # Without training there is no step to go by: the test must not take the CTC head for the model.
    for options in ([], ["--test_only"]):
        done = run(*arguments(corpus, finished), *options)
        assert done.returncode == 0, done.stderr[-2000:]
        after = load_file(finished / "model.safetensors")
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert read_events(finished) == events
        assert (finished / "results.json").read_text() == results


def test_debugging_leaves_a_finished_run_alone(finished: Path, corpus: Path, run: Run) -> None:
    kept = ("train_log.jsonl", "results.json", "model.safetensors", "learning_curves.png")
    before = [(finished / name).read_bytes() for name in kept]
    for _ in range(2):  # a second time starts anew, too
        done = run(*arguments(corpus, finished), "--debug")
        assert done.returncode == 0, done.stderr[-2000:]
        steps = [one["step"] for one in read_events(finished / "debug") if one["event"] == "valid"]
        assert steps == [2, 4]
    assert [(finished / name).read_bytes() for name in kept] == before


def test_neither_validation_nor_test_is_needed(corpus: Path, tmp_path: Path, run: Run) -> None:
    argv = arguments(corpus, tmp_path, dev_splits="[]", test_splits="[]", num_workers=2)
    done = run(*argv, "--precision=bf16")
    assert done.returncode == 0, output_of(done)[-2000:]
    assert (tmp_path / "learning_curves.png").exists()
    TransducerASR.from_hparams(source=str(tmp_path))


def test_the_ctc_phase_offers_no_candidate_for_the_test(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    argv = arguments(corpus, tmp_path, num_steps=4, ctc_only_steps=3, avg_checkpoints=2)
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-2000:]
    metas = [path.read_text() for path in sorted(tmp_path.glob("save/CKPT*/CKPT.yaml"))]
    assert ["WER" in meta for meta in metas] == [False, True]


def test_a_request_to_stop_ends_with_a_hint_and_no_traceback(corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(TRAIN), *arguments(corpus, tmp_path, num_steps=100_000)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.time() + 120
        while not read_events(tmp_path) and process.poll() is None:
            assert time.time() < deadline, "training did not begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "run the same command to resume" in output and "Traceback" not in output
    assert list(tmp_path.glob("save/CKPT*"))


def test_an_utterance_that_vanished_is_named_and_the_run_resumes(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    changing, output = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(corpus, changing)
    done = run(*arguments(changing, output, num_steps=3))
    assert done.returncode == 0, output_of(done)[-2000:]
    audio = changing / "train-clean" / "2" / "10" / "2-10-0001.flac"
    content = audio.read_bytes()
    audio.unlink()
    argv = arguments(changing, output, num_workers=2, skip_prep=True)
    refused = run(*argv)
    assert refused.returncode != 0 and f"{audio}: missing" in output_of(refused)
    audio.write_bytes(content)
    done = run(*argv)
    assert done.returncode == 0, output_of(done)[-2000:]
    assert read_events(output)[-1]["step"] == 6


def test_kill_9_and_resume_give_the_same_weights(
    finished: Path, corpus: Path, tmp_path: Path, run: Run
) -> None:
    argv = arguments(corpus, tmp_path, ckpt_interval_minutes=0, ckpt_interval_steps=1)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *argv],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 120
    while not list(tmp_path.glob("save/CKPT*")) and process.poll() is None:
        assert time.time() < deadline, "no checkpoint was written"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run(*argv)
    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = (load_file(one / "model.safetensors") for one in (finished, tmp_path))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_two_processes_train_and_share_the_test(corpus: Path, tmp_path: Path, run: Run) -> None:
    argv = [*arguments(corpus, tmp_path, batch_size=2), "--distributed_backend=gloo"]
    done = run(*argv, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())["test-clean"]
    assert results["utterances"] == 8, "utterances were lost or counted twice"


def test_a_model_of_another_size_is_not_loaded(
    finished: Path, corpus: Path, tmp_path: Path, run: Run
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(finished, output)
    done = run(*arguments(corpus, output, joint_size=24))
    assert done.returncode != 0
    assert "holds another model than the one configured" in output_of(done)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_folder": "/nowhere"}, "/nowhere"),
        ({"num_stepz": 3}, "did you mean 'num_steps'"),
        ({"train_splits": "[train-claen]"}, "train-clean"),
        ({"warmup_steps": 900}, "warmup_steps must be in"),
        ({"encoder": "{hidden_sise: 3}"}, "hidden_sise"),
    ],
)
def test_bad_input_is_named(
    corpus: Path, tmp_path: Path, run: Run, options: dict, message: str
) -> None:
    done = run(*arguments(corpus, tmp_path, **options))
    assert done.returncode != 0
    assert message in output_of(done)


def test_damaged_audio_is_left_out_and_training_goes_on(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    damaged = tmp_path / "corpus"
    shutil.copytree(corpus, damaged)
    chapter = damaged / "train-clean" / "1" / "10"
    with open(chapter / "1-10-0000.flac", "r+b") as file:
        file.truncate(9000)
    samples, _ = soundfile.read(chapter / "1-10-0001.flac")
    soundfile.write(chapter / "1-10-0001.flac", samples[::2], 8000)  # another rate
    text = (chapter / "1-10.trans.txt").read_text().splitlines()
    text[2] = text[2].split()[0]  # an empty transcript
    text[3] = text[3].split()[0] + " " + " ".join(["LAZY"] * 60)  # more labels than frames
    (chapter / "1-10.trans.txt").write_text("\n".join(text) + "\n")
    output = tmp_path / "out"
    refused = run(*arguments(damaged, output))
    assert refused.returncode != 0 and "1-10-0000.flac" in output_of(
        refused
    )  # 1 of 24 is more than 1 %
    done = run(*arguments(damaged, output, max_bad_fraction=0.1))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1-10-0000" in (output / "prepared" / "bad_audio.txt").read_text()
    assert sum(event.get("dropped_ctc_terms", 0) for event in read_events(output)) > 0


def test_a_loss_with_weights_of_its_own_trains_and_stays_behind(
    corpus: Path, tmp_path: Path, run: Run
) -> None:
    done = run(
        *arguments(
            corpus,
            tmp_path,
            recipe=MINI.with_name("conv_rnnt_pruned.yaml"),
            train_splits="[train-clean]",
            dev_splits="[dev-clean]",
            test_splits="[test-clean]",
            num_workers=0,
            num_steps=2,
            ctc_only_steps=0,
            transducer_loss="{warmup_batches: 9}",
            encoder="{local_channels: [4, 4, 4, 4], hidden_size: 16, num_layers: 1}",
        )
    )
    assert done.returncode == 0, done.stderr
    checkpoint = next(tmp_path.glob("save/CKPT*/model.ckpt"))
    assert int(torch.load(checkpoint)["transducer_loss.num_batches_seen"]) == 2
    folder = read_model_folder(tmp_path)
    assert "transducer_loss" not in folder.modules and "joiner" in folder.modules
