"""Rows of a table of utterances summed to speakers, who are the units of all statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class SpeakerTotals:
    """Word errors by speaker, in alphabetical order whatever the order of the rows.

    Arguments
    ---------
    names : tuple of str
        Of the speakers.
    codes : numpy.ndarray
        (N,) position of each row's speaker among the names.
    errors, words : numpy.ndarray
        (P,) of each speaker.
    row_words : numpy.ndarray
        (N,) words of each row.

    Example
    -------
    >>> totals = SpeakerTotals.of([1, 2, 0], [10, 20, 5], ["b", "a", "b"])
    >>> totals.names, totals.errors, totals.words
    (('a', 'b'), array([2., 1.]), array([20., 15.]))
    """

    names: tuple[str, ...]
    codes: np.ndarray
    errors: np.ndarray
    words: np.ndarray
    row_words: np.ndarray

    @classmethod
    def of(
        cls, errors: ArrayLike, words: ArrayLike, speakers: Sequence[object] | np.ndarray
    ) -> SpeakerTotals:
        """Sum rows to speakers.

        Arguments
        ---------
        errors, words : array of float
            (N,) of each row, an utterance or more.
        speakers : sequence
            (N,) name or number of each row's speaker.

        Raises
        ------
        ValueError
            If lengths differ, a count is negative or not finite, or a speaker has no name; rows are
            counted from 0.
        """
        counts = [_checked("errors", errors), _checked("words", words)]
        values = speakers.tolist() if isinstance(speakers, np.ndarray) else speakers
        if not len(counts[0]) == len(counts[1]) == len(values) > 0:
            raise ValueError(
                "errors, words and speakers must have one entry for each row, got "
                f"{len(counts[0])}, {len(counts[1])} and {len(values)}"
            )
        # A dictionary is ten times faster than sorting a million names.
        found: dict[str, int] = {}
        texts = map(_name, values)
        numbers = np.fromiter((found.setdefault(t, len(found)) for t in texts), np.intp)
        if "" in found:
            rows = np.flatnonzero(numbers == found[""])
            raise ValueError(f"{rows.size} rows name no speaker: {name_rows(rows)}; leave them out")
        names = tuple(sorted(found))
        rank = np.empty(len(names), dtype=np.intp)
        rank[[found[name] for name in names]] = np.arange(len(names))
        codes = rank[numbers]
        sums = [np.bincount(codes, weights=c, minlength=len(names)) for c in counts]
        return cls(names, codes, sums[0], sums[1], counts[1])

    def main_values(
        self, values: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """For each speaker the value with which most words were spoken.

        Arguments
        ---------
        values : numpy.ndarray
            (n,) integers of the rows chosen; of equal ones the smallest wins.
        rows : numpy.ndarray
            (N,) bool, the n rows that have a value.

        Returns
        -------
        speakers, main, num_changing
            (S,) positions of the speakers who have any value, (S,) theirs, and how many speakers
            have more than one.

        Example
        -------
        >>> totals = SpeakerTotals.of([0, 0, 0, 0], [1, 1, 3, 5], ["a", "a", "a", "b"])
        >>> totals.main_values(np.array([7, 7, 4]), np.array([True, True, True, False]))
        (array([0]), array([4]), 1)
        """
        codes, words = self.codes[rows], self.row_words[rows]
        order = np.lexsort((values, codes))
        codes, values, words = codes[order], values[order], words[order]
        starts = np.flatnonzero(
            np.r_[True, (codes[1:] != codes[:-1]) | (values[1:] != values[:-1])][: len(codes)]
        )
        codes, values = codes[starts], values[starts]
        sums = np.add.reduceat(words, starts) if starts.size else words
        best = np.lexsort((values, -sums, codes))
        speakers, first, kinds = np.unique(codes[best], return_index=True, return_counts=True)
        return speakers, values[best][first], int((kinds > 1).sum())


def nameless_speakers(*columns: np.ndarray) -> list[str]:
    """Names for rows that are a speaker each, by what is known of them and not by their order.

    Arguments
    ---------
    *columns : numpy.ndarray
        (N,) whatever tells the rows apart. Those alike in all columns may exchange their names.

    Returns
    -------
    list of str
        (N,)

    Example
    -------
    >>> nameless_speakers(np.array([7.0, 3.0]), np.array(["b", "a"]))
    ['000000000001', '000000000000']
    """
    rank = np.empty(len(columns[0]), dtype=np.intp)
    rank[np.lexsort(columns[::-1])] = np.arange(len(rank))
    # As wide as any row number, so that names sort as numbers do.
    return [f"{row:012d}" for row in rank.tolist()]


def discovery_half(num_speakers: int, *, seed: int) -> np.ndarray:
    """Which speakers cohorts are found on; they are measured on the others.

    Arguments
    ---------
    num_speakers : int
        P, in an order that does not depend on the order of the rows.
    seed : int
        The same number and seed give the same half.

    Returns
    -------
    numpy.ndarray
        (P,) bool, half of them True, one more where P is odd.

    Example
    -------
    >>> int(discovery_half(5, seed=0).sum())
    3
    """
    return np.random.default_rng(seed).permutation(num_speakers) < (num_speakers + 1) // 2


def speakers_in_discovery(
    totals: SpeakerTotals,
    speakers: np.ndarray,
    in_discovery: ArrayLike | None,
    *,
    seed: int,
) -> np.ndarray:
    """Which of some speakers find cohorts: those given, or half of them by lot.

    Arguments
    ---------
    totals : SpeakerTotals
        Of all rows.
    speakers : numpy.ndarray
        (S,) positions of the speakers who take part.
    in_discovery : array of bool | None
        (N,) for each row whether its speaker is among the finders; None draws `discovery_half`.
    seed : int
        Of the draw.

    Returns
    -------
    numpy.ndarray
        (S,) bool.

    Raises
    ------
    ValueError
        If a speaker is on both sides.

    Example
    -------
    >>> totals = SpeakerTotals.of([1, 2, 0], [10, 20, 5], ["b", "a", "b"])
    >>> speakers_in_discovery(totals, np.array([0, 1]), [True, False, True], seed=0)
    array([False,  True])
    """
    if in_discovery is None:
        return discovery_half(len(speakers), seed=seed)
    of_rows = np.asarray(in_discovery, dtype=bool)
    if of_rows.shape != totals.codes.shape:
        raise ValueError(f"in_discovery has {of_rows.size} entries for {len(totals.codes)} rows")
    finders, others = (
        np.bincount(totals.codes[side], minlength=len(totals.names)) > 0
        for side in (of_rows, ~of_rows)
    )
    both = np.flatnonzero(finders & others)
    if both.size:
        raise ValueError(
            f"in_discovery puts {both.size} speakers on both sides, such as "
            f"{totals.names[both[0]]!r}; a speaker who found cohorts cannot confirm them"
        )
    return finders[speakers]


def name_rows(rows: np.ndarray) -> str:
    """The first five of some row numbers, in words.

    Example
    -------
    >>> name_rows(np.arange(3)), name_rows(np.arange(7))
    ('0, 1, 2', '0, 1, 2, 3, 4 and 2 more')
    """
    text = ", ".join(str(row) for row in rows[:5].tolist())
    return text + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def _name(value: object) -> str:
    # NaN, which tables hold where a name is missing, differs from itself.
    return "" if value is None or value != value else str(value)


def _checked(name: str, counts: ArrayLike) -> np.ndarray:
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be one number for each row, got shape {values.shape}")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise ValueError(
            f"{name} of {wrong.size} rows are not counts, such as {values[wrong[0]]}: rows "
            f"{name_rows(wrong)}; leave such rows out"
        )
    return values
