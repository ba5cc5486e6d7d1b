"""Manifests: the list of utterances a recipe reads."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.corpora.audio import AudioError, read_audio
from sb_alexa.corpora.stamp import replaced_atomically

__all__ = ["AudioError", "Utterance", "read_audio", "read_manifest", "write_manifest"]

COLUMNS = ("ID", "duration", "wav", "spk_id", "wrd")
DATA_ROOT = "$data_root/"


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    Arguments
    ---------
    id : str
        Unique name, such as `84-121123-0000`.
    duration_s : float
        Length of the audio in seconds, at whatever sample rate it is stored.
    path : str
        Where the audio lies.
    speaker : str
        Key of the speaker table; for LibriSpeech the reader, not reader and chapter.
    text : str
        What is said.

    Example
    -------
    >>> Utterance("84-121123-0000", 2.005, "84-121123-0000.flac", "84", "GO DO YOU HEAR").text
    'GO DO YOU HEAR'
    """

    id: str
    duration_s: float
    path: str
    speaker: str
    text: str


def write_manifest(
    path: str | os.PathLike[str],
    utterances: Iterable[Utterance],
    data_root: str | os.PathLike[str],
) -> None:
    """Write utterances as a CSV that SpeechBrain's `DynamicItemDataset.from_csv` reads too.

    Arguments
    ---------
    path : str or path-like
        The CSV; replaced in one step.
    utterances : iterable of Utterance
        In the order to write.
    data_root : str or path-like
        Paths below this folder are written as `$data_root/...`, others as they are.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> hello = Utterance("1-2-0003", 1.5, "/data/a/1-2-0003.flac", "1", "HELLO")
    >>> write_manifest(folder / "train.csv", [hello], "/data")
    >>> print((folder / "train.csv").read_text().strip())
    ID,duration,wav,spk_id,wrd
    1-2-0003,1.5,$data_root/a/1-2-0003.flac,1,HELLO
    >>> read_manifest(folder / "train.csv", "/data") == [hello]
    True
    """
    prefix = Path(data_root).as_posix().rstrip("/") + "/"
    with (
        replaced_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for u in utterances:
            wav = Path(u.path).as_posix()
            if wav.startswith(prefix):
                wav = DATA_ROOT + wav[len(prefix) :]
            # repr() of a float reads back as the same float.
            writer.writerow((u.id, repr(float(u.duration_s)), wav, u.speaker, u.text))


def read_manifest(
    path: str | os.PathLike[str], data_root: str | os.PathLike[str]
) -> list[Utterance]:
    """Read a manifest written by `write_manifest`, or a CSV of SpeechBrain's LibriSpeech recipe.

    Arguments
    ---------
    path : str or path-like
        The CSV with the columns `ID,duration,wav,spk_id,wrd`; others are ignored.
    data_root : str or path-like
        Takes the place of `$data_root`.

    Returns
    -------
    utterances : list of Utterance
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, an ID occurs twice or a duration is not a positive number.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"manifest {path} does not exist; prepare the corpus first")
    root = Path(data_root).as_posix().rstrip("/") + "/"
    utterances: dict[str, Utterance] = {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        absent = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(
                f"manifest {path} lacks the column(s) {', '.join(absent)}; its header must hold "
                f"{','.join(COLUMNS)}"
            )
        for row in reader:
            utterance = _parse_row(row, root, f"{path}, line {reader.line_num}")
            if utterance.id in utterances:
                raise ValueError(f"{path}, line {reader.line_num}: ID {utterance.id!r} is repeated")
            utterances[utterance.id] = utterance
    return list(utterances.values())


def _parse_row(row: dict[str, str | None], root: str, where: str) -> Utterance:
    identifier, duration, wav, speaker, text = (row[c] for c in COLUMNS)
    if identifier is None or duration is None or wav is None or speaker is None or text is None:
        raise ValueError(f"{where}: the line is shorter than the header {','.join(COLUMNS)}")
    try:
        duration_s = float(duration)
    except ValueError:
        duration_s = 0.0
    if not 0.0 < duration_s < float("inf"):
        raise ValueError(f"{where}: duration {duration!r} is not a positive number of seconds")
    if wav.startswith(DATA_ROOT):
        wav = root + wav[len(DATA_ROOT) :]
    return Utterance(identifier, duration_s, wav, speaker, text)
