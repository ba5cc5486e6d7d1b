"""Figures of `sb-alexa bench fair-training` for its JSON file."""

from __future__ import annotations

import math

from sb_alexa.bench.fair_results import PARTS, FairComparison, difference
from sb_alexa.bench.fair_training_plan import BASE
from sb_alexa.metrics.paired_error_rates import PairedErrorRates
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.figure_names import figure_name

Figures = dict[str, float | None]


def figures(comparison: FairComparison) -> Figures:
    """Everything that is reported, flat.

    Arguments
    ---------
    comparison : FairComparison
        The results.

    Returns
    -------
    dict
        ``<arm>_<part>_wer`` with ``_low`` and ``_high`` and, seed by seed, ``_seed_<n>``;
        ``<arm>_<part>_difference`` to the base in points and ``_relative`` in percent;
        ``<arm>_minus_<other>_<part>...`` the same of two arms. Parts are overall, worst (region)
        and others.
    """
    plan = comparison.plan
    found: Figures = {
        "seeds": plan.num_seeds,
        "held_out_speakers": comparison.num_held_out,
        "held_out_words": comparison.num_words,
    }
    for name, arm in comparison.arms.items():
        key = figure_name("", name)
        for part in PARTS:
            found |= _interval(f"{key}_{part}_wer", arm.wer(part))
            for seed, value in zip(plan.seeds, arm.by_seed(part), strict=True):
                found[f"{key}_{part}_wer_seed_{seed}"] = value
            found[f"{key}_{part}_wer_of_finders"] = arm.on_finders(part)
        if arm.against_base is not None:
            found |= _differences(key, arm.against_base)
        for accent, wer in comparison.accent_rates(name).items():
            found[f"{key}_{figure_name('accent', accent)}_wer"] = wer
    for (one, other), paired in comparison.pairs.items():
        found |= _differences(f"{figure_name('', one)}_minus_{figure_name('', other)}", paired)
    for method, name in comparison.chosen.items():
        found[f"{method}_chosen_lambda"] = plan.arms[name].weight
        key, best = figure_name("", name), f"{method}_chosen"
        copied = {k: v for k, v in found.items() if k.startswith(f"{key}_") and "_minus_" not in k}
        found |= {best + k.removeprefix(key): v for k, v in copied.items()}
    if len(comparison.chosen) == 2:
        pair = (comparison.chosen["ewc"], comparison.chosen["l2"])
        found |= _differences("ewc_chosen_minus_l2_chosen", comparison.pairs[pair])
    return found | _region(comparison)


def _region(comparison: FairComparison) -> Figures:
    region = comparison.region
    found: Figures = {
        "regions": region.num_regions,
        "regions_found_with_bases": region.num_bases,
        "worst_region_speakers": region.num_speakers,
        "worst_region_held_out_speakers": region.num_held_out,
        "worst_region_training_speakers": region.num_training,
        "worst_region_training_utterances": region.num_training_utterances,
        "worst_region_rare_share": region.rare_share,
        "worst_region_rare_found": region.rare_found,
    }
    for accent, number in comparison.training_speakers.items():
        if accent:
            found[f"{figure_name('accent', accent)}_training_speakers"] = number
    base = comparison.arms[BASE]
    found["base_gap_points"] = base.wer("worst").value - base.wer("others").value
    return found


def _differences(key: str, paired: PairedErrorRates) -> Figures:
    found: Figures = {}
    for part in PARTS:
        one = difference(paired, part)
        found |= _interval(f"{key}_{part}_difference", one.points)
        relative = Estimate(
            *(100.0 * x for x in (one.relative.value, one.relative.low, one.relative.high))
        )
        found |= _interval(f"{key}_{part}_relative", relative)
    return found


def _interval(key: str, estimate: Estimate) -> Figures:
    values = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {f"{key}{end}": value if math.isfinite(value) else None for end, value in values.items()}
