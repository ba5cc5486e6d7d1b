"""Error rates of verification by group, as one HTML page that needs no network."""

from __future__ import annotations

import math
import re
from html import escape

import sb_alexa
from sb_alexa.metrics.verification import VerificationCounts
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.det_chart import DetLine, det_chart
from sb_alexa.report.document import html_document, style_sheets
from sb_alexa.report.estimate_text import UNKNOWN, interval_text, number_text
from sb_alexa.report.html_table import estimate_cell
from sb_alexa.report.rate_bars import RateBar, rate_bars
from sb_alexa.report.verification_comparison_table import comparison_section
from sb_alexa.report.verification_methods import methods_section
from sb_alexa.report.verification_results import (
    ColumnResult,
    GroupResult,
    SpreadResult,
    VerificationResult,
)

_NUM_COLOURS = 8
_MEASURES = ("eer", "fmr", "fnmr")
_SYNTHETIC = (
    "The voices are synthetic. These figures show that the code works; they say nothing about "
    "people, and groups of synthetic voices are not groups of people."
)


def verification_page(
    result: VerificationResult, *, synthetic: bool = False, command: str = ""
) -> str:
    """Render what was measured.

    Arguments
    ---------
    result : VerificationResult
        As a whole and by group.
    synthetic : bool
        Whether the voices are synthetic, which the page then says at its top.
    command : str
        What was run, for the last line.

    Returns
    -------
    html : str
        A whole document; style and charts are inside, there is no script.
    """
    style = style_sheets("group_rates.css", "verification.css")
    sections = [_head(result, synthetic)]
    sections += [_column(result, column) for column in result.columns]
    if not result.columns:
        sections.append(f"<h2>Trade-off</h2>\n{_trade_off(result, None)}")
    if result.comparison is not None:
        sections.append(comparison_section(result, result.comparison))
    sections.append(methods_section(result))
    made = f" by <code>{escape(command)}</code>" if command else ""
    sections.append(f"<footer>Made with sb-alexa {sb_alexa.__version__}{made}.</footer>")
    title = f"{result.system}: {number_text(result.eer.value)} % EER"
    return html_document(title, "\n".join(sections), style=style)


def _head(result: VerificationResult, synthetic: bool) -> str:
    speakers = f" between {result.num_speakers:,} speakers" if result.num_speakers else ""
    counts = result.counts
    figures = [
        (f"{number_text(result.eer.value)} %", _with_interval("equal error rate", result.eer)),
        (
            number_text(result.min_dcf.value, digits=3),
            _with_interval(
                f"least detection cost, target prior {result.settings.target_prior:g}",
                result.min_dcf,
                3,
            ),
        ),
        (f"{number_text(result.fmr.value)} %", _with_interval("false matches", result.fmr)),
        (f"{number_text(result.fnmr.value)} %", _with_interval("false non-matches", result.fnmr)),
    ]
    tiles = "".join(f"<div><dt>{value}</dt><dd>{text}</dd></div>" for value, text in figures)
    caveat = f'<p class="caveat">{_SYNTHETIC}</p>\n' if synthetic else ""
    notes = "".join(f"<li>{escape(caution)}</li>" for caution in result.cautions)
    listed = f'\n<ul class="notes">{notes}</ul>' if notes else ""
    costs = []
    if result.dcf is not None:
        costs.append(f"There the detection cost is {result.dcf:.3f}.")
    if result.cllr is not None:
        costs.append(f"C<sub>llr</sub> of the calibrated scores is {result.cllr:.3f} bits.")
    return f"""<p class="overline">Speaker verification by group</p>
<h1>{escape(result.system)}: {number_text(result.eer.value)}&nbsp;% equal error rate</h1>
<p class="lede">{result.num_trials:,} trials{speakers}, {counts.num_targets:,} of them with
one speaker on both sides. {_verdicts(result)}</p>
{caveat}<dl class="figures">{tiles}</dl>
<p class="soft" style="margin-top:14px">The last two are at the threshold
{result.decision.threshold:.4g}, which all groups share. It was {escape(result.decision.origin)}.
{" ".join(costs)}</p>{listed}"""


def _with_interval(text: str, estimate: Estimate, digits: int = 2) -> str:
    interval = _interval(estimate, digits)
    return f"{text} {interval}" if interval else text


def _interval(estimate: Estimate, digits: int = 2) -> str:
    """On one line, however narrow the page."""
    return interval_text(estimate, digits=digits).replace(" ", "&nbsp;")


def _verdicts(result: VerificationResult) -> str:
    said = []
    for column in result.columns:
        if column.eer is not None:
            spread = column.eer.spread
            said.append(
                f"By {escape(column.column)}, {escape(spread.worst)} lies "
                f"{number_text(spread.gap)} points above {escape(spread.best)}."
            )
    return " ".join(said)


def _column(result: VerificationResult, column: ColumnResult) -> str:
    return f"""<h2>By {escape(column.column)}</h2>
<p>{_sentence(column)}</p>
{_panels(result, column)}
{_trade_off(result, column)}
{_table(result, column)}"""


def _sentence(column: ColumnResult) -> str:
    if column.eer is None:
        return "Fewer than two groups can be ranked, so there is no gap to speak of."
    said = [
        _gap(name, getattr(column, measure))
        for measure, name in (
            ("eer", "The equal error rate"),
            ("fmr", "At the shared threshold, the false match rate"),
            ("fnmr", "the false non-match rate"),
        )
    ]
    return f"{said[0]}. {said[1]}; {said[2]}."


def _gap(name: str, result: SpreadResult | None) -> str:
    if result is None or math.isnan(result.gap.value):
        return f"{name} has no gap that could be measured"
    spread, interval = result.spread, _interval(result.gap)
    if spread.gap == 0:
        return f"{name} is the same in all of them"
    text = (
        f"{name} is highest for {escape(spread.worst)} and lowest for {escape(spread.best)}, "
        f"{number_text(spread.gap)} points apart"
    )
    if not interval:
        return text
    return f"{text} {interval} (0 lies {'outside' if result.gap.excludes_zero else 'inside'})"


def _panels(result: VerificationResult, column: ColumnResult) -> str:
    notes = {
        "eer": ("Equal error rate, %", "each group at a threshold of its own"),
        "fmr": ("False match rate, %", "strangers let in, at one threshold"),
        "fnmr": ("False non-match rate, %", "speakers turned away, at one threshold"),
    }
    panels = []
    for measure, (title, note) in notes.items():
        bars = [
            RateBar(group.marked_name, getattr(group, measure), group.errors.is_ranked)
            for group in column.groups
        ]
        overall: Estimate = getattr(result, measure)
        panels.append(rate_bars(title, note, bars, overall=overall.value))
    lines = "Lines are intervals; the" if result.num_speakers else "The"
    return f"""<div class="panels">{"".join(panels)}</div>
<p class="soft">{lines} dashed mark is the rate over all trials.</p>"""


def _trade_off(result: VerificationResult, column: ColumnResult | None) -> str:
    chosen = _drawn(column) if column else []
    lines = [
        DetLine(group.curve, f"s{number}", (group.errors.counts.fmr, group.errors.counts.fnmr))
        for number, group in enumerate(chosen)
        if group.curve is not None
    ]
    lines.insert(0, DetLine(result.curve, "all", (result.counts.fmr, result.counts.fnmr)))
    items = [_legend("all", "all trials", result.eer.value)]
    items += [_legend(f"s{n}", one.marked_name, one.eer.value) for n, one in enumerate(chosen)]
    name = re.sub(r"\W+", "-", f"det-{column.column if column else 'all'}")
    left_out = ""
    if column and len(chosen) < len(column.groups):
        left_out = (
            f"<p class='soft'>Of {len(column.groups)} groups, the {len(chosen)} with most trials "
            "of both kinds are drawn.</p>"
        )
    return f"""<figure class="trade"><div>{det_chart(lines, name=name)}</div>
<figcaption>Every threshold makes one point of a curve. Lower left is better; dots are the shared
threshold, on the dashed line both errors are equal. The axes are probits.
<ul>{"".join(items)}</ul>{left_out}</figcaption></figure>"""


def _drawn(column: ColumnResult) -> list[GroupResult]:
    """As many groups as there are colours, in the order of the table."""
    drawable = [group for group in column.groups if group.curve is not None]
    largest = sorted(drawable, key=lambda g: (not g.errors.is_ranked, -g.errors.num_trials))
    names = {group.name for group in largest[:_NUM_COLOURS]}
    return [group for group in drawable if group.name in names]


def _legend(kind: str, name: str, eer: float) -> str:
    return (
        f'<li><span class="swatch {kind}"></span><span>{escape(name)}</span>'
        f"<span>EER {number_text(eer)} %</span></li>"
    )


def _table(result: VerificationResult, column: ColumnResult) -> str:
    rows = [
        _row(
            group.marked_name,
            group.errors.num_speakers,
            group.errors.num_trials,
            [getattr(group, measure) for measure in _MEASURES],
        )
        for group in column.groups
    ]
    rows += [
        _row(name, None, _size(counts), [None, _bare(counts.fmr), _bare(counts.fnmr)], "soft")
        for name, counts in (
            ("between groups", column.cross_group),
            ("group unknown", column.unknown),
        )
        if _size(counts)
    ]
    everything = [getattr(result, measure) for measure in _MEASURES]
    rows.append(_row("all", result.num_speakers, result.num_trials, everything, "total"))
    for kind, name in (("gap", "gap, points"), ("std", "std, points")):
        spreads = [getattr(column, measure) for measure in _MEASURES]
        if any(spread is not None for spread in spreads):
            estimates = [getattr(spread, kind, None) for spread in spreads]
            rows.append(_row(name, None, None, estimates, "soft", unknown=""))
    return f"""<div class="scroll"><table>
<thead><tr><th>{escape(column.column)}</th><th class="number">Speakers</th>
<th class="number">Trials</th><th class="number">EER %</th><th class="number">FMR %</th>
<th class="number">FNMR %</th></tr></thead>
<tbody>{"".join(rows)}</tbody>
</table></div>"""


def _row(
    name: str,
    num_speakers: int | None,
    num_trials: int | None,
    estimates: list[Estimate | None],
    kind: str = "",
    *,
    unknown: str = UNKNOWN,
) -> str:
    cells = [unknown if n is None else f"{n:,}" for n in (num_speakers, num_trials)]
    cells += [UNKNOWN if one is None else estimate_cell(one) for one in estimates]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr class="{kind}"><td>{escape(name)}</td>{numbers}</tr>'


def _size(counts: VerificationCounts) -> int:
    return counts.num_targets + counts.num_non_targets


def _bare(value: float) -> Estimate:
    return Estimate(value, math.nan, math.nan)
