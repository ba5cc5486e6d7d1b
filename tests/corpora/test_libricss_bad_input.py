from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sb_alexa.corpora.libricss import CorpusError, prepare_libricss
from tests.corpora.tiny_libricss import LINES, session_folder, write_corpus, write_lines


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


def refused(corpus: Path, message: str, **arguments: Any) -> None:
    """Preparation fails with this message and leaves no manifest behind."""
    with pytest.raises(ValueError, match=message):
        prepare_libricss(corpus, corpus.parent / "save", num_workers=1, **arguments)
    assert not list((corpus.parent / "save").glob("*s.jsonl"))


@pytest.mark.parametrize("missing", ["record/raw_recording.wav", "transcription/meeting_info.txt"])
def test_audio_without_turns_and_turns_without_audio(corpus: Path, missing: str) -> None:
    (session_folder(corpus, "0S", 0) / missing).unlink()
    (session_folder(corpus, "OV10", 3) / missing).unlink()
    refused(corpus, rf"2 file\(s\) are missing: 0S/\S+session0\S+ lacks {missing}, OV10/")


def test_only_the_audio_asked_for_has_to_be_there(corpus: Path) -> None:
    (session_folder(corpus, "0S", 0) / "clean" / "mix.wav").unlink()
    prepare_libricss(corpus, corpus.parent / "save", num_workers=1)
    (corpus.parent / "save" / "dev_groups.jsonl").rename(corpus.parent / "kept")
    with pytest.raises(CorpusError, match="lacks clean/mix.wav"):
        prepare_libricss(corpus, corpus.parent / "save", audio="mix")


def test_damaged_audio(corpus: Path) -> None:
    first = session_folder(corpus, "0S", 0) / "record" / "raw_recording.wav"
    first.write_bytes(b"")
    second = session_folder(corpus, "OV10", 0) / "record" / "raw_recording.wav"
    second.write_bytes(b"not audio at all")
    refused(corpus, r"2 recording\(s\) cannot be used: .*session0.*\(empty file\), OV10/")


def test_truncated_audio(corpus: Path) -> None:
    path = session_folder(corpus, "0S", 0) / "record" / "raw_recording.wav"
    path.write_bytes(path.read_bytes()[:20_000])
    refused(
        corpus,
        r"1 turn\(s\) end after their recording: 0S-session0: 14 speaks from 5.0 to 6.125 s, "
        r"the audio lasts 4\.9\d\d s",
    )


def test_a_channel_that_is_not_there(corpus: Path) -> None:
    refused(
        corpus,
        r"4 recording\(s\) cannot be used: .*has 2 channel\(s\), none is number 2",
        channel=2,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ((2.0, 1.5, "84", "84-9-9", "GO"), "turn 84-9-9 of speaker 84 lasts from 2.0 to 1.5 s"),
        ((2.0, 2.0, "84", "84-9-9", "GO"), "end after its start"),
        ((-1.0, 2.0, "84", "84-9-9", "GO"), "must start at 0 or later"),
        (("nan", 2.0, "84", "84-9-9", "GO"), "lasts from nan to 2.0 s"),
        (("soon", 2.0, "84", "84-9-9", "GO"), "'soon' is not a number of seconds"),
        ((1.0, 2.0, "84", "84-9-9", " "), "turn 84-9-9 of speaker 84 has no transcription"),
        ((1.0, 2.0, "84", "GO"), "does not hold start_time, end_time, speaker, utterance_id"),
    ],
)
def test_lines_that_cannot_be_read(corpus: Path, line: tuple[object, ...], message: str) -> None:
    write_lines(session_folder(corpus, "OV10", 3), [LINES[0], line])
    refused(corpus, rf"OV10/overlap_ratio\S+session3\S+meeting_info.txt, line 3: .*{message}")


def test_a_session_without_a_turn(corpus: Path) -> None:
    write_lines(session_folder(corpus, "OV10", 3), [])
    refused(corpus, "session3.*meeting_info.txt holds no turn")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("0.6\t0.9\t84-1-0\tTURN\n", "utterance 84-1-0: .* times of other words: 'TURN'"),
        ("0.6\t0.9\t84-7-7\tTURN\n", "times words of no turn: 84-7-7"),
        ("0.6\t0.9\tTURN\n", "line 1: .*does not hold start_time, end_time, utterance_id, word"),
        ("0.9\t0.6\t84-1-0\tTURN\n", "line 1: the word 'TURN' ends at 0.6 s, before its start"),
    ],
)
def test_words_that_do_not_fit(corpus: Path, words: str, message: str) -> None:
    (session_folder(corpus, "0S", 0) / "transcription" / "words.txt").write_text(words)
    refused(corpus, f"words.txt.* ?{message}")


def test_folders_that_are_not_the_corpus(tmp_path: Path, corpus: Path) -> None:
    refused(tmp_path / "absent", "does not exist; expected <condition>/overlap_ratio")
    empty = tmp_path / "other"
    empty.mkdir()
    refused(empty, "is not LibriCSS: .*the folder is empty")
    (empty / "dev-clean").mkdir()
    refused(empty, "found dev-clean")
    (empty / "OV10").mkdir()
    refused(empty, "holds no session")
    (corpus / "OV10" / "my_notes").mkdir()
    refused(corpus, "my_notes is not named like a session")


def test_a_session_that_is_there_twice(corpus: Path) -> None:
    folder = session_folder(corpus, "OV10", 3)
    twin = folder.with_name(folder.name.replace("actual10.3", "actual9.9"))
    twin.mkdir()
    refused(corpus, "are both session 3 of OV10; delete one")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"audio": "beamformed"}, "audio='beamformed' must be one of record, mix"),
        ({"channel": -1}, "channel=-1 must be a whole number"),
        ({"dev_sessions": ["0"]}, r"dev_sessions=\['0'\] must hold numbers"),
    ],
)
def test_bad_arguments(corpus: Path, arguments: dict[str, Any], message: str) -> None:
    refused(corpus, message, **arguments)


def test_skipping_before_the_first_preparation(corpus: Path) -> None:
    refused(corpus, "run it once with skip_prep=False", skip_prep=True)
