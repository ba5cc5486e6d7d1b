"""Score files of other systems: what is read, and what is refused in which words."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.inference.score_files import read_scores, write_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from tests.scored_speakers import scored_trials

TABLE = "label,score,enrol,test\n1,0.9,a/1/1,a/2/1\n0,-2e-1,a/1/1,b/1/1\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "scores.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " ", "   "])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_table_between_any_delimiter(tmp_path: Path, delimiter: str, mark: str) -> None:
    trials = read_scores(write(tmp_path, mark + TABLE.replace(",", delimiter)))
    assert trials.scores.tolist() == [0.9, -0.2] and trials.is_target.tolist() == [True, False]
    assert trials.enrol == ["a/1/1", "a/1/1"] and trials.test == ["a/2/1", "b/1/1"]
    assert trials.test_speakers == ["a", "b"] and trials.enrol_groups is None


def test_columns_in_any_order_with_others_between(tmp_path: Path) -> None:
    text = "Test,duration,Score,LABEL,enrol\nb/1,3.5,1,nontarget,a/1\na/2,2,2,target,a/1\n"
    trials = read_scores(write(tmp_path, text))
    assert trials.test == ["b/1", "a/2"] and trials.is_target.tolist() == [False, True]


def test_speakers_from_columns_and_from_a_pattern(tmp_path: Path) -> None:
    text = "label score enrol test enrol_speaker test_speaker\n1 1 x y ann ann\n0 0 x z ann bob\n"
    assert read_scores(write(tmp_path, text)).test_speakers == ["ann", "bob"]
    path = write(tmp_path, "label score enrol test\n1 1 84-1 84-2\n0 0 84-1 9-1\n")
    assert read_scores(path, speaker_pattern="([^-]+)-.*").test_speakers == ["84", "9"]
    with pytest.raises(CorpusError, match="who speaks in .* enrol_speaker and test_speaker"):
        read_scores(path)
    with pytest.raises(CorpusError, match="has no group"):
        read_scores(path, speaker_pattern=".*")
    with pytest.raises(CorpusError, match="no regular expression"):
        read_scores(path, speaker_pattern="(")


def test_lines_with_groups(tmp_path: Path) -> None:
    trials = read_scores(write(tmp_path, "1 0.8 f f\n\n0 0.1 f m\n"))
    assert trials.enrol_groups == ["f", "f"] and trials.test_groups == ["f", "m"]
    assert trials.enrol is None and trials.speakers == []
    bare = read_scores(write(tmp_path, "1,0.8\n0,0.1\n"))
    assert len(bare) == 2 and bare.enrol_groups is None


@pytest.mark.parametrize("names", ["group_a,group_b", "enrol_group,test_group", "group,group"])
def test_table_with_groups_in_place_of_recordings(tmp_path: Path, names: str) -> None:
    text = f"label,score,{names}\n1,0.8,f,f\n0,0.1,f,m\n"
    trials = read_scores(write(tmp_path, "\ufeff" + text.replace(",", "\t")))
    assert trials.enrol_groups == ["f", "f"] and trials.test_groups == ["f", "m"]
    swapped = f"{names},score,label\nf,f,0.8,1\nf,m,0.1,0\n"
    assert read_scores(write(tmp_path, swapped)).test_groups == ["f", "m"]


def test_groups_beside_recordings_are_said_to_be_passed_over(tmp_path: Path, caplog) -> None:
    lines = zip(TABLE.splitlines(), ["group_a,group_b", "f,f", "f,m"], strict=True)
    text = "".join(f"{line},{groups}\n" for line, groups in lines)
    with caplog.at_level(logging.WARNING):
        assert read_scores(write(tmp_path, text)).enrol_groups is None
    assert "group_a, group_b) are passed over" in caplog.text


def test_repeated_trial_is_counted_once(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        trials = read_scores(write(tmp_path, TABLE + "1,0.9,a/1/1,a/2/1\n1,0.9,a/2/1,a/1/1\n"))
    assert len(trials) == 3, "the other order is another trial"
    assert "repeats 1 trials" in caplog.text and "a/1/1 against a/2/1" in caplog.text
    with pytest.raises(CorpusError, match="line 4 repeats .* of line 2 with another"):
        read_scores(write(tmp_path, TABLE + "1,0.8,a/1/1,a/2/1\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("label,score\n", "no trials"),
        (TABLE + "2,0.5,a/1/1,a/3/1\n", "line 4: label '2' is neither"),
        (TABLE + "1,high,a/1/1,a/3/1\n", "line 4: score 'high' is not a number"),
        (TABLE + "1,nan,a/1/1,a/3/1\n", "line 4: score nan is not finite"),
        (TABLE + "1,0.5,a/1/1\n", "line 4 has 3 fields, the first line 4"),
        (TABLE + "0,0.5,a/1/1,a/3/1\n", "contradict the speakers; trial 3"),
        ("label,score,enrol,test\n1,1,a/1,a/2\n", "needs? target and non-target|need target"),
        ("label,scores,enrol,test\n1,1,a,a\n", "lacks score and has 'scores' .did you mean score"),
        ("label,score,enrol\n1,1,a/1\n", "lacks test"),
        ("label,score,score\n1,1,2\n", "has 'score' twice"),
        ("label,score,group_a\n1,1,f\n", "has 1 columns of groups .group_a.; it takes two"),
        ("label,score,group_a,group_b\n1,1,a/1,a/2\n", "fields 3 and 4 look like recordings"),
        ("label|score|enrol|test\n1|1|a|a\n", "has 1 fields; a score file has"),
        ("1 0.5 a/1/1 a/2/1\n0 0.1 a/1/1 b/1/1\n", "look like recordings .* header"),
        ("0.5 1 f f\n", "label '0.5' is neither"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        read_scores(write(tmp_path, text))


def test_too_many_groups_are_recordings(tmp_path: Path) -> None:
    lines = "".join(f"{n % 2} {n} x{n} y{n}\n" for n in range(60))
    with pytest.raises(CorpusError, match="120 different ones, such as"):
        read_scores(write(tmp_path, lines))


def test_not_text_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"label,score\n1,\xff\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_scores(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_scores(tmp_path / "b.csv")


def test_written_scores_are_read_back_exactly(tmp_path: Path) -> None:
    trials = scored_trials(num_speakers=6)
    write_scores(tmp_path / "new" / "scores.csv", trials)
    again = read_scores(tmp_path / "new" / "scores.csv")
    assert np.array_equal(again.scores, trials.scores)
    assert np.array_equal(again.is_target, trials.is_target)
    assert (again.enrol, again.test) == (trials.enrol, trials.test)
    assert again.test_speakers == trials.test_speakers
    bare = ScoredTrials("bare", trials.scores, trials.is_target)
    with pytest.raises(ValueError, match="names no recordings"):
        write_scores(tmp_path / "bare.csv", bare)


def test_scores_of_another_system_in_this_order() -> None:
    one, other = scored_trials(num_speakers=6), scored_trials("theirs", num_speakers=6, seed=1)
    order = np.random.default_rng(0).permutation(len(other))

    def shuffled(chosen: np.ndarray) -> ScoredTrials:
        names = {
            side: [getattr(other, side)[i] for i in chosen]
            for side in ("enrol", "test", "enrol_speakers", "test_speakers")
        }
        return ScoredTrials("theirs", other.scores[chosen], other.is_target[chosen], **names)

    assert np.array_equal(one.scores_of(shuffled(order)), other.scores)
    with pytest.raises(CorpusError, match="1 of the former are not in the latter"):
        one.scores_of(shuffled(np.arange(1, len(other))))
    with pytest.raises(CorpusError, match="does not name recordings"):
        one.scores_of(ScoredTrials("bare", other.scores, other.is_target))
