"""Results of an audit as Markdown that reads well on a terminal."""

from __future__ import annotations

import math
import re

from sb_alexa.fairness.cohort_gap import CohortGap
from sb_alexa.fairness.group_regression import GroupRegression
from sb_alexa.metrics.error_rate_estimates import GroupErrorRate
from sb_alexa.metrics.group_rate_tests import GroupRateTest
from sb_alexa.metrics.paired_error_rates import ErrorRateDifference
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.audit_results import AuditColumn, AuditResult
from sb_alexa.report.audit_speakers import SpeakerSpread
from sb_alexa.report.estimate_text import UNKNOWN, estimate_text, number_text
from sb_alexa.report.markdown_table import aligned_table

# Of a table of somebody else's: these would end a line or command the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# Of a column, on a terminal.
_MOST_SHOWN = 50
_TITLES = ["speakers", "words", "WER %", "to the rest", "adjusted p"]


def audit_markdown(result: AuditResult) -> str:
    """Tables of word error rates: by group, adjusted, cohorts that were found, other systems.

    Arguments
    ---------
    result : AuditResult
        What was measured.

    Returns
    -------
    str
        Markdown.
    """
    overall = result.overall
    lines = [
        f"{result.system}: {result.num_utterances:,} utterances of {overall.num_speakers:,} "
        f"speakers, {overall.words:,.0f} words",
        "",
        f"WER {estimate_text(overall.wer)} %",
        _speakers(result.speakers),
    ]
    for column in result.columns:
        lines += ["", *_column(column, overall)]
    if result.regression is not None:
        lines += ["", *_regression(result.regression)]
    lines += _found(result)
    if result.comparisons:
        lines += ["", *_comparisons(result)]
    level = 100 * result.settings.level
    lines += [
        "",
        f"In brackets {level:g} % intervals by resampling speakers. Adjusted p: of a group against "
        "the rest of its column, after Holm over all groups of all columns.",
    ]
    if any(not g.is_ranked for column in result.columns for g in column.rates.groups):
        lines.append(f"* fewer than {FEWEST_SPEAKERS} speakers: shown, neither ranked nor tested.")
    return "\n".join([*lines, *(f"Note: {note}" for note in result.notes)])


def _speakers(spread: SpeakerSpread) -> str:
    low, middle, high = (number_text(value) for value in spread.percentiles)
    hardest = ", ".join(f"{_name(one.speaker)} ({number_text(one.wer)})" for one in spread.hardest)
    return (
        f"Single speakers: median {middle} %, one in ten below {low} %, one in ten above {high} %; "
        f"hardest: {hardest}"
    )


def _name(text: str) -> str:
    return _CONTROL.sub(" ", text).replace("|", "\\|")


def _column(column: AuditColumn, overall: GroupErrorRate) -> list[str]:
    tests = {test.group: test for test in column.tests}
    ranked = column.rates.ranked
    others = [group for group in column.rates.groups if not group.is_ranked]
    ordered = (*ranked, *others)
    rows = [_group(group, tests[group.group]) for group in ordered[:_MOST_SHOWN]]
    if len(ordered) > _MOST_SHOWN:
        more = f"{len(ordered) - _MOST_SHOWN:,} more, see --json"
        rows.append([more, *[UNKNOWN] * len(_TITLES)])
    title = f"## By {column.name}"
    if column.is_found:
        title += ", of the speakers who had no part in finding it"
    elif column.origin == "applied":
        title += ", from a file; too far apart if some of these speakers found the cohorts"
    if not column.is_found:
        rows.append(["**all**", *_sizes(overall), estimate_text(overall.wer), UNKNOWN, UNKNOWN])
    return [title, "", *aligned_table([column.name, *_TITLES], rows), "", _gap(column)]


def _group(group: GroupErrorRate, test: GroupRateTest) -> list[str]:
    ratio = UNKNOWN if math.isnan(test.rest_ratio) else f"x {number_text(test.rest_ratio)}"
    name = _name(group.group) + ("" if group.is_ranked else " *")
    return [name, *_sizes(group), estimate_text(group.wer), ratio, p_text(test.adjusted_p_value)]


def _sizes(group: GroupErrorRate) -> list[str]:
    return [f"{group.num_speakers:,}", f"{group.words:,.0f}"]


def p_text(value: float) -> str:
    """A p-value.

    Example
    -------
    >>> p_text(0.0004), p_text(0.0312), p_text(1.0), p_text(float("nan"))
    ('< 0.001', '0.031', '1', '–')
    """
    if math.isnan(value):
        return UNKNOWN
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.9995 else "1"


def _gap(column: AuditColumn) -> str:
    gap = column.rates.gap
    if gap is None:
        return "Fewer than two groups can be ranked: no gap."
    if gap.gap_points.value == 0:
        return f"All {len(column.rates.ranked)} ranked groups have the same word error rate."
    relative = _percent(gap.gap_relative)
    bottom, top = _name(gap.bottom), _name(gap.top)
    return f"Gap: {bottom} lies {estimate_text(gap.gap_points)} points above {top}" + (
        f", {relative}." if relative else "."
    )


def _percent(relative: Estimate) -> str:
    if not math.isfinite(relative.value):
        return ""
    scaled = Estimate(100 * relative.value, 100 * relative.low, 100 * relative.high)
    return f"{estimate_text(scaled, digits=0, sign=True)} %"


def _regression(regression: GroupRegression) -> list[str]:
    rows = [
        [
            _name(f"{one.column} {one.group}"),
            _name(one.reference),
            f"x {number_text(one.crude_ratio)}",
            f"x {estimate_text(one.ratio)}",
            p_text(one.adjusted_p_value),
        ]
        for one in regression.ratios
    ]
    titles = ["group", "beside", "alone", "with the other columns equal", "adjusted p"]
    return ["## Columns adjusted for one another", "", *aligned_table(titles, rows)]


def _found(result: AuditResult) -> list[str]:
    lines = []
    if result.tree is not None:
        number, tested = len(result.tree.regions), result.tree.num_lines_tested
        lines += [
            "",
            f"Map: {number} regions after {tested} lines tested."
            if number > 1
            else f"Map: no line was confirmed ({tested} tested)."
            if tested
            else f"Map: nothing was tested, as no line has {result.tree.rules.min_speakers} "
            "speakers of either half on both of its sides and a clear gap in the half that draws.",
        ]
    if result.partition is not None:
        chosen = result.partition.chosen
        lines += [
            "",
            f"ZIP codes: {chosen.bottom}: {_cohort(chosen.gap, chosen.adjusted_p_value)}",
        ]
    if result.voices is not None:
        lines += [
            "",
            f"Voices: the worst clusters: {_cohort(result.voices.gap, result.voices.gap.p_value)}",
        ]
    return lines


def _cohort(gap: CohortGap, p_value: float) -> str:
    points = estimate_text(Estimate(gap.points, gap.low, gap.high), sign=True)
    return (
        f"{points} points on held-out speakers, one-sided p = {p_text(p_value)}, "
        f"{100 * gap.share_of_speakers:.0f} % of them"
    )


def _comparisons(result: AuditResult) -> list[str]:
    titles = ["points", *(comparison.system for comparison in result.comparisons)]
    rows = [["WER, all", *_row([one.differences.overall.difference for one in result.comparisons])]]
    for column in result.columns:
        found = [one.differences.columns[column.name] for one in result.comparisons]
        for group in column.rates.groups[:_MOST_SHOWN]:
            inside = [one.by_group[group.group].difference for one in found]
            rows.append([_name(f"{column.name} {group.group}"), *_row(inside)])
        gaps = [one.gap for one in found]
        if all(gap is not None for gap in gaps):
            worst = [gap.worst_group for gap in gaps if gap is not None]
            rows.append([f"worst group, {column.name}", *_row(worst)])
            points = [_marked(gap.gap_points) for gap in gaps if gap is not None]
            rows.append([f"gap, {column.name}", *points])
    return [
        f"## Minus {result.base}",
        "",
        *aligned_table(titles, rows),
        "",
        "Paired on the same utterances. Bold where the interval excludes 0; one in twenty does so "
        "by chance.",
    ]


def _row(differences: list[ErrorRateDifference]) -> list[str]:
    return [_marked(difference.points) for difference in differences]


def _marked(estimate: Estimate) -> str:
    text = estimate_text(estimate, sign=True)
    return f"**{text}**" if estimate.excludes_zero else text
