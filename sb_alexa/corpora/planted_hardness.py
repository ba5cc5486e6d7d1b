"""Levels of planted difficulty as somebody writes them."""

from __future__ import annotations

from collections.abc import Sequence

from sb_alexa.corpora.voices import ACCENTS, GENDERS, check_hardness


def parse_hardness(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return what `make_speakers` and the writers of corpora take.

    Arguments
    ---------
    texts : sequence of str
        Levels from 0 to 1: a number is that of everybody, `GROUP=LEVEL` that of an accent or a
        gender. A speaker of several groups gets the largest; the accent's replaces everybody's.

    Returns
    -------
    dict
        Levels by column and group; empty without texts.

    Raises
    ------
    ValueError
        If a text is no level, a group does not exist or is given twice.

    Example
    -------
    >>> parse_hardness(["scottish=0.6", "F=0.1"])
    {'accent': {'scottish': 0.6}, 'gender': {'F': 0.1}}
    >>> parse_hardness(["0.3", "british=0"])["accent"]["scottish"]
    0.3
    """
    everybody: float | None = None
    planted: dict[str, dict[str, float]] = {}
    for text in texts:
        group, equals, level_text = text.rpartition("=")
        level = _level(text, level_text)
        if not equals:
            if everybody is not None:
                raise ValueError(f"hardness has two levels for everybody, {everybody} and {level}")
            everybody = level
            continue
        column = "gender" if group in GENDERS else "accent"
        levels = planted.setdefault(column, {})
        if group in levels:
            raise ValueError(f"hardness of {group!r} is given twice, {levels[group]} and {level}")
        levels[group] = level
    if everybody is not None:
        planted["accent"] = {**dict.fromkeys(ACCENTS, everybody), **planted.get("accent", {})}
    return check_hardness(planted)


def _level(text: str, level: str) -> float:
    try:
        return float(level)
    except ValueError:
        raise ValueError(
            f"hardness {text!r} must be a level from 0 to 1, or GROUP=LEVEL such as scottish=0.5"
        ) from None
