"""What `sb-alexa audit` reads: tables, columns, cohorts, attributes, embeddings."""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sb_alexa.assets import nearest
from sb_alexa.corpora.attribute_table import read_attributes
from sb_alexa.corpora.embedding_file import read_embeddings
from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.corpora.transcript_rows import PLACE_COLUMNS, ROW_COLUMNS
from sb_alexa.corpora.transcript_table import TranscriptTable, read_transcripts
from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.report.audit_measurement import AuditRequest
from sb_alexa.report.audit_results import AuditSettings

# Apostrophes belong to words inside of them only.
_QUOTES = re.compile(r"(?<!\S)'+|'+(?!\S)|'{2,}")


class _WordCharacters(dict[int, str]):
    """What becomes of each character: letters, their marks and digits stay, the rest is blank."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        # Vowels of Hindi or Thai are marks (M), which \w lacks: without them words fall apart.
        kept = character if kind[0] in "LNM" or character == "'" else " "
        # Invisible signs, of the direction of writing and the like, separate nothing.
        self[code] = "" if kind == "Cf" else kept
        return self[code]


_NO_GROUPS = (
    "says what an utterance is or where, which is no column of groups; to group by it, copy it to "
    "a column of another name"
)
_CHARACTERS = _WordCharacters({ord("’"): "'"})


def audit_request(args: argparse.Namespace) -> AuditRequest:
    """What is asked for.

    Raises
    ------
    ValueError
        If two files of cohorts have the same name, or one cannot be read.
    """
    applied: dict[str, CohortModel] = {}
    for path in args.cohorts:
        name = Path(path).stem
        if name in applied:
            raise ValueError(f"--cohorts: two files are called {name}.json; rename one")
        applied[name] = CohortModel.load(path)
    return AuditRequest(
        columns=_columns(args.by),
        applied=applied,
        find_regions=not args.no_map,
        attributes=read_attributes(args.attributes) if args.attributes else None,
        embeddings=read_embeddings(args.embeddings) if args.embeddings else None,
        regress=not args.no_regression,
        settings=AuditSettings(num_samples=args.num_samples, seed=args.seed),
    )


def audit_tables(args: argparse.Namespace, speakers: SpeakerTable | None) -> list[TranscriptTable]:
    """Read all tables, the base first and the audited one last.

    Raises
    ------
    ValueError, OSError
        As `read_transcripts`.
    """
    names = _names(args)
    columns = _needed_columns(args)
    for column in args.utterance_columns:
        if column not in columns:
            raise ValueError(
                f"--utterance-columns: {column!r} is not among the columns of groups; name it in "
                "--by as well"
            )
    for column in columns:
        if column in (*ROW_COLUMNS, *PLACE_COLUMNS):
            raise ValueError(f"--by: {column!r} {_NO_GROUPS}")
    if args.hypotheses:
        pairs = [(args.table, hypotheses) for hypotheses in args.hypotheses]
    else:
        paths = [*args.compare, *([args.table] if args.table else [])]
        pairs = [(path, None) for path in paths]
    tables = []
    for place, (path, hypotheses) in enumerate(pairs):
        # Groups and places are those of the first.
        first = place == 0
        table = read_transcripts(
            path,
            names=names if first else {o: t for o, t in names.items() if o not in PLACE_COLUMNS},
            hypotheses=hypotheses,
            speakers=speakers if first else None,
            normalizer=normalized if args.normalize else None,
            columns=columns if first else (),
            utterance_columns=args.utterance_columns if first else (),
            speaker_pattern=args.speaker_pattern,
        )
        tables.append(table)
    called = _system_names([hypotheses or path for path, hypotheses in pairs])
    return [replace(table, name=name) for table, name in zip(tables, called, strict=True)]


def normalized(text: str) -> str:
    """A text in lower case, without punctuation; letters with marks in one way of writing (NFC).

    Example
    -------
    >>> normalized("Don't stop -- the well-known 'song'.").split()
    ["don't", 'stop', 'the', 'well', 'known', 'song']
    >>> normalized("हिन्दी में।").split() == ["हिन्दी", "में"]
    True
    """
    composed = unicodedata.normalize("NFC", text.lower())
    return _QUOTES.sub(" ", composed.translate(_CHARACTERS))


def _columns(words: Sequence[str]) -> list[tuple[str, ...]]:
    asked = [name for word in words for name in word.split(",") if name]
    columns = [tuple(part for part in name.split("+") if part) for name in asked]
    return [*dict.fromkeys(column for column in columns if column)]


def _needed_columns(args: argparse.Namespace) -> list[str]:
    """Those of groups: what --by names and what cohorts of declared groups need."""
    needed = [name for names in _columns(args.by) for name in names]
    for path in args.cohorts:
        cohorts = CohortModel.load(path).cohorts
        if isinstance(cohorts, DeclaredGroups):
            needed += cohorts.columns
    return [*dict.fromkeys(needed)]


def _names(args: argparse.Namespace) -> dict[str, str]:
    names: dict[str, str] = {}
    for word in args.names:
        ours, equals, theirs = word.partition("=")
        if not (ours and equals and theirs):
            raise ValueError(f"--names: {word!r} is not OURS=THEIRS, such as speaker=reader")
        known = (*ROW_COLUMNS, *PLACE_COLUMNS)
        if ours not in known:
            close = nearest(ours, known)
            question = f" Did you mean {close}?" if close else ""
            raise ValueError(
                f"--names: there is no {ours!r} to rename.{question} There are: {', '.join(known)}"
            )
        names[ours] = theirs
    if args.geo:
        sides = [name for word in args.geo for name in word.split(",") if name]
        if len(sides) != 2:
            raise ValueError(
                f"--geo takes two columns, of latitude and of longitude, got {' '.join(args.geo)}"
            )
        names["latitude"], names["longitude"] = sides
    if args.zip:
        names["zip"] = args.zip
    return names


def _system_names(paths: Sequence[str]) -> list[str]:
    """File names without their ending where these differ, else whole paths."""
    stems = [Path(path).name.removesuffix(Path(path).suffix) for path in paths]
    return stems if len(set(stems)) == len(stems) else [*map(str, paths)]
