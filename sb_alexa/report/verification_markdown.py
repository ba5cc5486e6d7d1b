"""Results of verification as Markdown that reads well on a terminal."""

from __future__ import annotations

from sb_alexa.metrics.verification import VerificationCounts
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import UNKNOWN, estimate_text
from sb_alexa.report.markdown_table import aligned_table
from sb_alexa.report.verification_results import (
    ColumnResult,
    GroupResult,
    SpreadResult,
    VerificationComparison,
    VerificationResult,
)

_MEASURES = ("eer", "fmr", "fnmr")


def verification_markdown(result: VerificationResult) -> str:
    """Tables of the error rates: as a whole, by group, how far groups lie apart, differences.

    Arguments
    ---------
    result : VerificationResult
        What was measured.

    Returns
    -------
    str
        Markdown.
    """
    counts, prior = result.counts, result.settings.target_prior
    speakers = f" of {result.num_speakers:,} speakers" if result.num_speakers else ""
    lines = [
        f"{result.system}: {result.num_trials:,} trials{speakers}, {counts.num_targets:,} of the "
        "same speaker",
        "",
        f"EER       {estimate_text(result.eer)} %",
        f"minDCF    {estimate_text(result.min_dcf, digits=3)} at target prior {prior:g}",
        *([] if result.dcf is None else [f"DCF       {result.dcf:.3f} at the threshold"]),
        *([] if result.cllr is None else [f"Cllr      {result.cllr:.3f} bits"]),
        f"threshold {result.decision.threshold:.4g}, {result.decision.origin}",
        f"          FMR {estimate_text(result.fmr)} %, FNMR {estimate_text(result.fnmr)} %",
    ]
    for column in result.columns:
        lines += ["", f"## By {column.column}", "", *_groups(column, result), ""]
        lines += _spreads(column)
    if result.comparison is not None:
        lines += ["", *_comparison(result, result.comparison)]
    if result.num_speakers:
        level = 100 * result.settings.level
        lines += ["", f"In brackets {level:g} % intervals by resampling speakers."]
    return "\n".join([*lines, *(f"Note: {caution}" for caution in result.cautions)])


def _groups(column: ColumnResult, result: VerificationResult) -> list[str]:
    titles = [column.column, "speakers", "trials", "EER %", "FMR %", "FNMR %"]
    rows = [_group(group) for group in column.groups]
    between = [
        _counts("between groups", column.cross_group),
        _counts("group unknown", column.unknown),
    ]
    whole = [
        "**all**",
        f"{result.num_speakers:,}" if result.num_speakers else UNKNOWN,
        f"{result.num_trials:,}",
        *(estimate_text(getattr(result, measure)) for measure in _MEASURES),
    ]
    return aligned_table(titles, [*rows, *(row for row in between if row), whole])


def _group(group: GroupResult) -> list[str]:
    speakers = group.errors.num_speakers
    return [
        group.marked_name,
        UNKNOWN if speakers is None else f"{speakers:,}",
        f"{group.errors.num_trials:,}",
        *(estimate_text(getattr(group, measure)) for measure in _MEASURES),
    ]


def _counts(name: str, counts: VerificationCounts) -> list[str]:
    number = counts.num_targets + counts.num_non_targets
    if not number:
        return []
    rates = [UNKNOWN if rate != rate else f"{rate:.2f}" for rate in (counts.fmr, counts.fnmr)]
    return [name, UNKNOWN, f"{number:,}", UNKNOWN, *rates]


def _spreads(column: ColumnResult) -> list[str]:
    rows = []
    for measure in _MEASURES:
        spread: SpreadResult | None = getattr(column, measure)
        if spread is not None:
            gap, std = estimate_text(spread.gap), estimate_text(spread.std)
            rows.append([measure.upper(), gap, std, spread.spread.worst, spread.spread.best])
    if not rows:
        return ["Fewer than two groups can be ranked: no gap."]
    return aligned_table(["points", "gap", "std", "worst", "best"], rows)


def _comparison(result: VerificationResult, comparison: VerificationComparison) -> list[str]:
    differences = comparison.differences

    def row(name: str, estimate: Estimate, digits: int = 2) -> list[str]:
        text = estimate_text(estimate, digits=digits, sign=True)
        return [name, f"**{text}**" if estimate.excludes_zero else text]

    rows = [
        row("EER", differences.eer),
        row("minDCF", differences.minimum_dcf, 3),
        row("FMR", differences.fmr),
        row("FNMR", differences.fnmr),
    ]
    for column, estimates in differences.columns.items():
        rows += [row(f"EER of {column} {group.group}", group.eer) for group in estimates.groups]
        if estimates.eer_spread is not None:
            rows.append(row(f"gap of EER, {column}", estimates.eer_spread.gap))
            rows.append(row(f"std of EER, {column}", estimates.eer_spread.std))
    return [
        f"## {result.system} minus {comparison.base}",
        "",
        f"Threshold of {comparison.base}: {comparison.base_decision.threshold:.4g}, "
        f"{comparison.base_decision.origin}. Bold where the interval excludes 0.",
        "",
        *aligned_table(["points", "difference"], rows),
    ]
