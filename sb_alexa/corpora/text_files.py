"""Text files of a corpus, read line by line, with errors that name the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_MOST_NAMES = 10


class CorpusError(ValueError):
    """A folder that is not the corpus asked for, or too damaged to go on with."""


def parse_file(path: Path, parse: Callable[[str], _T | None]) -> Iterator[_T]:
    """What a line parser makes of a text file; lines for which it returns None are left out.

    Raises
    ------
    CorpusError
        If the file is not text or a line does not parse; the message names file and line.
    """
    try:
        # Some editors begin a file with a byte-order mark.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            parsed = parse(line)
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: {error}") from error
        if parsed is not None:
            yield parsed


def name_some(names: Sequence[str]) -> str:
    """The first ten names of a list, in words.

    Example
    -------
    >>> name_some([str(i) for i in range(12)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
