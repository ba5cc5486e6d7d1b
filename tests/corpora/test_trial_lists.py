from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.trial_lists import (
    Trial,
    draw_trials,
    parse_trial_line,
    read_trials,
    speaker_of,
    trials_text,
    utterances_of,
)


@pytest.mark.parametrize(
    "line",
    [
        "1,id1/a/1.wav,id1/b/1.wav",
        "id1/a/1.wav id1/b/1.wav target",
        "1 id1/a/1.wav",
        "1 id1/a/1.wav id1/b/1.wav more",
        "2 id1/a/1.wav id1/b/1.wav",
        "1 a/1.wav b/1.wav",
        "1 id1/a/b/1.wav id1/b/1.wav",
    ],
)
def test_lines_of_another_kind_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is not 'label enrol test' with label 1 for the same"):
        parse_trial_line(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 id1/a/1.wav id2/b/1.wav", "label 1 says that id1 and id2 are one speaker"),
        ("0 id1/a/1.wav id1/b/1.wav", "label 0 says that id1 and id1 are two speakers"),
    ],
)
def test_labels_agree_with_the_speakers(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_trial_line(line)


def test_a_recording_against_itself_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trials.txt"
    path.write_text("1 a/s/1.wav a/s/1.wav\n0 a/s/1.wav b/s/1.wav\n")
    assert len(read_trials(path)) == 2
    assert "compares 1 recordings with themselves" in caplog.text and "a/s/1" in caplog.text


def test_suffixes_and_spaces_do_not_matter() -> None:
    lines = ["1 a/s/1.wav a/t/2.wav", "1\ta/s/1.flac  a/t/2.m4a\r\n", "1 a/s/1 a/t/2"]
    assert {parse_trial_line(line) for line in lines} == {Trial(True, "a/s/1", "a/t/2")}


def test_a_list_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "trials.txt"
    path.write_bytes("\ufeff0 b/s/1.wav a/t/2.wav\r\n\r\n1 a/s/1.wav a/t/2.wav\r\n".encode())
    assert read_trials(path) == [Trial(False, "b/s/1", "a/t/2"), Trial(True, "a/s/1", "a/t/2")]


def test_repeated_trials_count_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "trials.txt"
    target, other, turned = "1 a/s/1 a/t/2\n", "0 a/s/1 b/t/2\n", "0 b/t/2 a/s/1\n"
    path.write_text(target + other + target + turned + other)
    assert len(read_trials(path)) == 3
    (message,) = caplog.messages
    assert message.endswith(
        "repeats 2 trials, which are counted once: a/s/1 against a/t/2, a/s/1 against b/t/2"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 a/s/1 a/t/2\n", "1 trials of the same speaker and 0 of different ones"),
        (b"0 a/s/1 b/t/2\n", "0 trials of the same speaker and 1 of different ones"),
        (b"", "holds 0 trials"),
        (b"1 a/s/1 a/t/2\n\n1 a/s/1\n", "trials.txt, line 3: '1 a/s/1' is not"),
        (b"\xff\xfe1", "is not UTF-8 text"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "trials.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_trials(path)


def test_an_absent_list(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"trial list .*none\.txt does not exist"):
        read_trials(tmp_path / "none.txt")


def _said(num_speakers: int, num_sessions: int, per_session: int) -> dict[str, list[str]]:
    return {
        f"id{i}": [f"id{i}/s{s}/{k}" for s in range(num_sessions) for k in range(per_session)]
        for i in range(num_speakers)
    }


@settings(max_examples=60, deadline=None)
@given(
    num_speakers=st.integers(2, 7),
    num_sessions=st.integers(1, 4),
    per_session=st.integers(1, 3),
    num_per_speaker=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_lists_drawn_are_balanced_and_hold_no_pair_twice(
    num_speakers: int, num_sessions: int, per_session: int, num_per_speaker: int, seed: int
) -> None:
    said = _said(num_speakers, num_sessions, per_session)
    rng = np.random.default_rng(seed)
    trials = draw_trials(said, num_per_speaker=num_per_speaker, rng=rng)
    pairs = [frozenset((trial.enrol, trial.test)) for trial in trials]
    assert len(set(pairs)) == len(pairs) and all(len(pair) == 2 for pair in pairs)
    for trial in trials:
        assert trial == parse_trial_line(trials_text([trial]))
        if trial.is_target and num_sessions > 1:
            assert trial.enrol.split("/")[1] != trial.test.split("/")[1]
    num_utterances = num_sessions * per_session
    pairs_across = num_utterances * (num_utterances - per_session) // 2
    if num_sessions == 1:
        pairs_across = num_utterances * (num_utterances - 1) // 2
    targets = Counter(speaker_of(trial.enrol) for trial in trials if trial.is_target)
    assert all(targets[one] == min(num_per_speaker, pairs_across) for one in said)
    assert sum(not trial.is_target for trial in trials) <= sum(targets.values())


def test_enough_impostors_are_found_and_all_take_part() -> None:
    said = _said(12, 4, 3)
    trials = draw_trials(said, num_per_speaker=30, rng=np.random.default_rng(0))
    impostors = Counter(speaker_of(trial.enrol) for trial in trials if not trial.is_target)
    assert impostors == dict.fromkeys(said, 30)
    tested = Counter(speaker_of(trial.test) for trial in trials if not trial.is_target)
    assert tested.keys() == said.keys() and min(tested.values()) > 10
    assert len(utterances_of(trials)) == 12 * 12


def test_impostors_of_the_same_group() -> None:
    said = _said(6, 3, 2)
    cells = {f"id{i}": "even" if i % 2 == 0 else f"alone{i}" for i in range(6)}
    rng = np.random.default_rng(0)
    trials = draw_trials(said, num_per_speaker=5, rng=rng, cells=cells)
    impostors = [trial for trial in trials if not trial.is_target]
    assert {cells[speaker_of(t.enrol)] for t in impostors} == {"even"} and len(impostors) == 15
    assert all(cells[speaker_of(t.enrol)] == cells[speaker_of(t.test)] for t in impostors)
    assert sum(trial.is_target for trial in trials) == 30


def test_the_draw_depends_on_the_generator_only() -> None:
    said = _said(5, 3, 3)
    backwards = dict(reversed(said.items()))
    lists = [
        draw_trials(which, num_per_speaker=4, rng=np.random.default_rng(seed))
        for which, seed in ((said, 1), (backwards, 1), (said, 2))
    ]
    assert lists[0] == lists[1] != lists[2]
    with pytest.raises(ValueError, match="num_per_speaker must be >= 1, got 0"):
        draw_trials(said, num_per_speaker=0, rng=np.random.default_rng(0))


@pytest.mark.realdata
def test_voxceleb1_o(realdata: Path, caplog: pytest.LogCaptureFixture) -> None:
    trials = read_trials(realdata / "voxceleb_meta" / "veri_test2.txt")
    assert len(trials) == 37_720 and sum(trial.is_target for trial in trials) == 18_860
    utterances = utterances_of(trials)
    assert len(utterances) == 4_715 and len({speaker_of(one) for one in utterances}) == 40
    unordered = {frozenset((trial.enrol, trial.test)) for trial in trials}
    # What the documentation says about trials in the other order.
    assert len(trials) - len(unordered) == 338
    assert not caplog.messages
    text = (realdata / "voxceleb_meta" / "veri_test2.txt").read_text()
    assert trials_text(trials, suffix=".wav").rstrip() == text.rstrip()
