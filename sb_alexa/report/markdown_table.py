"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, aligned, so that it reads well on a terminal too.

    Arguments
    ---------
    titles : sequence of str
        Of the columns: the first is text, the others are numbers.
    rows : sequence of sequence of str
        As many cells in each.

    Example
    -------
    >>> print("\\n".join(aligned_table(["who", "rate"], [["all", "12.5"]])))
    | who | rate |
    |-----|-----:|
    | all | 12.5 |
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = "|".join(f"{'-' * (w + 1)}{':' if i else '-'}" for i, w in enumerate(widths))
    return [line(titles), f"|{rule}|", *map(line, rows)]
