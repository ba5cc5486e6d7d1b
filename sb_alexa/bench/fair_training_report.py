"""Tables of `sb-alexa bench fair-training`."""

from __future__ import annotations

from sb_alexa.bench.fair_results import PARTS, FairComparison, difference
from sb_alexa.bench.fair_training_plan import ABOUT, BASE, PLAIN
from sb_alexa.bench.fair_truth import FoundRegion
from sb_alexa.metrics.paired_error_rates import ErrorRateDifference, PairedErrorRates
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import UNKNOWN, estimate_text, number_text
from sb_alexa.report.markdown_table import aligned_table

_TITLES = ("all", "worst region", "other regions")


def markdown(comparison: FairComparison) -> str:
    """What was found, what each arm reaches, how arms differ, and on what basis.

    Arguments
    ---------
    comparison : FairComparison
        The results.
    """
    lines = [*_found(comparison), "", *_rates(comparison), "", *_against_base(comparison)]
    lines += ["", *_against_each_other(comparison), "", *_chosen(comparison)]
    if any(comparison.accent_rates(BASE)):
        lines += ["", *_accents(comparison)]
    return "\n".join([*lines, "", *_seeds(comparison), "", *_what_it_rests_on(comparison)])


def _found(comparison: FairComparison) -> list[str]:
    region = comparison.region
    titles = ["worst region", "test speakers", "held out", "rare accent %", "found %"]
    titles += ["training speakers", "utterances"]
    row = [
        f"{_borders(region)} (of {region.num_regions})",
        str(region.num_speakers),
        str(region.num_held_out),
        _percent(region.rare_share),
        _percent(region.rare_found),
        str(region.num_training),
        f"{region.num_training_utterances:,}",
    ]
    lines = ["## The worst region, found without labels", "", *aligned_table(titles, [row])]
    lines += ["", f"Found with the results of {region.num_bases} bases."]
    if comparison.rare_accents:
        lines += [
            f"Rare in training: {', '.join(comparison.rare_accents)}. Rare accent: share of the "
            "region's held-out speakers who have one. Found: share of all held-out speakers with "
            "one who are in the region.",
        ]
    return lines


def _borders(region: FoundRegion) -> str:
    """The sides of the rectangle that are not those of the map."""
    south, north, west, east = region.borders
    sides = [
        f"latitude > {south:.1f}" if south > -90 else "",
        f"latitude <= {north:.1f}" if north < 90 else "",
        f"longitude > {west:.1f}" if west > -180 else "",
        f"longitude <= {east:.1f}" if east < 180 else "",
    ]
    return ", ".join(filter(None, sides))


def _rates(comparison: FairComparison) -> list[str]:
    rows = [
        [_arm_name(comparison, name), *(estimate_text(arm.wer(part)) for part in PARTS)]
        for name, arm in comparison.arms.items()
    ]
    return ["## WER %, held-out speakers", "", *aligned_table(["arm", *_TITLES], rows)]


def _against_base(comparison: FairComparison) -> list[str]:
    rows = [
        [name, *_differences(arm.against_base)]
        for name, arm in comparison.arms.items()
        if arm.against_base is not None
    ]
    return [f"## Minus the {BASE}, points", "", *aligned_table(["arm", *_TITLES], rows)]


def _against_each_other(comparison: FairComparison) -> list[str]:
    rows = [
        [f"{one} minus {other}", *_differences(paired)]
        for (one, other), paired in comparison.pairs.items()
    ]
    return ["## Minus each other, points", "", *aligned_table(["arms", *_TITLES], rows)]


def _differences(paired: PairedErrorRates) -> list[str]:
    return [_bold(difference(paired, part).points) for part in PARTS]


def _chosen(comparison: FairComparison) -> list[str]:
    names = [n for n, arm in comparison.plan.arms.items() if arm.weight is None]
    names = [*names, *comparison.chosen.values()]
    rows = []
    for name in names:
        paired = comparison.arms[name].against_base
        assert paired is not None, "only the base has none"
        relative = [_relative(difference(paired, part)) for part in PARTS]
        rows.append([_arm_name(comparison, name), *relative])
    lines = ["## Relative to the base, %", "", *aligned_table(["arm", *_TITLES], rows)]
    if comparison.chosen:
        lines += [
            "",
            "lambda: that with the lowest WER of all speakers of the half that found the regions.",
        ]
    return lines


def _relative(one: ErrorRateDifference) -> str:
    ends = (one.relative.value, one.relative.low, one.relative.high)
    return _bold(Estimate(*(100.0 * end for end in ends)), digits=1)


def _accents(comparison: FairComparison) -> list[str]:
    free = [n for n, arm in comparison.plan.arms.items() if arm.weight is None]
    names = [BASE, *free, *comparison.chosen.values()]
    rates = {name: comparison.accent_rates(name) for name in names}
    speakers = comparison.held_out_by_accent
    rows = [
        [
            f"{accent}{' (rare)' if accent in comparison.rare_accents else ''}",
            str(comparison.training_speakers.get(accent, 0)),
            str(speakers[accent]),
            *(number_text(rates[name][accent]) for name in names),
        ]
        for accent in sorted(rates[BASE], key=lambda accent: -rates[BASE][accent])
    ]
    titles = ["accent", "training speakers", "held out", *names]
    return ["## WER % by accent, which nobody was told", "", *aligned_table(titles, rows)]


def _seeds(comparison: FairComparison) -> list[str]:
    titles = ["arm"]
    for seed in comparison.plan.seeds:
        titles += [f"seed {seed}: all", "worst region"]
    rows = []
    for name, arm in comparison.arms.items():
        overall, worst = arm.by_seed("overall"), arm.by_seed("worst")
        pairs = zip(overall, worst, strict=True)
        rows.append([name, *(number_text(value) for pair in pairs for value in pair)])
    return ["## WER % by seed", "", *aligned_table(titles, rows)]


def _what_it_rests_on(comparison: FairComparison) -> list[str]:
    plan = comparison.plan
    others = (
        "One seed says nothing about other seeds."
        if plan.num_seeds == 1
        else f"They say nothing about seeds other than these {plan.num_seeds}, whose counts are "
        "summed."
    )
    paragraphs = [
        f"{'Synthetic voices. ' if comparison.synthetic else ''}{comparison.num_words:,} words of "
        f"{comparison.num_held_out:,} held-out speakers, who neither found the regions nor chose "
        "lambda; whether a line through the map is kept was tested on them, with the base. In "
        f"brackets 95 % intervals: other speakers. {others} Differences are paired, speaker by "
        "speaker. Bold: the interval excludes 0; of so many differences one in twenty does by "
        "chance.",
        f"Every arm takes {comparison.num_steps:,} steps from the base on the same training "
        f"speakers, those of the worst region, old and new; {PLAIN} is lambda 0. F has mean 1 in "
        "both methods with a lambda, so that equal lambdas are comparable.",
    ]
    return "\n\n".join(paragraphs).split("\n")


def _arm_name(comparison: FairComparison, name: str) -> str:
    arm = comparison.plan.arms.get(name)
    return f"{name} ({ABOUT[BASE] if arm is None else ABOUT[arm.method]})"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else number_text(100.0 * share, digits=0)


def _bold(estimate: Estimate, *, digits: int = 2) -> str:
    text = estimate_text(estimate, digits=digits, sign=True)
    return f"**{text}**" if estimate.excludes_zero else text
