from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.error_rate import ErrorCounts, count_errors, word_errors
from sb_alexa.metrics.multitalker_error_rate import cp_errors, orc_errors, tcp_errors
from sb_alexa.training.mixture_task import MixtureTask
from sb_alexa.training.multitalker_recognition import MultiTalkerExperiment
from sb_alexa.turn import Turn

pytest.importorskip("meeteval")

texts = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(" ".join)


def turns_of(texts: list[str], speakers: str = "pq") -> list[Turn]:
    return [
        Turn(speakers[i % len(speakers)], float(i), i + 1.5, text) for i, text in enumerate(texts)
    ]


@settings(max_examples=100, deadline=None)
@given(said=st.lists(texts, max_size=4), channels=st.lists(texts, max_size=3))
def test_orc_is_the_best_of_all_assignments(said: list[str], channels: list[str]) -> None:
    best = None
    for assignment in itertools.product(range(len(channels)), repeat=len(said)):
        put = [
            " ".join(text for text, c in zip(said, assignment, strict=True) if c == channel)
            for channel in range(len(channels))
        ]
        errors = sum(word_errors(r, h).errors for r, h in zip(put, channels, strict=True))
        best = errors if best is None else min(best, errors)
    num_words = len(" ".join(said).split())
    counts = orc_errors(turns_of(said)[::-1], channels)
    assert counts.errors == (num_words if best is None else best)
    assert counts.words == num_words


@settings(max_examples=100, deadline=None)
@given(said=st.lists(texts, max_size=4), heard=st.lists(texts, max_size=4))
def test_cp_is_the_best_of_all_permutations(said: list[str], heard: list[str]) -> None:
    references, hypotheses = turns_of(said, "pqr"), turns_of(heard, "xy")

    def joined(turns: list[Turn], speakers: str) -> list[str]:
        return [" ".join(t.text for t in turns if t.speaker == s) for s in speakers]

    expected = min(
        sum(
            word_errors(r, h).errors
            for r, h in zip(joined(references, "pqr"), permuted, strict=True)
        )
        for permuted in itertools.permutations(joined(hypotheses, "xyz"))
    )
    counts = cp_errors(references[::-1], hypotheses[::-1])
    assert counts.errors == expected
    assert counts.words == len(" ".join(said).split())


@settings(max_examples=60, deadline=None)
@given(said=st.lists(texts, max_size=3), heard=st.lists(texts, max_size=3))
def test_times_only_add_errors(said: list[str], heard: list[str]) -> None:
    references, hypotheses = turns_of(said), turns_of(heard, "xy")
    free = cp_errors(references, hypotheses)
    assert tcp_errors(references, hypotheses, collar_s=100.0).errors == free.errors
    tight = tcp_errors(references, hypotheses, collar_s=0.2)
    assert tight.errors >= free.errors
    assert tight.words == free.words
    late = [turn.shifted(50.0) for turn in hypotheses]
    num_words = len(" ".join(said + heard).split())
    assert tcp_errors(references, late).errors == num_words, "nothing can match any more"


def test_speakers_matter_to_cp_alone() -> None:
    """Two talkers in turn on one channel: right for ORC; for cpWER one of them is missing."""
    references = turns_of(["a b", "c d e"])
    assert orc_errors(references, ["a b c d e", ""]).errors == 0
    one_channel = [Turn("channel 1", 0.0, 3.0, "a b c d e")]
    assert cp_errors(references, one_channel) == ErrorCounts(0, 2, 2, 5)


def test_a_turn_is_not_divided() -> None:
    assert orc_errors([Turn("p", 0.0, 1.0, "a b")], ["a", "b"]).errors == 2


@pytest.mark.parametrize(
    ("said", "channels", "expected"),
    [
        ([], [], ErrorCounts()),
        ([], ["a b", ""], ErrorCounts(insertions=2)),
        (["a b"], [], ErrorCounts(deletions=2, words=2)),
        (["a b", ""], ["", ""], ErrorCounts(deletions=2, words=2)),
        ([""], ["a"], ErrorCounts(insertions=1)),
    ],
)
def test_empty_sides(said: list[str], channels: list[str], expected: ErrorCounts) -> None:
    references = turns_of(said)
    hypotheses = [Turn(f"channel {n}", 0.0, 2.0, text) for n, text in enumerate(channels)]
    assert orc_errors(references, channels) == expected
    assert cp_errors(references, hypotheses) == expected
    assert tcp_errors(references, hypotheses) == expected


@pytest.mark.parametrize("token", ["<sot>", "<EOT>", "<cot>"])
def test_turn_tokens_are_refused(token: str) -> None:
    heard = [Turn("x", 0.0, 1.0, f"a {token} b")]
    for count in (cp_errors, tcp_errors):
        with pytest.raises(ValueError, match="strip turn tokens"):
            count(turns_of(["a b"]), heard)
    with pytest.raises(ValueError, match="strip turn tokens"):
        orc_errors(turns_of(["a b"]), [heard[0].text])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="at most 10 channels, got 11"):
        orc_errors([], ["a"] * 11)
    with pytest.raises(ValueError, match="collar_s"):
        tcp_errors([], [], collar_s=-1.0)


def test_without_meeteval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meeteval", None)
    for count in (orc_errors, cp_errors, tcp_errors):
        with pytest.raises(ImportError, match=r"pip install 'sb-alexa\[multitalker\]'"):
            count([], [])


# The authors of the corpus scored these very hypotheses with NIST's asclite; the second figures are
# those of their README for a later run, "no separation" in table 2 of Chen et al. 2020. Scores of
# asclite differ: it prefers alignments in time to those with fewest errors (more errors than ours
# without overlap), and lets words of overlapping turns alternate (fewer where much overlaps).
KNOWN = {
    "0.0_sil0.1_0.5": (15.55, 15.4),
    "0.0_sil2.9_3.0": (11.50, 11.4),
    "10.0_sil0.1_1.0": (21.86, 21.7),
    "20.0_sil0.1_1.0": (27.07, 27.2),
    "30.0_sil0.1_1.0": (34.70, 34.3),
    "40.0_sil0.1_1.0": (40.80, 40.4),
}
TOLERANCE = dict(zip(KNOWN, (0.6, 0.6, 0.6, 0.6, 1.4, 2.4), strict=True))


def libricss_segments(session: Path, references: Path) -> Iterator[tuple[list[Turn], str]]:
    """Reference turns and the recognised text of each segment of a session."""
    for hypothesis in sorted(session.glob("*.ctm")):
        reference = references / session.name / f"{hypothesis.stem}.stm"
        turns = []
        for line in reference.read_text().splitlines():
            if not line.startswith(";;"):
                # recording channel speaker start end <labels> words
                _, _, speaker, start, end, _, *words = line.split()
                turns.append(Turn(speaker, float(start), float(end), " ".join(words)))
        # recording channel start duration word confidence
        rows = [line.split() for line in hypothesis.read_text().splitlines()]
        rows.sort(key=lambda row: float(row[2]))
        yield turns, " ".join(row[4] for row in rows)


@pytest.mark.realdata
def test_known_figures_of_libricss(realdata: Path) -> None:
    corpus = realdata / "libri_css_text"
    sessions = sorted((corpus / "sample").iterdir())
    assert len(sessions) == 60
    by_condition: dict[str, list[ErrorCounts]] = {condition: [] for condition in KNOWN}
    for session in sessions:
        counts = ErrorCounts()
        for turns, text in libricss_segments(session, corpus / "scoring" / "references"):
            segment = orc_errors(turns, [text])
            said = [turn.text for turn in sorted(turns, key=lambda t: (t.start_s, t.end_s))]
            # With a single channel there is nothing to assign.
            assert segment.errors == count_errors(" ".join(said).split(), text.split()).errors
            counts += segment
        condition = re.fullmatch(r"overlap_ratio_(.+)_session\d_.+", session.name)
        assert condition is not None
        by_condition[condition[1]].append(counts)
    for condition, counts_by_session in by_condition.items():
        assert len(counts_by_session) == 10
        rate = sum(counts_by_session, ErrorCounts()).error_rate
        low, high = bootstrap_interval(counts_by_session)
        assert rate == pytest.approx(KNOWN[condition][0], abs=TOLERANCE[condition])
        assert all(low < known < high for known in KNOWN[condition])


@pytest.mark.realdata
def test_references_of_libricss_against_themselves(realdata: Path) -> None:
    """The corpus writes overlapping turns on layers A, B and C: channels without an error."""
    corpus = realdata / "libri_css_text"
    (session,) = (corpus / "sample").glob("overlap_ratio_40.0_*_session0_*")
    num_layers = []
    for turns, _ in libricss_segments(session, corpus / "scoring" / "references"):
        layers = sorted({turn.speaker for turn in turns})
        channels = [" ".join(t.text for t in turns if t.speaker == name) for name in layers]
        if len(channels) < 3:
            # The exact search takes long with three.
            assert orc_errors(turns, channels).errors == 0
        assert cp_errors(turns, turns).errors == tcp_errors(turns, turns).errors == 0
        num_layers.append(len(layers))
    assert (len(num_layers), min(num_layers), max(num_layers)) == (11, 2, 3)


def test_a_recipe_without_meeteval_fails_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meeteval", None)
    prepared: list[dict[str, object]] = []
    task = MixtureTask(experiment_class=MultiTalkerExperiment, prepare=prepared.append)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=r"sb-alexa\[multitalker\]"):
        task.prepare({"libricss_folder": "meetings"})
    assert not prepared
    task.prepare({"libricss_folder": None})  # trains without a test
    assert prepared
