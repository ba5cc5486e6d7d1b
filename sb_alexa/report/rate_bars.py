"""Rates of groups as bars with intervals, in HTML that fits any width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import interval_text, number_text

_MOST_ROOM = 2.5


@dataclass(frozen=True)
class RateBar:
    """One bar.

    Arguments
    ---------
    name : str
        What it belongs to.
    rate : Estimate
        Percent; NaN draws nothing.
    is_ranked : bool
        Otherwise it is drawn pale.
    """

    name: str
    rate: Estimate
    is_ranked: bool = True


def rate_bars(title: str, note: str, bars: Sequence[RateBar], *, overall: float) -> str:
    """A panel of bars on one scale from 0, with a mark at the overall rate.

    The scale has room for the intervals of the ranked bars up to 2.5 times the highest rate. What
    goes on beyond it is cut off with an open end: the interval of two speakers would leave no room
    for anything else.

    Arguments
    ---------
    title, note : str
        What is shown; plain text.
    bars : sequence of RateBar
        From top to bottom.
    overall : float
        Percent.

    Returns
    -------
    html : str
        A `<section>`.

    Example
    -------
    >>> html = rate_bars("EER", "", [RateBar("a", Estimate(1.0, 0.5, 2.0))], overall=1.0)
    >>> "width:50.0%" in html, "left:25.0%;width:75.0%" in html
    (True, True)
    """
    high = _scale(bars, overall)
    # Two digits of a rate above 10 % take room that names need.
    digits = 1 if high >= 10 else 2
    rows = "\n".join(_row(bar, overall, high, digits) for bar in bars)
    return f"""<section class="bars"><h3>{escape(title)} <span>{escape(note)}</span></h3>
{rows}
</section>"""


def _scale(bars: Sequence[RateBar], overall: float) -> float:
    rates = max([0.0, *_finite([overall, *(bar.rate.value for bar in bars)])])
    ends = _finite(bar.rate.high for bar in bars if bar.is_ranked)
    ends = ends or _finite(bar.rate.high for bar in bars)
    most = _MOST_ROOM * rates if rates else math.inf
    return min(max([rates, *ends]), most) or 1.0


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _row(bar: RateBar, overall: float, high: float, digits: int) -> str:
    rate = bar.rate
    pieces = ""
    if math.isfinite(rate.value):
        pieces += f'<i class="bar" style="width:{_percent(rate.value, high)}"></i>'
    if not math.isnan(rate.low) and not math.isnan(rate.high):
        is_cut = rate.high > high
        width = _percent(min(rate.high, high) - rate.low, high)
        kind = "span cut" if is_cut else "span"
        pieces += f'<i class="{kind}" style="left:{_percent(rate.low, high)};width:{width}"></i>'
    if math.isfinite(overall):
        pieces += f'<i class="all" style="left:{_percent(overall, high)}"></i>'
    kind = "" if bar.is_ranked else " pale"
    value = number_text(rate.value, digits=digits)
    interval = interval_text(rate, digits=digits)
    return f"""<div class="rate{kind}"><span class="name">{escape(bar.name)}</span>
<span class="value"><b>{value}</b> {interval}</span><span class="track">{pieces}</span></div>"""


def _percent(value: float, high: float) -> str:
    return f"{100.0 * value / high:.1f}%"
