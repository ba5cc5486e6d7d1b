from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sb_alexa.corpora import libricss
from sb_alexa.corpora.libricss import CorpusError, prepare_libricss
from sb_alexa.corpora.libricss_files import CONDITIONS, WORD_COLUMNS
from sb_alexa.corpora.mixture_manifest import read_mixture_manifest
from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.turn import Word
from tests.corpora.tiny_libricss import (
    LINES,
    SAMPLE_RATE,
    Line,
    session_folder,
    write_corpus,
    write_lines,
    write_session,
)
from tests.corpora.tiny_librispeech import written


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "data")


def prepare(corpus: Path, **arguments: Any) -> libricss.PreparedLibriCSS:
    return prepare_libricss(corpus, corpus.parent / "save", num_workers=1, **arguments)


def test_groups_are_split_where_nobody_speaks(corpus: Path) -> None:
    prepared = prepare(corpus)
    groups = read_mixture_manifest(prepared.test_groups, prepared.data_root)
    assert [group.id for group in groups] == [
        *("0S-session3-000", "0S-session3-001"),
        *("OV10-session3-000", "OV10-session3-001"),
    ]
    first, second = groups[2:]
    assert (first.session, first.condition, first.channel) == ("OV10-session3", "OV10", 0)
    assert (first.start_s, first.end_s) == (0.5, 3.5)
    assert (second.start_s, second.end_s) == (5.0, 6.125)
    # The turn that starts as another ends stays with it: there is no silence between.
    assert [(t.speaker, t.start_s, t.end_s, t.text) for t in first.turns] == [
        ("84", 0.0, 1.5, "TURN ON THE LAMP"),
        ("14", 1.0, 2.5, "STOP"),
        ("84", 1.75, 2.0, "NO"),
        ("84", 2.5, 3.0, "GO ON"),
    ]
    assert second.turns[0].text == "IT WAS LATE"
    assert arrange_turns(first.turns).channels == (0, 1, 0, 0)


def test_whole_sessions(corpus: Path) -> None:
    prepared = prepare(corpus)
    sessions = read_mixture_manifest(prepared.dev_sessions, prepared.data_root)
    assert [session.id for session in sessions] == ["0S-session0", "OV10-session0"]
    assert (sessions[0].start_s, sessions[0].end_s) == (0.0, 7.0)
    assert [(t.start_s, t.end_s) for t in sessions[0].turns] == [line[:2] for line in LINES]
    assert sessions[0].session == "0S-session0"


def test_a_group_reads_what_the_session_holds_there(corpus: Path) -> None:
    prepared = prepare(corpus, channel=1)
    second = read_mixture_manifest(prepared.test_groups, prepared.data_root)[3]
    path = session_folder(corpus, "OV10", 3) / "record" / "raw_recording.wav"
    samples, _ = soundfile.read(path, dtype="float32")
    assert second.read(SAMPLE_RATE).tolist() == samples[5000:6125, 1].tolist()


def test_the_clean_mixture(corpus: Path) -> None:
    prepared = prepare(corpus, audio="mix")
    groups = read_mixture_manifest(prepared.dev_groups, prepared.data_root)
    assert all(group.path.endswith("/clean/mix.wav") for group in groups) and len(groups) == 4


@pytest.mark.parametrize(
    ("dev", "num_dev", "num_test"), [((), 0, 8), ((0,), 4, 4), ((3, 0, 3), 8, 0)]
)
def test_sessions_for_development(
    corpus: Path, dev: tuple[int, ...], num_dev: int, num_test: int
) -> None:
    prepared = prepare(corpus, dev_sessions=dev)
    assert len(read_mixture_manifest(prepared.dev_groups, corpus)) == num_dev
    assert len(read_mixture_manifest(prepared.test_groups, corpus)) == num_test


def test_counts_and_what_differs_from_the_published_corpus(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = prepare(corpus).counts
    assert list(counts) == ["0S", "OV10"]
    assert (counts["0S"].num_sessions, counts["0S"].num_groups, counts["0S"].num_turns) == (
        2,
        4,
        10,
    )
    assert counts["0S"].audio_s == 14.0
    # Of 4.875 s of speech, 0.5 s twice and 0.25 s twice are overlapped.
    assert counts["0S"].overlap_ratio == pytest.approx(1.5 / 4.875)
    assert caplog.messages == [
        "Not the 10 sessions published for each condition (fine for a subset): "
        "0L 0; 0S 2; OV10 2; OV20 0; OV30 0; OV40 0"
    ]


def test_the_released_folder_may_be_named_by_its_parent(corpus: Path, tmp_path: Path) -> None:
    parent = tmp_path / "corpora"
    parent.mkdir()
    corpus.rename(parent / "for_release")
    prepared = prepare_libricss(parent, tmp_path / "save")
    assert '"$data_root/for_release/0S/' in prepared.dev_groups.read_text()
    groups = read_mixture_manifest(prepared.dev_groups, prepared.data_root)
    assert all(os.path.isfile(group.path) for group in groups)


def test_times_of_words(corpus: Path) -> None:
    times = {"84-1-0": (0.6, 0.9, 1.2, 1.5, 1.9), "84-1-2": (3.1, 3.2, 3.4)}
    rows = [WORD_COLUMNS]
    for start_s, _, _, name, text in LINES:
        edges = times.get(name, (start_s,))
        for word, start, end in zip(text.split(), edges, edges[1:], strict=False):
            rows.append((str(start), str(end), name, word))
    words = session_folder(corpus, "OV10", 3) / "transcription" / "words.txt"
    words.write_text("".join("\t".join(row) + "\n" for row in rows))
    groups = read_mixture_manifest(prepare(corpus).test_groups, corpus)
    assert groups[2].turns[0].words[:2] == (Word("TURN", 0.1, 0.4), Word("ON", 0.4, 0.7))
    assert groups[2].turns[3].words == (Word("GO", 2.6, 2.7), Word("ON", 2.7, 2.9))
    assert groups[2].turns[1].words == () == groups[0].turns[0].words


def test_nothing_is_done_twice(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(corpus)
    before = written(tmp_path / "save")
    monkeypatch.setattr(libricss, "check_audio", None)
    assert prepare(corpus) == first == prepare(corpus, skip_prep=True)
    assert written(tmp_path / "save") == before
    with pytest.raises(TypeError):
        prepare(corpus, channel=1)
    with pytest.raises(CorpusError, match="does not hold a finished preparation"):
        prepare(corpus, channel=1, skip_prep=True)


def test_what_has_changed_is_done_again(corpus: Path) -> None:
    prepare(corpus)
    write_session(corpus, "OV20", 1)
    prepared = prepare(corpus)
    assert list(prepared.counts) == ["0S", "OV10", "OV20"]
    assert len(read_mixture_manifest(prepared.test_groups, corpus)) == 6
    prepared.test_groups.unlink()
    assert len(read_mixture_manifest(prepare(corpus).test_groups, corpus)) == 6


def test_the_same_corpus_gives_the_same_bytes_anywhere(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    corpus.rename(elsewhere / "data")
    prepare(elsewhere / "data")
    assert written(tmp_path / "save") == written(elsewhere / "save")


def test_three_at_once_are_kept_and_named(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = session_folder(corpus, "OV10", 3)
    write_lines(folder, [*LINES, (2.3, 2.4, "20", "20-1-0", "YES")])
    prepared = prepare(corpus)
    groups = read_mixture_manifest(prepared.test_groups, corpus)
    assert [group.fits_two_channels for group in groups] == [True, True, False, True]
    assert prepared.counts["OV10"].num_groups_beyond_two == 1
    assert prepared.counts["0S"].num_groups_beyond_two == 0
    message = caplog.messages[-1]
    assert "Three talk at once in 1 utterance group(s)" in message
    assert "OV10-session3-000. The first:" in message
    for named in ("14 from 1.5 to 3 s", "84 from 2.25 to 2.5 s", "20 from 2.3 to 2.4 s"):
        assert named in message


def test_a_turn_that_rounding_ends_after_the_audio_is_shortened(corpus: Path) -> None:
    write_lines(session_folder(corpus, "0S", 0), [*LINES[:4], (5.0, 7.05, "14", "14-1-1", "LATE")])
    prepared = prepare(corpus)
    groups = read_mixture_manifest(prepared.dev_groups, corpus)
    assert (groups[1].end_s, groups[1].turns[0].end_s) == (7.0, 2.0)
    assert groups[1].read(SAMPLE_RATE).shape == (2000,)


def _realistic_corpus(references: Path, data: Path) -> None:
    """The reference transcriptions of all sessions, with a recording of nothing.

    Published times count from the start of a segment; segments follow each other 3 s apart.
    """
    for session in references.iterdir():
        condition = _condition(session.name)
        lines: list[Line] = []
        offset_s = 0.0
        stms = sorted(session.glob("*.stm"), key=lambda p: int(re.sub(r"\D", "", p.stem)))
        for stm in stms:
            rows = [line.split(maxsplit=6) for line in stm.read_text().splitlines()]
            for row in rows:
                if row[0] != ";;":
                    start_s, end_s = offset_s + float(row[3]), offset_s + float(row[4])
                    name = f"{stm.stem}-{len(lines)}"
                    lines.append((round(start_s, 2), round(end_s, 2), "A", name, row[6]))
            offset_s = max(line[1] for line in lines) + 3.0
        folder = data / condition / session.name
        for name in ("record", "transcription"):
            (folder / name).mkdir(parents=True)
        write_lines(folder, lines)
        soundfile.write(folder / "record" / "raw_recording.wav", [0.0] * round(offset_s * 20), 20)


def _condition(name: str) -> str:
    ratio, silence = re.findall(r"[\d.]+", name)[:2]
    if float(ratio) == 0.0:
        return "0L" if float(silence) > 1 else "0S"
    return f"OV{float(ratio):.0f}"


@pytest.mark.realdata
def test_the_published_references(
    realdata: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    references = realdata / "libri_css_text" / "scoring" / "references"
    _realistic_corpus(references, tmp_path / "data")
    prepared = prepare_libricss(tmp_path / "data", tmp_path / "save", num_workers=1)
    assert list(prepared.counts) == list(CONDITIONS)
    assert [count.num_sessions for count in prepared.counts.values()] == [10] * 6
    # Everything is there, so the one warning is about three talkers.
    (message,) = caplog.messages
    assert message.startswith("Three talk at once in")
    for session in [
        *read_mixture_manifest(prepared.dev_sessions, tmp_path / "data"),
        *read_mixture_manifest(prepared.test_sessions, tmp_path / "data"),
    ]:
        actual = float(re.findall(r"actual([\d.]+)/", session.path)[0])
        found = libricss.count_session(session.turns, session.duration_s)
        assert 100 * found.overlap_ratio == pytest.approx(actual, abs=0.2)
    counts = prepared.counts
    assert counts["0L"].num_groups == counts["0L"].num_turns == 602
    assert counts["0S"].num_groups == counts["0S"].num_turns == 814
    assert counts["0S"].num_groups_beyond_two == counts["OV10"].num_groups_beyond_two == 0
    assert counts["OV40"].num_groups_beyond_two > counts["OV20"].num_groups_beyond_two > 0
    assert len(read_mixture_manifest(prepared.dev_sessions, tmp_path)) == 6
