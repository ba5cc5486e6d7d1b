"""Tables, figures and plot of `sb-alexa bench amortized-training`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sb_alexa.bench.amortized_training_plan import CONTROLS, TEST_SPLIT, ExperimentPlan
from sb_alexa.bench.paired_runs import GATES, RunResult, seeded_errors
from sb_alexa.bench.paired_seeds import Estimate, mean_error_rate, relative_difference

_COLOURS = {"dense": "#62666f", "amortized": "#1f5fa8", "random": "#b3401f", "smaller": "#3b7d3a"}


@dataclass(frozen=True)
class Comparison:
    """The experiment's results.

    Arguments
    ---------
    runs : dict
        Runs of each arm, one for each seed, in the order of the tables.
    wer : dict
        Word error rate of each arm, percent.
    amortized_relative : Estimate | None
        WER of the learned arbitrators above the dense encoder's, percent of the latter.
    controls_relative : dict
        WER of random gates, and of the smaller encoder where there is one, above that of the
        learned arbitrators, percent of the latter; None where it is not defined.
    steps : tuple of int
        Optimizer steps of the first phase and of the second.
    """

    runs: dict[str, tuple[RunResult, ...]]
    wer: dict[str, Estimate]
    amortized_relative: Estimate | None
    controls_relative: dict[str, Estimate | None]
    steps: tuple[int, int]

    @classmethod
    def read(cls, plan: ExperimentPlan) -> Comparison:
        """Read the finished runs of a plan.

        Raises
        ------
        ValueError
            If two runs were tested on different words.
        """
        runs = {
            arm: tuple(
                RunResult.read(plan.folder(arm, seed), TEST_SPLIT) for seed in plan.seeds(arm)
            )
            for arm in ("dense", "amortized", *CONTROLS)
            if arm in plan.arms
        }
        if "smaller" in runs:
            runs["smaller"] = _relative_to(runs["dense"][0], runs["smaller"])
        errors = {arm: seeded_errors(of_arm) for arm, of_arm in runs.items()}
        controls_relative = {}
        for arm in CONTROLS:
            if arm in runs:
                paired = seeded_errors(runs["amortized"][: len(runs[arm])])
                controls_relative[arm] = relative_difference(errors[arm], paired)
        jobs = plan.jobs()
        return cls(
            runs=runs,
            wer={arm: mean_error_rate(of_arm) for arm, of_arm in errors.items()},
            amortized_relative=relative_difference(errors["amortized"], errors["dense"]),
            controls_relative=controls_relative,
            steps=(jobs[0].num_steps, jobs[-1].num_steps),
        )

    def reduction(self, arm: str) -> float:
        """Counted multiply-adds that the encoder saves, percent of the dense one's."""
        return 100.0 * (1.0 - _mean(run.compute for run in self.runs[arm]))

    def figures(self) -> dict[str, float | None]:
        """Flat figures for JSON: rates and differences in percent."""
        figures: dict[str, float | None] = {}
        for arm in self.runs:
            figures |= _as_figures(f"{arm}_wer", self.wer[arm])
            for seed, value in enumerate(self.wer[arm].by_seed):
                figures[f"{arm}_wer_seed_{seed}"] = value
        figures |= _as_figures("amortized_relative", self.amortized_relative)
        figures["reduction"] = self.reduction("amortized")
        for arm, relative in self.controls_relative.items():
            figures |= _as_figures(f"{arm}_relative", relative)
            figures[f"{arm}_reduction"] = self.reduction(arm)
        for gate in GATES:
            figures[f"{gate}_rate"] = _mean(run.rates[gate] for run in self.runs["amortized"])
        run = self.runs["dense"][0]
        return figures | {
            "seeds": len(self.runs["dense"]),
            "phase_one_steps": self.steps[0],
            "steps": self.steps[1],
            "test_words": sum(run.words.values()),
            "test_speakers": len(run.words),
            "test_utterances": run.num_utterances,
        }


def markdown(comparison: Comparison) -> str:
    """The table of the runs, the paired comparison, and what it rests on."""
    lines = [
        "| arm | seed | WER (%) | compute (% of dense) | query / key / feed-forward kept (%) |",
        "|---|---|---|---|---|",
    ]
    for arm, of_arm in comparison.runs.items():
        for seed, run in enumerate(of_arm):
            lines.append(_row(arm, str(seed), f"{run.wer:.2f}", [run]))
        wer = comparison.wer[arm]
        mean = f"**{wer.mean:.2f}** ({wer.low:.2f} to {wer.high:.2f})"
        lines.append(_row(f"**{arm}**", "mean", mean, of_arm))
    lines += [
        "",
        "| | relative difference of WER | 95 % interval | by seed |",
        "|---|---|---|---|",
        _difference_row("amortized against dense", comparison.amortized_relative),
        *(
            _difference_row(f"{arm} against amortized", relative)
            for arm, relative in comparison.controls_relative.items()
        ),
        "",
        _counted(comparison),
        "",
        _what_it_rests_on(comparison),
    ]
    return "\n".join(lines)


def plot(comparison: Comparison, path: Path) -> None:
    """Draw word error rate against compute, a point for each run; runs of a seed are joined.

    Arguments
    ---------
    comparison : Comparison
        The results.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    panel = figure.subplots()
    for seed in range(len(comparison.runs["dense"])):
        of_seed = [of_arm[seed : seed + 1] for of_arm in comparison.runs.values()]
        joined = [run for runs in of_seed for run in runs]
        panel.plot(
            [100 * run.compute for run in joined], [run.wer for run in joined], "-", c="#d5d7db"
        )
    for arm, of_arm in comparison.runs.items():
        panel.plot(
            [100 * run.compute for run in of_arm],
            [run.wer for run in of_arm],
            "o",
            color=_COLOURS[arm],
            label=f"{arm}, mean {comparison.wer[arm].mean:.1f} %",
        )
    panel.set_xlabel("counted compute of the encoder (% of dense)")
    panel.set_ylabel("word error rate (%)")
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    panel.set_title(_headline(comparison), fontsize="medium")
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _relative_to(dense: RunResult, runs: Sequence[RunResult]) -> tuple[RunResult, ...]:
    """The compute of a smaller encoder as a share of the dense one's, not of its own."""
    if dense.macs is None or any(run.macs is None for run in runs):
        raise ValueError(
            "the multiply-adds of the dense or of the smaller encoder were not written: delete the "
            "results.json of runs from before they were, and run again: they are tested again"
        )
    return tuple(replace(run, compute=run.macs / dense.macs) for run in runs if run.macs)


def _counted(comparison: Comparison) -> str:
    """What the arms save."""
    names = {"random": "with random gates", "smaller": "with the smaller encoder"}
    controls = [
        f"{comparison.reduction(arm):.1f} % {names[arm]}" for arm in comparison.controls_relative
    ]
    counted = (
        f"Counted reduction: **{comparison.reduction('amortized'):.1f} %** of the dense encoder's "
        "multiply-adds, the arbitrators' own included"
    )
    return "; ".join([counted, ", ".join(controls)] if controls else [counted]) + "."


def _headline(comparison: Comparison) -> str:
    relative = comparison.amortized_relative
    cost = "" if relative is None else f", WER {relative.mean:+.1f} % relative to dense"
    return f"{comparison.reduction('amortized'):.0f} % fewer multiply-adds{cost}"


def _row(arm: str, seed: str, wer: str, runs: Sequence[RunResult]) -> str:
    compute = 100.0 * _mean(run.compute for run in runs)
    kept = " / ".join(f"{100.0 * _mean(run.rates[gate] for run in runs):.1f}" for gate in GATES)
    return f"| {arm} | {seed} | {wer} | {compute:.1f} | {kept} |"


def _difference_row(title: str, difference: Estimate | None) -> str:
    if difference is None:
        return f"| {title} | not defined: a run made no error | | |"
    by_seed = ", ".join(f"{value:+.1f}" for value in difference.by_seed)
    interval = f"{difference.low:+.1f} to {difference.high:+.1f} %"
    return f"| {title} | **{difference.mean:+.1f} %** | {interval} | {by_seed} |"


def _what_it_rests_on(comparison: Comparison) -> str:
    figures = comparison.figures()
    num_seeds = len(comparison.runs["dense"])
    levels = (
        "speakers alone: one seed says nothing about others"
        if num_seeds == 1
        else f"both levels, {num_seeds} seeds and the test speakers, drawn together"
    )
    smaller = (
        "; the smaller encoder, with all gates on, has as many steps from scratch"
        if "smaller" in comparison.runs
        else ""
    )
    random = (
        f"; random gates ({len(comparison.runs['random'])} seeds) keep what the amortized run of "
        "their seed keeps"
        if "random" in comparison.runs
        else ""
    )
    return (
        f"Synthetic speech; {figures['test_words']} test words in {figures['test_utterances']} "
        f"utterances of {figures['test_speakers']} unseen speakers. All runs start from the same "
        f"{comparison.steps[0]} steps and take {comparison.steps[1]} more, the runs of a seed "
        f"with the same batches{random}{smaller}. Intervals: {levels}."
    )


def _as_figures(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]
