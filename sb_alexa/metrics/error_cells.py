"""Word errors by speaker and group: what every audit of error rates starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse


@dataclass(frozen=True, eq=False)
class GroupColumn:
    """Which group each cell belongs to.

    Arguments
    ---------
    names : tuple of str
        Of the groups, in alphabetical order.
    codes : numpy.ndarray
        (N,) position of each cell's group among the names; -1 where it is unknown.
    """

    names: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True, eq=False)
class ErrorCells:
    """Errors and words summed over all utterances of a speaker that are in the same groups.

    A column of the speaker (gender) leaves one cell for each speaker; one of the utterance (noisy
    or not) divides a speaker into several. Make it with `of`.

    Arguments
    ---------
    errors, words : numpy.ndarray
        (N,) of each cell.
    speakers : numpy.ndarray
        (N,) number of the cell's speaker, 0 to `num_speakers` - 1.
    columns : mapping of str to GroupColumn
        By name of the column.
    """

    errors: np.ndarray
    words: np.ndarray
    speakers: np.ndarray
    columns: Mapping[str, GroupColumn]

    @classmethod
    def of(
        cls,
        errors: ArrayLike,
        words: ArrayLike,
        *,
        speakers: Sequence[object] | np.ndarray | None = None,
        columns: Mapping[str, Sequence[str] | np.ndarray] | None = None,
    ) -> ErrorCells:
        """Sum rows (utterances, or whole speakers) to cells, whatever the order of the rows.

        Arguments
        ---------
        errors, words : array of float
            (N,) of each row.
        speakers : sequence | None
            (N,) names or numbers; None where each row is a speaker.
        columns : mapping of str to sequence of str | None
            (N,) group of each row by column; empty where it is unknown.

        Returns
        -------
        ErrorCells
            One cell for each speaker and combination of groups, ordered by speaker.

        Raises
        ------
        ValueError
            If lengths differ, a count is negative or not finite, or there are no words.

        Example
        -------
        >>> cells = ErrorCells.of(
        ...     [1, 2, 0, 4],
        ...     [10, 10, 20, 20],
        ...     speakers=["a", "a", "a", "b"],
        ...     columns={"place": ["car", "car", "home", "home"]},
        ... )
        >>> cells.errors, cells.words, cells.speakers
        (array([3., 0., 4.]), array([20., 20., 20.]), array([0, 0, 1]))
        >>> cells.columns["place"].names, cells.columns["place"].codes
        (('car', 'home'), array([0, 1, 1]))
        """
        counts = np.stack([_checked("errors", errors), _checked("words", words)], axis=1)
        if not counts[:, 1].any():
            raise ValueError("there are no reference words, so there is no error rate")
        who = np.arange(len(counts)) if speakers is None else np.asarray(speakers)
        numbers = {"": np.unique(_as_long(who, "speakers", counts), return_inverse=True)[1]}
        names = {}
        for column, groups in (columns or {}).items():
            names[column], numbers[column] = _coded(column, groups, counts)
        keys = np.stack([numbers[""], *(numbers[column] for column in names)], axis=1)
        unique, cell = _distinct(keys)
        errors_by_cell, words_by_cell = (
            np.bincount(cell, weights=side, minlength=len(unique)) for side in counts.T
        )
        made = {
            column: GroupColumn(names[column], unique[:, 1 + place])
            for place, column in enumerate(names)
        }
        return cls(errors_by_cell, words_by_cell, unique[:, 0], made)

    @property
    def num_speakers(self) -> int:
        """Distinct speakers."""
        return int(self.speakers.max()) + 1

    def column(self, name: str) -> GroupColumn:
        """One column.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self.columns:
            raise ValueError(
                f"there is no column {name!r}; there are: {', '.join(self.columns) or 'none'}"
            )
        return self.columns[name]

    def by_speaker(self, values: np.ndarray, column: str | None = None) -> sparse.csr_array:
        """Sum values of the cells over each speaker, within the groups of a column.

        Arguments
        ---------
        values : numpy.ndarray
            (N,) of the cells, such as `errors`.
        column : str | None
            None puts all cells in one group; cells of unknown group are left out.

        Returns
        -------
        scipy.sparse.csr_array
            (speakers, groups).

        Example
        -------
        >>> cells = ErrorCells.of([3, 4], [20, 20], columns={"place": ["car", "home"]})
        >>> cells.by_speaker(cells.errors, "place").toarray()
        array([[3., 0.],
               [0., 4.]])
        """
        codes, num_groups = np.zeros(len(values), dtype=np.intp), 1
        if column is not None:
            codes, num_groups = self.column(column).codes, len(self.column(column).names)
        known = codes >= 0
        shape = (self.num_speakers, num_groups)
        table = sparse.coo_array((values[known], (self.speakers[known], codes[known])), shape=shape)
        return table.tocsr()

    def speakers_by_group(self, column: str) -> np.ndarray:
        """(groups,) number of speakers with at least one reference word in each group."""
        spoken = (self.words > 0).astype(np.float64)
        return np.asarray((self.by_speaker(spoken, column) > 0).sum(axis=0)).ravel()


def _checked(name: str, counts: ArrayLike) -> np.ndarray:
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be one number for each row, got shape {values.shape}")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise ValueError(
            f"{name} of {wrong.size} rows are not counts, such as {values[wrong[0]]} in row "
            f"{wrong[0]}; leave such rows out"
        )
    return values


def _as_long(values: np.ndarray, name: str, counts: np.ndarray) -> np.ndarray:
    if values.shape != (len(counts),):
        raise ValueError(f"{name} has {len(values)} entries for {len(counts)} rows")
    return values


def _coded(
    column: str, groups: Sequence[str] | np.ndarray, counts: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    values = _as_long(np.asarray(groups), f"column {column!r}", counts)
    # Text that numpy made an array of needs no look at a million values.
    wrong = [] if values.dtype.kind == "U" else [v for v in values.tolist() if type(v) is not str]
    if wrong:
        raise ValueError(
            f"column {column!r} must hold names of groups as text, empty where unknown; "
            f"{len(wrong)} rows do not, such as {wrong[0]!r}"
        )
    unique, codes = np.unique(values.astype(str), return_inverse=True)
    if unique.size and unique[0] == "":
        unique, codes = unique[1:], codes - 1
    if not unique.size:
        raise ValueError(f"column {column!r} is empty in all {len(values)} rows; leave it out")
    return tuple(unique.tolist()), codes


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows in order, and which of them each row is.

    Numpy's own for rows compares them as bytes, 20 times slower for a million.
    """
    numbers = np.zeros(len(keys), dtype=np.int64)
    for side in keys.T:
        numbers = numbers * (side.max() + 2) + side + 1
        # Renumbered each time, so that no number of columns can overflow.
        numbers = np.unique(numbers, return_inverse=True)[1]
    first = np.unique(numbers, return_index=True)[1]
    return keys[first], numbers
