"""Word error rates by group as one HTML page that needs no network."""

from __future__ import annotations

import math
from html import escape

import sb_alexa
from sb_alexa.report.audit_cohorts import partition_section, voices_section
from sb_alexa.report.audit_column import column_section, gap_text
from sb_alexa.report.audit_comparison import comparison_section
from sb_alexa.report.audit_methods import methods_section
from sb_alexa.report.audit_regions import regions_section
from sb_alexa.report.audit_regression import regression_section
from sb_alexa.report.audit_results import AuditColumn, AuditResult
from sb_alexa.report.document import html_document, style_sheets
from sb_alexa.report.estimate_text import interval_text, number_text
from sb_alexa.report.html_table import folded
from sb_alexa.report.speaker_section import speaker_section

_MOST_NOTES = 3
_SYNTHETIC = (
    "The speech is synthetic. These figures show that the code works; they say nothing about "
    "people, and groups of synthetic voices are not groups of people."
)
# Where a column's groups are shown, by its origin.
_SECTIONS = {"region": "map", "zip": "zip", "voice": "voices"}


def audit_page(result: AuditResult, *, synthetic: bool = False, command: str = "") -> str:
    """Render what an audit found.

    Arguments
    ---------
    result : AuditResult
        Of one system, with a comparison or without.
    synthetic : bool
        Whether the speech is synthetic, which the page then says at its top.
    command : str
        What was run, for the last line.

    Returns
    -------
    html : str
        A whole document; style and charts are inside, there is no script.
    """
    sections = [_head(result, synthetic), _notes(result)]
    anchors = _anchors(result)
    for column in result.columns:
        if not _is_in_its_discovery(result, column):
            heading = f'<h2 id="{anchors[column.name]}">By {escape(column.name)}</h2>'
            sections.append(f"{heading}\n{column_section(result, column)}")
    sections.append(speaker_section(result.speakers))
    if result.regression is not None:
        sections.append(regression_section(result.regression, level=result.settings.level))
    if result.places or result.tree is not None:
        sections.append(regions_section(result))
    if result.partition is not None:
        sections.append(partition_section(result, result.partition))
    if result.voices is not None:
        sections.append(voices_section(result, result.voices))
    if result.comparisons:
        sections.append(comparison_section(result))
    sections.append(methods_section(result))
    made = f" by <code>{escape(command)}</code>" if command else ""
    sections.append(f"<footer>Made with sb-alexa {sb_alexa.__version__}{made}.</footer>")
    title = f"{result.system}: {number_text(result.overall.wer.value)} % WER"
    style = style_sheets("group_rates.css", "audit.css")
    return html_document(title, "\n".join(filter(None, sections)), style=style)


def _head(result: AuditResult, synthetic: bool) -> str:
    overall = result.overall
    caveat = f'<p class="caveat">{_SYNTHETIC}</p>\n' if synthetic else ""
    tiles = "".join(f"<div><dt>{value}</dt><dd>{text}</dd></div>" for value, text in _tiles(result))
    anchors = _anchors(result)
    verdicts = "".join(f"<li>{_verdict(one, anchors[one.name])}</li>" for one in result.columns)
    if result.comparisons:
        verdicts += f"<li>{_compared(result)}</li>"
    listed = f'\n<ul class="verdicts">{verdicts}</ul>' if verdicts else ""
    return f"""<p class="overline">Speech recognition by group</p>
<h1>{escape(result.system)}: {number_text(overall.wer.value)}&nbsp;% word error rate</h1>
<p class="lede">{result.num_utterances:,} utterances with {overall.words:,.0f} words by
{overall.num_speakers:,} speakers.</p>
{caveat}<dl class="figures">{tiles}</dl>{listed}"""


def _tiles(result: AuditResult) -> list[tuple[str, str]]:
    overall = result.overall.wer
    interval = _unbroken(interval_text(overall))
    tiles = [(f"{number_text(overall.value)} %", f"word error rate of all speakers {interval}")]
    widest = _widest(result)
    if widest is not None and widest.rates.gap is not None:
        gap = widest.rates.gap
        worst, name = widest.rates.by_group[gap.bottom].wer, escape(widest.name)
        interval = _unbroken(interval_text(worst))
        text = f"worst ranked group, {name}: {escape(gap.bottom)} {interval}"
        tiles.append((f"{number_text(worst.value)} %", text))
        interval = _unbroken(interval_text(gap.gap_points))
        text = f"points above the best, {escape(gap.top)} {interval}"
        tiles.append((number_text(gap.gap_points.value), text))
    tested = [
        one
        for column in result.columns
        for one in column.tests
        if not math.isnan(one.adjusted_p_value)
    ]
    if tested:
        certain = sum(one.adjusted_p_value <= 1 - result.settings.level for one in tested)
        text = "tested groups differ from the rest of their column, after Holm"
        tiles.append((f"{certain} of {len(tested)}", text))
    return tiles


def _widest(result: AuditResult) -> AuditColumn | None:
    """The column whose worst ranked group has the highest rate, of those with any gap."""
    unequal = [
        column
        for column in result.columns
        if column.rates.gap is not None and column.rates.gap.gap_points.value != 0
    ]
    return max(unequal, key=lambda one: one.rates.ranked[0].wer.value, default=None)


def _verdict(column: AuditColumn, anchor: str) -> str:
    link = f'<a href="#{anchor}">{escape(column.name)}</a>'
    gap = column.rates.gap
    if gap is None:
        return f"{link}<span>too few groups with enough speakers to speak of a gap</span>"
    if gap.gap_points.value == 0:
        return f"{link}<span>no difference between the ranked groups</span>"
    text = f"{escape(gap.bottom)} over {escape(gap.top)}: {gap_text(gap)}"
    chance = "" if gap.gap_points.excludes_zero else "; 0 lies inside, this can be chance"
    held_out = ", on held-out speakers" if column.is_found else ""
    return f"{link}<span>{text}{held_out}{chance}</span>"


def _compared(result: AuditResult) -> str:
    difference = result.comparisons[-1].differences.overall.difference.points
    interval = interval_text(difference, sign=True)
    text = _unbroken(f"{number_text(difference.value, sign=True)} {interval}".strip())
    chance = "" if difference.excludes_zero else "; 0 lies inside, this can be chance"
    link = f'<a href="#comparison">against {escape(result.base)}</a>'
    return f"{link}<span>all speakers: {text}&nbsp;points{chance}</span>"


def _notes(result: AuditResult) -> str:
    items = [f"<li>{escape(note)}</li>" for note in result.notes]
    if not items:
        return ""
    shown = f'<ul class="notes">{"".join(items[:_MOST_NOTES])}</ul>'
    rest = items[_MOST_NOTES:]
    if not rest:
        return shown
    summary = f"{len(rest)} more note{'s' if len(rest) > 1 else ''} on the data"
    return shown + folded(summary, f'<ul class="notes">{"".join(rest)}</ul>')


def _anchors(result: AuditResult) -> dict[str, str]:
    """By column where on the page it is; names may hold what an identifier may not."""
    return {
        column.name: _SECTIONS[column.origin]
        if _is_in_its_discovery(result, column)
        else f"column-{number}"
        for number, column in enumerate(result.columns)
    }


def _is_in_its_discovery(result: AuditResult, column: AuditColumn) -> bool:
    shown = {
        "region": bool(result.places) or result.tree is not None,
        "zip": result.partition is not None,
        "voice": result.voices is not None,
    }
    return shown.get(column.origin, False)


def _unbroken(text: str) -> str:
    return text.replace(" ", "&nbsp;")
