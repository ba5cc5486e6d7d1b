"""Error rates of groups adjusted for one another: is it the accent, or the noise they speak in?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.multiple_testing import holm
from sb_alexa.metrics.verification_estimates import Estimate

# Relative: what is left of a column after the columns before it are taken out.
_COLLINEAR = 1e-9


@dataclass(frozen=True)
class AdjustedRatio:
    """Error rate of a group over that of its column's reference group, all other columns alike.

    Arguments
    ---------
    column, group, reference : str
        Names.
    num_speakers : int
        Speakers of the group among the cells that enter.
    crude_ratio : float
        Without adjustment, on the same cells.
    ratio : Estimate
        Adjusted, with its interval.
    p_value : float
        Two-sided, of a ratio of 1, for itself.
    adjusted_p_value : float
        Holm's, over all groups of all columns.
    """

    column: str
    group: str
    reference: str
    num_speakers: int
    crude_ratio: float
    ratio: Estimate
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True)
class GroupRegression:
    """Adjusted ratios of all groups.

    Arguments
    ---------
    ratios : tuple of AdjustedRatio
        By column, without the reference groups.
    references : mapping of str to str
        Reference group by column.
    num_speakers, num_cells : int
        That entered.
    num_cells_left_out : int
        Without words or with an unknown group in one of the columns.
    """

    ratios: tuple[AdjustedRatio, ...]
    references: Mapping[str, str]
    num_speakers: int
    num_cells: int
    num_cells_left_out: int


def regress_error_rates(
    cells: ErrorCells,
    columns: Sequence[str] | None = None,
    *,
    references: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> GroupRegression:
    """Poisson regression of errors on groups, with errors clustered by speaker.

    The logarithm of the expected errors of a cell is log(words) plus an effect of each of its
    groups, fitted by generalised estimating equations with independence as working correlation.
    The sandwich covariance makes no use of the Poisson variance, which errors exceed; its
    bias-reduced form with Student's t of speakers minus parameters serves few speakers too.

    Arguments
    ---------
    cells : ErrorCells
        What was measured.
    columns : sequence of str | None
        Which enter, all at once; None for all. Speakers' own and those of the utterance alike.
    references : mapping of str to str | None
        Group by column that the others are compared with; by default the one with most words.
    level : float
        Probability that an interval is to cover, between 0 and 1.

    Returns
    -------
    GroupRegression
        The adjusted ratios.

    Raises
    ------
    ImportError
        If statsmodels is not installed.
    ValueError
        If a column does not exist or has one group only, a group has no errors, the columns
        determine one another, or there are not more speakers than parameters.

    Reference
    ---------
    Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73(1),
    1986. Mancl and DeRouen, "A covariance estimator for GEE with improved small-sample properties",
    Biometrics 57(1), 2001. Dheram et al., 2022 (arXiv 2207.11345) compare cohorts without
    adjustment, as far as is known from the abstract; the regression is our choice.

    Example
    -------
    Most of what seems to be the accent is the car that these speakers sit in:

    >>> places = ["home", "home", "home", "car", "home", "car", "car", "home", "car", "car"]
    >>> cells = ErrorCells.of(
    ...     [4, 6, 4, 12, 6, 13, 10, 4, 16, 11] * 5,
    ...     [100] * 50,
    ...     columns={"accent": list("aaaaabbbbb") * 5, "place": places * 5},
    ... )
    >>> accent, place = regress_error_rates(cells, references={"place": "home"}).ratios
    >>> round(accent.crude_ratio, 2), round(accent.ratio.value, 2), round(place.ratio.value, 2)
    (1.69, 0.97, 2.63)
    """
    statsmodels = require_statsmodels()
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    chosen = list(cells.columns if columns is None else columns)
    design = _Design(cells, chosen, references or {})
    fit = _fit(statsmodels, design)
    from scipy import stats

    freedom = design.num_speakers - design.matrix.shape[1]
    margin = float(stats.t.ppf((1.0 + level) / 2.0, df=freedom))
    logs, errors = np.asarray(fit.params)[1:], np.asarray(fit.bse)[1:]
    p_values = 2.0 * stats.t.sf(np.abs(logs / errors), df=freedom)
    adjusted = holm(p_values)
    ratios = []
    for place, (column, group) in enumerate(design.effects):
        low, value, high = np.exp(logs[place] + errors[place] * margin * np.array([-1.0, 0.0, 1.0]))
        ratios.append(
            AdjustedRatio(
                column,
                group,
                design.references[column],
                design.count_speakers(column, group),
                design.rate(column, group) / design.rate(column, design.references[column]),
                Estimate(float(value), float(low), float(high)),
                float(p_values[place]),
                float(adjusted[place]),
            )
        )
    left_out = len(cells.words) - len(design.words)
    return GroupRegression(
        tuple(ratios), design.references, design.num_speakers, len(design.words), left_out
    )


def require_statsmodels() -> Any:
    """Import statsmodels.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to.
    """
    try:
        import statsmodels.api
    except ImportError as error:
        raise ImportError(
            "adjusted rate ratios are fitted by statsmodels: "
            f"pip install 'sb-alexa[audit]' ({error})"
        ) from error
    return statsmodels.api


class _Design:
    """The cells that enter, and one indicator for each group that is not its column's reference."""

    def __init__(
        self, cells: ErrorCells, columns: Sequence[str], references: Mapping[str, str]
    ) -> None:
        unknown = sorted({*references} - {*columns})
        if unknown or not columns:
            raise ValueError(
                f"references are given for {unknown}, columns to adjust are {list(columns)}; "
                "name at least one column, and references of these only"
            )
        enters = cells.words > 0
        for column in columns:
            enters &= cells.column(column).codes >= 0
        self.errors, self.words = cells.errors[enters], cells.words[enters]
        self.speakers = cells.speakers[enters]
        self.num_speakers = int(np.unique(self.speakers).size)
        self.names = {column: cells.columns[column].names for column in columns}
        self.codes = {column: cells.columns[column].codes[enters] for column in columns}
        self.references: dict[str, str] = {}
        for column in columns:
            self._check(column)
            by_words = max(self.names[column], key=lambda name: self._sum(column, name, self.words))
            self.references[column] = references.get(column, by_words)
            if self.references[column] not in self.names[column]:
                raise ValueError(
                    f"column {column!r} has no group {self.references[column]!r} to compare with; "
                    f"it has: {', '.join(self.names[column])}"
                )
        self.effects = list(self._effects())
        indicators = [self._inside(column, group) for column, group in self.effects]
        self.matrix = np.column_stack([np.ones(len(self.words)), *indicators]).astype(np.float64)
        if self.num_speakers <= self.matrix.shape[1]:
            raise ValueError(
                f"{self.num_speakers} speakers cannot tell {self.matrix.shape[1]} parameters apart;"
                " merge groups or leave columns out"
            )
        self._check_collinear()

    def rate(self, column: str, group: str) -> float:
        """Errors per word."""
        return self._sum(column, group, self.errors) / self._sum(column, group, self.words)

    def count_speakers(self, column: str, group: str) -> int:
        """Speakers of a group."""
        return int(np.unique(self.speakers[self._inside(column, group)]).size)

    def _inside(self, column: str, group: str) -> np.ndarray:
        return self.codes[column] == self.names[column].index(group)

    def _sum(self, column: str, group: str, values: np.ndarray) -> float:
        return float(values[self._inside(column, group)].sum())

    def _effects(self) -> Iterator[tuple[str, str]]:
        for column, names in self.names.items():
            for name in names:
                if name != self.references[column]:
                    yield column, name

    def _check(self, column: str) -> None:
        names = self.names[column]
        if len(names) < 2:
            raise ValueError(
                f"column {column!r} has the group {names[0]!r} only, so there is nothing to "
                "compare; leave it out"
            )
        for name in names:
            if not self._inside(column, name).any():
                raise ValueError(
                    f"group {name!r} of column {column!r} has no words where all other columns are "
                    "known; leave the group or a column out"
                )
            if not self._sum(column, name, self.errors):
                raise ValueError(
                    f"group {name!r} of column {column!r} has no errors in "
                    f"{self._sum(column, name, self.words):.0f} words, so its ratio has no "
                    "interval; merge it with another group"
                )

    def _check_collinear(self) -> None:
        """Look for an indicator that the intercept and the ones before it add up to."""
        gram = self.matrix.T @ self.matrix
        for place in range(1, len(gram)):
            before, mixed = gram[:place, :place], gram[:place, place]
            weights = np.linalg.solve(before, mixed)
            if gram[place, place] - mixed @ weights > _COLLINEAR * gram[place, place]:
                continue
            column, group = self.effects[place - 1]
            parts = [
                f"{other}={name}"
                for (other, name), weight in zip(self.effects, weights[1:], strict=False)
                if abs(weight) > 1e-6
            ]
            raise ValueError(
                f"who is in group {group!r} of column {column!r} follows from "
                f"{', '.join(parts)}, so their effects cannot be told apart; leave one of the "
                "columns out or merge groups"
            )


def _fit(statsmodels: Any, design: _Design) -> Any:
    import warnings

    model = statsmodels.GEE(
        design.errors,
        design.matrix,
        groups=design.speakers,
        offset=np.log(design.words),
        family=statsmodels.families.Poisson(),
    )
    start = np.zeros(design.matrix.shape[1])
    start[0] = math.log(design.errors.sum() / design.words.sum())
    with warnings.catch_warnings():
        # What it warns of is checked below.
        warnings.simplefilter("ignore")
        fit = model.fit(start_params=start, cov_type="bias_reduced")
    if not fit.converged or not np.isfinite(fit.bse).all() or (np.asarray(fit.bse) <= 0).any():
        raise ValueError(
            f"the regression on {', '.join(design.names)} did not converge; merge small groups or "
            "leave columns out"
        )
    return fit
