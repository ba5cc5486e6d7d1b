"""Frozen dataclasses from the JSON that they were written to, checked to the last key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")
_CHECKS = {
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "str": lambda value: type(value) is str,
    "bool": lambda value: type(value) is bool,
}


def checked_keys(values: Any, names: set[str], what: str) -> Mapping[str, Any]:
    """A JSON object that has these keys and no others.

    Raises
    ------
    ValueError
        If it is none; the message names the keys.

    Example
    -------
    >>> checked_keys({"speakers": 3}, {"speakers"}, "a cohort")
    {'speakers': 3}
    """
    if not isinstance(values, dict):
        raise ValueError(f"{what} must be a JSON object, got {type(values).__name__}")
    missing, unknown = sorted(names - values.keys()), sorted(values.keys() - names)
    if missing or unknown:
        raise ValueError(
            f"{what} lacks {', '.join(missing) or 'no key'}, and of its keys "
            f"{', '.join(unknown) or 'none'} is unknown"
        )
    return values


def build(cls: type[T], values: Any, **nested: Any) -> T:
    """A dataclass from its fields; those that are no numbers or text are given as `nested`.

    Raises
    ------
    ValueError
        If a key is missing, unknown or of another type.

    Example
    -------
    >>> from sb_alexa.fairness.cohort_gap import CohortCounts
    >>> build(CohortCounts, {"speakers": 2, "errors": 5, "words": 100}).wer
    5.0
    """
    declared = {field.name: str(field.type) for field in fields(cls)}  # type: ignore[arg-type]
    values = checked_keys(values, set(declared), cls.__name__)
    plain = {name: value for name, value in values.items() if name not in nested}
    for name, value in plain.items():
        if not _CHECKS[declared[name]](value):
            raise ValueError(f"{cls.__name__}.{name} must be {declared[name]}, got {value!r}")
    return cls(**plain, **nested)
