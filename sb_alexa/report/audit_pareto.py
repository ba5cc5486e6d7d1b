"""Do systems help the worst group, and at what price for everybody?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report import svg
from sb_alexa.report.document import style_sheets
from sb_alexa.report.label_places import Box, LabelPlace, place_labels

_WIDTH, _HEIGHT = 430.0, 330.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 54.0, 10.0, 16.0, 46.0
_LONGEST_NAME = 26


@dataclass(frozen=True)
class ParetoPoint:
    """One system.

    Arguments
    ---------
    name : str
        Its label.
    overall, worst : Estimate
        WER in percent, of everybody and of the worst ranked group. The ends of an interval are
        where the system would lie if its difference to the base were the ends of the interval of
        that difference; NaN for the base.
    """

    name: str
    overall: Estimate
    worst: Estimate


def pareto_chart(points: Sequence[ParetoPoint], *, worst: str) -> str:
    """Draw WER of the worst group over WER of everybody; lower left is better for both.

    Arguments
    ---------
    points : sequence of ParetoPoint
        The base, then the others.
    worst : str
        What the vertical axis shows, such as ``WER of the worst region, %``.

    Returns
    -------
    svg : str
        An `<svg>` element.

    Raises
    ------
    ValueError
        If there is no system beside the base, or a rate is not finite.
    """
    if len(points) < 2:
        raise ValueError(f"a Pareto chart needs the base and a system, got {len(points)} points")
    for point in points:
        if not (math.isfinite(point.overall.value) and math.isfinite(point.worst.value)):
            raise ValueError(f"{point.name!r} has no error rate to draw; leave it out")
    x_axis = _Axis([point.overall for point in points], _LEFT, _LEFT + _WIDTH)
    y_axis = _Axis([point.worst for point in points], _TOP + _HEIGHT, _TOP)
    base = points[0]
    base_x, base_y = x_axis.at(base.overall.value), y_axis.at(base.worst.value)
    box = f'x="{_LEFT:g}" y="{base_y:.1f}" width="{base_x - _LEFT:.1f}"'
    crosses = "".join(_cross(point, x_axis, y_axis) for point in points)
    dots = "".join(_dot(point, x_axis, y_axis, point is base) for point in points)
    return svg.drawing(
        _LEFT + _WIDTH + _RIGHT,
        _TOP + _HEIGHT + _BOTTOM,
        _label(points, worst),
        f'<rect class="better" {box} height="{_TOP + _HEIGHT - base_y:.1f}"/>',
        *_grid(x_axis, y_axis, worst),
        svg.line(_LEFT, base_y, _LEFT + _WIDTH, base_y, "mark"),
        svg.line(base_x, _TOP, base_x, _TOP + _HEIGHT, "mark"),
        crosses,
        dots,
        *_names(points, x_axis, y_axis),
    )


def pareto_picture(points: Sequence[ParetoPoint], *, worst: str) -> str:
    """The same chart as a file of its own, for a page such as a README.

    Arguments
    ---------
    points : sequence of ParetoPoint
        The base, then the others.
    worst : str
        What the vertical axis shows.

    Returns
    -------
    svg : str
        A document; the style is inside and follows the reader's choice of light or dark.
    """
    style = style_sheets("page.css", "audit.css")
    return svg.stand_alone(pareto_chart(points, worst=worst), style)


class _Axis:
    """Percent to coordinates, with room for all points and intervals."""

    def __init__(self, estimates: Sequence[Estimate], first: float, last: float) -> None:
        values = [value for one in estimates for value in (one.value, one.low, one.high)]
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(finite), max(finite)
        # Systems that do not differ at all still need an axis.
        margin = 0.12 * (high - low) or max(0.05 * abs(high), 0.05)
        self.low, self.high = low - margin, high + margin
        self._first, self._last = first, last

    def at(self, percent: float) -> float:
        """Coordinate; open ends of intervals lie a little outside."""
        share = (percent - self.low) / (self.high - self.low)
        return self._first + (self._last - self._first) * min(max(share, -0.01), 1.01)

    def ticks(self) -> tuple[list[float], int]:
        """Round percents, four to eight of them, and their digits."""
        wanted = (self.high - self.low) / 7
        exponent = math.floor(math.log10(wanted))
        digit = next(d for d in (1, 2, 5, 10) if d * 10.0**exponent >= wanted)
        step, digits = digit * 10.0**exponent, max(0, -exponent - (digit == 10))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(number * step, digits) for number in range(first, last + 1)], digits


def _grid(x_axis: _Axis, y_axis: _Axis, worst: str) -> list[str]:
    bottom, parts = _TOP + _HEIGHT, []
    ticks, digits = x_axis.ticks()
    for tick in ticks:
        x = x_axis.at(tick)
        parts.append(svg.line(x, _TOP, x, bottom, "grid"))
        parts.append(svg.text(x, bottom + 17, f"{tick:.{digits}f}", "label", anchor="middle"))
    ticks, digits = y_axis.ticks()
    for tick in ticks:
        y = y_axis.at(tick)
        parts.append(svg.line(_LEFT, y, _LEFT + _WIDTH, y, "grid"))
        parts.append(svg.text(_LEFT - 7, y + 4, f"{tick:.{digits}f}", "label", anchor="end"))
    title, middle = "WER of all speakers, %", _LEFT + _WIDTH / 2
    parts.append(svg.text(middle, bottom + 38, title, "label", anchor="middle"))
    turned = svg.text(0, 0, worst, "label", anchor="middle")
    parts.append(f'<g transform="translate(13 {_TOP + _HEIGHT / 2:.1f}) rotate(-90)">{turned}</g>')
    return parts


def _cross(point: ParetoPoint, x_axis: _Axis, y_axis: _Axis) -> str:
    x, y = x_axis.at(point.overall.value), y_axis.at(point.worst.value)
    lines = []
    if not math.isnan(point.overall.low):
        ends = x_axis.at(point.overall.low), x_axis.at(point.overall.high)
        lines.append(svg.line(ends[0], y, ends[1], y, "paired"))
    if not math.isnan(point.worst.low):
        ends = y_axis.at(point.worst.low), y_axis.at(point.worst.high)
        lines.append(svg.line(x, ends[0], x, ends[1], "paired"))
    return "".join(lines)


def _dot(point: ParetoPoint, x_axis: _Axis, y_axis: _Axis, is_base: bool) -> str:
    x, y = x_axis.at(point.overall.value), y_axis.at(point.worst.value)
    kind = "system base" if is_base else "system"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _names(points: Sequence[ParetoPoint], x_axis: _Axis, y_axis: _Axis) -> Iterable[str]:
    anchors = [(x_axis.at(p.overall.value), y_axis.at(p.worst.value)) for p in points]
    lines = []
    for point, (x, y) in zip(points, anchors, strict=True):
        for estimate, axis, is_flat in (
            (point.overall, x_axis, True),
            (point.worst, y_axis, False),
        ):
            if not math.isnan(estimate.low):
                ends = sorted((axis.at(estimate.low), axis.at(estimate.high)))
                lines.append(
                    Box(ends[0], y, ends[1], y) if is_flat else Box(x, ends[0], x, ends[1])
                )
    texts = [_short(point.name) for point in points]
    frame = Box(_LEFT, _TOP, _LEFT + _WIDTH, _TOP + _HEIGHT)
    places = place_labels(texts, anchors, lines=lines, frame=frame)
    for text, place in zip(texts, places, strict=True):
        yield _name(text, place)


def _name(text: str, place: LabelPlace) -> str:
    leader = ""
    if place.is_far:
        leader = svg.line(*place.anchor, *place.end, "leader")
    return leader + svg.text(place.x, place.y, text, "name", anchor=place.side)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _label(points: Sequence[ParetoPoint], worst: str) -> str:
    told = "; ".join(
        f"{point.name} {point.overall.value:.2f} and {point.worst.value:.2f}" for point in points
    )
    return f"{worst} over WER of all speakers: {told}"
