"""What is known about speakers, from whichever table there is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sb_alexa.corpora.speaker_table import SpeakerTable, parse_speaker_line, read_speaker_table
from sb_alexa.corpora.text_files import parse_file
from sb_alexa.corpora.voxceleb_metadata import (
    nationality_group,
    parse_metadata_header,
    read_metadata,
)


def read_speakers(path: str | os.PathLike[str]) -> SpeakerTable:
    """Read a speaker table, VoxCeleb's `vox1_meta.csv`, or LibriSpeech's `SPEAKERS.TXT`.

    Arguments
    ---------
    path : str or path-like
        A CSV with a column `speaker`, metadata as VoxCeleb writes it, or a file with the suffix
        ``.txt`` as LibriSpeech writes it.

    Returns
    -------
    SpeakerTable
        Of VoxCeleb: `gender`, `nationality` and `nationality_group` (US, UK, other); of
        LibriSpeech: `gender` and `subset`.

    Raises
    ------
    FileNotFoundError, CorpusError
        As `read_speaker_table` and `read_metadata`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "vox1_meta.csv"
    >>> _ = path.write_text(
    ...     "VoxCeleb1 ID\\tGender\\tNationality\\tSet\\nid10001\\tm\\tIndia\\tdev\\n"
    ... )
    >>> read_speakers(path).values("nationality_group", ["id10001"])
    {'id10001': 'other'}
    """
    path = Path(path)
    if path.suffix.lower() == ".txt" and path.is_file():
        found = parse_file(path, parse_speaker_line)
        of_readers = {one.id: {"gender": one.gender, "subset": one.subset} for one in found}
        return SpeakerTable(str(path), ("gender", "subset"), of_readers)
    if not path.is_file() or not _is_metadata(path):
        return read_speaker_table(path)
    rows = {
        one.id: {
            "gender": one.gender,
            "nationality": one.nationality,
            "nationality_group": nationality_group(one.nationality),
        }
        for one in read_metadata(path).values()
    }
    return SpeakerTable(str(path), ("gender", "nationality", "nationality_group"), rows)


def says_synthetic(table: SpeakerTable, speakers: Iterable[str]) -> bool:
    """Whether the table knows how hard a voice was made: only those of the embedded corpus.

    Arguments
    ---------
    table : SpeakerTable
        As read.
    speakers : iterable of str
        Who speaks.
    """
    if "hardness" not in table.columns:
        return False
    return any(table.rows[one]["hardness"] for one in speakers if one in table.rows)


def _is_metadata(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    try:
        parse_metadata_header(first)
    except ValueError:
        # A damaged VoxCeleb header is told apart from a speaker table by its name.
        return first.lower().startswith("voxceleb")
    return True
