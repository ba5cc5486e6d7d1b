"""The Pareto chart shows the rates it is given, and names that can be read."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from sb_alexa.metrics.verification_estimates import Estimate
from sb_alexa.report.audit_comparison import pareto_points
from sb_alexa.report.audit_discovery import REGION
from sb_alexa.report.audit_pareto import ParetoPoint, pareto_chart, pareto_picture
from sb_alexa.report.label_places import Box, place_labels
from tests.report.audit_examples import Speakers, audit_example

NAN = float("nan")
TITLE = "WER of the worst region, %"


def point(name: str, overall: float, worst: float, margin: float = NAN) -> ParetoPoint:
    return ParetoPoint(
        name,
        Estimate(overall, overall - margin, overall + margin),
        Estimate(worst, worst - 2 * margin, worst + 2 * margin),
    )


def dots(svg: str) -> np.ndarray:
    found = re.findall(r'class="system(?: base)?" cx="([\d.]+)" cy="([\d.]+)"', svg)
    return np.array(found, dtype=np.float64)


def lines(svg: str, kind: str) -> np.ndarray:
    pattern = rf'class="{kind}" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"'
    return np.array(re.findall(pattern, svg), dtype=np.float64)


def test_rates_are_where_the_axes_say() -> None:
    systems = [point("base", 10.0, 15.0), point("a", 9.0, 13.0, 0.2), point("b", 10.5, 12.0, 0.1)]
    svg = pareto_chart(systems, worst=TITLE)
    at = dots(svg)
    labels = re.findall(
        r'class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([\d.]+)<', svg
    )
    across = [(float(x), float(text)) for x, _, side, text in labels if side == "middle"]
    up = [(float(y) - 4, float(text)) for _, y, side, text in labels if side == "end"]
    assert len(across) >= 3 and len(up) >= 3
    for axis, ticks in ((0, across), (1, up)):
        places, percents = np.array(ticks).T
        slope, offset = np.polyfit(places, percents, 1)
        values = [one.overall.value if axis == 0 else one.worst.value for one in systems]
        assert at[:, axis] * slope + offset == pytest.approx(values, abs=0.01)
        # Crosses, too.
        ends = lines(svg, "paired")[axis::2][:, [axis, axis + 2]] * slope + offset
        estimates = [one.overall if axis == 0 else one.worst for one in systems[1:]]
        assert np.sort(ends, axis=1) == pytest.approx(
            np.array([[one.low, one.high] for one in estimates]), abs=0.01
        )
    guides = lines(svg, "mark")
    assert guides[0][1] == guides[0][3] == at[0, 1] and guides[1][0] == guides[1][2] == at[0, 0]
    (box,) = re.findall(r'better" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg)
    assert float(box[1]) == at[0, 1] and float(box[0]) + float(box[2]) == pytest.approx(at[0, 0])
    assert "a 9.00 and 13.00" in svg


def test_systems_that_do_not_differ() -> None:
    systems = [point(name, 10.0, 15.0, 0.0) for name in ("base", "one", "two", "<b>&")]
    svg = pareto_chart(systems, worst=TITLE)
    assert len(np.unique(dots(svg), axis=0)) == 1 and "nan" not in svg
    names = re.findall(r'class="name" x="([\d.]+)" y="([\d.]+)"', svg)
    assert len(set(names)) == 4 and "&lt;b&gt;&amp;" in svg
    assert 'class="leader"' not in svg or len(lines(svg, "leader")) < 4


def test_names_hide_neither_one_another_nor_points() -> None:
    generator = np.random.default_rng(0)
    frame = Box(0, 0, 430, 330)
    texts = ["base", "fine-tuned", "EWC", "L2 to the start", "oversampled", "replay"]
    for _ in range(100):
        spread = generator.choice([1.0, 20.0, 60.0])
        anchors = [
            (215 + x, 165 + y) for x, y in generator.normal(0, spread, (6, 2)).clip(-200, 150)
        ]
        places = place_labels(texts, anchors, frame=frame)
        for number, one in enumerate(places):
            assert frame.holds(one.box)
            assert not any(one.box.meets(other.box) for other in places[:number])
            assert not any(one.box.meets(Box(x, y, x, y)) for x, y in anchors)


def test_long_names_are_cut() -> None:
    svg = pareto_chart([point("base", 1.0, 2.0), point("x" * 60, 2.0, 3.0)], worst=TITLE)
    assert f">{'x' * 25}…<" in svg


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="the base and a system, got 1"):
        pareto_chart([point("base", 1.0, 2.0)], worst=TITLE)
    with pytest.raises(ValueError, match="'a' has no error rate"):
        pareto_chart([point("base", 1.0, 2.0), point("a", NAN, 2.0)], worst=TITLE)


def test_the_picture_is_a_file_of_its_own() -> None:
    picture = pareto_picture([point("base", 1.0, 2.0), point("a & b", 2.0, 3.0)], worst=TITLE)
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is not None and style.text is not None and "--paper" in style.text
    assert picture.count("http") == 1


def test_points_of_an_audit() -> None:
    speakers = Speakers()
    systems = {"one": speakers.errors_of(0.95), "two": speakers.errors_of(0.97, 0.7)}
    result = audit_example(speakers, systems=systems)
    column, points = pareto_points(result)
    assert column == REGION and [one.name for one in points] == ["base", "one", "two"]
    overall = result.comparisons[1].differences.overall.difference
    gap = result.comparisons[1].differences.columns[REGION].gap
    assert gap is not None
    assert points[0].overall.value == overall.base_wer and np.isnan(points[0].worst.low)
    assert points[0].worst.value == gap.worst_group.base_wer
    assert points[2].worst.value == gap.worst_group.wer
    around = gap.worst_group.wer + gap.worst_group.points.low - gap.worst_group.points.value
    assert points[2].worst.low == pytest.approx(around)
    declared = replace(result, columns=result.columns[:3])
    assert pareto_points(declared)[0] == "gender"
    assert pareto_points(replace(result, columns=())) == ("", [])
    assert pareto_points(replace(result, comparisons=())) == ("", [])
