"""`sb-alexa transcribe` with a model for several talkers: events, turns, files and messages."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sb_alexa import cli
from sb_alexa.corpora.turn_files import read_turns, write_turns
from sb_alexa.inference import audio_sources, turn_figure
from sb_alexa.inference.multitalker import MultiTalkerASR
from sb_alexa.multitalker.turn_events import turns_from_events
from sb_alexa.turn import Turn
from tests.tiny_model import noise, write_tiny_model
from tests.tiny_multitalker import write_multitalker_model

REFERENCE = (Turn("anna", 0.0, 1.0, "TEA FOR TWO"), Turn("ben", 0.5, 1.5, "TWO"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multitalker_model(tmp_path_factory.mktemp("transcribe") / "model")


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict]:
    asr = MultiTalkerASR.from_hparams(folder, run_opts={"device": "cpu"})
    return [event.as_dict() for event in asr.recognize(noise(24000)).events]


@pytest.fixture(scope="module")
def turns(folder: Path) -> list[Turn]:
    asr = MultiTalkerASR.from_hparams(folder, run_opts={"device": "cpu"})
    return turns_from_events(asr.recognize(noise(24000)).events)


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise(24000).numpy(), 16000, subtype="FLOAT")
    return str(path)


def call(*arguments: object) -> int:
    return cli.main(["transcribe", *map(str, arguments), "--device", "cpu"])


def lines_of(turns: list[Turn]) -> list[str]:
    return [f"[{t.start_s:7.2f} - {t.end_s:7.2f} s] {t.speaker}: {t.text}" for t in turns]


def event_order(event: dict) -> tuple[float, int]:
    return event.get("time", event.get("start")), event["channel"]


def test_a_file_gives_its_turns(folder, wav, turns, capsys) -> None:
    assert call(folder, wav) == 0
    assert capsys.readouterr().out.splitlines() == lines_of(turns)
    assert {turn.speaker for turn in turns} == {"channel 1", "channel 2"}


def test_several_files_are_named(folder, wav, turns, capsys) -> None:
    assert call(folder, wav, wav) == 0
    expected = [f"{wav}\t{line}" for line in lines_of(turns)]
    assert capsys.readouterr().out.splitlines() == expected * 2


def test_streaming_prints_each_event_with_its_time(folder, wav, found, turns, capsys) -> None:
    assert call(folder, wav, "--stream", "--chunk-ms", 100) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"[   1.50 s] {len(turns)} turns  (final)"
    marks = {"turn_started": "<turn started>", "turn_ended": "<turn ended>"}
    for channel in (0, 1):
        expected = [
            f"[{event_order(event)[0]:7.2f} s] channel {channel + 1}: "
            f"{marks.get(event['event'], event.get('text'))}"
            for event in found
            if event["channel"] == channel
        ]
        name = f" channel {channel + 1}: "
        assert [line for line in lines if name in line] == expected and len(expected) > 3
    assert len(lines) == len(found) + 1


def test_a_beam(folder, wav, capsys) -> None:
    asr = MultiTalkerASR.from_hparams(folder, run_opts={"device": "cpu"})
    asr.use_beam_search(3)
    assert call(folder, wav, "--beam-size", 3) == 0
    expected = lines_of(asr.transcribe_file(wav))
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_json_lines_are_events(folder, wav, found, options, capsys) -> None:
    assert call(folder, wav, "--json-lines", *options) == 0
    *events, end = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {event.pop("source") for event in events} == {wav}
    assert all(event.pop("latency_ms") >= 0 for event in events)
    for event in events:
        assert event.get("end", event.get("time")) <= event.pop("audio_s") + 0.001
    assert sorted(events, key=event_order) == found
    assert end.pop("latency_ms") >= 0
    assert end == {"event": "end", "source": wav, "audio_s": 1.5}


@pytest.mark.parametrize("suffix", [".json", ".rttm", ".stm"])
def test_turns_are_written(folder, wav, turns, suffix, tmp_path, capsys) -> None:
    path, expected_path = tmp_path / f"turns{suffix}", tmp_path / f"expected{suffix}"
    assert call(folder, wav, "--output", path) == 0
    assert capsys.readouterr().out.splitlines() == lines_of(turns), "the turns are printed too"
    write_turns(expected_path, {"talk": turns})
    assert path.read_text() == expected_path.read_text()
    assert len(read_turns(path)["talk"]) == len(turns)


def test_words_of_several_files_are_written(folder, wav, turns, tmp_path) -> None:
    other, path = tmp_path / "silence.wav", tmp_path / "words.ctm"
    soundfile.write(other, np.zeros(800), 16000)
    assert call(folder, wav, other, "--stream", "--output", path) == 0
    sessions = read_turns(path)
    words = sorted(word for turn in sessions["talk"] for word in turn.text.split())
    assert words == sorted(word for turn in turns for word in turn.text.split())
    assert set(sessions) <= {"talk", "silence"}


def test_the_turns_are_drawn_above_the_reference(folder, wav, turns, tmp_path, monkeypatch) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    original = turn_figure.draw_turns

    def draw(recognised, path, references, **options) -> None:
        drawn.append((recognised, references))
        original(recognised, path, references, **options)

    monkeypatch.setattr(turn_figure, "draw_turns", draw)
    reference, picture = tmp_path / "true.stm", tmp_path / "turns.png"
    write_turns(reference, {"other": (), "talk": REFERENCE, "third": REFERENCE[:1]})
    assert call(folder, wav, "--figure", picture, "--reference", reference) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    ((recognised, references),) = drawn
    assert list(recognised) == ["channel 1", "channel 2"]
    assert sorted([t for lane in recognised.values() for t in lane], key=turns.index) == turns
    assert references == REFERENCE
    write_turns(reference, {"some name": REFERENCE[1:]})
    assert call(folder, wav, "--figure", picture, "--reference", reference) == 0
    assert drawn[-1][1] == REFERENCE[1:], "the only session needs no name"


def test_a_reference_without_the_session(folder, wav, tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    reference, picture = tmp_path / "true.json", tmp_path / "turns.png"
    write_turns(reference, {"one": REFERENCE, "two": REFERENCE})
    assert call(folder, wav, "--figure", picture, "--reference", reference) == 2
    out, err = capsys.readouterr()
    assert "has no session talk" in err and "2 others (one, two)" in err
    assert out == "" and not picture.exists(), "found before the recording was transcribed"


class Pipe:
    """Standard input that is no terminal."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


def test_a_pipe_that_fails_leaves_its_turns_in_the_file(
    folder, tmp_path, capsys, monkeypatch
) -> None:
    samples = (noise(24000).numpy() * 32000).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", Pipe(samples + b"x"))
    path = tmp_path / "turns.json"
    assert call(folder, "-", "--output", path) == 2
    out, err = capsys.readouterr()
    assert "(final)" in out and "in the middle of a 16-bit sample" in err
    assert read_turns(path)["stdin"]


def interrupted_after(chunks, count: int):
    for number, chunk in enumerate(chunks):
        if number == count:
            raise KeyboardInterrupt
        yield chunk


def test_ctrl_c_writes_what_was_recognised(folder, wav, tmp_path, capsys, monkeypatch) -> None:
    original = audio_sources.chunks
    monkeypatch.setattr(
        audio_sources, "chunks", lambda *args: interrupted_after(original(*args), 5)
    )
    path = tmp_path / "turns.rttm"
    assert call(folder, wav, "--stream", "--output", path) == 130
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[   0.80 s]") and lines[-1].endswith("(final)")
    assert max(turn.end_s for turn in read_turns(path)["talk"]) == pytest.approx(0.8, abs=0.03)


def test_a_bad_file_leaves_no_trace(folder, tmp_path, capsys) -> None:
    path = tmp_path / "turns.json"
    assert call(folder, tmp_path / "missing.wav", "--output", path) == 2
    assert "missing" in capsys.readouterr().err and not path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "--output", "turns.txt"], "files that end in .json, .rttm, .stm, .ctm"),
        (["a.wav", "--figure", "turns.txt"], "a picture's name ends in .png"),
        (["a.wav", "b.wav", "--figure", "turns.png"], "the picture of one recording"),
        (["a.wav", "--reference", "true.stm"], "add --figure FILE.png"),
        (["x/a.wav", "y/a.wav", "--output", "t.stm"], "x/a.wav and y/a.wav would be one session"),
    ],
)
def test_files_that_do_not_fit_are_refused_at_once(folder, arguments, message, capsys) -> None:
    assert call(folder, *arguments) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""


@pytest.mark.parametrize("option", ["output", "figure"])
def test_a_model_for_a_single_talker_has_no_turns(option, wav, tmp_path, capsys) -> None:
    single = write_tiny_model(tmp_path / "single")
    name = {"output": "turns.json", "figure": "turns.png"}[option]
    assert call(single, wav, f"--{option}", tmp_path / name) == 2
    out, err = capsys.readouterr()
    assert f"--{option} is for turns" in err and "single talker" in err and out == ""
