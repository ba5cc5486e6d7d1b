"""Section of a page: how systems differ from their base, overall, by group and in the worst one."""

from __future__ import annotations

import math
from html import escape

from sb_alexa.metrics.paired_error_rates import (
    ColumnDifferences,
    ErrorRateDifference,
    GapDifference,
)
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.audit_column import MOST_SHOWN
from sb_alexa.report.audit_pareto import ParetoPoint, pareto_chart
from sb_alexa.report.audit_results import AuditResult, SystemComparison
from sb_alexa.report.estimate_text import UNKNOWN, estimate_text, number_text
from sb_alexa.report.html_table import TableRow, estimate_cell, folded, html_table

_HEADINGS = ("Difference, points", "Relative, %")


def comparison_section(result: AuditResult) -> str:
    """Render the Pareto chart and the paired differences of all systems.

    Arguments
    ---------
    result : AuditResult
        With at least one comparison.

    Returns
    -------
    html : str
        Heading, figure, text and tables.
    """
    level = result.settings.level
    *others, audited = result.comparisons
    tables = _system(result, audited) + "".join(
        "\n" + folded(f"{one.system} minus {result.base}", _system(result, one)) for one in others
    )
    return f"""<h2 id="comparison">Against {escape(result.base)}</h2>
<p>All systems on the same utterances and the same draws of speakers, so that what makes a speaker
hard for both cancels. A negative difference is an improvement. Bold are differences whose
{100 * level:g}&nbsp;% interval excludes 0; each interval is for itself, so that of differences that
are nothing but chance, {_one_in(level)} is bold all the same.</p>
{_pareto(result)}
{tables}"""


def pareto_points(result: AuditResult) -> tuple[str, list[ParetoPoint]]:
    """What the Pareto chart shows of a comparison.

    Arguments
    ---------
    result : AuditResult
        With at least one comparison.

    Returns
    -------
    column, points : str, list of ParetoPoint
        The column whose worst group is shown: that of the regions, or else the first that has two
        ranked groups. Without any, an empty name and no points.
    """
    column = _pareto_column(result)
    if not column:
        return "", []
    points: list[ParetoPoint] = []
    for one in result.comparisons:
        overall = one.differences.overall.difference
        gap = one.differences.columns[column].gap
        if gap is None:
            continue
        if not points:
            worst_wer = gap.worst_group.base_wer
            points.append(ParetoPoint(result.base, _bare(overall.base_wer), _bare(worst_wer)))
        points.append(ParetoPoint(one.system, _around_base(overall), _around_base(gap.worst_group)))
    return column, points


def _pareto_column(result: AuditResult) -> str:
    columns = result.comparisons[0].differences.columns if result.comparisons else {}
    by_preference = sorted(result.columns, key=lambda column: column.origin != "region")
    for column in by_preference:
        if column.name in columns and columns[column.name].gap is not None:
            return column.name
    return ""


def _bare(value: float) -> Estimate:
    return Estimate(value, math.nan, math.nan)


def _around_base(difference: ErrorRateDifference) -> Estimate:
    points = difference.points
    # The same as the system's rate + (end of the interval - difference).
    low, high = difference.base_wer + points.low, difference.base_wer + points.high
    return Estimate(difference.wer, low, high)


def _pareto(result: AuditResult) -> str:
    column, points = pareto_points(result)
    if not points:
        return (
            f'<p class="soft">No column has two groups of {FEWEST_SPEAKERS} speakers, so there is '
            "no worst group to draw.</p>"
        )
    chart = pareto_chart(points, worst=f"WER of the worst {column}, %")
    base = points[0]
    items = [
        f"<li><b>{escape(base.name)}</b> (base)<br>all {number_text(base.overall.value)} %, "
        f"worst {number_text(base.worst.value)} %</li>"
    ]
    for one in result.comparisons:
        gap = one.differences.columns[column].gap
        if gap is not None:
            items.append(_item(one, gap))
    found = next(one for one in result.columns if one.name == column).is_found
    held_out = (
        f" Rates by {escape(column)} are of held-out speakers, who are part of all speakers."
        if found
        else ""
    )
    return f"""<figure class="pareto"><div>{chart}</div>
<figcaption>Lower left is better for all speakers and for the worst ranked group of
{escape(column)}, which need not be the same one in every system. Dashed lines: the base. Crosses:
paired intervals of the difference to the base, which excludes 0 where a bar does not reach the
base's line.{held_out}<ul>{"".join(items)}</ul></figcaption></figure>"""


def _item(one: SystemComparison, gap: GapDifference) -> str:
    overall, worst = one.differences.overall.difference, gap.worst_group
    return (
        f"<li><b>{escape(one.system)}</b><br>all {number_text(overall.wer)} %, "
        f"{_unbroken(overall.points)}<br>worst ({escape(gap.bottom)}) "
        f"{number_text(worst.wer)} %, {_unbroken(worst.points)}</li>"
    )


def _unbroken(estimate: Estimate) -> str:
    return estimate_text(estimate, sign=True).replace(" ", "&nbsp;")


def _system(result: AuditResult, one: SystemComparison) -> str:
    rows = [_row("all speakers", one.differences.overall.difference)]
    groups = []
    for column, found in one.differences.columns.items():
        if found.gap is not None:
            rows += _gap_rows(column, found, found.gap)
        ranked_first = sorted(found.groups, key=lambda group: not group.is_ranked)
        groups += [
            _row(
                f"{column}: {group.group}{'' if group.is_ranked else ' *'}",
                group.difference,
                "" if group.is_ranked else "soft",
            )
            for group in ranked_first
        ]
    headings = ["", one.system, result.base, *_HEADINGS]
    by_group = ""
    if groups:
        by_group = html_table(headings, groups)
        if not all(group.kind == "" for group in groups):
            by_group += f'\n<p class="soft foot">* Fewer than {FEWEST_SPEAKERS} speakers.</p>'
        if len(groups) > MOST_SHOWN // 2:
            by_group = folded(f"{one.system} by group, {len(groups)} rows", by_group)
    return f"""<h3>{escape(one.system)} minus {escape(result.base)}</h3>
{html_table(headings, rows)}
{by_group}"""


def _gap_rows(column: str, found: ColumnDifferences, gap: GapDifference) -> list[TableRow]:
    """Worst group, gap in points, gap in percent of the best group's rate."""
    worst = gap.bottom
    if worst != gap.base_bottom:
        worst += f", before {gap.base_bottom}"
    ends = f"{gap.bottom} – {gap.top}"
    if (gap.bottom, gap.top) != (gap.base_bottom, gap.base_top):
        ends += f", before {gap.base_bottom} – {gap.base_top}"
    rates = {one.group: one.difference for one in found.groups}
    own = rates[gap.bottom].wer, rates[gap.top].wer
    base = rates[gap.base_bottom].base_wer, rates[gap.base_top].base_wer
    points = [number_text(bottom - top) for bottom, top in (own, base)]
    relative = [
        number_text(100.0 * (bottom - top) / top, digits=1) if top else UNKNOWN
        for bottom, top in (own, base)
    ]
    relative.append(_difference(_times(gap.gap_relative, 100.0), digits=1))
    return [
        _row(f"{column}: worst group ({worst})", gap.worst_group),
        TableRow([escape(f"{column}: gap ({ends})"), *points, _difference(gap.gap_points), ""]),
        TableRow([escape(f"{column}: gap as % of the best group"), *relative, ""]),
    ]


def _row(name: str, difference: ErrorRateDifference, kind: str = "") -> TableRow:
    return TableRow(
        [
            escape(name),
            number_text(difference.wer),
            number_text(difference.base_wer),
            _difference(difference.points),
            _difference(_times(difference.relative, 100.0), digits=1),
        ],
        kind,
    )


def _difference(estimate: Estimate, *, digits: int = 2) -> str:
    cell = estimate_cell(estimate, digits=digits, sign=True)
    return f"<b>{cell}</b>" if estimate.excludes_zero else cell


def _times(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(factor * estimate.value, factor * estimate.low, factor * estimate.high)


def _one_in(level: float) -> str:
    number = round(1.0 / (1.0 - level))
    return "one in twenty" if number == 20 else f"one in {number}"
