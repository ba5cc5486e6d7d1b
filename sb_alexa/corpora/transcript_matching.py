"""The utterances that several tables of transcripts have in common, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.transcript_table import TranscriptTable


def match_transcripts(tables: Sequence[TranscriptTable]) -> list[TranscriptTable]:
    """Bring the outputs of several systems to the same utterances.

    Arguments
    ---------
    tables : sequence of TranscriptTable
        One for each system, with different names; the first has the columns that count.

    Returns
    -------
    list of TranscriptTable
        (N,) utterances each, in the order of the first one, with its speakers, columns and places.
        The notes of the first one say which utterances were left out; those of the others are kept.

    Raises
    ------
    CorpusError
        If they have no utterance in common, or an utterance has another speaker or another number
        of reference words.

    Example
    -------
    >>> def table(name, ids, errors):
    ...     words = np.full(len(ids), 10.0)
    ...     return TranscriptTable(name, ids, ("ann",) * len(ids), np.array(errors), words, {})
    >>> one, other = match_transcripts(
    ...     [table("a", ("u1", "u2"), [1.0, 2.0]), table("b", ("u3", "u2", "u1"), [9.0, 3.0, 0.0])]
    ... )
    >>> one.errors, other.errors
    (array([1., 2.]), array([0., 3.]))
    >>> one.notes
    ('1 utterances of b are not in a and are left out: u3',)
    """
    first = tables[0]
    common = set(first.ids).intersection(*(table.ids for table in tables[1:]))
    notes = []
    for table in tables[1:]:
        notes += _differences(first, table)
    if not common:
        raise CorpusError(
            f"{', '.join(table.name for table in tables)} have no utterance in common: "
            f"{'; '.join(notes)}; write the same identifiers in all"
        )
    keep = np.fromiter((i in common for i in first.ids), bool, len(first.ids))
    base = _chosen(first, keep)
    matched = [replace(base, notes=(*base.notes, *notes))]
    for table in tables[1:]:
        row_of = {identifier: row for row, identifier in enumerate(table.ids)}
        rows = np.fromiter((row_of[i] for i in base.ids), np.intp, len(base.ids))
        _check_same(base, table, rows)
        matched.append(replace(base, name=table.name, errors=table.errors[rows], notes=table.notes))
    return matched


def _differences(first: TranscriptTable, other: TranscriptTable) -> list[str]:
    said = []
    for one, two in ((first, other), (other, first)):
        known = set(two.ids)
        absent = [identifier for identifier in one.ids if identifier not in known]
        if absent:
            said.append(
                f"{len(absent)} utterances of {one.name} are not in {two.name} and are left out: "
                f"{name_some(absent)}"
            )
    return said


def _chosen(table: TranscriptTable, keep: np.ndarray) -> TranscriptTable:
    if keep.all():
        return table
    rows = np.flatnonzero(keep).tolist()

    def texts(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([values[row] for row in rows])

    return replace(
        table,
        ids=texts(table.ids),
        speakers=texts(table.speakers),
        errors=table.errors[keep],
        words=table.words[keep],
        columns={name: texts(values) for name, values in table.columns.items()},
        latitude=None if table.latitude is None else table.latitude[keep],
        longitude=None if table.longitude is None else table.longitude[keep],
        zip_codes=None if table.zip_codes is None else texts(table.zip_codes),
    )


def _check_same(base: TranscriptTable, table: TranscriptTable, rows: np.ndarray) -> None:
    speakers = [table.speakers[row] for row in rows.tolist()]
    pairs = zip(base.ids, base.speakers, speakers, strict=True)
    moved = [f"{i} ({one} and {two})" for i, one, two in pairs if one != two]
    if moved:
        raise CorpusError(
            f"{len(moved)} utterances have another speaker in {table.name} than in {base.name}: "
            f"{name_some(moved)}; correct one of them"
        )
    words = table.words[rows]
    differing = np.flatnonzero(words != base.words).tolist()
    if differing:
        said = [f"{base.ids[row]} ({base.words[row]:g} and {words[row]:g})" for row in differing]
        raise CorpusError(
            f"{len(differing)} utterances have another number of reference words in {table.name} "
            f"than in {base.name}: {name_some(said)}; count both against the same references, "
            "normalised in the same way"
        )
