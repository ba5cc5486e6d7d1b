"""Where recognition is worse: a map of regions and of the places where speakers live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sb_alexa.fairness.geographic_regions import Region
from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report import svg
from sb_alexa.report.audit_results import MapPlace
from sb_alexa.report.colour_steps import ColourSteps
from sb_alexa.report.estimate_text import number_text
from sb_alexa.report.map_frame import MapFrame, latitude_text, longitude_text

_WIDTH, _HEIGHTS = 720.0, (260.0, 560.0)
_LEFT, _TOP, _RIGHT, _LEGEND = 50.0, 6.0, 6.0, 74.0
_LARGEST_RADIUS, _SMALLEST_RADIUS = 11.0, 1.3
_MOST_NAMED = 12


@dataclass(frozen=True)
class MapRegion:
    """A rectangle of the map and what is shown of it.

    Arguments
    ---------
    region : Region
        Its borders and its name.
    wer : float
        Percent, of speakers who had no part in drawing the borders; NaN without any.
    num_speakers : int
        How many these are.
    """

    region: Region
    wer: float
    num_speakers: int


def audit_map(places: Sequence[MapPlace], regions: Sequence[MapRegion] = ()) -> str:
    """Draw places as dots whose area is their number of speakers, above coloured regions.

    Arguments
    ---------
    places : sequence of MapPlace
        At least one; they decide what part of the world is shown.
    regions : sequence of MapRegion
        Rectangles, coloured by their WER. A single one has no name in the picture.

    Returns
    -------
    svg : str
        An `<svg>` element.

    Raises
    ------
    ValueError
        If there is no place.
    """
    if not places:
        raise ValueError("a map needs at least one place")
    frame = MapFrame.around(
        [place.latitude for place in places],
        [place.longitude for place in places],
        width=_WIDTH,
        heights=_HEIGHTS,
    )
    rates = [region.wer for region in regions]
    steps = ColourSteps.of(rates) if any(map(math.isfinite, rates)) else None
    radii = _Radii(places)
    rectangles = [_rectangle(region, frame, steps) for region in regions]
    largest_first = sorted(places, key=lambda place: -place.num_speakers)
    dots = "".join(_dot(place, frame, radii) for place in largest_first)
    names = "".join(_name(region, frame) for region in regions if len(regions) > 1)
    return svg.drawing(
        _LEFT + _WIDTH + _RIGHT,
        _TOP + frame.height + _LEGEND,
        _label(places, regions, frame),
        f'<g transform="translate({_LEFT:g} {_TOP:g})">',
        f'<rect class="sea" x="0" y="0" width="{_WIDTH:g}" height="{frame.height:.1f}"/>',
        *rectangles,
        *_graticule(frame),
        f'<g class="places">{dots}</g>{names}</g>',
        _legend(steps, radii, _TOP + frame.height + 42),
    )


class _Radii:
    """Of dots, whose areas are proportional to their speakers."""

    def __init__(self, places: Sequence[MapPlace]) -> None:
        self.most = max(place.num_speakers for place in places)
        # A thousand large dots would hide the map and one another.
        crowd = max(0.6, min(1.0, math.sqrt(150.0 / len(places))))
        self.factor = min(2.4, _LARGEST_RADIUS * crowd / math.sqrt(self.most))

    def of(self, num_speakers: int) -> float:
        return max(self.factor * math.sqrt(num_speakers), _SMALLEST_RADIUS)

    @property
    def examples(self) -> list[int]:
        """Up to three round numbers of speakers whose dots are true to their area."""
        powers = [10**exponent for exponent in range(1 + int(math.log10(self.most)))]
        return [n for n in powers if self.factor * math.sqrt(n) >= _SMALLEST_RADIUS][-3:]


def _shown(one: MapRegion, frame: MapFrame) -> tuple[float, float, float, float]:
    region = one.region
    return frame.rectangle(region.south, region.north, region.west, region.east)


def _rectangle(region: MapRegion, frame: MapFrame, steps: ColourSteps | None) -> str:
    x, y, width, height = _shown(region, frame)
    kind = "none" if steps is None or math.isnan(region.wer) else f"q{steps.colour(region.wer)}"
    return (
        f'<rect class="region {kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"><title>{escape(_region_text(region))}</title></rect>'
    )


def _region_text(region: MapRegion) -> str:
    return (
        f"{region.region.name}: {number_text(region.wer)} % WER of {region.num_speakers:,} "
        "held-out speakers"
    )


def _dot(place: MapPlace, frame: MapFrame, radii: _Radii) -> str:
    where = f"{latitude_text(place.latitude)}, {longitude_text(place.longitude)}"
    who = "1 speaker" if place.num_speakers == 1 else f"{place.num_speakers:,} speakers"
    # The rate of a few speakers would be taken for that of the place.
    is_told = place.num_speakers >= FEWEST_SPEAKERS and place.words > 0
    rate = f", {number_text(place.wer)} % WER" if is_told else ""
    return (
        f'<circle cx="{frame.x(place.longitude):.1f}" cy="{frame.y(place.latitude):.1f}" '
        f'r="{radii.of(place.num_speakers):.1f}"><title>{where}: {who}{rate}</title></circle>'
    )


def _name(region: MapRegion, frame: MapFrame) -> str:
    """The region's name, above its rate if there is room, in the middle of its rectangle."""
    x, y, width, height = _shown(region, frame)
    middle, centre, name = x + width / 2, y + height / 2, region.region.name
    rate = f"{number_text(region.wer, digits=1)} %"
    plate = 7.0 * len(name) + 10
    if width < plate or height < 18:
        return ""
    has_rate = width >= 60 and height >= 40
    plate, half = (max(plate, 6.6 * len(rate) + 12), 17) if has_rate else (plate, 9)
    corner = f'x="{middle - plate / 2:.1f}" y="{centre - half:.1f}"'
    drawn = f'<rect class="plate" {corner} width="{plate:.1f}" height="{2 * half}" rx="4"/>'
    baseline = centre - 2 if has_rate else centre + 4.5
    drawn += svg.text(middle, baseline, name, "place", anchor="middle")
    if has_rate:
        drawn += svg.text(middle, centre + 12.5, rate, "place rate", anchor="middle")
    return drawn


def _graticule(frame: MapFrame) -> list[str]:
    parts = []
    meridians, parallels = frame.meridians, frame.parallels
    for longitude in meridians:
        x = frame.x(longitude)
        parts.append(svg.line(x, 0, x, frame.height, "graticule"))
        text = longitude_text(longitude, digits=_digits(meridians))
        parts.append(svg.text(x, frame.height + 16, text, "label", anchor="middle"))
    for latitude in parallels:
        y = frame.y(latitude)
        parts.append(svg.line(0, y, frame.width, y, "graticule"))
        text = latitude_text(latitude, digits=_digits(parallels))
        parts.append(svg.text(-6, y + 4, text, "label", anchor="end"))
    return parts


def _digits(degrees: Sequence[float]) -> int:
    """As few as tell round degrees from one another."""
    return next((n for n in (0, 1) if all(round(d, n) == d for d in degrees)), 2)


def _legend(steps: ColourSteps | None, radii: _Radii, y: float) -> str:
    parts, width = [], 42.0
    if steps is not None:
        for number in range(len(steps.borders) - 1):
            x = _LEFT + number * width
            kind = f"region q{steps.colour_of_step(number)}"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:g}" height="11"/>'
            )
        for number, border in enumerate(steps.borders):
            text = number_text(border, digits=steps.digits)
            x = _LEFT + number * width
            parts.append(svg.text(x, y + 26, text, "label", anchor="middle"))
        end = _LEFT + (len(steps.borders) - 1) * width
        parts.append(svg.text(end + 16, y + 10, "WER, %", "label"))
    x = _LEFT + _WIDTH
    for number in reversed(radii.examples):
        text = f"{number:,}" if number > 1 else "1 speaker"
        parts.append(svg.text(x, y + 10, text, "label", anchor="end"))
        x -= 6.6 * len(text) + 6 + radii.of(number)
        circle = f'<circle cx="{x:.1f}" cy="{y + 6:.1f}" r="{radii.of(number):.1f}"/>'
        parts.append(f'<g class="places">{circle}</g>')
        x -= radii.of(number) + 16
    return "".join(parts)


def _label(places: Sequence[MapPlace], regions: Sequence[MapRegion], frame: MapFrame) -> str:
    told = "; ".join(_region_text(region) for region in regions[:_MOST_NAMED])
    more = f"; {len(regions) - _MOST_NAMED} more" if len(regions) > _MOST_NAMED else ""
    return (
        f"Map of {len(places):,} places from {latitude_text(frame.south)} to "
        f"{latitude_text(frame.north)} and from {longitude_text(frame.west)} to "
        f"{longitude_text(frame.east)}. {told}{more}"
    )
