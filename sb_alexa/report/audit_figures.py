"""Results of an audit as flat figures with stable names."""

from __future__ import annotations

import math

from sb_alexa.fairness.cohort_gap import CohortGap
from sb_alexa.fairness.group_regression import GroupRegression
from sb_alexa.metrics.error_rate_estimates import ErrorRateGap
from sb_alexa.metrics.paired_error_rates import GapDifference, PairedErrorRates
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.audit_results import AuditColumn, AuditResult
from sb_alexa.report.figure_names import figure_name, interval_figures

_Figures = dict[str, float | None]
_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def audit_figures(result: AuditResult) -> _Figures:
    """Figures for the JSON file; None where there is nothing to measure on.

    Arguments
    ---------
    result : AuditResult
        What was measured.

    Returns
    -------
    dict
        `utterances`, `speakers`, `words`, `errors` and, each with `_low` and `_high`: `wer`; of
        single speakers `speaker_wer_p10`, `_p50`, `_p90`; of each column `gap_<column>` (points),
        `relative_gap_<column>`, `ratio_<column>`; of each group `<column>_<group>_wer` with
        `_errors`, `_words`, `_speakers`, `_ranked` (1 or 0), `_ratio_to_rest`, `_p` and
        `_adjusted_p`, and `_adjusted_ratio` with `_crude_ratio` where columns were adjusted; of
        what was found `regions`, `zip_gap`, `voice_gap`. Of each other system
        `<system>_wer_difference` (points) and `<system>_relative_wer_difference`, the same of each
        group, of `worst_<column>` and of `gap_<column>`.
    """
    overall = result.overall
    figures: _Figures = {
        "utterances": result.num_utterances,
        "speakers": overall.num_speakers,
        "words": overall.words,
        "errors": overall.errors,
        **interval_figures("wer", overall.wer),
    }
    figures |= dict(
        zip(
            ("speaker_wer_p10", "speaker_wer_p50", "speaker_wer_p90"),
            result.speakers.percentiles,
            strict=True,
        )
    )
    for column in result.columns:
        figures |= _column(column)
    if result.regression is not None:
        figures |= _regression(result.regression)
    if result.tree is not None:
        figures["regions"] = len(result.tree.regions)
        figures["region_lines_tested"] = result.tree.num_lines_tested
    if result.partition is not None:
        figures |= _cohort_gap("zip_gap", result.partition.chosen.gap)
    if result.voices is not None:
        figures |= _cohort_gap("voice_gap", result.voices.gap)
    for comparison in result.comparisons:
        figures |= _differences(figure_name(comparison.system, ""), comparison.differences)
    return figures


def audit_names(result: AuditResult) -> dict[str, str]:
    """Text beside the figures: what was audited, and the worst and best group of each column.

    Arguments
    ---------
    result : AuditResult
        What was measured.

    Returns
    -------
    dict
        `system`, `base`, and of each column with a gap `worst_<column>` and `best_<column>`.
    """
    names = {"system": result.system, "base": result.base}
    for column in result.columns:
        if column.rates.gap is not None:
            names[f"worst_{figure_name(column.name, '')}"] = column.rates.gap.bottom
            names[f"best_{figure_name(column.name, '')}"] = column.rates.gap.top
    return names


def colliding_names(result: AuditResult) -> list[str]:
    """Sentences on groups and systems whose figures would overwrite one another's.

    Arguments
    ---------
    result : AuditResult
        Whose groups are looked at.
    """
    seen: dict[str, str] = {}
    said = []
    systems: dict[str, str] = {}
    for one in result.comparisons:
        name = figure_name(one.system, "")
        if name in systems:
            said.append(
                f"{systems[name]} and {one.system} are both called {name} in the JSON, which has "
                "the latter only; rename a file"
            )
        systems[name] = one.system
    for column in result.columns:
        for group in column.rates.groups:
            name, called = figure_name(column.name, group.group), f"{column.name} {group.group!r}"
            if name in seen:
                said.append(
                    f"{seen[name]} and {called} are both called {name} in the JSON, which has the "
                    "latter only; spell them alike, or rename one"
                )
            seen[name] = called
    return said


def _column(column: AuditColumn) -> _Figures:
    figures = _gap(column.name, column.rates.gap)
    for group, test in zip(column.rates.groups, column.tests, strict=True):
        prefix = figure_name(column.name, group.group)
        figures |= interval_figures(f"{prefix}_wer", group.wer)
        figures[f"{prefix}_errors"] = group.errors
        figures[f"{prefix}_words"] = group.words
        figures[f"{prefix}_speakers"] = group.num_speakers
        figures[f"{prefix}_ranked"] = int(group.is_ranked)
        figures[f"{prefix}_ratio_to_rest"] = _finite(test.rest_ratio)
        figures[f"{prefix}_p"] = _finite(test.p_value)
        figures[f"{prefix}_adjusted_p"] = _finite(test.adjusted_p_value)
    return figures


def _gap(column: str, gap: ErrorRateGap | None) -> _Figures:
    name = figure_name(column, "")
    return {
        **interval_figures(f"gap_{name}", gap.gap_points if gap else _UNKNOWN),
        **interval_figures(f"relative_gap_{name}", gap.gap_relative if gap else _UNKNOWN),
        **interval_figures(f"ratio_{name}", gap.ratio if gap else _UNKNOWN),
    }


def _regression(regression: GroupRegression) -> _Figures:
    figures: _Figures = {}
    for one in regression.ratios:
        prefix = figure_name(one.column, one.group)
        figures |= interval_figures(f"{prefix}_adjusted_ratio", one.ratio)
        figures[f"{prefix}_crude_ratio"] = _finite(one.crude_ratio)
        figures[f"{prefix}_adjusted_ratio_adjusted_p"] = _finite(one.adjusted_p_value)
    return figures


def _cohort_gap(name: str, gap: CohortGap) -> _Figures:
    return {
        **interval_figures(name, Estimate(gap.points, gap.low, gap.high)),
        f"{name}_share_of_speakers": gap.share_of_speakers,
        f"{name}_p": gap.p_value,
    }


def _differences(system: str, differences: PairedErrorRates) -> _Figures:
    overall = differences.overall.difference
    figures: _Figures = {
        f"{system}_wer": overall.wer,
        **interval_figures(f"{system}_wer_difference", overall.points),
        **interval_figures(f"{system}_relative_wer_difference", overall.relative),
    }
    for column, found in differences.columns.items():
        for group in found.groups:
            prefix = f"{system}_{figure_name(column, group.group)}"
            figures |= interval_figures(f"{prefix}_wer_difference", group.difference.points)
            relative = group.difference.relative
            figures |= interval_figures(f"{prefix}_relative_wer_difference", relative)
        figures |= _gap_difference(system, figure_name(column, ""), found.gap)
    return figures


def _gap_difference(system: str, column: str, gap: GapDifference | None) -> _Figures:
    if gap is None:
        return {}
    worst = gap.worst_group
    return {
        f"{system}_worst_{column}_wer": worst.wer,
        **interval_figures(f"{system}_worst_{column}_wer_difference", worst.points),
        **interval_figures(f"{system}_worst_{column}_relative_wer_difference", worst.relative),
        **interval_figures(f"{system}_gap_{column}_difference", gap.gap_points),
        **interval_figures(f"{system}_relative_gap_{column}_difference", gap.gap_relative),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
