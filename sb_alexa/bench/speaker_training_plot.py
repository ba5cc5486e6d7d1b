"""Plot of `sb-alexa bench speaker-training`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sb_alexa.bench.speaker_comparison import SpeakersComparison
from sb_alexa.bench.speaker_training_plan import ARMS, BASE
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.metrics.verification_estimates import Estimate

_COLOURS = dict(zip(ARMS, ("#62666f", "#b3401f", "#7a4fa3", "#3a8f5c", "#1f5fa8"), strict=True))


def plot(comparison: SpeakersComparison, path: Path) -> None:
    """Draw what the arms change for each ranked group, and weights over the baseline's EER.

    Arguments
    ---------
    comparison : SpeakersComparison
        The results.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    ranked = [group for group in comparison.groups if group.is_ranked]
    weighted = any(arm.adversary for arm in comparison.arms.values())
    height = 1.4 + 0.24 * (1 + len(ranked))
    figure = Figure(figsize=(11.0 if weighted else 6.5, max(3.6, height)), layout="constrained")
    panels = figure.subplots(1, 2 if weighted else 1, squeeze=False)[0]
    _differences(panels[0], comparison)
    if weighted:
        _weights(panels[1], comparison)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e4e6ea")
        panel.set_axisbelow(True)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _differences(panel: Any, comparison: SpeakersComparison) -> None:
    rows = {"all trials": "eer"}
    for group in comparison.groups:
        if group.is_ranked:
            rows[f"{group.column}: {group.name}"] = f"{group.key}_eer"
    arms = [name for name in comparison.arms if name != BASE]
    for place, name in enumerate(arms):
        shift = 0.6 * ((place + 0.5) / len(arms) - 0.5)
        for row, key in enumerate(rows.values()):
            one = comparison.arms[name].differences[key]
            ends = [one.low, one.high]
            panel.plot(ends, [row + shift] * 2, color=_COLOURS[name], lw=2, alpha=0.45)
            label = name if row == 0 else None
            panel.plot(one.value, row + shift, "o", color=_COLOURS[name], ms=4, label=label)
    panel.axvline(0.0, color="#62666f", lw=1)
    panel.set_yticks(range(len(rows)), list(rows), fontsize="small")
    panel.invert_yaxis()
    panel.set_title(f"EER minus the {BASE}'s (points)", fontsize="medium", loc="left")
    if len(arms) > 1:
        panel.legend(frameon=False, fontsize="small")


def _weights(panel: Any, comparison: SpeakersComparison) -> None:
    base = comparison.arms[BASE].measured
    arms = {name: arm.adversary for name, arm in comparison.arms.items() if arm.adversary}
    named = len(arms) == 1
    for name, adversary in arms.items():
        label: str | None = name
        for group in comparison.groups:
            weight = adversary.weights.get(group.key)
            if weight is None or not group.is_ranked:
                continue
            eer = base[f"{group.key}_eer"].value
            low, high = _ends(weight)
            panel.plot([eer, eer], [low, high], color=_COLOURS[name], lw=2, alpha=0.35)
            panel.plot(eer, weight.value, "o", color=_COLOURS[name], ms=4, label=label)
            label = None
            if named:
                panel.annotate(
                    group.name, (eer, weight.value), xytext=(5, 3), textcoords="offset points",
                    fontsize="x-small",
                )  # fmt: skip
    panel.axhline(1.0, color="#62666f", lw=1)
    panel.set_xlabel(f"EER of test speakers, {BASE} (%)", fontsize="small")
    panel.set_title("mean weight of training speakers", fontsize="medium", loc="left")
    if not named:
        panel.legend(frameon=False, fontsize="small")


def _ends(estimate: Estimate) -> tuple[float, float]:
    """The interval, or the value where there is none."""
    if math.isnan(estimate.low):
        return estimate.value, estimate.value
    return estimate.low, estimate.high
