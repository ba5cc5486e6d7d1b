"""Several systems are compared on the utterances that all of them have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.transcript_matching import match_transcripts
from sb_alexa.corpora.transcript_table import TranscriptTable


def table(name: str, ids: list[str], seed: int = 0) -> TranscriptTable:
    """Everything about an utterance but its errors follows from its name."""
    numbers = [int(identifier[1:]) for identifier in ids]
    errors = np.random.default_rng(seed).integers(0, 5, size=100)[numbers]
    return TranscriptTable(
        name,
        tuple(ids),
        tuple(f"s{number % 3}" for number in numbers),
        errors.astype(float),
        np.array(numbers, dtype=float) + 5,
        {"sex": tuple("FM"[number % 2] for number in numbers)},
        np.array(numbers, dtype=float),
        np.array(numbers, dtype=float),
        tuple(f"{number:05d}" for number in numbers),
        (f"{name} was read",),
    )


def test_rows_are_matched_by_name_whatever_their_order() -> None:
    ids = [f"u{number}" for number in range(20)]
    shuffled = np.random.default_rng(1).permutation(ids[3:] + ["u50", "u51"]).tolist()
    a, b, c = match_transcripts(
        [table("a", ids), table("b", shuffled, 1), table("c", ids[:-1][::-1], 2)]
    )
    assert a.ids == b.ids == c.ids == tuple(ids[3:19])
    for seed, matched in enumerate((a, b, c)):
        expected = table("", ids[3:19], seed)
        assert np.array_equal(matched.errors, expected.errors)
        assert matched.columns == expected.columns and matched.zip_codes == expected.zip_codes
        assert np.array_equal(matched.words, expected.words)
        assert np.array_equal(matched.longitude, expected.longitude)
    assert a.notes == (
        "a was read",
        "3 utterances of a are not in b and are left out: u0, u1, u2",
        "2 utterances of b are not in a and are left out: "
        + ", ".join(i for i in shuffled if i in ("u50", "u51")),
        "1 utterances of a are not in c and are left out: u19",
    )
    assert b.notes == ("b was read",) and [a.name, b.name, c.name] == ["a", "b", "c"]


def test_equal_tables_stay_as_they_are() -> None:
    one = table("a", ["u1", "u2"])
    matched, other = match_transcripts([one, replace(one, name="b")])
    assert matched.notes == one.notes and other.name == "b"
    assert match_transcripts([one])[0].ids == one.ids


def test_contradictions_are_named() -> None:
    one = table("a", ["u1", "u2", "u3"])
    with pytest.raises(CorpusError, match="no utterance in common: 3 utterances of a .*u1, u2, u3"):
        match_transcripts([one, table("b", ["u7"])])
    with pytest.raises(CorpusError, match=r"another speaker in b than in a: u2 \(s2 and eve\)"):
        match_transcripts([one, replace(one, name="b", speakers=("s1", "eve", "s0"))])
    other_words = replace(one, name="b", words=one.words + np.array([0, 0, 1]))
    with pytest.raises(CorpusError, match=r"reference words in b than in a: u3 \(8 and 9\)"):
        match_transcripts([one, other_words])
