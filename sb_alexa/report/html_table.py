"""Tables of HTML, and parts of a page that are folded away until asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import UNKNOWN, interval_text, number_text


@dataclass(frozen=True)
class TableRow:
    """A row.

    Arguments
    ---------
    cells : sequence of str
        HTML of each.
    kind : str
        Class of the style sheet: ``soft``, ``total`` or nothing.
    """

    cells: Sequence[str]
    kind: str = ""


def html_table(headings: Sequence[str], rows: Sequence[TableRow], *, text_columns: int = 1) -> str:
    """A table that can be moved sideways where it is wider than the page.

    Arguments
    ---------
    headings : sequence of str
        Plain text.
    rows : sequence of TableRow
        From top to bottom.
    text_columns : int
        How many columns, from the left, are text; the others are numbers.

    Returns
    -------
    html : str
        A `<div>`.

    Example
    -------
    >>> html = html_table(["name", "n"], [TableRow(["a", "1"])])
    >>> '<tr><td>a</td><td class="number">1</td></tr>' in html
    True
    """
    kinds = ["" if n < text_columns else ' class="number"' for n in range(len(headings))]
    head = "".join(
        f"<th{kind}>{escape(heading)}</th>" for heading, kind in zip(headings, kinds, strict=True)
    )
    body = "\n".join(_row(row, kinds) for row in rows)
    # Whoever moves by keyboard has to reach what sticks out.
    return f"""<div class="scroll" tabindex="0"><table>
<thead><tr>{head}</tr></thead>
<tbody>{body}</tbody>
</table></div>"""


def _row(row: TableRow, kinds: Sequence[str]) -> str:
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row.cells, kinds, strict=True))
    return f'<tr class="{row.kind}">{cells}</tr>' if row.kind else f"<tr>{cells}</tr>"


def estimate_cell(estimate: Estimate, *, digits: int = 2, sign: bool = False) -> str:
    """A value with its interval in small print.

    Example
    -------
    >>> estimate_cell(Estimate(1.5, 1.0, 2.0), sign=True)
    '+1.50 <small>[+1.00, +2.00]</small>'
    """
    value = number_text(estimate.value, digits=digits, sign=sign)
    interval = interval_text(estimate, digits=digits, sign=sign)
    return f"{value} <small>{interval}</small>" if interval else value


def p_value_cell(p_value: float, *, level: float = 0.95) -> str:
    """A p-value, bold up to 1 - `level`.

    Example
    -------
    >>> p_value_cell(0.0002), p_value_cell(0.25), p_value_cell(float("nan"))
    ('<b>&lt; 0.001</b>', '0.250', '–')
    """
    if math.isnan(p_value):
        return UNKNOWN
    text = "&lt; 0.001" if p_value < 0.001 else f"{p_value:.3f}"
    return f"<b>{text}</b>" if p_value <= 1.0 - level else text


def folded(summary: str, content: str) -> str:
    """Content that is shown when its summary is clicked.

    Arguments
    ---------
    summary : str
        Plain text.
    content : str
        HTML.
    """
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"
