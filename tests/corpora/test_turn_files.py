from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.turn_files import read_turns, write_turns
from sb_alexa.multitalker.arrangement import arrange_turns, overlaps_at_most
from sb_alexa.turn import Turn, Word

SUFFIXES = (".json", ".stm", ".rttm", ".ctm")

ANNA = Turn("anna", 0.0, 2.0, "GO UP", (Word("GO", 0.0, 0.7), Word("UP", 0.7, 2.0)))
BEN = Turn("ben", 0.1 + 0.2, 3.0625, "I'M HÉRE", (Word("I'M", 0.5, 1.1), Word("HÉRE", 1.1, 3.0)))
LATE = Turn("channel 1", 10.0, 11.0, "NO", (Word("NO", 10.0, 11.0),))
SESSIONS = {"second": [LATE], "first": [BEN, ANNA]}

Plain = dict[str, list[tuple[str, float, float, str]]]


def plain(sessions: Mapping[str, Sequence[Turn]]) -> Plain:
    return {
        session: [(t.speaker, t.start_s, t.end_s, t.text) for t in turns]
        for session, turns in sessions.items()
    }


def as_meeteval_reads(path: Path) -> Plain:
    """The same file in the eyes of another reader."""
    meeteval = pytest.importorskip("meeteval")
    if path.suffix == ".json":
        segments = json.loads(path.read_text("utf-8"))
    else:
        kinds = {".stm": meeteval.io.STM, ".rttm": meeteval.io.RTTM}
        segments = kinds[path.suffix].parse(path.read_text("utf-8")).to_seglst().segments
    sessions: Plain = {}
    for segment in segments:
        start_s, end_s = float(segment["start_time"]), float(segment["end_time"])
        turn = (segment["speaker"], start_s, end_s, segment.get("words", ""))
        sessions.setdefault(segment["session_id"], []).append(turn)
    return sessions


def test_seglst_keeps_everything_but_word_times(tmp_path: Path) -> None:
    path = tmp_path / "a.seglst.json"
    write_turns(path, SESSIONS)
    read = read_turns(path)
    assert list(read) == ["second", "first"]
    assert plain(read) == {
        "second": [("channel 1", 10.0, 11.0, "NO")],
        "first": [("anna", 0.0, 2.0, "GO UP"), ("ben", 0.3, 3.0625, "I'M HÉRE")],
    }
    assert as_meeteval_reads(path) == plain(read)


def test_stm_writes_blanks_of_names_as_underscores(tmp_path: Path) -> None:
    path = tmp_path / "a.stm"
    write_turns(path, SESSIONS)
    assert path.read_text("utf-8").splitlines() == [
        "second 1 channel_1 10.0 11.0 NO",
        "first 1 anna 0.0 2.0 GO UP",
        "first 1 ben 0.3 3.0625 I'M HÉRE",
    ]
    assert as_meeteval_reads(path) == plain(read_turns(path))


def test_rttm_keeps_the_ends_exactly_and_no_words(tmp_path: Path) -> None:
    path = tmp_path / "a.rttm"
    write_turns(path, SESSIONS)
    assert path.read_text("utf-8").splitlines()[2] == (
        "SPEAKER first 1 0.3 2.7625 <NA> <NA> ben <NA> <NA>"
    )
    read = read_turns(path)
    # In floating point 0.3 + 2.7625 is not 3.0625.
    assert plain(read)["first"] == [("anna", 0.0, 2.0, ""), ("ben", 0.3, 3.0625, "")]
    assert as_meeteval_reads(path) == plain(read)


def test_ctm_keeps_the_words(tmp_path: Path) -> None:
    path = tmp_path / "a.ctm"
    again = Turn("anna", 5.0, 6.0, "NOW", (Word("NOW", 5.0, 6.0),))
    write_turns(path, {"s": [again, BEN, ANNA]})
    assert path.read_text("utf-8").splitlines()[:4] == [
        "s anna 0.0 0.7 GO",
        "s anna 0.7 1.3 UP",
        "s anna 5.0 1.0 NOW",
        "s ben 0.5 0.6 I'M",
    ]
    anna, ben = read_turns(path)["s"]
    assert anna == Turn("anna", 0.0, 6.0, "GO UP NOW", (*ANNA.words, *again.words))
    assert ben.words == BEN.words
    meeteval = pytest.importorskip("meeteval")
    words = meeteval.io.CTM.parse(path.read_text("utf-8")).lines
    assert [(w.channel, w.word, float(w.begin_time + w.duration)) for w in words] == [
        (turn.speaker, word.text, word.end_s) for turn in (anna, ben) for word in turn.words
    ]


def test_lines_as_others_write_them(tmp_path: Path) -> None:
    stm = tmp_path / "a.STM"
    stm.write_text(
        "\ufeff;; made by hand\n\n"
        "s A inter_segment_gap 0 1 <O,,N> ignore_time_segment_in_scoring\n"
        "s A x 10 12.5 <O,F0,M>  SO   IT IS \n"
        "s A y 1 2\n"
        "s A z 3 4 <UNK> YES\n",
        encoding="utf-8",
    )
    assert plain(read_turns(stm))["s"] == [
        ("y", 1.0, 2.0, ""),
        ("z", 3.0, 4.0, "<UNK> YES"),
        ("x", 10.0, 12.5, "SO IT IS"),
    ]
    rttm = tmp_path / "a.rttm"
    rttm.write_text(
        ";; comment\nSPKR-INFO s 1 <NA> <NA> <NA> unknown x <NA>\n"
        "SPEAKER s 1 1.1 2.2 <NA> <NA> x <NA>\n"
    )
    assert plain(read_turns(rttm)) == {"s": [("x", 1.1, 3.3, "")]}
    ctm = tmp_path / "a.ctm"
    ctm.write_text("s A 10 2 UP 0.93\ns A 3.0 1.5 GO 0.5 lex x\n")
    assert plain(read_turns(ctm)) == {"s": [("A", 3.0, 12.0, "GO UP")]}
    seglst = tmp_path / "a.json"
    segment = {"session_id": 7, "speaker": 1, "start_time": "0.1", "end_time": 2, "words": " A  B"}
    seglst.write_text(json.dumps([segment]))
    assert plain(read_turns(seglst)) == {"7": [("1", 0.1, 2.0, "A B")]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stm", "s 1 anna 2 1 GO\n", "line 1: session s: the turn 'GO' of anna ends at 1"),
        (
            "a.stm",
            "\ns 1 anna 2\n",
            "line 2: a line of STM has at least 5 fields, got 's 1 anna 2'",
        ),
        ("a.stm", "s 1 anna 2 x GO\n", "line 1: 'x' is not a time in seconds"),
        ("a.rttm", "SPEAKER s 1 2 -1 <NA> <NA> anna <NA> <NA>\n", "line 1: session s: .* of anna"),
        ("a.rttm", "SPEAKER s 1 nan 1 <NA> <NA> anna <NA> <NA>\n", "'nan' is not a time"),
        ("a.ctm", "s 1 2 -1 GO\n", "line 1: session s: the word 'GO' ends at 1"),
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", '{"session_id": "s"}', "not SegLST, which is a list"),
        ("a.json", '["s"]', "segment 1"),
        ("a.json", '[{"session_id": "s", "speaker": "anna"}]', "segment 1: it has no 'start_time'"),
        (
            "a.json",
            '[{"session_id": "s", "speaker": "anna", "start_time": 2, "end_time": 1, "words": ""}]',
            "segment 1: session s: the turn '' of anna",
        ),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_turns(tmp_path / name)


def test_only_these_suffixes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv: .*\.json, \.rttm, \.stm, \.ctm, not in '\.csv'"):
        write_turns(tmp_path / "a.csv", SESSIONS)
    with pytest.raises(ValueError, match="not in 'nothing'; rename it"):
        read_turns(tmp_path / "a")


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ({"s": [Turn("ben", 0.0, 1.0, "GO")]}, "session s: the turn of ben from 0 s has no word"),
        ({"s": [Turn("", 0.0, 1.0, "")]}, "the name '' cannot be a field"),
        ({";s": [ANNA]}, "the name ';s' cannot be a field"),
        ({"a b": [ANNA], "a_b": [ANNA]}, r"two of the names \['a b', 'a_b'\] are the same"),
        ({"s": [Turn("ben", 0.0, float("inf"), "")]}, "inf is not a time"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, sessions: dict[str, list[Turn]], message: str
) -> None:
    path = tmp_path / ("a.rttm" if "inf" in message else "a.ctm")
    path.write_text("before")
    with pytest.raises(ValueError, match=message):
        write_turns(path, sessions)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_sessions_are_an_empty_file(tmp_path: Path, suffix: str) -> None:
    write_turns(tmp_path / f"a{suffix}", {})
    assert read_turns(tmp_path / f"a{suffix}") == {}


@pytest.mark.realdata
def test_references_of_libricss(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "libri_css_text" / "scoring" / "references"
    groups: dict[str, tuple[Turn, ...]] = {}
    for path in sorted(folder.glob("*/*.stm")):
        groups |= read_turns(path)
    assert len({name.rpartition("_SEG")[0] for name in groups}) == 60
    turns = [turn for group in groups.values() for turn in group]
    # The label in front of the words is not a word.
    assert not any("<" in turn.text for turn in turns)
    assert all(turn.text == turn.text.upper() and turn.text for turn in turns)
    arranged = [group for group in groups.values() if overlaps_at_most(group, 2)]
    # In 61 groups three talk at once for a moment: 0.02 to 2.7 s.
    assert (len(groups), len(arranged)) == (715, 654)
    for group in arranged:
        for channel in arrange_turns(group).by_channel:
            assert overlaps_at_most(channel, 1)
    for suffix in (".json", ".stm"):
        write_turns(tmp_path / f"all{suffix}", groups)
        assert read_turns(tmp_path / f"all{suffix}") == groups
    write_turns(tmp_path / "all.rttm", groups)
    silent = {name: [replace(t, text="") for t in group] for name, group in groups.items()}
    assert plain(read_turns(tmp_path / "all.rttm")) == plain(silent)


@pytest.mark.realdata
def test_hypotheses_of_libricss(realdata: Path) -> None:
    path = min((realdata / "libri_css_text" / "sample").glob("*40.0*session0*/segment_0.ctm"))
    ((session, (turn,)),) = read_turns(path).items()
    assert session.endswith("_SEG0") and turn.speaker == "0"
    assert turn.text.startswith("DID NOT THE DANCING")
    assert len(turn.words) == len(path.read_text().splitlines())
