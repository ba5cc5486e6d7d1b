"""`sb-alexa gates` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from sb_alexa import cli
from sb_alexa.corpora.manifest import Utterance, write_manifest
from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.metrics.error_rate import word_errors
from sb_alexa.metrics.gate_statistics import GateCounts
from tests.tiny_gated_model import write_gated_model
from tests.tiny_model import noise, write_tiny_model

NUM_SPEAKERS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gated_model(tmp_path_factory.mktemp("gates") / "model")


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "talk.wav"
    soundfile.write(path, noise(24000).numpy(), 16000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 speakers of two utterances; one speaker of unknown accent, three accents."""
    data = tmp_path_factory.mktemp("corpus")
    utterances, rows = [], ["speaker,gender,accent,latitude"]
    for number in range(NUM_SPEAKERS):
        speaker = str(100 + number)
        accent = ("us", "gb", "gb", "North-East", "us", "us")[number % 6] if number else ""
        rows.append(f"{speaker},{'FM'[number % 2]},{accent},{number}.5")
        for part in range(2):
            name = f"{speaker}-1-{part}"
            samples = noise(4000 + 700 * part + 50 * number, seed=number)
            soundfile.write(data / f"{name}.wav", samples.numpy(), 16000, subtype="FLOAT")
            path = (data / f"{name}.wav").as_posix()
            utterances.append(Utterance(name, len(samples) / 16000, path, speaker, "TEA FOR TWO"))
    write_manifest(data / "test.csv", utterances, data)
    (data / "speakers.csv").write_text("\n".join(rows) + "\n")
    return data


def call(*arguments: object) -> int:
    return cli.main(["gates", *map(str, arguments), "--device", "cpu"])


def audit(folder: Path, corpus: Path, *arguments: object) -> int:
    given = ["--manifest", corpus / "test.csv", "--speakers", corpus / "speakers.csv"]
    return call(folder, *given, "--data-root", corpus, *arguments)


def test_a_recording(folder: Path, wav: Path, tmp_path: Path, capsys) -> None:
    picture, figures = tmp_path / "gates.png", tmp_path / "gates.json"
    assert call(folder, wav, "--figure", picture, "--json", figures) == 0
    out = capsys.readouterr().out
    asr = GatedASR.from_hparams(folder, run_opts={"device": "cpu"})
    found = asr.recognize_with_gates(noise(24000))
    assert found.update.text == asr.transcribe_file(wav) != ""
    share = 100 * found.counts.compute_share
    assert 10 < share < 90
    assert f"text       {found.update.text}\n" in out
    assert f"compute    {share:.1f} % of the dense encoder, reduction {100 - share:.1f} %" in out
    assert "50 frames of 30 ms" in out and "all   block    1    2    3\n" in out
    for name in ("feed-forward", "queries", "keys"):
        assert f"\n{name}" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(figures.read_text())
    assert content["command"] == "gates"
    numbers = content["figures"]
    assert numbers["compute_percent"] == pytest.approx(share)
    assert numbers["threshold"] == 0.5 and numbers["frames"] == 50
    blocks = [numbers[f"keep_key_percent_block_{n}"] for n in (1, 2, 3)]
    assert numbers["keep_key_percent"] == pytest.approx(sum(blocks) / 3)


def test_the_threshold_is_a_dial(folder: Path, wav: Path, tmp_path: Path) -> None:
    shares = []
    for threshold in (0, 0.4, 1):
        assert call(folder, wav, "--threshold", threshold, "--json", tmp_path / "a.json") == 0
        numbers = json.loads((tmp_path / "a.json").read_text())["figures"]
        assert numbers["threshold"] == threshold
        shares.append(numbers)
    assert [numbers["keep_query_percent"] for numbers in shares][::2] == [100, 0]
    compute = [numbers["compute_percent"] for numbers in shares]
    assert compute[0] > 100, "everything, and the arbitrators"
    assert compute == sorted(compute, reverse=True)


def test_a_mode_without_queries(wav: Path, tmp_path: Path, capsys) -> None:
    folder = write_gated_model(tmp_path / "model", "recurrent", "key")
    picture = tmp_path / "gates.png"
    assert call(folder, wav, "--figure", picture) == 0
    out = capsys.readouterr().out
    assert "\nkeys" in out and "\nqueries" not in out
    assert picture.is_file()


def test_a_recording_shorter_than_a_frame(folder: Path, tmp_path: Path, capsys) -> None:
    soundfile.write(tmp_path / "click.wav", noise(100).numpy(), 16000)
    assert call(folder, tmp_path / "click.wav", "--figure", tmp_path / "a.png") == 0
    assert "1 frames" in capsys.readouterr().out


def test_audit(folder: Path, corpus: Path, tmp_path: Path, capsys) -> None:
    picture, path = tmp_path / "audit.png", tmp_path / "audit.json"
    options = ["--by", "gender", "accent", "--figure", picture, "--json", path, "--batch-size", 5]
    assert audit(folder, corpus, *options) == 0
    out = capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(path.read_text())["figures"]
    assert (numbers["speakers"], numbers["utterances"], numbers["words"]) == (24, 48, 144)
    assert numbers["gender_f_speakers"] == numbers["gender_m_speakers"] == 12
    for group in ("gender_f", "accent_us", "accent_north_east"):
        for measure in ("wer", "compute", "skip_feed_forward", "skip_query", "skip_key"):
            name = f"{group}_{measure}"
            assert numbers[f"{name}_low"] <= numbers[name] <= numbers[f"{name}_high"]
            assert f"{name}_difference_high" in numbers
    difference = numbers["gender_f_compute"] - numbers["gender_m_compute"]
    assert numbers["gender_f_compute_difference"] == pytest.approx(difference)
    lines = out.splitlines()
    assert any(line.startswith("| North-East *") for line in lines), "too few speakers: marked"
    assert any(line.startswith("| F ") and "| 12 |" in line.replace("  ", "") for line in lines)
    assert "fewer than 10 speakers" in out
    assert "without an entry in this column, in 'all' only: 1" in out
    assert "Less compute and more errors: " in out


def test_audit_counts_what_each_recording_alone_gives(folder: Path, corpus: Path, tmp_path) -> None:
    """Batches, padding and the order change nothing."""
    asr = GatedASR.from_hparams(folder, run_opts={"device": "cpu"})
    counts, errors = GateCounts(), 0
    for path in sorted(corpus.glob("*.wav")):
        found = asr.recognize_with_gates(asr.load_audio(path))
        counts += found.counts
        errors += word_errors("TEA FOR TWO", asr.transcribe_file(path)).errors
    for size in (1, 7):
        path = tmp_path / f"{size}.json"
        assert audit(folder, corpus, "--by", "gender", "--batch-size", size, "--json", path) == 0
        numbers = json.loads(path.read_text())["figures"]
        assert numbers["compute"] == pytest.approx(100 * counts.compute_share, abs=1e-9)
        assert numbers["skip_key"] == pytest.approx(100 * counts.key.skip_rate, abs=1e-9)
        assert numbers["wer"] == pytest.approx(100 * errors / 144)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one recording, or --manifest"),
        (["a.wav", "--manifest", "b.csv"], "give one recording, or --manifest"),
        (["--manifest", "b.csv"], "--manifest needs --speakers"),
        (["a.wav", "--by", "gender"], "belong to --manifest"),
        (["a.wav", "--threshold", "1.5"], "between 0 (computes everything) and 1 (nothing), got"),
        (["a.wav", "--threshold", "nan"], "got nan"),
        (["a.wav", "--batch-size", "0"], "--batch-size must be >= 1, got 0"),
        (["a.wav", "--figure", "a.jpg"], "ends in .png, .pdf, .svg, got a.jpg"),
        (["missing.wav"], "missing.wav"),
    ],
)
def test_arguments_that_do_not_fit(folder: Path, arguments, message: str, capsys) -> None:
    assert call(folder, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_model_without_arbitrators(wav: Path, tmp_path: Path, capsys) -> None:
    assert call(write_tiny_model(tmp_path / "model"), wav) == 2
    assert "is a ConvRNNTEncoder, which has no arbitrators" in capsys.readouterr().err
    assert call(tmp_path / "nowhere", wav) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_tables_that_do_not_fit(folder: Path, corpus: Path, tmp_path: Path, capsys) -> None:
    def refusal(*arguments: object) -> str:
        assert audit(folder, corpus, *arguments) == 2
        return capsys.readouterr().err

    assert "no column 'acent'. Did you mean accent?" in refusal("--by", "acent")
    assert "each of 24 speakers a group of its own" in refusal("--by", "latitude")
    table = tmp_path / "speakers.csv"
    table.write_text("speaker,gender\n100,F\n")
    message = refusal("--by", "gender", "--speakers", table)
    assert "lacks 23 of 24 speakers: 101, 102, " in message
    manifest = ["--manifest", corpus / "test.csv", "--speakers", corpus / "speakers.csv"]
    assert call(folder, *manifest, "--by", "gender") == 2
    assert "say with --data-root which folder that is" in capsys.readouterr().err
    assert call(folder, *manifest, "--by", "gender", "--data-root", tmp_path) == 2
    assert "48 of 48 recordings in" in capsys.readouterr().err


def test_an_empty_recording_among_others_is_named(folder, corpus, tmp_path, capsys) -> None:
    soundfile.write(tmp_path / "a.wav", torch.zeros(0).numpy(), 16000)
    path = (tmp_path / "a.wav").as_posix()
    write_manifest(tmp_path / "a.csv", [Utterance("a", 1.0, path, "100", "TEA")], tmp_path)
    assert audit(folder, corpus, "--by", "gender", "--manifest", tmp_path / "a.csv") == 2
    assert "a.wav" in capsys.readouterr().err
