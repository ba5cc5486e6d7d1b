"""Utterances of a table of transcripts with their word errors, before anything is checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from sb_alexa.assets import nearest
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.transcript_errors import Normalizer, TranscriptCounter
from sb_alexa.corpora.transcript_files import TextBlock
from sb_alexa.corpora.transcript_hypotheses import HypothesisFile

PLACE_COLUMNS = ("latitude", "longitude", "zip")
ROW_COLUMNS = ("id", "speaker", "reference", "hypothesis", "errors", "words")
# A column with more different values is none of groups, unless it is asked for.
MOST_GROUPS = 100
# More empty hypotheses, and more than 1 %, look like calls that failed.
_MOST_EMPTY = 4
# What columns of places are called elsewhere.
_ALIASES = {
    "latitude": ("lat", "geo_lat"),
    "longitude": ("lon", "lng", "long", "geo_lon"),
    "zip": ("zipcode", "zip_code", "postcode", "postal_code", "plz"),
}
# What programs write where something is missing.
NO_VALUE = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})


@dataclass(frozen=True, eq=False)
class TranscriptRows:
    """Utterances as they were read.

    Arguments
    ---------
    name : str
        Of the table, for messages.
    ids, speakers : list of str
        (N,) empty where there is none.
    errors, words : numpy.ndarray
        (N,) counts, NaN where missing.
    lines : numpy.ndarray
        (N,) lines of the file, or positions in a data frame.
    columns : dict of str to list of str
        (N,) text by column, empty where unknown.
    notes : tuple of str
        What was noticed.
    """

    name: str
    ids: list[str]
    speakers: list[str]
    errors: np.ndarray
    words: np.ndarray
    lines: np.ndarray
    columns: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def chosen(self, keep: np.ndarray, *notes: str) -> TranscriptRows:
        """Some of the rows (N,) bool, with further notes."""
        said = (*self.notes, *notes)
        if keep.all():
            return replace(self, notes=said)
        chosen = keep.tolist()
        columns = {name: [*compress(side, chosen)] for name, side in self.columns.items()}
        return TranscriptRows(
            self.name,
            [*compress(self.ids, chosen)],
            [*compress(self.speakers, chosen)],
            self.errors[keep],
            self.words[keep],
            self.lines[keep],
            columns,
            said,
        )


def numbers_of(texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Numbers of text, NaN where there is none, and the positions of what is no number.

    Example
    -------
    >>> numbers_of(["1.5", "", "NA", "north"])
    (array([1.5, nan, nan, nan]), [3])
    """
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts)), []
    except ValueError:
        pass
    values = np.full(len(texts), np.nan)
    strange = []
    for row, text in enumerate(texts):
        try:
            values[row] = float(text)
        except ValueError:
            if text.lower() not in NO_VALUE:
                strange.append(row)
    return values, strange


class RowCollector:
    """Collects blocks of a table into rows, counting errors where it holds transcripts.

    Arguments
    ---------
    name : str
        Of the table.
    names : mapping of str to str
        What our columns are called there.
    hypotheses : HypothesisFile | None
        Where the hypotheses come from, if not from the table.
    normalizer : callable of str to str | None
        See `TranscriptCounter`.
    wanted : collection of str | None
        Columns to keep beside those of rows and places; None keeps all that may be groups.
    speaker_pattern : str | None
        Regular expression that a whole identifier matches, the speaker being its first group.
    """

    def __init__(
        self,
        name: str,
        *,
        names: Mapping[str, str],
        hypotheses: HypothesisFile | None,
        normalizer: Normalizer | None,
        wanted: Collection[str] | None,
        speaker_pattern: str | None,
    ) -> None:
        self.name = name
        self._names = dict(names)
        self._hypotheses = hypotheses
        self._wanted = wanted
        self._pattern = None if speaker_pattern is None else _compiled(speaker_pattern)
        self._counter = TranscriptCounter(normalizer)
        self._has_normalizer = normalizer is not None
        self._ids: list[str] = []
        self._speakers: list[str] = []
        self._counts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._columns: dict[str, list[str]] = {}
        self._seen: dict[str, dict[str, str]] = {}
        self._passed_over: dict[str, None] = {}
        self._known: dict[str, None] = {}
        self._num_empty = 0
        # Whether to count texts; known from the first block on.
        self._counts_texts: bool | None = None

    def collect(self, blocks: Iterable[TextBlock]) -> TranscriptRows:
        """All rows.

        Raises
        ------
        CorpusError
            If columns are lacking or a count is none; the message names the line.
        """
        for block in blocks:
            if self._counts_texts is None:
                self._counts_texts = self._plan(block.columns)
            columns = self._renamed(block.columns)
            self._known.update(dict.fromkeys(columns))
            self._add(block.lines, columns)
        notes = []
        if self._hypotheses is not None:
            notes += self._hypotheses.differences(self.name)
        if self._counter.num_differing_in_case:
            notes.append(
                f"{self._counter.num_differing_in_case} utterances differ from their reference in "
                "upper and lower case only, which counts as errors; a normalizer can write both "
                "alike"
            )
        if self._passed_over:
            notes.append(
                f"columns with more than {MOST_GROUPS} different values are passed over: "
                f"{name_some([*self._passed_over])}; ask for one by name to group by it"
            )
        if self._num_empty > max(_MOST_EMPTY, 0.01 * len(self._ids)):
            notes.append(
                f"{self._num_empty} of {len(self._ids)} utterances have an empty hypothesis: all "
                "their words count as deleted; leave out those that no recogniser has heard"
            )
        for place in PLACE_COLUMNS:
            if place in self._columns:
                continue
            known = set(self._known) - {*PLACE_COLUMNS, *ROW_COLUMNS}
            close = next((name for name in known if name.lower() in _ALIASES[place]), None)
            close = close or nearest(place, self._columns)
            if close is not None and close not in PLACE_COLUMNS:
                notes.append(f"column {close!r} is not read as {place}; name it so if it is")
        errors, words, lines = (np.concatenate(side) for side in zip(*self._counts, strict=True))
        return TranscriptRows(
            self.name,
            self._ids,
            self._speakers,
            errors,
            words,
            lines.astype(np.int64),
            self._columns,
            tuple(notes),
        )

    @property
    def group_columns(self) -> list[str]:
        """Columns of the table that may hold groups, kept or not."""
        return [name for name in self._known if name not in (*ROW_COLUMNS, *PLACE_COLUMNS)]

    def _renamed(self, columns: Mapping[str, list[str]]) -> dict[str, list[str]]:
        found = {ours: columns[t] for ours, t in self._names.items() if t in columns}
        theirs = set(self._names.values())
        rest = {c: side for c, side in columns.items() if c not in theirs and c not in self._names}
        return found | rest

    def _plan(self, theirs: Mapping[str, list[str]]) -> bool:
        """Check the columns; True to count texts, False to take counts as they are."""
        from_hypotheses = {"id", "hypothesis"} if self._hypotheses is not None else set()
        for ours, name in self._names.items():
            if name not in theirs and ours not in from_hypotheses:
                raise CorpusError(
                    f"{self.name} has no column {name!r}, which is said to hold {ours}."
                    f"{_question(name, theirs)} There are: {', '.join(theirs)}"
                )
        if self._hypotheses is not None and "id" not in self._renamed(theirs) and "id" in theirs:
            del self._names["id"]
        columns = self._renamed(theirs)
        self._require(columns, "id")
        if self._pattern is None:
            self._require(columns, "speaker", ", or read speakers from the identifiers with ")
        elif "speaker" in columns:
            raise CorpusError(
                f"{self.name} has the column 'speaker'; leave out the speaker pattern"
            )
        has_counts = "errors" in columns and "words" in columns
        if self._hypotheses is not None and "hypothesis" in columns:
            raise CorpusError(
                f"{self.name} has hypotheses already; leave out {self._hypotheses.path}, or give a "
                "table without the column 'hypothesis'"
            )
        has_texts = "reference" in columns and (
            "hypothesis" in columns or self._hypotheses is not None
        )
        must_count = (
            self._has_normalizer
            or self._hypotheses is not None
            or bool({"reference", "hypothesis"} & set(self._names))
        )
        if has_texts and (must_count or not has_counts):
            return True
        if has_counts and not must_count:
            return False
        raise CorpusError(self._lacking(columns))

    def _require(self, columns: Mapping[str, list[str]], ours: str, more: str = "") -> None:
        if ours not in columns:
            pattern = "speaker_pattern, such as '([^-]+)-.*' for 84-121123-0000" if more else ""
            raise CorpusError(
                f"{self.name} lacks the column {ours!r}.{_question(ours, columns)} There are: "
                f"{', '.join(columns)}; say what it is called with names, as in "
                f"{ours}=<column>{more}{pattern}"
            )

    def _lacking(self, columns: Mapping[str, list[str]]) -> str:
        wanted = ["reference"] if self._hypotheses is not None else ["reference", "hypothesis"]
        texts = [name for name in wanted if name not in columns]
        counts = [name for name in ("errors", "words") if name not in columns]
        near = [
            f"{close} for {name}"
            for name in (*texts, *counts)
            if (close := nearest(name, set(columns) - set(ROW_COLUMNS)))
        ]
        question = f" Did you mean {', '.join(near)}?" if near else ""
        only = f" (it has {' and '.join({'errors', 'words'} - set(counts))} alone)"
        return (
            f"{self.name} lacks {' and '.join(texts)}"
            + ("" if self._has_normalizer or self._hypotheses else f", or {' and '.join(counts)}")
            + (only if len(counts) == 1 else "")
            + f".{question} There are: {', '.join(columns)}; an error rate needs a reference and a "
            "hypothesis, or errors and words, of every utterance; say what they are called with "
            "names"
        )

    def _add(self, lines: Sequence[int], columns: dict[str, list[str]]) -> None:
        empty = [""] * len(lines)
        where = np.fromiter(lines, np.float64, len(lines))
        ids = columns.get("id", empty)
        hypotheses: Sequence[str | None] = columns.get("hypothesis", empty)
        if self._hypotheses is not None:
            hypotheses = self._hypotheses.find(ids)
        has_text = [text is not None for text in hypotheses]
        if self._counts_texts:
            said = zip(columns.get("reference", empty), hypotheses, strict=True)
            self._num_empty += sum(text == "" and reference != "" for reference, text in said)
            counts = self._counter.count(
                compress(columns.get("reference", empty), has_text),
                (text for text in hypotheses if text is not None),
            )
        else:
            counts = (
                self._given("errors", columns.get("errors", empty), ids, where),
                self._given("words", columns.get("words", empty), ids, where),
            )
        speakers = columns.get("speaker", empty)
        if self._pattern is not None:
            speakers = [self._speaker(identifier) for identifier in ids]
        known = {"id": [*ids], "speaker": self._interned("speaker", speakers)}
        kept = {name: side for name, side in columns.items() if self._keeps(name)}
        if not all(has_text):
            known, kept = (
                {name: [*compress(side, has_text)] for name, side in part.items()}
                for part in (known, kept)
            )
            where = where[has_text]
        self._extend(kept, len(where))
        self._ids += known["id"]
        self._speakers += known["speaker"]
        self._counts.append((*counts, where))

    def _keeps(self, name: str) -> bool:
        if name in ROW_COLUMNS or name in self._passed_over:
            return False
        return self._wanted is None or name in self._wanted or name in PLACE_COLUMNS

    def _extend(self, columns: Mapping[str, list[str]], num_rows: int) -> None:
        """Add a block to the columns; JSON objects need not all have the same."""
        for name in dict.fromkeys([*self._columns, *columns]):
            side = self._columns.setdefault(name, [""] * len(self._ids))
            side += self._interned(name, columns.get(name, [""] * num_rows))
            asked = name in PLACE_COLUMNS or (self._wanted is not None and name in self._wanted)
            if not asked and len(self._seen[name].keys() - {""}) > MOST_GROUPS:
                self._passed_over[name] = None
                del self._columns[name], self._seen[name]

    def _interned(self, name: str, texts: Sequence[str]) -> list[str]:
        """The same texts, equal ones as one object: a million need 8 MB instead of 60."""
        seen = self._seen.setdefault(name, {})
        return [*map(seen.setdefault, texts, texts)]

    def _given(
        self, name: str, texts: Sequence[str], ids: Sequence[str], lines: np.ndarray
    ) -> np.ndarray:
        values, strange = numbers_of(texts)
        wrong = np.flatnonzero((values < 0) | np.isinf(values) | (values != np.floor(values)))
        wrong = wrong[~np.isnan(values[wrong])]
        if strange or wrong.size:
            row = min([*strange, *wrong.tolist()])
            raise CorpusError(
                f"{self.name}, line {lines[row]:.0f}: {name} {texts[row]!r} of {ids[row]} is no "
                "count of words; give the number of errors and of reference words of every "
                "utterance, not a rate"
            )
        return values

    def _speaker(self, identifier: str) -> str:
        match = self._pattern.fullmatch(identifier) if self._pattern is not None else None
        if match is None or not match[1]:
            assert self._pattern is not None
            raise CorpusError(
                f"{self.name}: who speaks in {identifier!r}? The pattern {self._pattern.pattern} "
                "does not tell; give one that matches, such as ([^-]+)-.* for 84-121123-0000"
            )
        return match[1]


def _question(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return f" Did you mean {close}?" if close else ""


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise CorpusError(
            f"speaker pattern {pattern!r} is no regular expression: {error}"
        ) from error
    if not compiled.groups:
        raise CorpusError(f"speaker pattern {pattern!r} has no group; write such as ([^-]+)-.*")
    return compiled
