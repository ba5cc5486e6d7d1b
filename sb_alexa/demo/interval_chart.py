"""Error rates with their intervals, as the last column of a table in SVG."""

from __future__ import annotations

import numpy as np

from sb_alexa.demo.results import Rate
from sb_alexa.report import svg

_WIDTH, _HEIGHT = 300.0, 24.0


def interval_row(rate: Rate, *, overall: float, high: float) -> str:
    """Draw the rate of one row as a dot and its interval as a line.

    Arguments
    ---------
    rate : Rate
        Of the row.
    overall : float
        Percent over all speakers, drawn as a reference.
    high : float
        Percent at the right end of the scale, the same for all rows.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    middle = _HEIGHT / 2
    return svg.drawing(
        _WIDTH,
        _HEIGHT,
        f"{rate.wer:.1f} percent, interval {rate.low:.1f} to {rate.high:.1f}",
        svg.line(_x(0, high), middle, _x(high, high), middle, "grid"),
        svg.line(_x(overall, high), 0, _x(overall, high), _HEIGHT, "mark"),
        svg.line(_x(rate.low, high), middle, _x(rate.high, high), middle, "interval"),
        svg.dot(_x(rate.wer, high), middle, 4),
    )


def interval_axis(high: float) -> str:
    """Draw the tick labels above the rows.

    Arguments
    ---------
    high : float
        Percent at the right end of the scale.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    step = next((s for s in (0.5, 1, 2, 5, 10, 20) if high / s <= 6), 50)
    ticks = np.arange(0, high + 1e-9, step)
    labels = [
        svg.text(
            _x(t, high), 11, f"{t:g}{' %' if t == ticks[-1] else ''}", "label", anchor="middle"
        )
        for t in ticks
    ]
    return svg.drawing(_WIDTH, 14, f"scale from 0 to {high:.0f} percent", *labels)


def _x(percent: float, high: float) -> float:
    return 6 + (_WIDTH - 24) * min(percent, high) / high
