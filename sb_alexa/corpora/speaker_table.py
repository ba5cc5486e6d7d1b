"""The speaker table: what is known about each speaker of a prepared corpus."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.assets import nearest
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.text_files import CorpusError, name_some, parse_file

logger = logging.getLogger(__name__)

SPEAKER_COLUMNS = (
    *("speaker", "gender", "accent", "latitude", "longitude", "zip"),
    *("attribute_a", "attribute_b", "hardness"),
)
_GENDERS = {"f": "F", "female": "F", "m": "M", "male": "M"}


@dataclass(frozen=True)
class Speaker:
    """One line of SPEAKERS.TXT; `minutes` of speech are those in the whole corpus."""

    id: str
    gender: str
    subset: str
    minutes: float
    name: str


def parse_speaker_line(line: str) -> Speaker | None:
    """Read one line of SPEAKERS.TXT; None for a comment or an empty line.

    Raises
    ------
    ValueError
        If the line does not hold five fields between bars, the fourth a number.

    Example
    -------
    >>> parse_speaker_line("60   | M | train-clean-100  | 20.18 | |CBW|Simon")
    Speaker(id='60', gender='M', subset='train-clean-100', minutes=20.18, name='|CBW|Simon')
    >>> parse_speaker_line("; gender: 'F' for female, 'M' for male") is None
    True
    """
    if not line.strip() or line.startswith(";"):
        return None
    try:
        # A name may hold bars itself.
        identifier, gender, subset, minutes, name = (f.strip() for f in line.split("|", 4))
        return Speaker(identifier, _gender(gender), subset, float(minutes), name)
    except ValueError:
        raise ValueError(
            f"{line.strip()[:60]!r} is not 'ID | SEX | SUBSET | MINUTES | NAME'"
        ) from None


def _gender(text: str) -> str:
    return _GENDERS.get(text.strip().lower(), text.strip())


def write_speaker_table(
    path: Path,
    speakers: Iterable[str],
    *,
    known: Mapping[str, Mapping[str, str]] | None = None,
    speakers_txt: Path | None = None,
    speakers_csv: Path | None = None,
) -> None:
    """Write a table of speakers with the columns `SPEAKER_COLUMNS`, empty where unknown.

    Gender is written `F` or `M` however the sources spell it. Further columns of `known` and of
    `speakers_csv` follow the named ones.

    Arguments
    ---------
    path : Path
        The CSV to write; replaced in one step.
    speakers : iterable of str
        Who is in the corpus. Others are not written.
    known : mapping of str to mapping of str to str, optional
        What is known already: text by column for each speaker.
    speakers_txt : Path, optional
        SPEAKERS.TXT in LibriSpeech's format; may be absent. It overrides `known`.
    speakers_csv : Path, optional
        A table that comes with the corpus; may be absent. It overrides the other two.

    Raises
    ------
    CorpusError
        If one of the files cannot be parsed.
    """
    columns = list(SPEAKER_COLUMNS)
    table = {speaker: dict(row) for speaker, row in (known or {}).items()}
    columns += dict.fromkeys(c for row in table.values() for c in row if c not in columns)
    if speakers_txt is not None and speakers_txt.is_file():
        for reader in parse_file(speakers_txt, parse_speaker_line):
            table.setdefault(reader.id, {})["gender"] = reader.gender
    if speakers_csv is not None and speakers_csv.is_file():
        with speakers_csv.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if "speaker" not in (rows.fieldnames or ()):
                raise CorpusError(f"{speakers_csv} lacks the column 'speaker'")
            columns += [c for c in rows.fieldnames or () if c not in columns]
            for row in rows:
                given = {c: v for c, v in row.items() if c in columns and v}
                table.setdefault(row["speaker"], {}).update(given)
    # LibriSpeech numbers its readers: 84 comes before 1272.
    ordered = sorted(speakers, key=lambda s: (int(s) if s.isdecimal() else 10**9, s))
    unknown = [speaker for speaker in ordered if speaker not in table]
    if unknown:
        logger.warning("Nothing is known about %d speakers: %s", len(unknown), name_some(unknown))
    with (
        replaced_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as output,
    ):
        writer = csv.DictWriter(output, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for speaker in ordered:
            row = table.get(speaker, {})
            gender = _gender(row.get("gender", ""))
            writer.writerow({**row, "speaker": speaker, "gender": gender})


@dataclass(frozen=True)
class SpeakerTable:
    """A speaker table that has been read.

    Arguments
    ---------
    path : str
        Where it lies, for error messages.
    columns : tuple of str
        Names in the order of the file, without `speaker`.
    rows : mapping of str to mapping
        Text by column for each speaker; empty where unknown.
    """

    path: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]

    def values(self, column: str, speakers: Iterable[str]) -> dict[str, str]:
        """One column for some speakers.

        Arguments
        ---------
        column : str
            One of `columns`.
        speakers : iterable of str
            Whom to look up.

        Returns
        -------
        dict of str to str
            Text by speaker, empty where unknown.

        Raises
        ------
        ValueError
            If the table has no such column or lacks speakers.

        Example
        -------
        >>> table = SpeakerTable("speakers.csv", ("gender",), {"84": {"gender": "F"}})
        >>> table.values("gender", ["84"])
        {'84': 'F'}
        """
        if column not in self.columns:
            close = nearest(column, self.columns)
            question = f" Did you mean {close}?" if close else ""
            raise ValueError(
                f"{self.path} has no column {column!r}.{question} "
                f"There are: {', '.join(self.columns) or 'none beside speaker'}"
            )
        chosen = list(dict.fromkeys(speakers))
        absent = [speaker for speaker in chosen if speaker not in self.rows]
        if absent:
            raise ValueError(
                f"{self.path} lacks {len(absent)} of {len(chosen)} speakers: {name_some(absent)}; "
                "give the table that was prepared with the manifest, or add a line for each, with "
                "empty fields where nothing is known"
            )
        return {speaker: self.rows[speaker][column] for speaker in chosen}


def read_speaker_table(path: str | os.PathLike[str]) -> SpeakerTable:
    """Read a table written by `write_speaker_table`, or any CSV with a column `speaker`.

    Arguments
    ---------
    path : str or path-like
        The CSV.

    Returns
    -------
    SpeakerTable
        With surrounding white space taken off.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it is not a CSV (between commas) with a column `speaker`, or has a speaker or a column
        twice.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"speaker table {path} does not exist; preparing a corpus writes speakers.csv"
        )
    rows: dict[str, dict[str, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            names = [name.strip() for name in reader.fieldnames or ()]
            _check_columns(path, names)
            reader.fieldnames = names
            for row in reader:
                found = {name: row[name].strip() for name in names}
                if found["speaker"] in rows:
                    raise CorpusError(
                        f"{path}, line {reader.line_num}: speaker {found['speaker']!r} is repeated"
                    )
                rows[found["speaker"]] = found
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text: {error}") from error
    columns = tuple(name for name in names if name != "speaker")
    return SpeakerTable(os.fspath(path), columns, rows)


def _check_columns(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    if "speaker" not in names:
        header = ",".join(names)[:80]
        other = next((mark for mark in "\t;|" if mark in header), None)
        hint = f" between {other!r}; write the file with commas" if other else ""
        raise CorpusError(f"{path} lacks the column 'speaker': its header is {header!r}{hint}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(f"{path} has the column {twice[0]!r} twice; rename or delete one")
