"""Plot of `sb-alexa bench loss`: time and memory against T and V."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sb_alexa.bench.loss_run import Measurement
from sb_alexa.bench.loss_sweep import SweepPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(points: list[SweepPoint], path: Path, *, where: str) -> None:
    """Draw a panel for each of time and memory, against each of T and V.

    Arguments
    ---------
    points : list of SweepPoint
        The sweep.
    path : Path
        PNG to write, replaced in one step.
    where : str
        The machine, for the title.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    figure = Figure(figsize=(8, 6.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    rows: tuple[tuple[str, Callable[[Measurement], float | None]], ...] = (
        ("time (s)", lambda measurement: measurement.median_seconds),
        ("extra memory (MiB)", lambda measurement: measurement.extra_mib),
    )
    for column, axis in enumerate(("t", "v")):
        of_axis = [point for point in points if point.axis == axis]
        for row, (label, number) in enumerate(rows):
            panel = panels[row][column]
            _draw(panel, of_axis, number)
            if axis == "v" and row == 1:
                _draw_output_layer(panel, of_axis)
            if column == 0:
                panel.set_ylabel(label)
            if row == 1 and of_axis:
                panel.set_xlabel(_axis_label(axis, of_axis[0]))
    handles, labels = panels[1][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(
        f"Transducer joint and loss, forward and backward, random weights\n{where}",
        fontsize="medium",
    )
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw(
    panel: Axes, points: list[SweepPoint], number: Callable[[Measurement], float | None]
) -> None:
    """One line for each variant."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        for measurement in point.result.measurements:
            value = number(measurement)
            if value:
                title = measurement.variant.title
                lines.setdefault(title, []).append((point.position, value))
    for title, line in lines.items():
        style = "o-" if title.startswith("ours") else "s--"
        panel.plot(*zip(*line, strict=True), style, label=title)
    positions = [point.position for point in points]
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(positions, [str(position) for position in positions])
    panel.minorticks_off()
    panel.yaxis.set_major_formatter("{x:g}")
    panel.grid(alpha=0.3)


def _draw_output_layer(panel: Axes, points: list[SweepPoint]) -> None:
    """The part of the memory that grows with V whatever the loss: the weights' gradient."""
    mib = [4 * point.size.joint_size * point.position / 2**20 for point in points]
    positions = [point.position for point in points]
    panel.plot(positions, mib, ":", color="gray", label="gradient of the output weights alone")


def _axis_label(axis: str, point: SweepPoint) -> str:
    size = point.size
    if axis == "t":
        return f"frames T (U = T / 5, B {size.batch_size}, V {size.vocabulary_size})"
    return f"vocabulary V (T {size.num_frames}, U {size.num_labels}, B {size.batch_size})"
