"""Figures of a JSON file and their names, made of columns and groups of a speaker table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from sb_alexa.metrics.verification_estimates import Estimate


def figure_name(column: str, group: str) -> str:
    """The name of a group in the JSON, or of a column where the group is empty.

    Example
    -------
    >>> figure_name("accent", "Northern Irish")
    'accent_northern_irish'
    """
    return "_".join(re.findall(r"\w+", f"{column} {group}".lower()))


def interval_figures(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A value and the ends of its interval; None for what is not a finite number.

    Example
    -------
    >>> interval_figures("wer", Estimate(1.5, 1.0, float("nan")))
    {'wer': 1.5, 'wer_low': 1.0, 'wer_high': None}
    """
    ends = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value if math.isfinite(value) else None for key, value in ends.items()}


def check_names(groups: Mapping[str, Iterable[str]]) -> None:
    """Refuse groups that the JSON could not tell apart.

    Arguments
    ---------
    groups : mapping of str to iterable of str
        Groups by column.

    Raises
    ------
    ValueError
        If two groups get the same name.
    """
    seen: dict[str, str] = {}
    for column, of_column in groups.items():
        for group in of_column:
            name = figure_name(column, group)
            if name in seen:
                raise ValueError(
                    f"{seen[name]} and {column} {group!r} would both be written as {name}; spell "
                    "them alike in the speaker table, or rename one"
                )
            seen[name] = f"{column} {group!r}"
