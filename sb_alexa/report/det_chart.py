"""Detection error trade-off: false non-matches over false matches, on probit axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from sb_alexa.metrics.verification import DetCurve
from sb_alexa.report import svg

_SIZE, _LEFT, _TOP, _RIGHT, _BOTTOM = 400.0, 54.0, 10.0, 16.0, 46.0
_TICKS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99),
)
_LABEL_DISTANCE = 28.0
# Percent; the picture is not stretched for the dot of a group that is nearly always refused.
_HIGHEST_DOT = 40.0


@dataclass(frozen=True, eq=False)
class DetLine:
    """A curve in the picture.

    Arguments
    ---------
    curve : DetCurve
        Its points.
    kind : str
        Class of the style sheet.
    at_threshold : tuple of float
        FMR and FNMR in percent at the shared threshold, drawn as a dot where both are in the
        picture.
    """

    curve: DetCurve
    kind: str
    at_threshold: tuple[float, float]


def det_chart(lines: Sequence[DetLine], *, name: str) -> str:
    """Draw curves whose axes are stretched such that normally distributed scores give lines.

    Arguments
    ---------
    lines : sequence of DetLine
        At least one; later ones lie above.
    name : str
        Unique on the page, made of letters, digits and hyphens.

    Returns
    -------
    svg : str
        An `<svg>` element.

    Raises
    ------
    ValueError
        If there is no curve.

    Reference
    ---------
    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    if not lines:
        raise ValueError("a DET chart needs at least one curve")
    axis = _Axis(*_limits(lines))
    box = f'x="{_LEFT:g}" y="{_TOP:g}" width="{_SIZE:g}" height="{_SIZE:g}"'
    clip = f'<clipPath id="{escape(name)}"><rect {box}/></clipPath>'
    first, last = axis.low, axis.high
    diagonal = svg.line(axis.x(first), axis.y(first), axis.x(last), axis.y(last), "mark")
    drawn = "".join(_line(line, axis) for line in lines)
    return svg.drawing(
        _LEFT + _SIZE + _RIGHT,
        _TOP + _SIZE + _BOTTOM,
        f"False non-match rate over false match rate, {first:g} to {last:g} percent",
        f"<defs>{clip}</defs>",
        *_grid(axis),
        f'<g clip-path="url(#{escape(name)})">{diagonal}{drawn}</g>',
    )


class _Axis:
    """Percent to coordinates; both axes are alike."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self._ends = _probit(np.array([low, high]))

    def share(self, percent: np.ndarray | float) -> np.ndarray:
        """0 at the low end, 1 at the high end; rates of 0 and 100 lie a little outside."""
        low, high = self._ends
        shares = (_probit(np.asarray(percent, dtype=np.float64)) - low) / (high - low)
        return np.clip(shares, -0.1, 1.1)

    def x(self, percent: float) -> float:
        return _LEFT + _SIZE * float(self.share(percent))

    def y(self, percent: float) -> float:
        return _TOP + _SIZE * (1.0 - float(self.share(percent)))


def _probit(percent: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(percent / 100.0)


def _limits(lines: Sequence[DetLine]) -> tuple[float, float]:
    """Around the equal error rates and, if they are not extreme, the dots; no finer than trials."""
    curves = [line.curve for line in lines]
    rates = [curve.equal_error_rate().rate for curve in curves]
    dots = [rate for line in lines for rate in line.at_threshold if 0.0 < rate <= _HIGHEST_DOT]
    finest = [min(_smallest(c.false_match), _smallest(c.false_non_match)) for c in curves]
    wanted_low = max(min(finest), min([min(rates) / 20.0, *dots]))
    wanted_high = max([5.0, 4.0 * max(rates), *dots])
    low = max((tick for tick in _TICKS[:-6] if tick <= wanted_low), default=_TICKS[0])
    high = min((tick for tick in _TICKS if tick >= wanted_high), default=_TICKS[-1])
    return low, high


def _smallest(rates: np.ndarray) -> float:
    return float(rates[rates > 0].min())


def _line(line: DetLine, axis: _Axis) -> str:
    x = np.round(_LEFT + _SIZE * axis.share(line.curve.false_match), 1)
    y = np.round(_TOP + _SIZE * (1.0 - axis.share(line.curve.false_non_match)), 1)
    # A list of 600,000 trials has as many points; those that fall onto one another are left out.
    moved = (np.abs(np.diff(np.round(x))) + np.abs(np.diff(np.round(y)))) > 0
    kept = np.concatenate([[0], np.flatnonzero(moved) + 1])
    coordinates = zip(x[kept].tolist(), y[kept].tolist(), strict=True)
    drawn = svg.points("polyline", coordinates, f"det {line.kind}")
    if all(axis.low <= rate <= axis.high for rate in line.at_threshold):
        at_x, at_y = axis.x(line.at_threshold[0]), axis.y(line.at_threshold[1])
        drawn += f'<circle class="at {line.kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="4"/>'
    return drawn


def _grid(axis: _Axis) -> list[str]:
    parts, last = [], -_LABEL_DISTANCE
    bottom, middle = _TOP + _SIZE, _TOP + _SIZE / 2
    for tick in (tick for tick in _TICKS if axis.low <= tick <= axis.high):
        x, y = axis.x(tick), axis.y(tick)
        parts.append(svg.line(x, _TOP, x, bottom, "grid"))
        parts.append(svg.line(_LEFT, y, _LEFT + _SIZE, y, "grid"))
        if x - last >= _LABEL_DISTANCE:
            parts.append(svg.text(x, bottom + 17, f"{tick:g}", "label", anchor="middle"))
            parts.append(svg.text(_LEFT - 7, y + 4, f"{tick:g}", "label", anchor="end"))
            last = x
    title = "false match rate, %"
    parts.append(svg.text(_LEFT + _SIZE / 2, bottom + 38, title, "label", anchor="middle"))
    turned = svg.text(0, 0, "false non-match rate, %", "label", anchor="middle")
    parts.append(f'<g transform="translate(13 {middle:.1f}) rotate(-90)">{turned}</g>')
    return parts
