"""Word error rates of groups under draws of speakers, and the standard errors of their contrasts.

A contrast is a weighted sum of rates, or of their logarithms: one rate, the gap of two groups, the
difference of two systems, by how much a gap has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.speaker_draws import resampled_sums


class Term(NamedTuple):
    """One rate of a contrast.

    Arguments
    ---------
    group : int
        Its position, see `RateDraws.find`.
    weight : float or numpy.ndarray
        The same in every draw, or (1 + draws,).
    system : int
        Position among the systems.
    """

    group: int
    weight: float | np.ndarray = 1.0
    system: int = 0


class RateDraws:
    """Error rates of every group, as measured and in every draw of speakers.

    All columns of all systems share the draws. A draw without words of a group has NaN for its
    rate; one without errors counts half an error where a logarithm is taken.

    Arguments
    ---------
    systems : sequence of ErrorCells
        Of the same utterances: only their errors may differ.
    num_samples : int
        Draws.
    seed : int
        The same cells and seed give the same rates.

    Raises
    ------
    ValueError
        If the systems differ in words, speakers or groups, or there are fewer than two speakers.

    Example
    -------
    >>> cells = ErrorCells.of([2, 4, 9], [50, 50, 50], columns={"half": ["a", "a", "b"]})
    >>> draws = RateDraws([cells], num_samples=10, seed=0)
    >>> gap = [Term(draws.find("half", "b")), Term(draws.find("half", "a"), -1.0)]
    >>> samples, errors = draws.contrast(gap)
    >>> float(round(samples[0], 3)), samples.shape, errors.shape
    (0.12, (11,), (11,))
    """

    def __init__(self, systems: Sequence[ErrorCells], *, num_samples: int, seed: int) -> None:
        first = systems[0]
        for other in systems[1:]:
            _check_same_utterances(first, other)
        columns: list[str | None] = [None, *first.columns]
        keys = [("", ""), *((c, g) for c, made in first.columns.items() for g in made.names)]
        self.places = {key: place for place, key in enumerate(keys)}
        words = _stacked(first, first.words, columns)
        errors = [_stacked(one, one.errors, columns) for one in systems]
        parts = [words, words.multiply(words)]
        for place, one in enumerate(errors):
            parts += [one, one.multiply(words)]
            parts += [one.multiply(other) for other in errors[: place + 1]]
        sums = resampled_sums(
            sparse.csr_array(sparse.hstack(parts)), num_samples=num_samples, seed=seed
        )
        split = iter(np.split(sums, len(parts), axis=1))
        self.words, self._squared_words = next(split), next(split)
        self._errors: list[np.ndarray] = []
        self._error_words: list[np.ndarray] = []
        self._products: dict[tuple[int, int], np.ndarray] = {}
        for place in range(len(errors)):
            self._errors.append(next(split))
            self._error_words.append(next(split))
            for before in range(place + 1):
                self._products[place, before] = next(split)

    def find(self, column: str = "", group: str = "") -> int:
        """Position of a group; without arguments that of everybody.

        Raises
        ------
        ValueError
            If there is no such group.
        """
        if (column, group) not in self.places:
            known = [name for other, name in self.places if other == column]
            raise ValueError(
                f"column {column!r} has no group {group!r}; it has: {', '.join(known) or 'none'}"
            )
        return self.places[column, group]

    @cached_property
    def _inverse_words(self) -> np.ndarray:
        return np.divide(
            1.0, self.words, out=np.full(self.words.shape, np.nan), where=self.words > 0
        )

    def errors(self, group: int, system: int = 0) -> np.ndarray:
        """(1 + draws,) number of errors."""
        return self._errors[system][:, group]

    def rate(self, group: int, system: int = 0) -> np.ndarray:
        """(1 + draws,) errors per word."""
        return self._errors[system][:, group] * self._inverse_words[:, group]

    def log_rate(self, group: int, system: int = 0) -> np.ndarray:
        """(1 + draws,) logarithm of `rate`, with half an error where there is none."""
        errors = np.maximum(self._errors[system][:, group], 0.5)
        return np.log(errors * self._inverse_words[:, group])

    def contrast(self, terms: Sequence[Term]) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sum of rates and its standard error, both (1 + draws,).

        The error is the delta method's, from how far each speaker's errors lie from the rate times
        the speaker's words. Covariances of different groups, which only share speakers where a
        column is of the utterance, are left out: a studentised interval needs an error that is
        proportional to the true one. It is never below that of a single error more or less.
        """
        value = sum(np.asarray(one.weight) * self.rate(one.group, one.system) for one in terms)
        floors = [one.weight * self._inverse_words[:, one.group] for one in terms]
        variance = self._variance(terms)
        return np.asarray(value), np.sqrt(np.maximum(variance, np.max(np.square(floors), axis=0)))

    def log_contrast(self, terms: Sequence[Term]) -> tuple[np.ndarray, np.ndarray]:
        """The same of the logarithms of the rates."""
        value = sum(np.asarray(one.weight) * self.log_rate(one.group, one.system) for one in terms)
        return np.asarray(value), self.log_error(terms)

    def log_error(self, terms: Sequence[Term]) -> np.ndarray:
        """Standard error of a weighted sum of logarithms of rates, (1 + draws,)."""
        relative = [
            one._replace(weight=one.weight / np.exp(self.log_rate(one.group, one.system)))
            for one in terms
        ]
        floors = [one.weight / np.maximum(self.errors(one.group, one.system), 0.5) for one in terms]
        variance = self._variance(relative)
        return np.sqrt(np.maximum(variance, np.max(np.square(floors), axis=0)))

    def _variance(self, terms: Sequence[Term]) -> np.ndarray:
        found: np.ndarray = np.zeros(len(self.words))
        for one in terms:
            for other in terms:
                if one.group == other.group:
                    covariance = self._covariance(one.group, one.system, other.system)
                    found = found + one.weight * other.weight * covariance
        return found

    def _covariance(self, group: int, system: int, other: int) -> np.ndarray:
        """Of the rates of two systems in one group: sum over speakers of (e - r w) (e' - r' w)."""
        mine, others = self.rate(group, system), self.rate(group, other)
        product = self._products[max(system, other), min(system, other)][:, group]
        residual = (
            product
            - others * self._error_words[system][:, group]
            - mine * self._error_words[other][:, group]
            + mine * others * self._squared_words[:, group]
        )
        return residual * self._inverse_words[:, group] ** 2


def _stacked(
    cells: ErrorCells, values: np.ndarray, columns: Sequence[str | None]
) -> sparse.csr_array:
    """(speakers, 1 + all groups of all columns)."""
    return sparse.csr_array(sparse.hstack([cells.by_speaker(values, column) for column in columns]))


def _check_same_utterances(first: ErrorCells, other: ErrorCells) -> None:
    same = (
        np.array_equal(first.words, other.words)
        and np.array_equal(first.speakers, other.speakers)
        and list(first.columns) == list(other.columns)
        and all(
            made.names == other.columns[name].names
            and np.array_equal(made.codes, other.columns[name].codes)
            for name, made in first.columns.items()
        )
    )
    if not same:
        raise ValueError(
            "the systems were not tested on the same utterances: cells, words or groups differ "
            f"({len(first.words)} cells and {first.words.sum():.0f} words against "
            f"{len(other.words)} and {other.words.sum():.0f}); keep the utterances of both"
        )
