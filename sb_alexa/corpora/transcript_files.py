"""Tables of transcripts as blocks of text columns, from files of several kinds and data frames."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sb_alexa.corpora.text_files import CorpusError, name_some

if TYPE_CHECKING:
    import pandas

# A block of long transcripts stays below some tens of megabytes.
_BLOCK_ROWS = 20_000
_DELIMITERS = "\t,;|"
_SUFFIXES = (".csv", ".tsv", ".jsonl")


class TextBlock(NamedTuple):
    """Some rows of a table.

    Arguments
    ---------
    lines : sequence of int
        Where each row ends in its file, counted from 1; of a data frame, its position from 0.
    columns : dict of str to list of str
        Text without surrounding white space by column; empty where there is nothing.
    """

    lines: Sequence[int]
    columns: dict[str, list[str]]


def is_data_frame(source: object) -> bool:
    """Whether this is a pandas DataFrame; pandas is not imported to find out."""
    # Nobody can hand over a data frame without having imported pandas.
    pandas_module = sys.modules.get("pandas")
    return pandas_module is not None and isinstance(source, pandas_module.DataFrame)


def source_name(source: str | os.PathLike[str] | pandas.DataFrame) -> str:
    """What messages call a table.

    Raises
    ------
    TypeError
        If it is neither a path nor a pandas DataFrame.
    """
    if is_data_frame(source):
        return "the data frame"
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"a table of transcripts is a path or a pandas DataFrame, got {type(source).__name__}; "
            "write it as CSV, or convert it with its to_pandas()"
        )
    return os.fspath(source)


def read_blocks(
    source: str | os.PathLike[str] | pandas.DataFrame,
    *,
    bare_lines: tuple[str, str] | None = None,
) -> Iterator[TextBlock]:
    """Read a table block by block, so that a million transcripts need not lie in memory.

    The kind of a file is told by its first line: JSON lines begin with a brace; anything else has
    a header between tabs, commas, semicolons or bars.

    Arguments
    ---------
    source : str, path-like or pandas.DataFrame
        A file is UTF-8, with or without a byte-order mark.
    bare_lines : tuple of str | None
        Allow lines `id TAB text` or `id text` without a header, and call the two so. A first line
        that holds one of these names is a header.

    Yields
    ------
    TextBlock
        At least one, none of them empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it is a folder, is empty or damaged; the message names the line.

    Example
    -------
    >>> path = getfixture("tmp_path") / "table.csv"
    >>> _ = path.write_text("id;speaker\\nu1; ann\\n")
    >>> next(read_blocks(path))
    TextBlock(lines=[2], columns={'id': ['u1'], 'speaker': ['ann']})
    """
    name = source_name(source)
    if is_data_frame(source):
        blocks = _frame_blocks(source)  # type: ignore[arg-type]
    else:
        blocks = _file_blocks(Path(name), bare_lines)
    num_blocks = 0
    for block in blocks:
        num_blocks += 1
        yield block
    if not num_blocks:
        raise CorpusError(f"{name} holds no utterances")


def _file_blocks(path: Path, bare_lines: tuple[str, str] | None) -> Iterator[TextBlock]:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in _SUFFIXES)
        hint = f"; give a file in it: {name_some(inside)}" if inside else "; give a file"
        raise CorpusError(f"{path} is a folder{hint}")
    if not path.is_file():
        raise FileNotFoundError(f"table of transcripts {path} does not exist")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
        with path.open(newline="", encoding="utf-8-sig") as file:
            if first.lstrip().startswith("{"):
                yield from _json_blocks(path, file)
            elif first.lstrip().startswith("["):
                raise CorpusError(f"{path} is a JSON list; write its objects one a line")
            elif bare_lines is not None and _is_bare(first, bare_lines):
                yield from _bare_blocks(file, bare_lines)
            else:
                yield from _delimited_blocks(path, file, _delimiter(first))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text: {error}") from error


def _delimiter(header: str) -> str:
    return next((mark for mark in _DELIMITERS if mark in header), ",")


def _delimited_blocks(path: Path, file: Iterable[str], delimiter: str) -> Iterator[TextBlock]:
    # Strict: a quotation mark inside a transcript would swallow the following lines unnoticed.
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if len(row) != len(header) or not header:
                if not "".join(row).strip():
                    continue
                if header:
                    raise CorpusError(
                        f"{path}, line {reader.line_num} has {len(row)} fields, the header "
                        f"{len(header)}; put text that holds {delimiter!r} or a quotation mark "
                        "into quotation marks"
                    )
                header = _checked_header(path, row)
                continue
            rows.append(row)
            lines.append(reader.line_num)
            if len(rows) == _BLOCK_ROWS:
                yield _of_rows(header, rows, lines)
                rows, lines = [], []
    except csv.Error as error:
        raise CorpusError(
            f"{path}, line {reader.line_num}: {error}; put text that holds a quotation mark into "
            "quotation marks and double those inside it"
        ) from error
    if rows:
        yield _of_rows(header, rows, lines)


def _checked_header(path: Path | str, names: Sequence[str]) -> list[str]:
    header = [name.strip() for name in names]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise CorpusError(f"{path} has the column {twice[0]!r} twice; rename or delete one")
    return header


def _of_rows(header: Sequence[str], rows: Sequence[Sequence[str]], lines: list[int]) -> TextBlock:
    # pandas writes its row numbers under an empty name.
    sides = zip(header, zip(*rows, strict=True), strict=True)
    return TextBlock(lines, {name: [*map(str.strip, side)] for name, side in sides if name})


def _json_blocks(path: Path, file: Iterable[str]) -> Iterator[TextBlock]:
    numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    while chunk := list(islice(numbered, _BLOCK_ROWS)):
        records = [_json_object(path, number, line) for number, line in chunk]
        keys = dict.fromkeys(key for record in records for key in record)
        columns = {key: [_text(record.get(key)) for record in records] for key in keys}
        yield TextBlock([number for number, _ in chunk], columns)


def _json_object(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{path}, line {number} is not a JSON object: {line.strip()[:60]!r}")
    return record


def _is_bare(first: str, names: tuple[str, str]) -> bool:
    delimiter = next((mark for mark in _DELIMITERS if mark in first.partition(" ")[0]), " ")
    fields = [field.strip().strip('"') for field in first.split(delimiter)]
    if set(fields) & set(names):
        return False
    return delimiter == " " or (delimiter == "\t" and len(fields) == 2)


def _bare_blocks(file: Iterable[str], names: tuple[str, str]) -> Iterator[TextBlock]:
    numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    while chunk := list(islice(numbered, _BLOCK_ROWS)):
        # An identifier alone has an empty transcript; before a tab it may hold blanks.
        pairs = [line.strip().partition("\t" if "\t" in line else " ") for _, line in chunk]
        sides = [[pair[0].strip() for pair in pairs], [pair[2].strip() for pair in pairs]]
        yield TextBlock([number for number, _ in chunk], dict(zip(names, sides, strict=True)))


def _frame_blocks(frame: pandas.DataFrame) -> Iterator[TextBlock]:
    header = _checked_header("the data frame", [str(name) for name in frame.columns])
    for start in range(0, len(frame), _BLOCK_ROWS):
        part = frame.iloc[start : start + _BLOCK_ROWS]
        columns = {}
        for place, name in enumerate(header):
            side = part.iloc[:, place]
            # What pandas calls missing may not even be compared with itself.
            known = zip(side.tolist(), side.isna().tolist(), strict=True)
            columns[name] = ["" if missing else _text(value) for value, missing in known]
        yield TextBlock(range(start, start + len(part)), columns)


def _text(value: object) -> str:
    if type(value) is str:
        return value.strip()
    # NaN differs from itself.
    if value is None or value != value:
        return ""
    # A column of numbers with gaps holds 84.0 for the speaker 84.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
