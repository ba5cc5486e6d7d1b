"""`sb-alexa transcribe` as a user meets it: outputs, exit codes, messages."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sb_alexa import cli
from sb_alexa.commands import transcribe
from sb_alexa.inference import audio_sources
from sb_alexa.inference.asr import TransducerASR
from tests.tiny_model import noise, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("transcribe") / "model")


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    found = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"}).recognize(noise(24000))
    assert len(found.words) > 1
    return found.text


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise(24000).numpy(), 16000, subtype="FLOAT")
    return str(path)


def call(*arguments: object) -> int:
    return cli.main(["transcribe", *map(str, arguments), "--device", "cpu"])


def test_a_file(folder: Path, wav: str, text: str, capsys: pytest.CaptureFixture) -> None:
    assert call(folder, wav) == 0
    assert capsys.readouterr().out == text + "\n"


def test_a_beam_with_phrases(folder: Path, wav: str, tmp_path: Path, capsys) -> None:
    asr = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"})
    asr.use_beam_search(3, phrases=["TEA FOR TWO"], phrase_boost=6.0)
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("TEA FOR TWO\n\n")
    options = ["--beam-size", 3, "--phrases", phrases, "--phrase-boost", 6]
    assert call(folder, wav, *options) == 0
    expected = asr.recognize(noise(24000)).text
    assert capsys.readouterr().out == expected + "\n" and "TEA FOR TWO" in expected
    assert call(folder, wav, *options, "--stream") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"{expected}  (final)")
    assert call(folder, wav, "--phrases", phrases) == 2
    assert "--phrases needs a beam" in capsys.readouterr().err


def test_several_files_are_named(folder, wav, text, capsys) -> None:
    assert call(folder, wav, wav) == 0
    assert capsys.readouterr().out == f"{wav}\t{text}\n" * 2


def test_streaming_prints_each_change_with_its_time(folder, wav, text, capsys) -> None:
    assert call(folder, wav, "--stream", "--chunk-ms", 100) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"[   1.50 s] {text}  (final)"
    times = [float(line[1:8]) for line in lines]
    assert times == sorted(times) and len(lines) > 2
    texts = [line[12:] for line in lines[:-1]]
    assert len(set(texts)) == len(texts), "a line for each change"
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))


def test_a_terminal_line_is_rewritten(folder, wav, text, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert call(folder, wav, "--stream") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith(f"{text}  (final)\n")
    partials = out.split("\r\x1b[K")[1:-1]
    assert partials and all(len(line) < 40 for line in partials)


def test_json_lines(folder, wav, text, capsys) -> None:
    assert call(folder, wav, "--stream", "--json-lines") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["type"] for event in events[:-1]] == ["partial"] * (len(events) - 1)
    final = events[-1]
    assert (final["type"], final["text"], final["source"]) == ("final", text, wav)
    assert final["audio_s"] == 1.5 and final["latency_ms"] >= 0
    assert " ".join(word["word"] for word in final["words"]) == text
    for word in final["words"]:
        assert 0 <= word["start"] < word["end"] <= 1.56 and 0 < word["confidence"] <= 1
    for event in events:
        assert " ".join(w["word"] for w in event["words"]) == event["text"]
    assert call(folder, wav, "--json-lines") == 0
    (whole,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (whole["type"], whole["text"], whole["words"]) == ("final", text, final["words"])


def test_realtime_takes_the_time_of_the_speech(folder, wav, text, capsys) -> None:
    start = time.monotonic()
    assert call(folder, wav, "--realtime") == 0
    assert time.monotonic() - start >= 1.5
    assert capsys.readouterr().out.endswith(f"{text}  (final)\n")


class Pipe:
    """Standard input that is no terminal."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


def pcm(rate_hz: int = 16000) -> bytes:
    return (noise(rate_hz * 3 // 2).numpy() * 32000).clip(-32768, 32767).astype("<i2").tobytes()


def test_raw_samples_on_standard_input(folder, capsys, monkeypatch) -> None:
    integers = np.frombuffer(pcm(), "<i2")
    asr = TransducerASR.from_hparams(folder, run_opts={"device": "cpu"})
    session = asr.streaming_session()
    session.push(integers.astype(np.float32) / 32768)
    monkeypatch.setattr(sys, "stdin", Pipe(pcm()))
    assert call(folder, "-") == 0
    assert capsys.readouterr().out.endswith(f"[   1.50 s] {session.finish().text}  (final)\n")
    monkeypatch.setattr(sys, "stdin", Pipe(pcm(8000)))
    assert call(folder, "-", "--sample-rate", 8000) == 0
    assert "[   1.50 s]" in capsys.readouterr().out


def test_a_pipe_that_ends_within_a_sample_keeps_the_text(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(pcm() + b"x"))
    assert call(folder, "-") == 2
    out, err = capsys.readouterr()
    assert "(final)" in out and "in the middle of a 16-bit sample" in err


def test_standard_input_that_is_a_terminal(folder, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b""))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert call(folder, "-") == 2
    assert "standard input is a terminal" in capsys.readouterr().err


def interrupted_after(chunks, count: int):
    for number, chunk in enumerate(chunks):
        if number == count:
            raise KeyboardInterrupt
        yield chunk


def test_ctrl_c_prints_what_was_recognised(folder, wav, text, capsys, monkeypatch) -> None:
    original = audio_sources.chunks
    monkeypatch.setattr(
        audio_sources, "chunks", lambda *args: interrupted_after(original(*args), 5)
    )
    assert call(folder, wav, wav, "--stream") == 130
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[   0.80 s]") and lines[-1].endswith("(final)")
    assert sum("(final)" in line for line in lines) == 1, "the next file is not begun"


def test_ctrl_c_in_a_real_process(folder, tmp_path) -> None:
    wav = tmp_path / "long.wav"  # long enough not to end before the signal arrives
    soundfile.write(wav, noise(30 * 16000).numpy(), 16000, subtype="FLOAT")
    command = [sys.executable, "-m", "sb_alexa.cli", "transcribe", folder, wav, "--realtime"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a script ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out.splitlines()[-1].endswith("(final)")
    assert out.splitlines()[-1][12:].startswith(first[12:].strip())


def test_the_microphone_ends_with_ctrl_c(folder, text, capsys, monkeypatch) -> None:
    monkeypatch.setattr(
        audio_sources,
        "microphone_chunks",
        lambda **options: interrupted_after(noise(24000).split(2560), 99),
    )
    assert call(folder, "--microphone") == 0
    out, err = capsys.readouterr()
    assert "Listening; Ctrl-C ends." in err and out.endswith(f"{text}  (final)\n")


def test_no_sounddevice(folder, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert call(folder, "--microphone") == 2
    out, err = capsys.readouterr()
    assert "sb-alexa[microphone]" in err and out == ""


def test_bad_files_are_reported_and_the_others_transcribed(
    folder, wav, text, tmp_path, capsys
) -> None:
    empty, short, junk = (tmp_path / name for name in ("empty.wav", "short.wav", "junk.wav"))
    soundfile.write(empty, np.zeros(0), 16000)
    short.write_bytes(Path(wav).read_bytes()[:9999])
    junk.write_bytes(b"this is no audio")
    missing = tmp_path / "missing.wav"
    assert call(folder, empty, missing, short, junk, wav) == 2
    out, err = capsys.readouterr()
    assert out == f"{wav}\t{text}\n"
    for path, reason in ((empty, "no samples"), (missing, "missing"), (short, "truncated")):
        assert f"{path}: {reason}" in err or (str(path) in err and reason in err)
    assert str(junk) in err and err.count("sb-alexa: error:") == 4


def test_bad_folders(tmp_path, wav, capsys) -> None:
    assert call(tmp_path / "nowhere", wav) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert call(tmp_path, wav) == 2
    assert "is not a model folder: it lacks hyperparams.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give an audio file"),
        (["a.wav", "--microphone"], "not both"),
        (["-", "a.wav"], "cannot be mixed"),
        (["a.wav", "--sample-rate", "8000"], "--sample-rate is for standard input"),
        (["-", "--sample-rate", "0"], "must be > 0 Hz"),
        (["a.wav", "--chunk-ms", "0"], "between 1 and 60000"),
    ],
)
def test_arguments_that_do_not_fit(folder, arguments, message, capsys) -> None:
    assert call(folder, *arguments) == 2
    assert message in capsys.readouterr().err


def test_help_shows_examples(capsys) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["transcribe", "--help"])
    assert exit_info.value.code == 0
    assert "sb-alexa transcribe results/demo/model talk.wav" in capsys.readouterr().out
    assert transcribe.DONE == 0
