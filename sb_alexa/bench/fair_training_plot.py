"""Plot of `sb-alexa bench fair-training`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb_alexa.bench.fair_results import FairComparison, difference
from sb_alexa.bench.fair_training_plan import BASE, METHODS
from sb_alexa.corpora.stamp import replaced_atomically

_COLOURS = dict(
    zip(
        (BASE, *METHODS),
        ("#62666f", "#b3401f", "#1f5fa8", "#3a8f5c", "#c98a1b", "#7a4fa3"),
        strict=True,
    )
)

_LABELS = {"worst": "worst region", "others": "other regions"}
_SHIFTS = {"l2": 1.07, "ewc": 1 / 1.07}


def plot(comparison: FairComparison, path: Path) -> None:
    """Draw the worst region against all, and both over lambda.

    Arguments
    ---------
    comparison : FairComparison
        The results.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    pareto, over_lambda = figure.subplots(1, 2)
    _pareto(pareto, comparison)
    _over_lambda(over_lambda, comparison)
    for panel in (pareto, over_lambda):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e4e6ea")
        panel.set_axisbelow(True)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _pareto(panel: Any, comparison: FairComparison) -> None:
    base = comparison.arms[BASE]
    x0, y0 = base.wer("overall").value, base.wer("worst").value
    panel.axvline(x0, color=_COLOURS[BASE], lw=0.8, ls=":")
    panel.axhline(y0, color=_COLOURS[BASE], lw=0.8, ls=":")
    panel.plot(x0, y0, "o", color=_COLOURS[BASE], label=BASE)
    for method in comparison.plan.methods:
        arms = {n: arm for n, arm in comparison.plan.arms.items() if arm.method == method}
        points = []
        for name, arm in arms.items():
            paired = comparison.arms[name].against_base
            assert paired is not None, "only the base has none"
            across, up = difference(paired, "overall").points, difference(paired, "worst").points
            x, y = x0 + across.value, y0 + up.value
            points.append((x, y))
            colour = _COLOURS[method]
            panel.plot([x0 + across.low, x0 + across.high], [y, y], color=colour, lw=1, alpha=0.4)
            panel.plot([x, x], [y0 + up.low, y0 + up.high], color=colour, lw=1, alpha=0.4)
            if arm.weight is not None:
                panel.annotate(
                    f"{arm.weight:g}", (x, y), xytext=(4, 3), textcoords="offset points",
                    fontsize="x-small", color=colour,
                )  # fmt: skip
        panel.plot(
            *zip(*points, strict=True), "o-", color=_COLOURS[method], ms=4, lw=1, label=method
        )
    panel.set_xlabel("WER of all held-out speakers (%)", fontsize="small")
    panel.set_title(
        "WER of the worst region (%); lower left is better", fontsize="medium", loc="left"
    )
    panel.legend(frameon=False, fontsize="small")


def _over_lambda(panel: Any, comparison: FairComparison) -> None:
    panel.axhline(0.0, color=_COLOURS[BASE], lw=1)
    for method in comparison.plan.methods:
        arms = {n: a for n, a in comparison.plan.arms.items() if a.method == method and a.weight}
        for part, style in (("worst", "-"), ("others", "--")):
            points = []
            for name, arm in arms.items():
                paired = comparison.arms[name].against_base
                assert paired is not None, "only the base has none"
                one = difference(paired, part).points
                # Side by side, not on top of each other.
                place = (arm.weight or 1.0) * _SHIFTS[method]
                points.append((place, one.value))
                panel.plot(
                    [place] * 2, [one.low, one.high], color=_COLOURS[method], lw=1, alpha=0.4
                )
            if points:
                label = f"{method}: {_LABELS[part]}"
                panel.plot(
                    *zip(*points, strict=True),
                    f"o{style}",
                    color=_COLOURS[method],
                    ms=4,
                    lw=1,
                    label=label,
                )
    panel.set_xscale("log")
    panel.set_xlabel("lambda", fontsize="small")
    panel.set_title("WER minus the base's (points)", fontsize="medium", loc="left")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(frameon=False, fontsize="small")
