"""The learning curve of a run as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sb_alexa.report import svg

Points = Sequence[tuple[float, float]]

_WIDTH, _LEFT, _RIGHT = 720.0, 52.0, 64.0
_PANEL_HEIGHT, _CURVE_TOP, _CURVE_BOTTOM = 180.0, 34.0, 146.0
_AXIS_STEPS_SECONDS = (15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)


def learning_chart(
    train_loss: Points,
    valid_loss: Points,
    valid_wer: Points,
    *,
    switch_seconds: float | None = None,
) -> str:
    """Draw loss and validation WER over minutes of training, one above the other, both logarithmic.

    Arguments
    ---------
    train_loss, valid_loss, valid_wer : sequence of (float, float)
        Seconds of training, and nats per utterance or percent.
    switch_seconds : float, optional
        When the transducer loss joined the CTC loss.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    last = max((seconds for seconds, _ in (*train_loss, *valid_wer)), default=60.0)

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last

    loss = _panel(
        [("train", train_loss), ("valid", valid_loss)], x, top=0.0, end=lambda value: f"{value:.2g}"
    )
    wer = _panel([("valid", valid_wer)], x, top=_PANEL_HEIGHT, end=lambda value: f"{value:.1f} %")
    parts = [
        _title("Loss", "nats per utterance", 0.0),
        _title("Word error rate", "% of words, development speakers", _PANEL_HEIGHT),
    ]
    if switch_seconds is not None and 0 < switch_seconds < last:
        at = x(switch_seconds)
        for top in (0.0, _PANEL_HEIGHT):
            parts.append(svg.line(at, top + _CURVE_TOP, at, top + _CURVE_BOTTOM, "mark"))
    step = next((s for s in _AXIS_STEPS_SECONDS if last / s <= 9), _AXIS_STEPS_SECONDS[-1])
    bottom = 2 * _PANEL_HEIGHT - 12
    for seconds in np.arange(0, last + 1e-9, step):
        parts.append(svg.text(x(seconds), bottom, f"{seconds / 60:g}", "label", anchor="middle"))
    parts.append(svg.text(_WIDTH, bottom, "minutes", "label", anchor="end"))
    label = "Loss and word error rate over training time"
    return svg.drawing(_WIDTH, 2 * _PANEL_HEIGHT, label, *parts, loss, wer)


def _title(title: str, unit: str, top: float) -> str:
    return (
        f'<text class="title" x="0" y="{top + 14:g}">{title}'
        f'<tspan class="label" dx="8">{unit}</tspan></text>'
    )


def _panel(
    series: Sequence[tuple[str, Points]],
    x: Callable[[float], float],
    *,
    top: float,
    end: Callable[[float], str],
) -> str:
    """Grid and curves; the end of the validation curve is labelled."""
    values = [value for _, points in series for _, value in points if value > 0]
    if not values:
        return svg.text(_LEFT, top + _CURVE_TOP + 14, "nothing was logged", "label")
    ticks = log_ticks(min(values), max(values))
    low = math.log(min(*values, ticks[0]))
    scale = (_CURVE_BOTTOM - _CURVE_TOP) / (math.log(max(*values, ticks[-1])) - low)

    def y(value: float) -> float:
        return top + _CURVE_BOTTOM - scale * (math.log(value) - low)

    parts = []
    for tick in ticks:
        parts.append(svg.line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), "grid"))
        parts.append(svg.text(_LEFT - 8, y(tick) + 4, f"{tick:g}", "label", anchor="end"))
    for name, points in series:
        # A perfect WER of 0 has no place on a logarithmic scale.
        shown = [(x(seconds), y(value)) for seconds, value in points if value > 0]
        parts.append(svg.points("polyline", shown, f"curve {name}"))
        if name == "valid" and shown:
            parts += [svg.dot(*point, 2.6) for point in shown]
            last_x, last_y = shown[-1]
            parts.append(svg.text(last_x + 8, last_y + 4, end(points[-1][1]), "value"))
    return "".join(parts)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values of a logarithmic axis, which the data lie between.

    Arguments
    ---------
    low, high : float
        Range of the data, positive.

    Example
    -------
    >>> log_ticks(3.0, 70.0)
    [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    decades = [
        10.0**exponent
        for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ]
    candidates = [factor * decade for decade in decades for factor in (1, 2, 5)]
    below = max(c for c in candidates if c <= low)
    # There are always two ticks, even where all data are the same round value.
    above = min(c for c in candidates if c >= high and c > below)
    ticks = [c for c in candidates if below <= c <= above]
    return ticks if len(ticks) <= 7 else [d for d in decades if below <= d <= above]
