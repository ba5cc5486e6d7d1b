"""Places and regions lie where they are on earth, with the colours of their rates."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from sb_alexa.fairness.cohort_gap import CohortCounts
from sb_alexa.fairness.geographic_regions import Region
from sb_alexa.report.audit_map import MapRegion, audit_map
from sb_alexa.report.audit_results import MapPlace
from sb_alexa.report.colour_steps import NUM_COLOURS, ColourSteps
from sb_alexa.report.map_frame import MapFrame
from tests.html_page import parse

NOBODY = CohortCounts()


def place(latitude: float, longitude: float, num_speakers: int = 10) -> MapPlace:
    return MapPlace(latitude, longitude, num_speakers, 8.0 * num_speakers, 100.0 * num_speakers)


def region(name: str, wer: float, *borders: float) -> MapRegion:
    south, north, west, east = borders
    return MapRegion(Region(name, south, north, west, east, NOBODY, NOBODY), wer, 40)


def circles(svg: str) -> list[tuple[float, ...]]:
    """Left, top and radius of the dots, without those of the legend."""
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"><title>', svg)
    return [tuple(map(float, values)) for values in found]


def rectangles(svg: str) -> dict[str, tuple[str, float, float, float, float]]:
    found = re.findall(
        r'<rect class="region (\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" '
        r'height="([\d.]+)"><title>(\w+):',
        svg,
    )
    return {name: (kind, *map(float, values)) for kind, *values, name in found}


def test_rectangles_fit_together_and_dots_lie_in_theirs() -> None:
    places = [place(40.0, 0.0), place(50.0, 20.0), place(42.0, 15.0)]
    regions = [
        region("R1", 14.0, -90.0, 44.0, 10.0, 180.0),
        region("R2", 9.5, 44.0, 90.0, 10.0, 180.0),
        region("R3", 8.1, -90.0, 90.0, -180.0, 10.0),
    ]
    svg = audit_map(places, regions)
    parse(svg)
    frame = MapFrame.around([40, 50, 42], [0, 20, 15], width=720, heights=(260, 560))
    drawn = rectangles(svg)
    assert {name: values[0] for name, values in drawn.items()} == {
        **{"R1": "q7", "R2": "q1", "R3": "q0"}
    }
    (_, x1, y1, w1, h1), (_, x2, y2, w2, h2), (_, x3, y3, w3, h3) = (
        drawn[name] for name in ("R1", "R2", "R3")
    )
    near: dict[str, Any] = {"abs": 0.15}
    assert (x3, y3) == (0.0, 0.0) and h3 == pytest.approx(frame.height, **near)
    assert x1 == x2 == pytest.approx(w3, **near) == pytest.approx(frame.x(10.0), **near)
    assert x1 + w1 == pytest.approx(720, **near) and y2 == 0.0
    assert h2 == pytest.approx(y1, **near) == pytest.approx(frame.y(44.0), **near)
    assert y1 + h1 == pytest.approx(frame.height, **near)
    dots = {tuple(map(round, one[:2])) for one in circles(svg)}
    assert dots == {(round(frame.x(p.longitude)), round(frame.y(p.latitude))) for p in places}
    assert any(x1 < x < x1 + w1 and y1 < y < y1 + h1 for x, y in dots)
    assert "R1: 14.00 % WER of 40 held-out speakers; R2: 9.50" in svg, "for those who cannot see"
    assert parse(svg).text.count("R1") == 2, "a label and a title"


@pytest.mark.parametrize("middle", [0.0, 45.0, 60.0, -35.0])
def test_degrees_are_true_to_scale_in_the_middle(middle: float) -> None:
    frame = MapFrame.around([middle - 2, middle + 2], [7, 12], width=720, heights=(100, 900))
    height = frame.y(middle - 0.5) - frame.y(middle + 0.5)
    width = frame.x(10.5) - frame.x(9.5)
    assert width / height == pytest.approx(math.cos(math.radians(middle)))


@pytest.mark.parametrize(
    ("latitudes", "longitudes"),
    [
        ([40.0, 40.0], [5.0, 5.0]),
        ([-89.0, 89.0], [3.0, 3.1]),
        ([51.0, 51.01], [-180.0, 180.0]),
        ([-90.0, -89.9], [-180.0, -179.0]),
        ([60.0, 71.0], [-179.9, 179.9]),
    ],
)
def test_frames_show_all_places_and_nothing_beyond_the_world(latitudes, longitudes) -> None:
    frame = MapFrame.around(latitudes, longitudes, width=720, heights=(260, 560))
    assert -90 <= frame.south < frame.north <= 90 and -180 <= frame.west < frame.east <= 180
    assert 0 < frame.height <= 560
    for latitude, longitude in zip(latitudes, longitudes, strict=True):
        assert -1e-6 <= frame.x(longitude) <= 720 + 1e-6
        assert -1e-6 <= frame.y(latitude) <= frame.height + 1e-6
    assert 1 <= len(frame.meridians) <= 9
    assert all(frame.west <= degrees <= frame.east for degrees in frame.meridians)
    svg = audit_map([place(*at) for at in zip(latitudes, longitudes, strict=True)])
    assert "nan" not in svg and len(circles(svg)) == 2


def test_area_is_the_number_of_speakers() -> None:
    svg = audit_map([place(40, 0, 25), place(41, 1, 400), place(42, 2, 100)])
    radii = [radius for *_, radius in circles(svg)]
    assert radii == sorted(radii, reverse=True), "small ones lie on top"
    assert radii[0] / radii[1] == pytest.approx(2, abs=0.05)
    assert radii[0] / radii[2] == pytest.approx(4, abs=0.1)
    legend = re.findall(r'r="([\d.]+)"/>', svg)
    assert float(legend[0]) == pytest.approx(radii[1], abs=0.06), "100 speakers"


def test_rates_of_few_speakers_are_not_told() -> None:
    svg = audit_map([place(40, 0, 9), place(-41, -1.5, 10), MapPlace(41, 2, 12, 0.0, 0.0)])
    assert "40.00° N, 0.00°: 9 speakers</title>" in svg
    assert "41.00° S, 1.50° W: 10 speakers, 8.00 % WER</title>" in svg
    assert "12 speakers</title>" in svg


def test_colours_rise_with_the_rate() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        scale = 10.0 ** generator.uniform(-2, 2)
        values = generator.uniform(0, scale, generator.integers(1, 60)).tolist()
        steps = ColourSteps.of([*values, float("nan")])
        assert steps.borders[0] <= min(values) and max(values) <= steps.borders[-1]
        assert 2 <= len(steps.borders) <= NUM_COLOURS + 1
        colours = [steps.colour(value) for value in sorted(values)]
        assert colours == sorted(colours) and {*colours} <= {*range(NUM_COLOURS)}
        texts = [f"{border:.{steps.digits}f}" for border in steps.borders]
        assert len(set(texts)) == len(texts), "the legend tells them apart"
    assert ColourSteps.of([5.0, 5.0]).colour(5.0) == NUM_COLOURS // 2 - 1
    with pytest.raises(ValueError, match="at least one value"):
        ColourSteps.of([float("nan")])


def test_sixty_regions_and_one_without_words() -> None:
    regions = [
        region(f"R{1 + row * 10 + column}", 5.0 + row, 30 + row, 31 + row, column, column + 1.0)
        for row in range(6)
        for column in range(10)
    ]
    regions[-1] = MapRegion(regions[-1].region, float("nan"), 0)
    places = [place(30 + row / 4, column / 4) for row in range(25) for column in range(41)]
    svg = audit_map(places, regions)
    drawn = rectangles(svg)
    assert len(drawn) == 60 and drawn["R60"][0] == "none" and len(circles(svg)) == 1025
    assert "nan" not in svg and "R60: – % WER" in svg and "48 more" in svg
    plates = re.findall(r'plate" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    assert len(plates) == 60
    for number, plate in enumerate(plates, start=1):
        x, y, width, height = map(float, plate)
        _, left, top, wide, high = drawn[f"R{number}"]
        assert left <= x and x + width <= left + wide
        assert top <= y and y + height <= top + high, "names stay within their regions"
    with pytest.raises(ValueError, match="at least one place"):
        audit_map([], regions)
