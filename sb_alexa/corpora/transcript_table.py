"""Transcripts of any recogniser as a table of word errors: where every audit starts."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sb_alexa.assets import nearest
from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.transcript_checks import (
    coordinates,
    groups,
    usable_rows,
    with_speaker_columns,
    zip_codes,
)
from sb_alexa.corpora.transcript_errors import Normalizer
from sb_alexa.corpora.transcript_files import read_blocks, source_name
from sb_alexa.corpora.transcript_hypotheses import HypothesisFile
from sb_alexa.corpora.transcript_rows import (
    MOST_GROUPS,
    PLACE_COLUMNS,
    ROW_COLUMNS,
    RowCollector,
    TranscriptRows,
)
from sb_alexa.metrics.error_cells import ErrorCells

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class TranscriptTable:
    """Word errors of N utterances, who said them, and what is known about them.

    Make it with `read_transcripts`. Every utterance has at least one reference word.

    Arguments
    ---------
    name : str
        Of the file, for messages.
    ids, speakers : tuple of str
        (N,) names.
    errors, words : numpy.ndarray
        (N,) word errors and reference words.
    columns : mapping of str to tuple of str
        (N,) group of each utterance by column; empty where it is unknown.
    latitude, longitude : numpy.ndarray | None
        (N,) degrees, NaN in both where unknown; None without any place.
    zip_codes : tuple of str | None
        (N,) with their leading zeros, empty where unknown.
    notes : tuple of str
        What was wrong with the file and what was done about it, in sentences.

    Raises
    ------
    ValueError
        If a part does not have N entries.

    Example
    -------
    >>> table = TranscriptTable(
    ...     "made", ("u1", "u2"), ("ann", "ann"), np.ones(2), np.full(2, 10.0), {"sex": ("F", "F")}
    ... )
    >>> table.cells(["sex"]).words
    array([20.])
    """

    name: str
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    errors: np.ndarray
    words: np.ndarray
    columns: Mapping[str, tuple[str, ...]]
    latitude: np.ndarray | None = None
    longitude: np.ndarray | None = None
    zip_codes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts: dict[str, Sequence | np.ndarray | None] = {
            "speakers": self.speakers,
            "errors": self.errors,
            "words": self.words,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "zip_codes": self.zip_codes,
            **self.columns,
        }
        for name, part in parts.items():
            if part is not None and len(part) != len(self.ids):
                raise ValueError(f"{name} has {len(part)} entries for {len(self.ids)} utterances")

    def __len__(self) -> int:
        return len(self.ids)

    def cells(self, columns: Iterable[str] = ()) -> ErrorCells:
        """Sum the utterances to speakers and groups, for statistics.

        Arguments
        ---------
        columns : iterable of str
            Some of `columns`.

        Returns
        -------
        ErrorCells
            Speakers in alphabetical order.

        Raises
        ------
        ValueError
            If there is no such column; the message names the nearest.
        """
        chosen = list(dict.fromkeys(columns))
        for column in chosen:
            if column not in self.columns:
                raise ValueError(_unknown(self.name, column, self.columns))
        sides: list[tuple[str, ...]] = [self.speakers, *(self.columns[name] for name in chosen)]
        # Summed by dictionary first: sorting a million names for each column takes seconds.
        number_of: dict[tuple[str, ...], int] = {}
        keys = zip(*sides, strict=True)
        numbers = np.fromiter(
            (number_of.setdefault(key, len(number_of)) for key in keys), np.intp, len(self.ids)
        )
        errors, words = (
            np.bincount(numbers, weights=side, minlength=len(number_of))
            for side in (self.errors, self.words)
        )
        speakers, *labels = (list(side) for side in zip(*number_of, strict=True))
        return ErrorCells.of(
            errors, words, speakers=speakers, columns=dict(zip(chosen, labels, strict=True))
        )


def read_transcripts(
    source: str | os.PathLike[str] | pandas.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    hypotheses: str | os.PathLike[str] | None = None,
    speakers: SpeakerTable | None = None,
    normalizer: Normalizer | None = None,
    columns: Collection[str] | None = None,
    utterance_columns: Collection[str] = (),
    speaker_pattern: str | None = None,
) -> TranscriptTable:
    """Read what any recogniser made of some utterances.

    A row is an utterance: `id`, `speaker`, and either `reference` and `hypothesis` or `errors` and
    `words`; perhaps `latitude`, `longitude`, `zip`, and any columns of groups. Of both texts and
    counts, the counts are used, unless `normalizer`, `hypotheses` or a name for a text is given.

    What does not spoil everything is left out or repaired and said in the table's `notes`: empty
    references, missing counts, other utterances in the two files, coordinates, ZIP codes without
    their leading zero, speakers in two groups, groups of one speaker.

    Arguments
    ---------
    source : str, path-like or pandas.DataFrame
        JSON lines, or a table with a header between tabs, commas, semicolons or bars. With
        `hypotheses` also lines `id TAB reference` or `id reference`.
    names : mapping of str to str | None
        What columns are called in the file, by our name, such as ``{"speaker": "reader"}``.
    hypotheses : str or path-like | None
        A second file with `id` and `hypothesis`, or such lines.
    speakers : SpeakerTable | None
        Whose columns are joined by speaker; columns of the same name in the file win.
    normalizer : callable of str to str | None
        Applied to both texts before counting; without it case and punctuation count.
    columns : collection of str | None
        Columns of groups to read; None reads all with at most 100 different values.
    utterance_columns : collection of str
        Columns to read which describe utterances: in these a speaker may be in several groups.
    speaker_pattern : str | None
        Regular expression that a whole `id` matches, with the speaker as its first group, where
        there is no column `speaker`.

    Returns
    -------
    TranscriptTable
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it cannot be understood, lacks columns, has counts that are none, or contradicts itself.

    Example
    -------
    >>> path = getfixture("tmp_path") / "table.csv"
    >>> _ = path.write_text(
    ...     "id,speaker,reference,hypothesis,sex\\nu1,ann,a man said,a men said,F\\n"
    ...     "u2,bob,yes,yes,M\\nu3,bob,,oh,M\\n"
    ... )
    >>> table = read_transcripts(path)
    >>> table.errors, table.words, table.columns
    (array([1., 0.]), array([3., 1.]), {'sex': ('F', 'M')})
    >>> table.notes[0].partition(": ")[2]
    'u3; 1 words were recognised there, which count nowhere'
    """
    name = source_name(source)
    names = names or {}
    wanted = None if columns is None else {*columns, *utterance_columns}
    collector = RowCollector(
        name,
        names=names,
        hypotheses=None if hypotheses is None else HypothesisFile(hypotheses, names),
        normalizer=normalizer,
        wanted=wanted,
        speaker_pattern=speaker_pattern,
    )
    bare = (names.get("id", "id"), names.get("reference", "reference"))
    rows = collector.collect(read_blocks(source, bare_lines=None if hypotheses is None else bare))
    rows = usable_rows(rows)
    if speakers is not None:
        joined = _columns_to_join(speakers, wanted)
        rows = with_speaker_columns(rows, speakers.path, joined, speakers.rows)
    for column in (*(columns or ()), *utterance_columns):
        if column not in rows.columns:
            theirs = () if speakers is None else speakers.columns
            known = dict.fromkeys([*collector.group_columns, *theirs])
            raise CorpusError(_unknown(name, column, [c for c in known if c not in PLACE_COLUMNS]))
    return _table(rows, utterance_columns)


def _columns_to_join(speakers: SpeakerTable, wanted: Collection[str] | None) -> list[str]:
    found = []
    for column in speakers.columns:
        if column in ROW_COLUMNS:
            continue
        if wanted is None and column not in PLACE_COLUMNS:
            values = {row.get(column, "") for row in speakers.rows.values()} - {""}
            # A prepared corpus has columns of which nothing is known.
            if 0 < len(values) <= MOST_GROUPS:
                found.append(column)
        elif column in PLACE_COLUMNS or (wanted is not None and column in wanted):
            found.append(column)
    return found


def _table(rows: TranscriptRows, utterance_columns: Collection[str]) -> TranscriptTable:
    notes = [*rows.notes]
    places, said = coordinates(rows)
    notes += said
    codes, said = zip_codes(rows)
    notes += said
    columns = {}
    for column, values in rows.columns.items():
        if column in PLACE_COLUMNS:
            continue
        kept, said = groups(column, values, rows.speakers, of_utterances=utterance_columns)
        notes += said
        if kept is not None:
            columns[column] = kept
    latitude, longitude = places or (None, None)
    return TranscriptTable(
        rows.name,
        tuple(rows.ids),
        tuple(rows.speakers),
        rows.errors,
        rows.words,
        columns,
        latitude,
        longitude,
        codes,
        tuple(notes),
    )


def _unknown(name: str, column: str, known: Iterable[str]) -> str:
    known = list(known)
    close = nearest(column, known)
    question = f" Did you mean {close}?" if close else ""
    return f"{name} has no column {column!r}.{question} There are: {', '.join(known) or 'none'}"
