"""Gaps on the speakers who chose them beside the same gaps on others: the winner's curse, shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.estimate_text import interval_text, number_text


@dataclass(frozen=True)
class HeldOutGap:
    """One gap.

    Arguments
    ---------
    name : str
        Of the cohort that is said to be served worse.
    discovery_points : float
        WER of the cohort minus WER of the rest, in points, on the speakers who chose it.
    held_out : Estimate
        The same on the other speakers, with its interval.
    is_supported : bool
        Otherwise it is drawn pale.
    """

    name: str
    discovery_points: float
    held_out: Estimate
    is_supported: bool = True


def held_out_gaps(title: str, note: str, gaps: Sequence[HeldOutGap]) -> str:
    """A panel of gaps on one scale, with a line at 0.

    Arguments
    ---------
    title, note : str
        What is shown; plain text.
    gaps : sequence of HeldOutGap
        From top to bottom, at least one.

    Returns
    -------
    html : str
        A `<section>`.

    Example
    -------
    >>> html = held_out_gaps("Gaps", "", [HeldOutGap("a", 4.0, Estimate(2.0, -1.0, 3.0))])
    >>> 'class="zero" style="left:20.0%"' in html, 'class="chosen" style="left:100.0%"' in html
    (True, True)
    """
    values = [
        value
        for gap in gaps
        for value in (gap.discovery_points, gap.held_out.value, gap.held_out.low, gap.held_out.high)
    ]
    finite = [0.0, *(value for value in values if math.isfinite(value))]
    low, high = min(finite), max(finite)
    rows = "\n".join(_row(gap, low, high if high > low else low + 1.0) for gap in gaps)
    return f"""<section class="bars"><h3>{escape(title)} <span>{escape(note)}</span></h3>
{rows}
</section>"""


def _row(gap: HeldOutGap, low: float, high: float) -> str:
    def at(value: float) -> str:
        return f"{100.0 * (value - low) / (high - low):.1f}%"

    held_out = gap.held_out
    pieces = f'<i class="zero" style="left:{at(0.0)}"></i>'
    if math.isfinite(held_out.low) and math.isfinite(held_out.high):
        width = f"{100.0 * (held_out.high - held_out.low) / (high - low):.1f}%"
        pieces += f'<i class="span" style="left:{at(held_out.low)};width:{width}"></i>'
    for mark, value in (("chosen", gap.discovery_points), ("measured", held_out.value)):
        if math.isfinite(value):
            pieces += f'<i class="{mark}" style="left:{at(value)}"></i>'
    kind = "rate gap" if gap.is_supported else "rate gap pale"
    discovery = number_text(gap.discovery_points, sign=True)
    measured = number_text(held_out.value, sign=True)
    return f"""<div class="{kind}"><span class="name">{escape(gap.name)}</span>
<span class="value">discovery {discovery} · held out
<b>{measured}</b> {interval_text(held_out, sign=True)}</span>
<span class="track">{pieces}</span></div>"""
