"""Groups that a table declares, and their intersections."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sb_alexa.fairness.cohort_json import checked_keys

_JOINED = " & "


@dataclass(frozen=True)
class DeclaredGroups:
    """The groups of one column, or those in which several columns intersect.

    Arguments
    ---------
    levels : mapping of str to tuple of str
        By column the groups that exist, in alphabetical order.

    Raises
    ------
    ValueError
        If there is no column or one has no group.

    Example
    -------
    >>> groups = DeclaredGroups.of({"gender": ["F", "M", "F"], "accent": ["us", "in", ""]})
    >>> groups.assign({"gender": ["F", "M", "M"], "accent": ["in", "in", ""]}).tolist()
    ['gender=F & accent=in', 'gender=M & accent=in', '']
    """

    levels: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        empty = [column for column, levels in self.levels.items() if not levels]
        if not self.levels or empty:
            raise ValueError(
                f"column {empty[0]!r} is empty in all rows; leave it out"
                if empty
                else "declared groups need at least one column"
            )

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[object] | np.ndarray]) -> DeclaredGroups:
        """The groups that occur.

        Arguments
        ---------
        columns : mapping of str to sequence
            (N,) group of each row by column; None or empty where unknown.
        """
        return cls({name: _levels(_texts(values)) for name, values in columns.items()})

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.levels)

    @property
    def cohorts(self) -> tuple[str, ...]:
        """What `assign` may answer; not all intersections need have speakers."""
        names = [""]
        for column, levels in self.levels.items():
            names = [_join(name, column, level) for name in names for level in levels]
        return tuple(names)

    def assign(self, columns: Mapping[str, Sequence[object] | np.ndarray]) -> np.ndarray:
        """Name the group of each row.

        Arguments
        ---------
        columns : mapping of str to sequence
            (N,) group of each row by column; further columns are ignored.

        Returns
        -------
        numpy.ndarray
            (N,) such as ``gender=F & accent=in``, empty where one of the columns is unknown.

        Raises
        ------
        ValueError
            If a column is absent, lengths differ, or a group did not exist when the groups were
            declared: it may be misspelt.
        """
        absent = [column for column in self.levels if column not in columns]
        if absent:
            raise ValueError(
                f"there is no column {absent[0]!r}; there are: {', '.join(columns) or 'none'}"
            )
        texts = {column: _texts(columns[column]) for column in self.levels}
        lengths = {column: len(values) for column, values in texts.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns have different lengths: {lengths}")
        for column, values in texts.items():
            self._check_levels(column, values)
        return np.array([self._name(row) for row in zip(*texts.values(), strict=True)], dtype=str)

    def _name(self, row: tuple[str, ...]) -> str:
        name = ""
        for column, level in zip(self.levels, row, strict=True):
            if not level:
                return ""
            name = _join(name, column, level)
        return name

    def _check_levels(self, column: str, values: list[str]) -> None:
        levels = self.levels[column]
        unknown = sorted(set(values) - {"", *levels})
        if unknown:
            close = difflib.get_close_matches(unknown[0], levels, n=1)
            question = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"column {column!r} has no group {unknown[0]!r} ({len(unknown)} unknown in all)."
                f"{question} There are: {', '.join(levels)}; spell it so, or leave it empty"
            )

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` makes the same groups of them."""
        return {"levels": {column: list(levels) for column, levels in self.levels.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DeclaredGroups:
        """The groups that `to_json` described.

        Raises
        ------
        ValueError
            If a key is missing, unknown or of another type.
        """
        levels = checked_keys(values, {"levels"}, cls.__name__)["levels"]
        if not isinstance(levels, dict) or not all(
            isinstance(column, list) and all(isinstance(level, str) for level in column)
            for column in levels.values()
        ):
            raise ValueError("levels must hold a list of text for each column")
        return cls({column: tuple(groups) for column, groups in levels.items()})


def intersections(
    columns: Mapping[str, Sequence[object] | np.ndarray], *, most_columns: int = 2
) -> list[DeclaredGroups]:
    """The groups of every column, of every two columns, and so on.

    Arguments
    ---------
    columns : mapping of str to sequence
        (N,) group of each row by column.
    most_columns : int
        That intersect at once.

    Returns
    -------
    list of DeclaredGroups
        Single columns first.

    Raises
    ------
    ValueError
        If `most_columns` is below 1 or a column is empty.

    Example
    -------
    >>> [groups.columns for groups in intersections({"sex": ["F"], "age": ["old"]})]
    [('sex',), ('age',), ('sex', 'age')]
    """
    if most_columns < 1:
        raise ValueError(f"most_columns must be >= 1, got {most_columns}; 2 is usual")
    alone = {
        name: DeclaredGroups.of({name: values}).levels[name] for name, values in columns.items()
    }
    return [
        DeclaredGroups({name: alone[name] for name in names})
        for size in range(1, min(most_columns, len(alone)) + 1)
        for names in combinations(alone, size)
    ]


def _join(name: str, column: str, level: str) -> str:
    return f"{name}{_JOINED if name else ''}{column}={level}"


def _texts(values: Sequence[object] | np.ndarray) -> list[str]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    # NaN, which tables hold where nothing is known, differs from itself.
    return ["" if one is None or one != one else str(one).strip() for one in listed]


def _levels(texts: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts) - {""}))
