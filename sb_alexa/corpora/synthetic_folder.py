"""What every layout of the embedded corpus has: its stamp, and its table of speakers."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sb_alexa.corpora.speaker_table import SPEAKER_COLUMNS
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.voices import Speaker

STAMP = "synthetic_corpus.json"
SPEAKERS_CSV = "speakers.csv"


def read_stamp(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run with the same arguments left in the folder; empty for a new folder.

    Arguments
    ---------
    folder : Path
        The corpus; created when it is missing.
    arguments : dict
        All that decides the bytes of the corpus.

    Raises
    ------
    ValueError
        If the folder holds something else, a damaged stamp or a corpus of other arguments.
    """
    path = folder / STAMP
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"{folder} is not empty and holds no synthetic corpus; choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return {}
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
        earlier = stamp["arguments"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; delete the folder and write it anew") from error
    if earlier != arguments:
        different = [
            f"{key}: {earlier.get(key)} there, {value} asked for"
            for key, value in arguments.items()
            if earlier.get(key) != value
        ]
        raise ValueError(
            f"{folder} holds a synthetic corpus made otherwise ({'; '.join(different)}); "
            "choose another folder or delete this one"
        )
    return stamp


def write_stamp(folder: Path, content: dict[str, Any]) -> None:
    """Write the stamp as JSON, replacing it in one step."""
    write_text(folder / STAMP, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file with Unix line ends, replacing it in one step."""
    with replaced_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def text_sha256(text_file: str | None) -> str | None:
    """Digest of the text that sentences come from; None for the household commands.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    if text_file is None:
        return None
    try:
        return hashlib.sha256(Path(text_file).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read text_file: {error}") from error


def speakers_csv(speakers: Iterable[Speaker], *, prefix: str = "") -> str:
    """Content of the speaker table, in the order given.

    Arguments
    ---------
    speakers : iterable of Speaker
        One line for each.
    prefix : str
        What the layout writes before the number of a speaker.

    Example
    -------
    >>> from sb_alexa.corpora.voices import make_speakers
    >>> speakers_csv(make_speakers(1, seed=0)).splitlines()[1].split(",")[:3]
    ['1', 'F', 'american']
    """
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(SPEAKER_COLUMNS)
    for who in speakers:
        row = [f"{prefix}{who.speaker_id}", who.gender, who.accent, who.latitude, who.longitude]
        rows.writerow([*row, who.zip_code, who.attribute_a, who.attribute_b, who.hardness])
    return table.getvalue()
