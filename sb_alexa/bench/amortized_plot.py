"""Figure of `sb-alexa bench amortized`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sb_alexa.bench.amortized_regimes import RegimeResult
from sb_alexa.bench.amortized_run import AmortizedResult
from sb_alexa.bench.amortized_sweep import SweepPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(result: AmortizedResult, path: Path) -> None:
    """Draw the word error rate over compute, and measured beside counted savings.

    Arguments
    ---------
    result : AmortizedResult
        All measurements.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    _draw_sweep(left, result.sweep)
    _draw_regimes(right, result.regimes)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _draw_sweep(axes: Axes, sweep: list[SweepPoint]) -> None:
    points = sorted(sweep, key=lambda point: point.threshold)
    compute = [100 * point.recognition.counts.compute_share for point in points]
    wer = [point.recognition.total.error_rate for point in points]
    intervals = [point.recognition.interval for point in points]
    below = [rate - low for rate, (low, _) in zip(wer, intervals, strict=True)]
    above = [high - rate for rate, (_, high) in zip(wer, intervals, strict=True)]
    axes.errorbar(compute, wer, yerr=[below, above], fmt="o-", capsize=3, color="C0")
    for point, x, y in zip(points, compute, wer, strict=True):
        axes.annotate(
            f"{point.threshold:g}", (x, y), xytext=(5, 5), textcoords="offset points", fontsize=9
        )
    axes.set_xlim(0, 1.1 * max(compute))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("multiply-adds of the encoder (% of dense)")
    axes.set_ylabel("word error rate (%)")
    axes.set_title("Trained model, by threshold of its gates", fontsize="medium")
    axes.grid(alpha=0.3)


def _draw_regimes(axes: Axes, results: list[RegimeResult]) -> None:
    positions = range(len(results))
    medians = [one.measured_reduction for one in results]
    # A saving that is none would be drawn to the left of the axis.
    errors = [
        [max(0.0, one.median - one.low) for one in medians],
        [max(0.0, one.high - one.median) for one in medians],
    ]
    counted = [one.counted_reduction for one in results]
    axes.barh([y - 0.2 for y in positions], counted, 0.38, color="0.75", label="counted")
    axes.barh(
        [y + 0.2 for y in positions],
        [one.median for one in medians],
        0.38,
        xerr=errors,
        capsize=3,
        color="C0",
        label="measured",
    )
    aimed = [
        (one.target_ratio * one.counted_reduction, y)
        for y, one in enumerate(results)
        if one.target_ratio is not None
    ]
    if aimed:
        x, y = zip(*aimed, strict=True)
        axes.plot(x, [at + 0.2 for at in y], "|", color="C3", markersize=18, mew=2, label="aim")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(list(positions), [_label(one) for one in results], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("reduction against the dense encoder (%)")
    axes.set_title("Paper-size encoder: operations counted, time measured", fontsize="medium")
    axes.grid(axis="x", alpha=0.3)
    axes.figure.legend(loc="outside lower right", ncols=3, fontsize=9)


def _label(one: RegimeResult) -> str:
    where = "" if one.device == "cpu" else " (GPU)"
    return one.regime.title.replace(", toggles", ",\ntoggles") + where
