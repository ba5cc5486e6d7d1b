"""Pictures of the report show the numbers they are given."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sb_alexa.metrics.verification import det_curve
from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.det_chart import DetLine, det_chart
from sb_alexa.report.estimate_text import estimate_text
from sb_alexa.report.rate_bars import RateBar, rate_bars

NAN = float("nan")


def points(svg: str) -> np.ndarray:
    found = re.findall(r'polyline class="det all" points="([^"]*)"', svg)
    assert len(found) == 1
    return np.array([[float(v) for v in pair.split(",")] for pair in found[0].split()])


def test_normal_scores_are_a_straight_line() -> None:
    """Both kinds with the same spread: a line of slope -1 on probit axes."""
    generator = np.random.default_rng(0)
    targets = np.repeat([True, False], 100_000)
    scores = generator.normal(size=200_000) + 3.0 * targets
    svg = det_chart([DetLine(det_curve(scores, targets), "all", (5.0, 5.0))], name="a")
    drawn = points(svg)
    inside = drawn[
        (drawn[:, 0] > 60) & (drawn[:, 0] < 440) & (drawn[:, 1] > 20) & (drawn[:, 1] < 400)
    ]
    slope, offset = np.polyfit(inside[:, 0], inside[:, 1], 1)
    assert slope == pytest.approx(1.0, abs=0.03), "y grows downwards in SVG"
    residual = inside[:, 1] - (slope * inside[:, 0] + offset)
    assert np.abs(residual).max() < 12
    assert len(drawn) < 1500, "points that fall onto one another are left out"
    assert svg.count("<circle") == 1


def test_errorless_curves_and_far_dots() -> None:
    perfect = det_curve([1.0, 2.0, 3.0], [False, True, True])
    svg = det_chart([DetLine(perfect, "all", (0.0, 100.0))], name="a")
    assert np.isfinite(points(svg)).all() and "<circle" not in svg
    with pytest.raises(ValueError, match="at least one"):
        det_chart([], name="a")


def test_bars_share_a_scale() -> None:
    bars = [
        RateBar("a", Estimate(2.0, 1.0, 4.0)),
        RateBar("b", Estimate(NAN, NAN, NAN), False),
        RateBar("c", Estimate(0.0, NAN, NAN)),
    ]
    html = rate_bars("FMR", "at <t>", bars, overall=1.0)
    assert re.findall(r'class="bar" style="width:([\d.]+)%', html) == ["50.0", "0.0"]
    assert re.findall(r'class="span" style="left:([\d.]+)%;width:([\d.]+)%', html) == [
        ("25.0", "75.0")
    ]
    assert html.count('class="all" style="left:25.0%"') == 3
    assert 'class="rate pale"' in html and "at &lt;t&gt;" in html and "<b>–</b>" in html
    assert "width:0.0%" in rate_bars("x", "", [RateBar("a", Estimate(0.0, 0.0, 0.0))], overall=0.0)


def test_numbers_as_text() -> None:
    assert estimate_text(Estimate(-0.001, -0.5, 0.25), sign=True) == "+0.00 [-0.50, +0.25]"
    assert estimate_text(Estimate(NAN, NAN, NAN)) == "–"
