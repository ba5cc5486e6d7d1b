"""Picture of `sb-alexa gates --manifest`: compute and word error rate by group of speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sb_alexa.fairness.gate_audit import FEWEST_SPEAKERS, Estimate, GroupAudit
from sb_alexa.inference.matplotlib_figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"compute": "#1f5fa8", "wer": "#b8591b"}
_INK, _SOFT = "#22252b", "#62666f"
_FEWEST_POINTS = 5.0
_TITLES = {"compute": "compute (% of the dense encoder)", "wer": "word error rate (%)"}


def plot_audit(
    overall: Mapping[str, Estimate], audits: Mapping[str, Sequence[GroupAudit]]
) -> Figure:
    """Draw a panel for each of compute and word error rate, groups below one another.

    Arguments
    ---------
    overall : mapping of str to Estimate
        Over all speakers, drawn as a line with its interval as a band.
    audits : mapping of str to sequence of GroupAudit
        By column.

    Returns
    -------
    Figure
        Of matplotlib; groups with too few speakers are hollow and pale.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    rows: list[GroupAudit | str] = []
    for column, groups in audits.items():
        rows += [column, *groups]
    figure = new_figure(10.5, 1.5 + 0.3 * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, measure in zip(panels, _TITLES, strict=True):
        _draw(panel, measure, rows, overall[measure])
    labels = [row if isinstance(row, str) else _label(row) for row in rows]
    panels[0].set_yticks(range(len(rows)), labels)
    for tick, row in zip(panels[0].get_yticklabels(), rows, strict=True):
        is_title = isinstance(row, str)
        tick.set(color=_INK if is_title else _SOFT, fontweight="bold" if is_title else "normal")
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(
        "Line and band: all speakers. Bars: 95 % intervals by resampling speakers. "
        f"Hollow: fewer than {FEWEST_SPEAKERS} speakers.",
        fontsize=9,
        color=_SOFT,
    )
    return figure


def _draw(panel: Axes, measure: str, rows: Sequence[GroupAudit | str], overall: Estimate) -> None:
    colour = _COLOURS[measure]
    if overall.low is not None and overall.high is not None:
        panel.axvspan(overall.low, overall.high, color="#eceae4", zorder=0)
    if overall.value is not None:
        panel.axvline(overall.value, color=_SOFT, lw=1.0, ls="--", zorder=1)
    for height, row in enumerate(rows):
        if isinstance(row, str):
            continue
        rate, alpha = row.rates[measure], 0.45 if row.is_small else 1.0
        if rate.value is None:
            continue
        if rate.low is not None and rate.high is not None:
            span = [rate.low, rate.high]
            panel.plot(span, [height] * 2, color=colour, lw=3, alpha=0.4 * alpha)
        face = "white" if row.is_small else colour
        panel.plot(rate.value, height, "o", ms=6, mfc=face, mec=colour, alpha=alpha, zorder=3)
    low, high = panel.get_xlim()
    # A difference of a tenth of a point must not fill the picture.
    missing = max(0.0, _FEWEST_POINTS - (high - low)) / 2
    panel.set_xlim(max(0.0, low - missing), high + missing)
    panel.set_xlabel(_TITLES[measure], color=_SOFT)
    panel.grid(axis="x", alpha=0.25)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _label(group: GroupAudit) -> str:
    return f"{group.group} ({group.speakers})"
