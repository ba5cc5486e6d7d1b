"""All the ways in which a table of attributes divides its ZIP codes in two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ZipSide:
    """ZIP codes that have something in common, and those that do not have it.

    Arguments
    ---------
    inside, outside : frozenset of str
        ZIP codes. Those whose attribute is unknown are in neither.
    inside_is, outside_is : str
        In words.
    """

    inside: frozenset[str]
    outside: frozenset[str]
    inside_is: str
    outside_is: str

    def swapped(self) -> ZipSide:
        """The same with inside and outside exchanged."""
        return ZipSide(self.outside, self.inside, self.outside_is, self.inside_is)


def zip_sides(
    table: Mapping[str, Mapping[str, object]], speakers_zips: Sequence[str]
) -> list[ZipSide]:
    """One partition for each number and for each value of each text.

    Arguments
    ---------
    table : mapping of str to mapping
        Attributes by ZIP code. A column is numeric where all of its values are numbers or text that
        reads as one.
    speakers_zips : sequence of str
        Of the speakers whose median divides numbers that are no shares.

    Returns
    -------
    list of ZipSide
        In the order of the columns.

    Example
    -------
    >>> table = {"02138": {"share": "0.6", "kind": "city"}, "04001": {"share": "0.1", "kind": ""}}
    >>> [(side.inside_is, sorted(side.inside)) for side in zip_sides(table, ["02138"])]
    [('share > 0.5', ['02138']), ('kind = city', ['02138'])]
    """
    sides: list[ZipSide] = []
    for column in dict.fromkeys(name for row in table.values() for name in row):
        texts = {code: _text(row.get(column)) for code, row in table.items()}
        known = {code: text for code, text in texts.items() if text}
        numbers = {code: _number(text) for code, text in known.items()}
        finite = {code: value for code, value in numbers.items() if value is not None}
        if finite and len(finite) == len(numbers):
            sides.append(_at_threshold(column, finite, speakers_zips))
        else:
            sides += [_of_value(column, value, known) for value in sorted(set(known.values()))]
    return sides


def _at_threshold(
    column: str, values: Mapping[str, float], speakers_zips: Sequence[str]
) -> ZipSide:
    threshold = 0.5
    if not all(0 <= value <= 1 for value in values.values()):
        spoken = [values[code] for code in speakers_zips if code in values]
        threshold = float(np.median(spoken or list(values.values())))
    above = frozenset(code for code, value in values.items() if value > threshold)
    return ZipSide(
        above,
        frozenset(values) - above,
        f"{column} > {threshold:g}",
        f"{column} <= {threshold:g}",
    )


def _of_value(column: str, value: str, known: Mapping[str, str]) -> ZipSide:
    inside = frozenset(code for code, text in known.items() if text == value)
    outside = frozenset(known) - inside
    return ZipSide(inside, outside, f"{column} = {value}", f"{column} is not {value}")


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
