"""Tables, figures and plot of `sb-alexa bench sts-training`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.bench.paired_seeds import (
    Estimate,
    absolute_difference,
    mean_error_rate,
    mean_quantile,
    relative_difference,
)
from sb_alexa.bench.sts_training_plan import ARMS, BASE, TurnsPlan
from sb_alexa.bench.tested_groups import TestedGroups, word_errors, wrong_turn_counts

# Name of a figure -> the conditions it is about.
CONDITIONS: dict[str, tuple[str, ...]] = {
    "no_overlap": ("0L", "0S"),
    "ov10": ("OV10",),
    "ov20_to_ov40": ("OV20", "OV30", "OV40"),
    "all": (),
}
# Name of a figure -> list of a group, probability of the quantile.
LATENCIES = {
    "end_point_p50_ms": ("end_point_ms", 0.5),
    "end_point_p90_ms": ("end_point_ms", 0.9),
    "last_piece_p50_ms": ("last_piece_ms", 0.5),
    "start_point_p50_ms": ("start_point_ms", 0.5),
    "first_piece_p50_ms": ("first_piece_ms", 0.5),
}
_COLOURS = {BASE: "#1f5fa8", "single_channel": "#b3401f"}


@dataclass(frozen=True)
class ArmFigures:
    """What one way of training reaches; None where nothing could be measured.

    Arguments
    ---------
    measured : dict
        ORC-WER in percent by `CONDITIONS`, turn accuracies in percent, latencies in ms.
    differences : dict
        From the base, empty for the base itself: relative for WER (``.._relative``, percent), in
        points (``.._points``) and ms.
    """

    measured: dict[str, Estimate | None]
    differences: dict[str, Estimate | None]

    @classmethod
    def of(cls, runs: Sequence[TestedGroups], base: Sequence[TestedGroups] | None) -> ArmFigures:
        """Of the runs of an arm, one for each seed, against those of the base."""
        measured: dict[str, Estimate | None] = {}
        differences: dict[str, Estimate | None] = {}
        for name, conditions in CONDITIONS.items():
            errors = word_errors([run.of(conditions) for run in runs])
            measured[f"wer_{name}"] = mean_error_rate(errors)
            if base is not None:
                others = word_errors([run.of(conditions) for run in base])
                differences[f"wer_{name}_relative"] = relative_difference(errors, others)
                differences[f"wer_{name}_points"] = absolute_difference(errors, others)
        for name, above in (("turn_accuracy", 0), ("turn_accuracy_above_two", 2)):
            wrong = wrong_turn_counts([run.of(above_turns=above) for run in runs])
            measured[name] = _complement(mean_error_rate(wrong))
            if base is not None:
                others = wrong_turn_counts([run.of(above_turns=above) for run in base])
                differences[f"{name}_points"] = absolute_difference(others, wrong)
        for name, (values, probability) in LATENCIES.items():
            of_runs = [run.values(values) for run in runs]
            measured[name] = mean_quantile(of_runs, probability)
            if base is not None:
                of_base = [run.values(values) for run in base]
                differences[f"{name}_more"] = mean_quantile(of_runs, probability, of_base)
        return cls(measured, differences)


@dataclass(frozen=True)
class TurnsComparison:
    """The experiment's results.

    Arguments
    ---------
    arms : dict
        Figures of each arm, the base first.
    num_seeds, num_steps, num_groups, num_words, num_sessions : int
        What they rest on.
    """

    arms: dict[str, ArmFigures]
    num_seeds: int
    num_steps: int
    num_groups: int
    num_words: int
    num_sessions: int

    @classmethod
    def read(cls, plan: TurnsPlan) -> TurnsComparison:
        """Read the finished runs of a plan.

        Raises
        ------
        ValueError
            If two runs were tested on different groups.
        """
        runs = {
            arm: [TestedGroups.read(plan.folder(arm, seed)) for seed in plan.seeds]
            for arm in plan.arms
        }
        base = runs[BASE]
        return cls(
            arms={
                arm: ArmFigures.of(some, None if arm == BASE else base)
                for arm, some in runs.items()
            },
            num_seeds=plan.num_seeds,
            num_steps=plan.jobs()[-1].num_steps,
            num_groups=len(base[0].groups),
            num_words=int(base[0].sums(lambda group: group["words"]).sum()),
            num_sessions=len(base[0].sessions),
        )

    def figures(self) -> dict[str, float | None]:
        """Flat figures for JSON."""
        figures: dict[str, float | None] = {}
        for arm, of_arm in self.arms.items():
            for name, estimate in {**of_arm.measured, **of_arm.differences}.items():
                key = f"{arm}_{name}"
                if estimate is None:
                    figures |= dict.fromkeys((key, f"{key}_low", f"{key}_high"))
                else:
                    figures[key] = estimate.mean
                    figures[f"{key}_low"], figures[f"{key}_high"] = estimate.low, estimate.high
        return figures | {
            "seeds": self.num_seeds,
            "steps": self.num_steps,
            "test_groups": self.num_groups,
            "test_words": self.num_words,
            "test_sessions": self.num_sessions,
        }


def markdown(comparison: TurnsComparison) -> str:
    """What each arm reaches, what separates it from the base, and what that rests on."""
    lines = [
        "| arm | | WER without overlap | OV10 | OV20 to OV40 | all | turn count right | "
        "more than 2 turns | end point p50 / p90 (ms) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in comparison.arms.items():
        measured = arm.measured
        cells = [_cell(measured[f"wer_{condition}"]) for condition in CONDITIONS]
        cells += [_cell(measured["turn_accuracy"]), _cell(measured["turn_accuracy_above_two"])]
        ends = [_cell(measured[f"end_point_{p}_ms"], digits=0, brief=True) for p in ("p50", "p90")]
        lines.append(f"| {name} | {ARMS[name].about} | {' | '.join(cells)} | {' / '.join(ends)} |")
    if len(comparison.arms) > 1:
        lines += ["", *_differences(comparison)]
    return "\n".join([*lines, "", _what_it_rests_on(comparison)])


def _differences(comparison: TurnsComparison) -> list[str]:
    lines = [
        f"| against {BASE} | WER, OV20 to OV40 (relative) | WER without overlap (points) | "
        "turn count right (points) | end point p50 (ms) | first word p50 (ms) |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in comparison.arms.items():
        if name == BASE:
            continue
        found = arm.differences
        cells = [
            _cell(found["wer_ov20_to_ov40_relative"], sign=True, unit=" %"),
            _cell(found["wer_no_overlap_points"], sign=True),
            _cell(found["turn_accuracy_points"], sign=True),
            _cell(found["end_point_p50_ms_more"], sign=True, digits=0),
            _cell(found["first_piece_p50_ms_more"], sign=True, digits=0),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def plot(comparison: TurnsComparison, path: Path) -> None:
    """Draw what separates the arms: word errors, turn counts, end points, with intervals.

    Arguments
    ---------
    comparison : TurnsComparison
        The results.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    names = list(comparison.arms)
    figure = Figure(figsize=(9.0, 0.9 + 0.34 * len(names)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    shown = {
        "wer_ov20_to_ov40": "ORC-WER, OV20 to OV40 (%)",
        "turn_accuracy": "turn count right (%)",
        "end_point_p50_ms": "median end-point latency (ms)",
    }
    for panel, (key, title) in zip(panels, shown.items(), strict=True):
        for row, name in enumerate(names):
            estimate = comparison.arms[name].measured[key]
            if estimate is None:
                continue
            colour = _COLOURS.get(name, "#62666f")
            panel.plot([estimate.low, estimate.high], [row, row], color=colour, lw=2, alpha=0.45)
            panel.plot(estimate.mean, row, "o", color=colour)
            panel.plot(estimate.by_seed, [row] * len(estimate.by_seed), "|", color=colour, ms=7)
        panel.set_title(title, fontsize="medium", loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", color="#e4e6ea")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _what_it_rests_on(comparison: TurnsComparison) -> str:
    levels = (
        "sessions alone: one seed says nothing about others"
        if comparison.num_seeds == 1
        else f"both levels, {comparison.num_seeds} seeds and the test sessions, drawn together"
    )
    return (
        f"Synthetic speech; ORC-WER in percent, {comparison.num_words} words in "
        f"{comparison.num_groups} utterance groups of {comparison.num_sessions} sessions with "
        f"unseen talkers. All runs start from the same single-talker weights and take "
        f"{comparison.num_steps} steps; those of a seed differ in the arm alone. Latencies: groups "
        f"with more than two turns and the right number of them. 95 % intervals: {levels}."
    )


def _complement(rate: Estimate) -> Estimate:
    """Percent right instead of wrong."""
    right = tuple(100.0 - value for value in rate.by_seed)
    return Estimate(100.0 - rate.mean, 100.0 - rate.high, 100.0 - rate.low, right)


def _cell(
    estimate: Estimate | None,
    *,
    digits: int = 1,
    sign: bool = False,
    unit: str = "",
    brief: bool = False,
) -> str:
    if estimate is None:
        return "" if not brief else "-"
    plus = "+" if sign else ""
    mean = f"{estimate.mean:{plus}.{digits}f}{unit}"
    if brief:
        return mean
    return f"{mean} ({estimate.low:{plus}.{digits}f} to {estimate.high:{plus}.{digits}f})"
