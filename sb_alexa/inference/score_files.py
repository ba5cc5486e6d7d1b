"""Score files of any verification system: reading and writing."""

from __future__ import annotations

import csv
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sb_alexa.assets import nearest
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.inference.scored_trials import ScoredTrials

logger = logging.getLogger(__name__)

# What comes before the first slash, as in VoxCeleb's id10270/x6uYqmx31kE/00001.
SPEAKER_PATTERN = r"([^/]+)/.*"
_REQUIRED = ("label", "score")
_OPTIONAL = ("enrol", "test", "enrol_speaker", "test_speaker")
_COLUMNS = (*_REQUIRED, *_OPTIONAL)
_LABELS = {"1": True, "0": False, "target": True, "nontarget": False}
# Beyond this, what is said to be a group is none.
_MOST_GROUPS = 100
_SHAPES = (
    "either lines of 'label score group group' (groups of the two speakers; label 1 for the same "
    "speaker, 0 for another), or a table whose header names label, score, enrol, test and perhaps "
    "enrol_speaker, test_speaker, or label, score and a group for either side"
)
# Line number and fields.
_Row = tuple[int, list[str]]


def read_scores(
    path: str | os.PathLike[str], *, speaker_pattern: str | None = None
) -> ScoredTrials:
    """Read a file of scored trials, between tabs, commas, semicolons or blanks.

    Two kinds are understood:

    * a table with a header that names at least `label` and `score`, usually also `enrol` and
      `test` (recordings). Speakers are read from the names, or from the columns `enrol_speaker`
      and `test_speaker`. A repeated trial is counted once. Where it names no recordings, two
      columns with `group` in their names (`group_a`, `group_b`) are the groups of the two
      speakers. Other columns are passed over.
    * lines of `label score group group` without a header. They do not tell speakers.

    Arguments
    ---------
    path : str or path-like
        UTF-8, with or without a byte-order mark.
    speaker_pattern : str, optional
        Regular expression that a whole recording name matches, with the speaker as its first group;
        by default `SPEAKER_PATTERN`.

    Returns
    -------
    ScoredTrials
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it is of another kind or a line of it is wrong; the message names the line.

    Example
    -------
    >>> path = getfixture("tmp_path") / "scores.csv"
    >>> _ = path.write_text("label,score,enrol,test\\n1,0.8,a/1/1,a/2/1\\n0,0.1,a/1/1,b/1/1\\n")
    >>> read_scores(path).test_speakers
    ['a', 'b']
    >>> _ = path.write_text("1 0.8 f f\\n0 0.1 f m\\n")
    >>> read_scores(path).test_groups
    ['f', 'm']
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"score file {path} does not exist")
    rows = list(_rows(path))
    if not rows:
        raise CorpusError(f"{path} is empty; a score file has {_SHAPES}")
    header = [name.strip().lower() for name in rows[0][1]]
    if set(header) & set(_COLUMNS):
        return _read_table(path, header, rows[1:], speaker_pattern)
    if speaker_pattern is not None:
        raise CorpusError(
            f"{path} has no header line, so it names no recordings to read speakers from; begin it "
            "with label, score, enrol, test"
        )
    return _read_groups(path, rows)


def write_scores(path: str | os.PathLike[str], trials: ScoredTrials) -> None:
    """Write trials as the table that `read_scores` reads, replaced in one step.

    Arguments
    ---------
    path : str or path-like
        The CSV. Scores are written with all their digits.
    trials : ScoredTrials
        Its groups, if any, are not written: they belong into a speaker table.

    Raises
    ------
    ValueError
        If the trials name no recordings.
    """
    if trials.enrol is None or trials.test is None:
        raise ValueError(f"{trials.name} names no recordings, which a score file lists")
    columns: dict[str, Sequence] = {
        "label": trials.is_target.astype(int).tolist(),
        "score": trials.scores.tolist(),
        "enrol": trials.enrol,
        "test": trials.test,
    }
    if trials.enrol_speakers is not None and trials.test_speakers is not None:
        columns |= {"enrol_speaker": trials.enrol_speakers, "test_speaker": trials.test_speakers}
    with (
        replaced_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as output,
    ):
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _rows(path: Path) -> Iterator[_Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text: {error}") from error
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in "\t,;" if mark in first), None)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if delimiter is None:
            yield number, line.split()
        else:
            fields = next(csv.reader([line], delimiter=delimiter))
            yield number, [field.strip() for field in fields]


def _label_and_score(
    path: Path, row: _Row, *, width: int, label: int = 0, score: int = 1
) -> tuple[bool, float]:
    number, fields = row
    where = f"{path}, line {number}"
    if len(fields) != width:
        raise CorpusError(
            f"{where} has {len(fields)} fields, the first line {width}; write all alike (names "
            "with blanks need commas or tabs between the fields)"
        )
    kind = _LABELS.get(fields[label].lower())
    if kind is None:
        raise CorpusError(
            f"{where}: label {fields[label]!r} is neither 1 (or target) nor 0 (or nontarget); a "
            f"score file has {_SHAPES}"
        )
    try:
        value = float(fields[score])
    except ValueError:
        raise CorpusError(
            f"{where}: score {fields[score]!r} is not a number; a score file has {_SHAPES}"
        ) from None
    if not math.isfinite(value):
        raise CorpusError(
            f"{where}: score {fields[score]} is not finite; look for recordings whose embedding is "
            "zero or NaN"
        )
    return kind, value


def _read_groups(path: Path, rows: Sequence[_Row]) -> ScoredTrials:
    width = len(rows[0][1])
    if width not in (2, 4):
        raise CorpusError(
            f"{path}, line {rows[0][0]} has {width} fields; a score file has {_SHAPES}"
        )
    parsed = [_label_and_score(path, row, width=width) for row in rows]
    groups = _groups(path, rows, 2, 3) if width == 4 else {}
    labels, scores = zip(*parsed, strict=True)
    return ScoredTrials(path.name, np.array(scores), np.array(labels), **groups)


def _groups(path: Path, rows: Sequence[_Row], one: int, other: int) -> dict[str, list[str]]:
    """The groups in two columns."""
    sides = [[fields[column] for _, fields in rows] for column in (one, other)]
    names = {name for side in sides for name in side}
    example = next((name for name in names if "/" in name), None)
    if example is None and len(names) > _MOST_GROUPS:
        example = min(names)
    if example is not None:
        raise CorpusError(
            f"{path}: fields {one + 1} and {other + 1} look like recordings ({len(names)} "
            f"different ones, such as {example!r}), not like groups of speakers; begin the file "
            "with the header line 'label score enrol test'"
        )
    return {"enrol_groups": sides[0], "test_groups": sides[1]}


def _read_table(
    path: Path, header: Sequence[str], rows: Sequence[_Row], speaker_pattern: str | None
) -> ScoredTrials:
    _check_header(path, header)
    place = {name: header.index(name) for name in _COLUMNS if name in header}
    label, score = place["label"], place["score"]
    parsed = [
        _label_and_score(path, row, width=len(header), label=label, score=score) for row in rows
    ]
    if not rows:
        raise CorpusError(f"{path} holds a header and no trials")
    if "enrol" in place:
        chosen = _first_of_each(path, rows, parsed, place["enrol"], place["test"])
        rows, parsed = [rows[i] for i in chosen], [parsed[i] for i in chosen]
    texts = {
        name: [fields[place[name]] for _, fields in rows] for name in _OPTIONAL if name in place
    }
    labels, scores = zip(*parsed, strict=True)
    speakers = _speakers(path, texts, speaker_pattern)
    return ScoredTrials(
        path.name,
        np.array(scores),
        np.array(labels),
        enrol=texts.get("enrol"),
        test=texts.get("test"),
        **speakers,
        **_groups_of_table(path, header, rows, speakers_known=bool(speakers)),
    )


def _groups_of_table(
    path: Path, header: Sequence[str], rows: Sequence[_Row], *, speakers_known: bool
) -> dict[str, list[str]]:
    """Groups of a table without speakers; with them they come from a table of speakers."""
    columns = [column for column, name in enumerate(header) if "group" in name]
    if not columns:
        return {}
    names = ", ".join(header[column] for column in columns)
    if speakers_known:
        logger.warning(
            "%s tells speakers, so its columns of groups (%s) are passed over: groups come from a "
            "table of speakers",
            path,
            names,
        )
        return {}
    if len(columns) != 2:
        raise CorpusError(
            f"the header of {path} has {len(columns)} columns of groups ({names}); it takes two, "
            "one for each side, such as group_a and group_b"
        )
    return _groups(path, rows, *columns)


def _first_of_each(
    path: Path,
    rows: Sequence[_Row],
    parsed: Sequence[tuple[bool, float]],
    enrol: int,
    test: int,
) -> list[int]:
    """Positions of the trials without repetitions, which are said."""
    chosen: list[int] = []
    first: dict[tuple[str, str], int] = {}
    repeated: list[str] = []
    for index, (number, fields) in enumerate(rows):
        earlier = first.setdefault((fields[enrol], fields[test]), index)
        if earlier == index:
            chosen.append(index)
            continue
        repeated.append(f"{fields[enrol]} against {fields[test]}")
        if parsed[earlier] != parsed[index]:
            raise CorpusError(
                f"{path}, line {number} repeats {repeated[-1]} of line {rows[earlier][0]} with "
                "another label or score; delete one of them"
            )
    if repeated:
        logger.warning(
            "%s repeats %d trials, which are counted once: %s",
            path,
            len(repeated),
            name_some(repeated),
        )
    return chosen


def _check_header(path: Path, header: Sequence[str]) -> None:
    lacking = [name for name in _REQUIRED if name not in header]
    for one, other in (("enrol", "test"), ("enrol_speaker", "test_speaker")):
        if (one in header) != (other in header):
            lacking.append(other if one in header else one)
    strange = [name for name in header if name not in _COLUMNS and "group" not in name]
    # A misspelt column must not pass for one of somebody else's.
    misspelt = {name: close for name in strange if (close := nearest(name, _COLUMNS))}
    # Both groups may be called just that.
    repeated = sorted({name for name in header if header.count(name) > 1} - {"group"})
    if not (lacking or misspelt or repeated):
        return
    said = [f"lacks {', '.join(lacking)}"] if lacking else []
    said += [f"has {name!r} (did you mean {close}?)" for name, close in misspelt.items()]
    said += [f"has {name!r} twice" for name in repeated]
    raise CorpusError(f"the header of {path} {' and '.join(said)}; a score file has {_SHAPES}")


def _speakers(path: Path, texts: dict[str, list[str]], pattern: str | None) -> dict[str, list[str]]:
    if "enrol_speaker" in texts:
        if pattern is not None:
            raise CorpusError(
                f"{path} has the columns enrol_speaker and test_speaker; leave out the speaker "
                "pattern, or the columns"
            )
        return {"enrol_speakers": texts["enrol_speaker"], "test_speakers": texts["test_speaker"]}
    if "enrol" not in texts:
        return {}
    try:
        matcher = re.compile(SPEAKER_PATTERN if pattern is None else pattern)
    except re.error as error:
        raise CorpusError(
            f"speaker pattern {pattern!r} is no regular expression: {error}"
        ) from error
    if not matcher.groups:
        raise CorpusError(
            f"speaker pattern {pattern!r} has no group; write such as {SPEAKER_PATTERN}"
        )
    speaker: dict[str, str] = {}
    for name in {*texts["enrol"], *texts["test"]}:
        match = matcher.fullmatch(name)
        if match is None or not match[1]:
            raise CorpusError(
                f"{path}: who speaks in {name!r}? The pattern {matcher.pattern} does not tell; add "
                "the columns enrol_speaker and test_speaker, or give a speaker pattern that "
                "matches, such as ([^-]+)-.* for 84-121123-0000"
            )
        speaker[name] = match[1]
    return {
        "enrol_speakers": [speaker[name] for name in texts["enrol"]],
        "test_speakers": [speaker[name] for name in texts["test"]],
    }
