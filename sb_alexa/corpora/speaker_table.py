"""The speaker table: what is known about each speaker of a prepared corpus."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
    path: Path, speakers: Iterable[str], *, speakers_txt: Path, speakers_csv: Path
) -> None:
    """Write a table of speakers with the columns `SPEAKER_COLUMNS`, empty where unknown.

    Gender is written `F` or `M` however the sources spell it. Further columns of `speakers_csv`
    follow the named ones.

    Arguments
    ---------
    path : Path
        The CSV to write; replaced in one step.
    speakers : iterable of str
        Who is in the corpus. Others are not written.
    speakers_txt : Path
        SPEAKERS.TXT in LibriSpeech's format; may be absent.
    speakers_csv : Path
        A table that comes with the corpus; may be absent. It overrides `speakers_txt`.

    Raises
    ------
    CorpusError
        If one of the two cannot be parsed.
    """
    columns = list(SPEAKER_COLUMNS)
    table: dict[str, dict[str, str]] = {}
    if speakers_txt.is_file():
        for reader in parse_file(speakers_txt, parse_speaker_line):
            table[reader.id] = {"gender": reader.gender}
    if speakers_csv.is_file():
        with speakers_csv.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if "speaker" not in (rows.fieldnames or ()):
                raise CorpusError(f"{speakers_csv} lacks the column 'speaker'")
            columns += [c for c in rows.fieldnames or () if c not in columns]
            for row in rows:
                known = {c: v for c, v in row.items() if c in columns and v}
                table.setdefault(row["speaker"], {}).update(known)
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
