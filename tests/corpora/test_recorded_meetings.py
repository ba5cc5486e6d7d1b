from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import recorded_meetings
from sb_alexa.corpora.audio import read_audio
from sb_alexa.corpora.libricss import prepare_libricss
from sb_alexa.corpora.libricss_files import SessionFiles, read_turns, scan_sessions
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_manifest import read_mixture_manifest
from sb_alexa.corpora.recorded_meetings import write_recorded_meetings
from sb_alexa.corpora.session_folder import HeardTurn, Session
from sb_alexa.corpora.session_timeline import TIMINGS
from sb_alexa.corpora.utterance_groups import count_session
from sb_alexa.multitalker.arrangement import overlaps_at_most
from sb_alexa.turn import Turn
from tests.corpora.recorded_speech_files import write_speech

SMALL: dict[str, Any] = {
    "conditions": ["0S", "OV40"],
    "num_sessions": 2,
    "minutes_per_session": 0.35,
    "speakers_per_session": 4,
    "progress": False,
}


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _sessions(folder: Path) -> list[tuple[SessionFiles, tuple[Turn, ...]]]:
    return [(files, read_turns(folder, files)) for files in scan_sessions(folder, folder)]


def _utterance_ids(folder: Path, files: SessionFiles) -> list[str]:
    lines = (folder / files.path("transcription/meeting_info.txt")).read_text().splitlines()
    return [line.split("\t")[3] for line in lines[1:]]


def _level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples))))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech that no test changes."""
    return write_speech(tmp_path_factory.mktemp("recorded") / "LibriSpeech" / "dev-clean")


@pytest.fixture(scope="module")
def meetings(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished meetings that no test changes."""
    return write_recorded_meetings(tmp_path_factory.mktemp("meetings") / "new", speech, **SMALL)


@pytest.fixture
def own_speech(speech: Path, tmp_path: Path) -> Path:
    """Speech to be damaged."""
    return Path(shutil.copytree(speech, tmp_path / "own" / "dev-clean"))


@pytest.fixture
def copy(meetings: Path, tmp_path: Path) -> Path:
    """Finished meetings to be damaged."""
    return Path(shutil.copytree(meetings, tmp_path / "copy"))


def test_sessions_are_laid_out_as_in_libricss(meetings: Path) -> None:
    sessions = _sessions(meetings)
    assert [files.name for files, _ in sessions] == [
        *("0S-session0", "0S-session1", "OV40-session0", "OV40-session1"),
    ]
    for files, turns in sessions:
        nominal = TIMINGS[files.condition].overlap_ratio
        assert overlaps_at_most(turns, 1 if nominal == 0.0 else 2)
        assert count_session(turns, 0.0).overlap_ratio == pytest.approx(nominal, abs=0.002)
        assert len({turn.speaker for turn in turns}) in (3, 4)
        assert all(a.speaker != b.speaker for a, b in zip(turns, turns[1:], strict=False))
        last_s = max(turn.end_s for turn in turns)
        assert last_s == pytest.approx(21, abs=3.5)
        for name in ("record/raw_recording.wav", "clean/mix.wav"):
            info = soundfile.info(meetings / files.path(name))
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            assert info.duration == pytest.approx(last_s + 0.5, abs=1e-4)
        assert not (meetings / files.path("transcription/words.txt")).exists()


def test_preparation_reads_them(meetings: Path, tmp_path: Path) -> None:
    prepared = prepare_libricss(meetings, tmp_path / "save", num_workers=1)
    assert {name: count.num_sessions for name, count in prepared.counts.items()} == {
        "0S": 2,
        "OV40": 2,
    }
    assert prepared.counts["OV40"].num_groups_beyond_two == 0
    groups = read_mixture_manifest(prepared.test_groups, meetings)
    for files, turns in _sessions(meetings):
        path = meetings / files.path("transcription/utterance_groups.txt")
        rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
        assert sum(int(row[2]) for row in rows) == len(turns)
        if files.number == 1:
            mine = [group for group in groups if group.session == files.name]
            assert [(f"{g.start_s:.7f}", f"{g.end_s:.7f}", str(len(g.turns))) for g in mine] == [
                tuple(row) for row in rows
            ]


def test_turns_are_whole_utterances_at_the_level_of_their_talker(
    meetings: Path, speech: Path
) -> None:
    texts = dict(
        line.split(" ", 1)
        for path in speech.glob("*/*/*.trans.txt")
        for line in path.read_text().splitlines()
    )
    for files, turns in _sessions(meetings):
        clean = read_audio(meetings / files.path("clean/mix.wav")).numpy()
        levels_db: dict[str, list[float]] = {}
        ids = _utterance_ids(meetings, files)
        assert len(set(ids)) == len(ids)
        for turn, name in zip(turns, ids, strict=True):
            source = read_audio(next(speech.glob(f"*/*/{name}.flac"))).numpy()
            assert turn.text == texts[name] and turn.speaker == name.partition("-")[0]
            first = round(turn.start_s * 16000)
            assert round(turn.end_s * 16000) - first == source.size
            heard = clean[first : first + source.size]
            gain = float(np.dot(heard, source) / np.dot(source, source))
            levels_db.setdefault(turn.speaker, []).append(_level_db(gain * source))
            if files.condition == "0S":
                np.testing.assert_allclose(heard, gain * source, atol=2e-5)
        # Overlapping talkers disturb the estimate of the gain a little.
        assert all(max(levels) - min(levels) < 0.5 for levels in levels_db.values())
        means_db = [float(np.mean(levels)) for levels in levels_db.values()]
        assert 0.1 < max(means_db) - min(means_db) < 5.3
        assert min(means_db) > -30.6 and max(means_db) < -19.4


def test_the_recording_is_the_sum_with_a_faint_noise(meetings: Path) -> None:
    for files, turns in _sessions(meetings):
        clean = read_audio(meetings / files.path("clean/mix.wav")).numpy()
        recorded = read_audio(meetings / files.path("record/raw_recording.wav")).numpy()
        assert not clean[: round(turns[0].start_s * 16000)].any()
        snr_db = -25.0 - _level_db(recorded - clean)
        assert 14.5 < snr_db < 35.5


def test_development_and_test_sessions_share_no_utterance(meetings: Path) -> None:
    heard: dict[int, set[str]] = {0: set(), 1: set()}
    for files, _ in _sessions(meetings):
        heard[files.number] |= set(_utterance_ids(meetings, files))
    assert heard[0] and heard[1] and not heard[0] & heard[1]


def test_the_same_bytes_wherever_the_speech_lies(
    meetings: Path, own_speech: Path, tmp_path: Path
) -> None:
    changes = {"conditions": ["OV40", "0S"]}
    again = write_recorded_meetings(tmp_path / "again", own_speech, **SMALL | changes)
    assert _contents(again) == _contents(meetings)


def test_another_seed_gives_other_meetings(meetings: Path, speech: Path, tmp_path: Path) -> None:
    other = _contents(write_recorded_meetings(tmp_path / "other", speech, **SMALL | {"seed": 1}))
    first = _contents(meetings)
    shared = [name for name in other if name in first and name.startswith("0S")]
    assert len(shared) == 8 and all(other[name] != first[name] for name in shared)


def test_finished_meetings_are_left_alone(
    meetings: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_meetings, "usable_utterances", None)
    before = {path: path.stat().st_mtime_ns for path in meetings.rglob("*")}
    assert write_recorded_meetings(meetings, speech, **SMALL) == meetings
    assert {path: path.stat().st_mtime_ns for path in meetings.rglob("*")} == before


def test_an_interrupted_run_is_resumed(
    meetings: Path, copy: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it: a session is missing, another half written, and the stamp says so."""
    stamp = json.loads((copy / "synthetic_corpus.json").read_text())
    text = json.dumps({"arguments": stamp["arguments"], "complete": False})
    (copy / "synthetic_corpus.json").write_text(text)
    (gone,) = copy.glob("OV40/*session1*")
    half = copy / ".unfinished" / "OV40" / gone.name
    half.parent.mkdir(parents=True)
    gone.rename(half)
    (half / "clean" / "mix.wav").unlink()
    mixed: list[Session] = []
    hear = recorded_meetings._hear

    def counted(session: Session, seat: int, utterance: Utterance) -> HeardTurn:
        mixed.append(session)
        return hear(session, seat, utterance)

    monkeypatch.setattr(recorded_meetings, "_hear", counted)
    write_recorded_meetings(copy, speech, **SMALL)
    assert _contents(copy) == _contents(meetings)
    assert {session.name for session in mixed} == {"OV40-session1"}


def test_damage_is_repaired(meetings: Path, copy: Path, speech: Path) -> None:
    (path,) = copy.glob("OV40/*session0*/clean/mix.wav")
    path.write_bytes(path.read_bytes()[:500])
    assert _contents(write_recorded_meetings(copy, speech, **SMALL)) == _contents(meetings)


def test_other_speech_is_not_mixed_in(copy: Path, own_speech: Path) -> None:
    shutil.rmtree(own_speech / "12")
    with pytest.raises(ValueError, match="made otherwise .*speech_sha256"):
        write_recorded_meetings(copy, own_speech, **SMALL)


def test_what_is_left_out_is_counted(
    own_speech: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = own_speech / "11" / "7" / "11-7-0003.flac"
    cut.write_bytes(cut.read_bytes()[:3000])
    (own_speech / "12" / "7" / "12-7-0001.flac").unlink()
    lines = (own_speech / "13" / "7" / "13-7.trans.txt").read_text().splitlines()
    lines[2] = "13-7-0002"
    (own_speech / "13" / "7" / "13-7.trans.txt").write_text("\n".join([*lines[:4], *lines[5:]]))
    changes = {"max_turn_s": 3.1, "speakers_per_session": 9, "minutes_per_session": 0.2}
    with caplog.at_level(logging.WARNING):
        meetings = write_recorded_meetings(tmp_path / "new", own_speech, **SMALL | changes)
    said = caplog.text
    assert "2 cannot be read, namely 11/7/11-7-0003.flac (" in said
    assert "12/7/12-7-0001.flac (missing)" in said
    assert "1 without a transcript, namely 13/7/13-7-0004.flac" in said
    assert "1 with an empty transcript, namely 13/7/13-7-0002.flac" in said
    assert "10 longer than max_turn_s=3.1 s" in said
    assert "has 5 readers, fewer than speakers_per_session=9" in said
    ids = {name for files, _ in _sessions(meetings) for name in _utterance_ids(meetings, files)}
    assert not ids & {"11-7-0003", "12-7-0001", "13-7-0002", "13-7-0004"}
    assert all(turn.duration_s <= 3.1 for _, turns in _sessions(meetings) for turn in turns)


def test_speech_at_another_rate_is_converted(tmp_path: Path) -> None:
    speech = write_speech(tmp_path / "wide" / "dev", num_readers=2, sample_rate=8000)
    changes = {"conditions": ["0S"], "num_sessions": 1, "speakers_per_session": 2}
    meetings = write_recorded_meetings(tmp_path / "new", speech, **SMALL | changes)
    ((files, turns),) = _sessions(meetings)
    for turn, name in zip(turns, _utterance_ids(meetings, files), strict=True):
        assert turn.duration_s == pytest.approx(1.0 + 0.3 * int(name[-4:]))


def test_no_speech(tmp_path: Path, speech: Path, own_speech: Path) -> None:
    new = tmp_path / "new"
    with pytest.raises(ValueError, match="speech=.*nowhere is not a folder; give that of a split"):
        write_recorded_meetings(new, tmp_path / "nowhere", **SMALL)
    with pytest.raises(ValueError, match=r"holds splits \(dev-clean\), not readers; give one"):
        write_recorded_meetings(new, speech.parent, **SMALL)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is not LibriSpeech.*the folder is empty"):
        write_recorded_meetings(new, tmp_path / "empty", **SMALL)
    with pytest.raises(ValueError, match=r"no usable utterance \(50 longer than max_turn_s=0.5 s"):
        write_recorded_meetings(new, own_speech, **SMALL | {"max_turn_s": 0.5})
    for reader in ("11", "12", "13", "14"):
        shutil.rmtree(own_speech / reader)
    with pytest.raises(ValueError, match="one reader only, 15; a meeting takes two at least"):
        write_recorded_meetings(new, own_speech, **SMALL)


def test_unequal_sample_rates(own_speech: Path, tmp_path: Path) -> None:
    path = own_speech / "11" / "7" / "11-7-0003.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 8000), 8000)
    with pytest.raises(ValueError, match=r"11-7-0003.flac at 8000 Hz, .* at 16000 Hz.*one rate"):
        write_recorded_meetings(tmp_path / "new", own_speech, **SMALL)


def test_silence_has_no_level(own_speech: Path, tmp_path: Path) -> None:
    for path in own_speech.glob("11/7/*.flac"):
        soundfile.write(path, np.zeros(16000), 16000)
    with pytest.raises(ValueError, match=r"11-7-000\d.flac: silent: its level has no meaning"):
        write_recorded_meetings(tmp_path / "new", own_speech, **SMALL | {"speakers_per_session": 5})


def test_too_little_speech(speech: Path, tmp_path: Path) -> None:
    """The number of sessions that the message allows can be had."""
    message = r"50 utterances \(2.0 min\) of 5 readers are too little .*num_sessions=9 .*they allow"
    with pytest.raises(ValueError, match=message) as caught:
        write_recorded_meetings(tmp_path / "new", speech, **SMALL | {"num_sessions": 9})
    allowed = int(str(caught.value).partition("they allow ")[2].split()[0])
    assert 2 <= allowed <= 5
    assert f"ask for num_sessions={allowed}, shorter sessions" in str(caught.value)
    write_recorded_meetings(tmp_path / "new2", speech, **SMALL | {"num_sessions": allowed})
    with pytest.raises(ValueError, match="they allow 0 sessions .*ask for shorter sessions, or"):
        write_recorded_meetings(tmp_path / "new", speech, **SMALL | {"minutes_per_session": 5.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": ["OV50"]}, "must be different ones of 0L, 0S, OV10"),
        ({"num_sessions": 0}, r"num_sessions must be a whole number within 1\.\.999, got 0"),
        ({"speakers_per_session": 1}, "speakers_per_session must be .* 2.*, got 1"),
        ({"minutes_per_session": 0.05}, "minutes_per_session must be >= 0.1, got 0.05"),
        ({"max_turn_s": 0.0}, "max_turn_s must be a number of seconds > 0, got 0.0"),
        ({"max_turn_s": float("nan")}, "max_turn_s must be a number of seconds > 0, got nan"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
    ],
)
def test_bad_arguments_write_no_audio(
    speech: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_recorded_meetings(tmp_path / "new", speech, **SMALL | arguments)
    assert not list((tmp_path / "new").rglob("*.wav"))


@pytest.mark.realdata
def test_real_speech(realdata: Path, tmp_path: Path) -> None:
    speech = realdata / "LibriSpeech" / "dev-clean"
    changes = {"conditions": ["0L", "OV20", "OV40"], "minutes_per_session": 1.0}
    meetings = write_recorded_meetings(tmp_path / "new", speech, **SMALL | changes)
    prepared = prepare_libricss(meetings, tmp_path / "save", num_workers=1)
    for condition, counts in prepared.counts.items():
        nominal = TIMINGS[condition].overlap_ratio
        assert counts.num_sessions == 2 and counts.num_groups_beyond_two == 0
        assert counts.audio_s == pytest.approx(120, abs=20)
        assert counts.overlap_ratio == pytest.approx(nominal, abs=0.005)
    for files, turns in _sessions(meetings):
        assert len(turns) >= 4 and all(turn.duration_s <= 15 for turn in turns)
        recorded = read_audio(meetings / files.path("record/raw_recording.wav")).numpy()
        assert -32 < _level_db(recorded) < -18
        assert np.abs(recorded).max() <= 0.951
