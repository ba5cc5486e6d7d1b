"""Section of a page: groups adjusted for one another."""

from __future__ import annotations

from html import escape

from sb_alexa.fairness.group_regression import AdjustedRatio, GroupRegression
from sb_alexa.report.audit_column import MOST_SHOWN
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.html_table import TableRow, estimate_cell, folded, html_table, p_value_cell


def regression_section(regression: GroupRegression, *, level: float) -> str:
    """Render crude beside adjusted ratios.

    Arguments
    ---------
    regression : GroupRegression
        Of the declared columns.
    level : float
        Of the intervals.

    Returns
    -------
    html : str
        Heading, text and table.
    """
    ratios = regression.ratios
    named = ", ".join(
        f"{escape(column)}: {escape(group)}" for column, group in regression.references.items()
    )
    left_out = (
        f" {regression.num_cells_left_out:,} cells (a speaker in one combination of groups) have "
        "no words or an unknown group and are left out."
        if regression.num_cells_left_out
        else ""
    )
    headings = ["", "Compared with", "Speakers", "Crude ratio", "Adjusted ratio", "p after Holm"]
    table = html_table(headings, [_row(one, level) for one in ratios], text_columns=2)
    if len(ratios) > MOST_SHOWN:
        table = folded(f"Table of all {len(ratios)} ratios", table)
    return f"""<h2 id="adjusted">Adjusted for one another</h2>
<p>Groups overlap: an accent may be hard, or its speakers may be older or sit in noisier places. The
adjusted ratio compares each group with the reference group of its column as if all other columns
here were alike; what is not a column here is not adjusted for. Where the crude ratio is far from 1
and the adjusted one is not, another column explains the difference.</p>
<p class="soft">{regression.num_speakers:,} speakers enter.{left_out} Reference groups are {named}.
</p>
{table}"""


def _row(one: AdjustedRatio, level: float) -> TableRow:
    return TableRow(
        [
            f"{escape(one.column)}: {escape(one.group)}",
            escape(one.reference),
            f"{one.num_speakers:,}",
            number_text(one.crude_ratio),
            estimate_cell(one.ratio),
            p_value_cell(one.adjusted_p_value, level=level),
        ]
    )
