"""Which speakers a training is to favour: a list, or cohorts that an audit has found."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from sb_alexa.corpora.speaker_table import SpeakerTable, read_speaker_table
from sb_alexa.fairness.cohort_model import CohortModel

_NUMBERS = ("latitude", "longitude")


def read_cohort_speakers(
    path: str | os.PathLike[str],
    cohorts: Collection[str] | None = None,
    *,
    speakers_csv: str | os.PathLike[str] | None = None,
) -> frozenset[str]:
    """Read whom a training is to favour.

    Arguments
    ---------
    path : str or path-like
        A CSV with a column `speaker`, one speaker or more a line; or a JSON file of cohorts
        (`sb_alexa.fairness.cohort_model.CohortModel`), which are looked up in the speaker table.
    cohorts : collection of str | None
        Which cohorts of a JSON file; of a CSV, the lines with these values in its column `cohort`.
        None takes every line of a CSV.
    speakers_csv : str or path-like, optional
        The corpus' speaker table, for a JSON file.

    Returns
    -------
    frozenset of str
        Speakers, of the training set or not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column or a cohort is unknown, or nobody is left.

    Example
    -------
    >>> path = getfixture("tmp_path") / "bottom.csv"
    >>> _ = path.write_text("speaker,cohort\\n84,bottom\\n174,top\\n251,bottom\\n")
    >>> sorted(read_cohort_speakers(path, ["bottom"]))
    ['251', '84']
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"cohort_speakers={path} does not exist; give a CSV with a column speaker, or a file "
            "of cohorts"
        )
    if isinstance(cohorts, str):
        cohorts = [cohorts]
    if path.suffix == ".json":
        found = _of_model(path, cohorts, speakers_csv)
    else:
        found = _of_list(path, cohorts)
    if not found:
        asked = "" if cohorts is None else f" of the cohorts {sorted(cohorts)}"
        raise ValueError(f"{path} names no speaker{asked}")
    return found


def _of_list(path: Path, cohorts: Collection[str] | None) -> frozenset[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="")
        columns = reader.fieldnames or []
        needed = ["speaker"] if cohorts is None else ["speaker", "cohort"]
        for column in needed:
            if column not in columns:
                raise ValueError(
                    f"{path} lacks the column {column!r}; it has: {', '.join(columns) or 'none'}"
                )
        rows = [row for row in reader if row["speaker"].strip()]
    if cohorts is None:
        return frozenset(row["speaker"].strip() for row in rows)
    _check_known(cohorts, sorted({row["cohort"].strip() for row in rows}), path)
    return frozenset(row["speaker"].strip() for row in rows if row["cohort"].strip() in cohorts)


def _of_model(
    path: Path, cohorts: Collection[str] | None, speakers_csv: str | os.PathLike[str] | None
) -> frozenset[str]:
    model = CohortModel.load(path)
    if cohorts is None:
        raise ValueError(
            f"{path} holds several cohorts; name those to favour: {', '.join(model.names)}"
        )
    _check_known(cohorts, model.names, path)
    if speakers_csv is None:
        raise ValueError(f"{path} needs the table of the speakers that it is applied to")
    table = read_speaker_table(speakers_csv)
    absent = [column for column in model.columns if column not in table.columns]
    if absent:
        raise ValueError(
            f"{path} places speakers by {', '.join(model.columns)}, and {speakers_csv} has no "
            f"{absent[0]}; write the speakers of the cohort to a CSV with a column speaker"
        )
    speakers = list(table.rows)
    assigned = model.assign({name: _column(table, name, speakers) for name in model.columns})
    return frozenset(s for s, cohort in zip(speakers, assigned.tolist(), strict=True)
                     if cohort in cohorts)  # fmt: skip


def _column(table: SpeakerTable, name: str, speakers: Sequence[str]) -> Sequence[str] | np.ndarray:
    values = table.values(name, speakers)
    texts = [values[speaker] for speaker in speakers]
    if name not in _NUMBERS:
        return texts
    try:
        return np.array([float(text) if text else np.nan for text in texts])
    except ValueError as error:
        raise ValueError(f"{table.path}, column {name}: {error}") from error


def _check_known(asked: Collection[str], known: Sequence[str], path: Path) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise ValueError(f"{path} has no cohort {unknown[0]!r}; it has: {', '.join(known)}")
