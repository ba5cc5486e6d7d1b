"""Section of a page: the word error rates of one column of groups."""

from __future__ import annotations

import math
from html import escape

from sb_alexa.metrics.error_rate_estimates import ErrorRateGap, GroupErrorRate
from sb_alexa.metrics.group_rate_tests import GroupRateTest
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.audit_results import AuditColumn, AuditResult
from sb_alexa.report.estimate_text import UNKNOWN, interval_text, number_text
from sb_alexa.report.html_table import TableRow, estimate_cell, folded, html_table, p_value_cell
from sb_alexa.report.rate_bars import RateBar, rate_bars

# More are folded away: nobody reads 200 bars.
MOST_SHOWN = 24
_MOST_NAMED = 5


def column_section(result: AuditResult, column: AuditColumn) -> str:
    """Render bars, the gap, the tests and the table of a column, without a heading.

    Arguments
    ---------
    result : AuditResult
        That the column is part of.
    column : AuditColumn
        Its groups.

    Returns
    -------
    html : str
        Paragraphs, bars and a table.
    """
    level = result.settings.level
    said = [_origin(result, column), _gap(column), _tested(column, level)]
    paragraphs = "\n".join(f"<p>{sentence}</p>" for sentence in said if sentence)
    return f"""{paragraphs}
{_bars(column)}
{_table(result, column)}"""


def ordered(column: AuditColumn) -> list[GroupErrorRate]:
    """Ranked groups worst first, then the others in alphabetical order."""
    rates = column.rates
    return [*rates.ranked, *(one for one in rates.groups if not one.is_ranked)]


def gap_text(gap: ErrorRateGap) -> str:
    """Points and percent with their intervals, as HTML on lines that do not break within them."""
    text = f"{_kept(number_text(gap.gap_points.value), interval_text(gap.gap_points))}&nbsp;points"
    relative = gap.gap_relative
    if math.isnan(relative.value):
        return text
    percents = [100.0 * end for end in (relative.value, relative.low, relative.high)]
    value, low, high = (number_text(percent, digits=0) for percent in percents)
    interval = "" if math.isnan(relative.low) else f"[{low}, {high}]"
    return f"{text}, {_kept(f'{value} %', interval)}"


def _kept(value: str, interval: str) -> str:
    return f"{value} {interval}".strip().replace(" ", "&nbsp;")


def _origin(result: AuditResult, column: AuditColumn) -> str:
    if column.origin == "applied":
        return (
            "These cohorts come from a file and were applied to all speakers of this table. If "
            "some of these speakers found them, gaps tend to be too large (the winner's curse)."
        )
    if not column.is_found:
        return ""
    base = f" with the transcripts of {escape(result.base)}" if result.base else ""
    return (
        f"These cohorts were found{base} on one half of the speakers. All rates below are "
        "<b>of the other, held-out half</b>, which had no part in finding them."
    )


def _gap(column: AuditColumn) -> str:
    gap, number = column.rates.gap, len(column.rates.ranked)
    if gap is None:
        return (
            f"Fewer than two groups have {FEWEST_SPEAKERS} speakers, so none is called worst or "
            "best."
        )
    if gap.gap_points.value == 0:
        return f"All {number} ranked groups have the same word error rate."
    text = (
        f"The word error rate is highest for <b>{escape(gap.bottom)}</b> and lowest for "
        f"<b>{escape(gap.top)}</b>: a gap of {gap_text(gap)} of the lower rate."
        if not math.isnan(gap.gap_relative.value)
        else f"The word error rate is highest for <b>{escape(gap.bottom)}</b>; "
        f"<b>{escape(gap.top)}</b> has no errors: a gap of {gap_text(gap)}."
    )
    if math.isnan(gap.gap_points.low):
        return f"{text} No interval could be measured."
    pairs = "" if number == 2 else f", which allows for all pairs of {number} groups,"
    if gap.gap_points.excludes_zero:
        return f"{text} The interval{pairs} excludes 0."
    return f"{text} The interval{pairs} contains 0: a gap like this can be chance."


def _tested(column: AuditColumn, level: float) -> str:
    tested = [one for one in column.tests if not math.isnan(one.adjusted_p_value)]
    if len(column.rates.groups) < 2:
        return ""
    if not tested:
        return "No group could be tested against the rest."
    certain = [one for one in tested if one.adjusted_p_value <= 1.0 - level]
    percent = f"{100 * (1 - level):g}&nbsp;%"
    if not certain:
        return (
            f"Of {len(tested)} tested groups none differs from the rest of the column (Holm's "
            f"correction, {percent}). That is not to say that they are equal."
        )
    worse = sorted((one for one in certain if one.rest_ratio > 1), key=lambda o: -o.rest_ratio)
    better = sorted((one for one in certain if one.rest_ratio <= 1), key=lambda o: o.rest_ratio)
    sides = [
        f"{_names(side)} {'is' if len(side) == 1 else 'are'} recognised {how}"
        for side, how in ((worse, "worse"), (better, "better"))
        if side
    ]
    return (
        f"{len(certain)} of {len(tested)} tested groups "
        f"{'differs' if len(certain) == 1 else 'differ'} from the rest of the column (Holm's "
        f"correction, {percent}): {'; '.join(sides)}."
    )


def _names(tests: list[GroupRateTest]) -> str:
    names = ", ".join(escape(one.group) for one in tests[:_MOST_NAMED])
    return names + (f" and {len(tests) - _MOST_NAMED} more" if len(tests) > _MOST_NAMED else "")


def _bars(column: AuditColumn) -> str:
    groups = ordered(column)
    errors, words = (sum(getattr(group, side) for group in groups) for side in ("errors", "words"))
    together = 100.0 * errors / words if words else math.nan
    note = "lines are intervals, the dashed mark is all these groups together"
    if not all(group.is_ranked for group in groups):
        note += f"; pale: fewer than {FEWEST_SPEAKERS} speakers, not ranked"
    shown = [RateBar(_marked(group), group.wer, group.is_ranked) for group in groups[:MOST_SHOWN]]
    panel = rate_bars("Word error rate, %, worst first", note, shown, overall=together)
    kind = "ranks many" if len(shown) > 8 else "ranks"
    left_out = len(groups) - len(shown)
    more = f'<p class="soft">{left_out:,} more in the table.</p>' if left_out else ""
    return f'<div class="{kind}">{panel}</div>{more}'


def _table(result: AuditResult, column: AuditColumn) -> str:
    tests = {one.group: one for one in column.tests}
    groups = ordered(column)
    rows = [_row(group, tests.get(group.group), result.settings.level) for group in groups]
    if column.num_unknown_speakers:
        name = "found the cohorts, or cohort unknown" if column.is_found else "group unknown"
        unknown = f"{column.num_unknown_speakers:,}"
        rows.append(TableRow([name, unknown, *[UNKNOWN] * 4], "soft"))
    overall = result.overall
    counts = [f"{overall.num_speakers:,}", f"{overall.words:,.0f}", estimate_cell(overall.wer)]
    rows.append(TableRow(["all speakers", *counts, "", ""], "total"))
    headings = [column.name, "Speakers", "Words", "WER %", "Ratio to rest", "p after Holm"]
    table = html_table(headings, rows)
    if not all(group.is_ranked for group in groups):
        table += (
            f'\n<p class="soft foot">* Fewer than {FEWEST_SPEAKERS} speakers: shown, but neither '
            "ranked nor tested.</p>"
        )
    return folded(f"Table of all {len(groups)} groups", table) if len(rows) > MOST_SHOWN else table


def _row(group: GroupErrorRate, test: GroupRateTest | None, level: float) -> TableRow:
    ratio, p_value = (math.nan, math.nan)
    if test is not None:
        ratio, p_value = test.rest_ratio, test.adjusted_p_value
    cells = [
        escape(_marked(group)),
        f"{group.num_speakers:,}",
        f"{group.words:,.0f}",
        estimate_cell(group.wer),
        number_text(ratio),
        p_value_cell(p_value, level=level),
    ]
    return TableRow(cells, "" if group.is_ranked else "soft")


def _marked(group: GroupErrorRate) -> str:
    return group.group if group.is_ranked else f"{group.group} *"
