"""Tables of `sb-alexa bench speaker-training`."""

from __future__ import annotations

from sb_alexa.bench.rank_correlation import RankCorrelation
from sb_alexa.bench.speaker_comparison import SpeakersComparison
from sb_alexa.bench.speaker_groups import TestedGroup
from sb_alexa.bench.speaker_training_plan import ARMS, BASE, REWEIGHTED
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.estimate_text import UNKNOWN, estimate_text, number_text
from sb_alexa.report.figure_names import figure_name
from sb_alexa.report.markdown_table import aligned_table


def markdown(comparison: SpeakersComparison) -> str:
    """What each arm reaches over all trials and by group, whom adversaries weighted, on what basis.

    Arguments
    ---------
    comparison : SpeakersComparison
        The results.
    """
    lines = [f"## All trials of {comparison.test_list}", "", *_overall(comparison)]
    for column in comparison.columns:
        lines += ["", *_column(comparison, column)]
    for name in comparison.arms:
        if name != BASE:
            lines += ["", *_groups(comparison, name)]
    if any(name in REWEIGHTED for name in comparison.arms):
        lines += ["", *_adversaries(comparison)]
    return "\n".join([*lines, "", *_what_it_rests_on(comparison)])


def _overall(comparison: SpeakersComparison) -> list[str]:
    titles = ["arm", "EER %", "minDCF", "FMR %", "FNMR %"]
    rows = _arms_and_differences(comparison, ["eer", "min_dcf", "fmr", "fnmr"])
    return aligned_table(titles, rows)


def _column(comparison: SpeakersComparison, column: str) -> list[str]:
    name = figure_name(column, "")
    worst = [group.name for group in comparison.of_column(column) if group.is_worst]
    if not worst:
        return [f"## By {column}", "", f"No group has {FEWEST_SPEAKERS} speakers."]
    keys = [f"worst_{name}_eer", f"gap_{name}", f"std_{name}", f"fmr_gap_{name}"]
    keys += [f"fnmr_gap_{name}"]
    titles = ["arm", f"EER % of {worst[0]}", "gap of EER", "std of EER", "gap of FMR", "of FNMR"]
    rows = _arms_and_differences(comparison, keys)
    return [
        f"## By {column}; hardest for the {BASE}: {worst[0]}",
        "",
        *aligned_table(titles, rows),
    ]


def _arms_and_differences(comparison: SpeakersComparison, keys: list[str]) -> list[list[str]]:
    rows = [
        [f"{name} ({ARMS[name].about})", *(_text(arm.measured[key], key) for key in keys)]
        for name, arm in comparison.arms.items()
    ]
    return rows + [
        [f"{name} minus {BASE}", *(_text(arm.differences[key], key, sign=True) for key in keys)]
        for name, arm in comparison.arms.items()
        if name != BASE
    ]


def _groups(comparison: SpeakersComparison, name: str) -> list[str]:
    arm, base = comparison.arms[name], comparison.arms[BASE]
    weights = arm.adversary.weights if arm.adversary else {}
    titles = ["group", "speakers", "trials", f"{BASE} EER %", f"{name} EER %", "difference"]
    if name in REWEIGHTED:
        titles.append("mean weight")
    rows = []
    for group in comparison.groups:
        key = f"{group.key}_eer"
        row = [
            _group_name(group),
            f"{group.num_speakers:,}",
            f"{group.num_trials:,}",
            number_text(base.measured[key].value),
            number_text(arm.measured[key].value),
            _text(arm.differences[key], key, sign=True),
        ]
        if name in REWEIGHTED:
            weight = weights.get(group.key)
            row.append(estimate_text(weight, digits=3) if weight else UNKNOWN)
        rows.append(row)
    return [f"## Groups: {name} and {BASE}", "", *aligned_table(titles, rows)]


def _group_name(group: TestedGroup) -> str:
    return f"{group.column}: {group.name}{'' if group.is_ranked else ' *'}"


def _adversaries(comparison: SpeakersComparison) -> list[str]:
    names = [name for name in comparison.arms if name in REWEIGHTED]
    found = {name: comparison.arms[name].adversary for name in names}
    columns = dict.fromkeys(
        column for adversary in found.values() if adversary for column in adversary.correlations
    )
    titles = ["arm", "entropy", "spread", *(f"rank correlation, {column}" for column in columns)]
    rows, silent = [], []
    for name, adversary in found.items():
        if adversary is None:
            silent.append(name)
            continue
        row = [name, *(estimate_text(e, digits=3) for e in (adversary.entropy, adversary.spread))]
        for column in columns:
            one = adversary.correlations.get(column)
            row.append(_correlation(one) if one else UNKNOWN)
        rows.append(row)
    lines = ["## Whom the adversaries weighted", ""]
    if rows:
        lines += aligned_table(titles, rows)
    if silent:
        lines += [
            f"{', '.join(silent)}: the adversary never set in; longer trainings, or a smaller "
            "adversary_warmup_batches, give it time."
        ]
    return lines


def _correlation(found: RankCorrelation) -> str:
    value, p_value = number_text(found.value, sign=True), number_text(found.p_value, digits=3)
    return f"{value} of {found.num_pairs} groups (p = {p_value})"


def _what_it_rests_on(comparison: SpeakersComparison) -> list[str]:
    levels = (
        "other speakers (one seed says nothing about others)"
        if comparison.num_seeds == 1
        else f"other speakers and other seeds ({comparison.num_seeds} of them), drawn together"
    )
    paragraphs = [
        f"{'Synthetic voices. ' if comparison.synthetic else ''}{comparison.num_trials:,} trials "
        f"of {comparison.num_speakers:,} unseen speakers, {comparison.num_targets:,} of the same "
        f"speaker. All runs take {comparison.num_steps:,} steps; those of a seed have the same "
        "training speakers and batches and differ in the arm alone. Rates are means over the "
        f"seeds; each run's threshold is fitted on its development trials for a target prior of "
        f"{comparison.settings.target_prior:g}. In brackets {100 * comparison.settings.level:g} % "
        f"intervals: {levels}. Bold: the interval of a difference excludes 0; with so many "
        "differences some do by chance.",
    ]
    if comparison.columns:
        paragraphs += [
            f"The hardest group is the one with the highest mean EER of the {BASE}, the same for "
            "all arms, so no arm picks a group by its own result. Chance that made the group look "
            f"hard in the {BASE}'s runs still favours the other arms; gap and std, for which every "
            f"run ranks its groups itself, do not lean that way. Groups with fewer than "
            f"{FEWEST_SPEAKERS} speakers (*) are not ranked.",
        ]
    if any(name in REWEIGHTED for name in comparison.arms):
        paragraphs += [
            "Weights have mean 1 and are those of training speakers in the last quarter of "
            "training; entropy (1: equal weights) and spread are means over all reweighted "
            "batches; intervals over seeds. Rank correlation (Spearman): of these weights with the "
            f"{BASE}'s EER of test speakers, over the ranked groups of a column; positive where "
            "the adversary found the hard ones. p: by permutation, in either direction.",
        ]
    return "\n\n".join(paragraphs).split("\n")


def _text(estimate: Estimate, key: str, *, sign: bool = False) -> str:
    text = estimate_text(estimate, digits=3 if key == "min_dcf" else 2, sign=sign)
    return f"**{text}**" if sign and estimate.excludes_zero else text
