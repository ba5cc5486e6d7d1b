"""Results of verification as flat figures with stable names."""

from __future__ import annotations

import math

from sb_alexa.metrics.verification_estimates import (
    ColumnEstimates,
    Estimate,
    SpreadEstimates,
    VerificationEstimates,
)
from sb_alexa.report.figure_names import figure_name, interval_figures
from sb_alexa.report.verification_results import ColumnResult, SpreadResult, VerificationResult

_Figures = dict[str, float | None]


def verification_figures(result: VerificationResult) -> _Figures:
    """Figures for the JSON file; None where there is nothing to measure on.

    Arguments
    ---------
    result : VerificationResult
        What was measured.

    Returns
    -------
    dict
        `trials`, `target_trials`, `speakers`, `threshold`, `dcf`, `cllr`, and, each with `_low`
        and `_high`: `eer`, `min_dcf`, `fmr`, `fnmr`; of each column `gap_<column>` and
        `std_<column>` (of EER), `fmr_gap_<column>`, `fmr_std_<column>` and the same of `fnmr`; of
        each group `<column>_<group>_` with `eer`, `fmr`, `fnmr`, and `speakers`, `trials` and
        `ranked` (1 or 0). Of a comparison the same rates with `_difference` behind the name.
    """
    figures: _Figures = {
        "trials": result.num_trials,
        "target_trials": result.counts.num_targets,
        "speakers": result.num_speakers,
        "threshold": result.decision.threshold,
        "dcf": result.dcf,
        "cllr": result.cllr,
    }
    for name in ("eer", "min_dcf", "fmr", "fnmr"):
        figures |= interval_figures(name, getattr(result, name))
    for column in result.columns:
        figures |= _column(column)
    if result.comparison is not None:
        figures |= _differences(result.comparison.differences)
    return figures


def _column(result: ColumnResult) -> _Figures:
    figures: _Figures = {}
    for measure in ("eer", "fmr", "fnmr"):
        spread: SpreadResult | None = getattr(result, measure)
        figures |= _spread(measure, result.column, spread)
    for group in result.groups:
        prefix = figure_name(result.column, group.name)
        figures[f"{prefix}_speakers"] = group.errors.num_speakers
        figures[f"{prefix}_trials"] = group.errors.num_trials
        figures[f"{prefix}_ranked"] = int(group.errors.is_ranked)
        for measure in ("eer", "fmr", "fnmr"):
            figures |= interval_figures(f"{prefix}_{measure}", getattr(group, measure))
    return figures


def _differences(differences: VerificationEstimates) -> _Figures:
    figures: _Figures = {}
    overall = {
        "eer": differences.eer,
        "min_dcf": differences.minimum_dcf,
        "fmr": differences.fmr,
        "fnmr": differences.fnmr,
    }
    for name, estimate in overall.items():
        figures |= interval_figures(f"{name}_difference", estimate)
    for column, estimates in differences.columns.items():
        figures |= _column_differences(column, estimates)
    return figures


def _column_differences(column: str, estimates: ColumnEstimates) -> _Figures:
    figures: _Figures = {}
    for measure in ("eer", "fmr", "fnmr"):
        spread: SpreadEstimates | None = getattr(estimates, f"{measure}_spread")
        figures |= _spread(measure, column, spread, "_difference")
    for group in estimates.groups:
        for measure in ("eer", "fmr", "fnmr"):
            name = f"{figure_name(column, group.group)}_{measure}_difference"
            figures |= interval_figures(name, getattr(group, measure))
    return figures


def _spread(
    measure: str, column: str, spread: SpreadResult | SpreadEstimates | None, ending: str = ""
) -> _Figures:
    # The gap of a column is that of its EERs unless said otherwise.
    prefix = "" if measure == "eer" else f"{measure}_"
    unknown = Estimate(math.nan, math.nan, math.nan)
    figures: _Figures = {}
    for kind in ("gap", "std"):
        estimate = getattr(spread, kind) if spread else unknown
        figures |= interval_figures(f"{prefix}{kind}_{figure_name(column, '')}{ending}", estimate)
    return figures
