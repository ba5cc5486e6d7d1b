"""What is known about the people of ZIP areas, from any table keyed by ZIP code."""

from __future__ import annotations

import os
from pathlib import Path

from sb_alexa.assets import nearest
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.transcript_files import read_blocks

_KEYS = ("zip", "zip_code", "zipcode", "zcta", "geoid")


def read_attributes(
    path: str | os.PathLike[str], *, zip_column: str | None = None
) -> dict[str, dict[str, str]]:
    """Read attributes of ZIP areas.

    Arguments
    ---------
    path : str or path-like
        A table with a header between tabs, commas, semicolons or bars, or JSON lines: a line for
        each ZIP code, and columns of shares (0 to 1), other numbers or text.
    zip_column : str | None
        Which column has the ZIP codes; None looks for ``zip``, ``zip_code``, ``zipcode``, ``zcta``
        or ``geoid``, in upper or lower case.

    Returns
    -------
    dict of str to dict
        Text by attribute by ZIP code, for `sb_alexa.fairness.demographic_partition`; empty where
        unknown.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If no column has ZIP codes, there is no other column, or a code has two lines.

    Example
    -------
    >>> path = getfixture("tmp_path") / "census.csv"
    >>> _ = path.write_text("GEOID,renters\\n02138,0.6\\n10001,0.3\\n")
    >>> read_attributes(path)
    {'02138': {'renters': '0.6'}, '10001': {'renters': '0.3'}}
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"attribute table {path} does not exist")
    attributes: dict[str, dict[str, str]] = {}
    for lines, columns in read_blocks(path):
        key = _key(path, [*columns], zip_column)
        others = [name for name in columns if name != key]
        if not others:
            raise CorpusError(f"{path} has no column beside {key!r}; add one for each attribute")
        sides = zip(*(columns[name] for name in others), strict=True)
        for line, code, values in zip(lines, columns[key], sides, strict=True):
            if not code:
                continue
            if code in attributes:
                raise CorpusError(
                    f"{path}, line {line}: ZIP code {code!r} has a line before; leave one of them"
                )
            attributes[code] = dict(zip(others, values, strict=True))
    return attributes


def _key(path: str | os.PathLike[str], columns: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked in columns:
            return asked
        close = nearest(asked, columns)
        question = f" Did you mean {close}?" if close else ""
        raise CorpusError(f"{path} has no column {asked!r}.{question} It has: {', '.join(columns)}")
    found = next((name for name in columns if name.lower() in _KEYS), None)
    if found is None:
        raise CorpusError(
            f"{path} has no column of ZIP codes; it has: {', '.join(columns)}; call it zip"
        )
    return found
