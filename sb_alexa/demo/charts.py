"""Charts of the report as SVG text; colours and type come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from sb_alexa.demo.live import LiveTranscript
from sb_alexa.demo.report import align
from sb_alexa.demo.results import Rate

Points = Sequence[tuple[float, float]]

_WIDTH = 720.0
_LEFT, _RIGHT = 52.0, 64.0
_ROW_WIDTH = 300.0
# Mean width of a lower-case letter of the page's font, as a fraction of its size.
_LETTER = 0.56


def learning_curve(
    train_loss: Points,
    valid_loss: Points,
    valid_wer: Points,
    *,
    switch_seconds: float | None = None,
) -> str:
    """Loss and validation WER over minutes of training, one above the other, both logarithmic.

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
    panels = []
    height = 0.0
    for title, unit, series in (
        ("Loss", "nats per utterance", (("train", train_loss), ("valid", valid_loss))),
        ("Word error rate", "% of words, development speakers", (("valid", valid_wer),)),
    ):
        panels.append(_panel(title, unit, series, top=height, last=last, switch=switch_seconds))
        height += 180
    axis = _minutes_axis(last, height - 12)
    return _svg(height, "Loss and word error rate over training time", *panels, axis)


def _panel(
    title: str,
    unit: str,
    series: Sequence[tuple[str, Points]],
    *,
    top: float,
    last: float,
    switch: float | None,
) -> str:
    values = [value for _, points in series for _, value in points if value > 0]
    if not values:
        return _text(0, top + 14, "nothing was logged", "label")
    ticks = log_ticks(min(values), max(values))
    low, high = math.log(min(*values, ticks[0])), math.log(max(*values, ticks[-1]))
    upper, lower = top + 34, top + 146

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last

    def y(value: float) -> float:
        return lower - (lower - upper) * (math.log(value) - low) / (high - low)

    parts = [
        f'<text class="title" x="0" y="{top + 14}">{escape(title)}'
        f'<tspan class="label" dx="8">{escape(unit)}</tspan></text>'
    ]
    for tick in ticks:
        parts.append(_line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), "grid"))
        parts.append(_text(_LEFT - 8, y(tick) + 4, f"{tick:g}", "label", "end"))
    if switch is not None and 0 < switch < last:
        parts.append(_line(x(switch), upper - 6, x(switch), lower, "mark"))
    for name, points in series:
        shown = [(x(seconds), y(value)) for seconds, value in points if value > 0]
        parts.append(_polyline(shown, f"curve {name}"))
        if name == "valid":
            parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in shown]
            if shown:
                end = points[-1][1]
                value = f"{end:.1f} %" if "rate" in title else f"{end:.2g}"
                parts.append(_text(shown[-1][0] + 8, shown[-1][1] + 4, value, "value"))
    return "".join(parts)


def _minutes_axis(last_seconds: float, y: float) -> str:
    step = next(
        s for s in (10, 30, 60, 120, 300, 600, 1800, 7200) if last_seconds / s <= 9 or s == 7200
    )
    parts = []
    for seconds in np.arange(0, last_seconds + 1e-9, step):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last_seconds
        parts.append(_text(x, y, f"{seconds / 60:g}", "label", "middle"))
    parts.append(_text(_WIDTH, y, "minutes", "label", "end"))
    return "".join(parts)


def percent_axis(high: float) -> str:
    """Tick labels for the column of `interval_row`.

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
        _text(
            _percent_x(tick, high),
            11,
            f"{tick:g}" + (" %" if tick == ticks[-1] else ""),
            "label",
            "middle",
        )
        for tick in ticks
    ]
    return _svg(14, f"scale from 0 to {high:.0f} percent", *labels, width=_ROW_WIDTH)


def _percent_x(percent: float, high: float) -> float:
    return 6 + (_ROW_WIDTH - 24) * min(percent, high) / high


def interval_row(rate: Rate, *, overall: float, high: float) -> str:
    """One row of the accent table: the rate as a dot, its interval as a line.

    Arguments
    ---------
    rate : Rate
        Of the accent.
    overall : float
        Percent over all speakers, drawn as a reference.
    high : float
        Percent at the right end of the scale.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    height, middle = 24.0, 12.0

    def x(percent: float) -> float:
        return _percent_x(percent, high)

    return _svg(
        height,
        f"{rate.wer:.1f} percent, interval {rate.low:.1f} to {rate.high:.1f}",
        _line(x(0), middle, x(high), middle, "grid"),
        _line(x(overall), 0, x(overall), height, "mark"),
        _line(x(rate.low), middle, x(rate.high), middle, "interval"),
        f'<circle class="dot" cx="{x(rate.wer):.1f}" cy="{middle:.1f}" r="4"/>',
        width=_ROW_WIDTH,
    )


def time_line(transcript: LiveTranscript, samples: np.ndarray) -> str:
    """When words were said and when they stood on the screen, over the waveform.

    Arguments
    ---------
    transcript : LiveTranscript
        One utterance.
    samples : numpy.ndarray
        Its audio, shape (N,), any sample rate.

    Returns
    -------
    svg : str
        An `<svg>` element.
    """
    last = max([transcript.duration_s, *(word.shown_s + 0.35 for word in transcript.shown)])

    scale = (_WIDTH - _LEFT) / last

    def x(seconds: float) -> float:
        return _LEFT + scale * seconds

    said_y, wave_y, shown_y = 8.0, 74.0, 134.0
    parts = [
        _text(0, said_y + 16, "said", "label"),
        _text(0, wave_y + 4, "audio", "label"),
        _text(0, shown_y + 12, "shown", "label"),
        _waveform(samples, x(0), x(transcript.duration_s), wave_y, 22.0),
    ]
    for word in transcript.spoken:
        parts.append(_word_box(word.text.lower(), x(word.start_s), x(word.end_s), said_y))
    right = set()
    pairs = align([w.text for w in transcript.spoken], [w.text for w in transcript.shown])
    for tag, i, j in pairs:
        if tag == "equal" and i is not None and j is not None:
            right.add(j)
            begin, end = x(transcript.spoken[i].end_s), x(transcript.shown[j].shown_s)
            parts.append(_line(begin, said_y + 24, end, shown_y, "link"))
    labels, num_rows = _shown_labels(transcript, right, scale, shown_y)
    bottom = shown_y + 16 + 17 * num_rows
    for seconds in np.arange(0, last, 0.5 if last < 8 else 1.0):
        parts.append(_text(x(seconds), bottom + 14, f"{seconds:g}", "label", "middle"))
    parts.append(_text(_WIDTH, bottom + 14, "s", "label", "end"))
    return _svg(bottom + 20, "Words as said and as shown, over time", *parts, labels)


def _shown_labels(
    transcript: LiveTranscript, right: set[int], scale: float, top: float
) -> tuple[str, int]:
    """Labels of the recognised words at their time, on as many rows as they need not to overlap."""
    ends: list[float] = []
    parts = []
    for j, word in enumerate(transcript.shown):
        at = _LEFT + scale * word.shown_s
        row = next((r for r, end in enumerate(ends) if end <= at), len(ends))
        width = len(word.text) * 12 * _LETTER + 10
        ends[row : row + 1] = [at + width]
        kind = "word over" if j in right else "word over wrong"
        parts.append(
            _line(at, top, at, top + 10 + 17 * row, "tick" if j in right else "tick wrong")
        )
        parts.append(_text(at + 4, top + 12 + 17 * row, word.text.lower(), kind))
    return "".join(parts), max(len(ends), 1)


def _word_box(text: str, left: float, right: float, top: float) -> str:
    size = min(12.0, max(7.0, (right - left - 2) / (len(text) * _LETTER)))
    return (
        f'<rect class="box" x="{left + 0.5:.1f}" y="{top}" width="{max(right - left - 1, 1):.1f}" '
        'height="24" rx="3"/>'
        f'<text class="word" x="{(left + right) / 2:.1f}" y="{top + 16}" text-anchor="middle" '
        f'style="font-size:{size:.1f}px">{escape(text)}</text>'
    )


def _waveform(samples: np.ndarray, left: float, right: float, middle: float, half: float) -> str:
    num_bars = int((right - left) / 1.5)
    peaks = np.array(
        [np.abs(part).max() if part.size else 0.0 for part in np.array_split(samples, num_bars)]
    )
    peaks = peaks / max(float(peaks.max()), 1e-9) * half
    xs = np.linspace(left, right, num_bars)
    upper = " ".join(f"{a:.1f},{middle - p:.1f}" for a, p in zip(xs, peaks, strict=True))
    lower = " ".join(
        f"{a:.1f},{middle + p:.1f}" for a, p in zip(xs[::-1], peaks[::-1], strict=True)
    )
    return f'<polygon class="wave" points="{upper} {lower}"/>'


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
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
    below = max((c for c in candidates if c <= low), default=candidates[0])
    # One tick more than needed at most, so that there are always two.
    above = min((c for c in candidates if c > max(high, below)), default=10 * candidates[-1])
    ticks = [c for c in candidates if below <= c <= above]
    return ticks if len(ticks) <= 7 else [t for t in ticks if f"{t:e}"[0] == "1"] or ticks[::3]


def _svg(height: float, label: str, *parts: str, width: float = _WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _polyline(points: Points, kind: str) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
