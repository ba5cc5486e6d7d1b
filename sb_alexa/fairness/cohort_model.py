"""Cohorts as a file that can be applied to speakers who were not there when they were found.

The file is JSON::

    {"format": "sb_alexa cohorts", "version": 1, "kind": "geographic tree", "cohorts": {...}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts
from sb_alexa.fairness.geographic_tree import GeographicTree

Cohorts = GeographicTree | DemographicPartition | EmbeddingCohorts | DeclaredGroups

_FORMAT = "sb_alexa cohorts"
_VERSION = 1
# What a file calls each kind of cohorts, and the columns of a table that they need.
_KINDS: Mapping[str, type[Cohorts]] = {
    "geographic tree": GeographicTree,
    "demographic partition": DemographicPartition,
    "embedding cohorts": EmbeddingCohorts,
    "declared groups": DeclaredGroups,
}
_COLUMNS: Mapping[type[Cohorts], tuple[str, ...]] = {
    GeographicTree: ("latitude", "longitude"),
    DemographicPartition: ("zip",),
    EmbeddingCohorts: ("embedding",),
}


class CohortFileError(ValueError):
    """A file that holds no cohorts, or damaged ones."""


@dataclass(frozen=True, eq=False)
class CohortModel:
    """Cohorts of any kind, saved, loaded and applied in the same way.

    Arguments
    ---------
    cohorts : GeographicTree | DemographicPartition | EmbeddingCohorts | DeclaredGroups
        What was found or declared.

    Example
    -------
    >>> path = getfixture("tmp_path") / "groups.json"
    >>> CohortModel(DeclaredGroups.of({"gender": ["F", "M"]})).save(path)
    >>> model = CohortModel.load(path)
    >>> model.kind, model.columns, model.assign({"gender": ["M", ""]}).tolist()
    ('declared groups', ('gender',), ['gender=M', ''])
    """

    cohorts: Cohorts

    @property
    def kind(self) -> str:
        """In words, as in the file."""
        return next(name for name, cls in _KINDS.items() if cls is type(self.cohorts))

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of a table that `assign` needs."""
        if isinstance(self.cohorts, DeclaredGroups):
            return self.cohorts.columns
        return _COLUMNS[type(self.cohorts)]

    @property
    def names(self) -> tuple[str, ...]:
        """What `assign` may answer."""
        return self.cohorts.cohorts

    def assign(self, table: Mapping[str, Sequence[Any] | np.ndarray]) -> np.ndarray:
        """Name the cohort of each row of a table.

        Arguments
        ---------
        table : mapping of str to sequence
            (N,) by column, at least `columns`; embeddings are (N, E).

        Returns
        -------
        numpy.ndarray
            (N,) text, empty where the cohort is unknown: a column for any audit of groups.

        Raises
        ------
        ValueError
            If a column is absent or holds what the cohorts cannot place.
        """
        absent = [column for column in self.columns if column not in table]
        if absent:
            raise ValueError(
                f"{self.kind} need the column {absent[0]!r}; there are: "
                f"{', '.join(table) or 'none'}; give the column under that name"
            )
        if isinstance(self.cohorts, DeclaredGroups):
            return self.cohorts.assign(table)
        if isinstance(self.cohorts, GeographicTree):
            return self.cohorts.assign(table["latitude"], table["longitude"])
        return self.cohorts.assign(table[self.columns[0]])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; replaced in one step."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": self.kind,
            "cohorts": self.cohorts.to_json(),
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CohortModel:
        """Read a file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is none.
        CohortFileError
            If it is something else, of a newer version, or damaged; the message says where.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CohortFileError(f"{path} is not JSON: {error}") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise CohortFileError(
                f"{path} holds no cohorts: its format is not {_FORMAT!r}; give a file that "
                "CohortModel.save wrote"
            )
        if content.get("version") != _VERSION:
            raise CohortFileError(
                f"{path} has version {content.get('version')!r}, this program reads {_VERSION}; "
                "find the cohorts again, or upgrade"
            )
        kind, cohorts = content.get("kind"), content.get("cohorts")
        if not isinstance(kind, str) or kind not in _KINDS or not isinstance(cohorts, dict):
            raise CohortFileError(
                f"{path} has cohorts of the kind {kind!r}; there are: {', '.join(_KINDS)}"
            )
        try:
            return cls(_KINDS[kind].from_json(cohorts))
        except (ValueError, TypeError, RecursionError) as error:
            raise CohortFileError(f"{path} is damaged: {error}") from error
