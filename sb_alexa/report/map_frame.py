"""The part of the world that a map shows, and where a place lies on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MARGIN = 0.05
# Degrees: a single place is shown with its surroundings.
_SMALLEST = 0.05
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 45.0)


@dataclass(frozen=True)
class MapFrame:
    """An equirectangular map that is true to scale at its middle latitude.

    Make it with `around`.

    Arguments
    ---------
    south, north, west, east : float
        Degrees.
    width, height : float
        Of the picture; the upper left corner is (0, 0).
    """

    south: float
    north: float
    west: float
    east: float
    width: float
    height: float

    @classmethod
    def around(
        cls,
        latitudes: Sequence[float],
        longitudes: Sequence[float],
        *,
        width: float,
        heights: tuple[float, float],
    ) -> MapFrame:
        """A frame that shows all places.

        Arguments
        ---------
        latitudes, longitudes : sequence of float
            Degrees, at least one.
        width : float
            Of the picture.
        heights : (float, float)
            The least and the most of its height. A map that is too flat or too tall for them shows
            more of its neighbourhood, as far as the world goes.

        Example
        -------
        >>> frame = MapFrame.around([40, 50], [0, 20], width=600, heights=(200, 500))
        >>> [round(side, 1) for side in (frame.south, frame.north, frame.west, frame.east)]
        [39.5, 50.5, -1.0, 21.0]
        >>> round(frame.height), frame.x(10.0), frame.y(45.0) == frame.height / 2
        (424, 300.0, True)
        """
        south, north = _with_margin(min(latitudes), max(latitudes), 90.0)
        west, east = _with_margin(min(longitudes), max(longitudes), 180.0)
        # A degree of longitude is as much shorter than one of latitude.
        squeeze = max(math.cos(math.radians((south + north) / 2)), 0.05)
        least, most = heights
        tallest = (north - south) / ((east - west) * squeeze) * width
        if tallest > most:
            west, east = _widened(west, east, (north - south) / squeeze * width / most, 180.0)
        elif tallest < least:
            south, north = _widened(south, north, (east - west) * squeeze * least / width, 90.0)
        height = min((north - south) / ((east - west) * squeeze) * width, most)
        return cls(south, north, west, east, width, height)

    def x(self, longitude: float) -> float:
        """From the left."""
        return self.width * (longitude - self.west) / (self.east - self.west)

    def y(self, latitude: float) -> float:
        """From the top."""
        return self.height * (self.north - latitude) / (self.north - self.south)

    def rectangle(
        self, south: float, north: float, west: float, east: float
    ) -> tuple[float, float, float, float]:
        """Left, top, width and height of what the frame shows of a region.

        Example
        -------
        >>> frame = MapFrame(40.0, 50.0, 0.0, 20.0, 200.0, 100.0)
        >>> frame.rectangle(-90.0, 42.0, 15.0, 180.0)
        (150.0, 80.0, 50.0, 20.0)
        """
        left, right = (self.x(_within(side, self.west, self.east)) for side in (west, east))
        top, bottom = (self.y(_within(side, self.south, self.north)) for side in (north, south))
        return left, top, right - left, bottom - top

    @property
    def meridians(self) -> list[float]:
        """Round longitudes to draw, at most eight."""
        return _round_degrees(self.west, self.east, 8)

    @property
    def parallels(self) -> list[float]:
        """Round latitudes to draw."""
        return _round_degrees(self.south, self.north, max(2, int(self.height / 70)))


def latitude_text(degrees: float, *, digits: int = 2) -> str:
    """Degrees north or south.

    Example
    -------
    >>> latitude_text(-33.865), latitude_text(40.0, digits=0), longitude_text(-71.1)
    ('33.87° S', '40° N', '71.10° W')
    """
    return _degrees_text(degrees, "NS", digits)


def longitude_text(degrees: float, *, digits: int = 2) -> str:
    """Degrees east or west."""
    return _degrees_text(degrees, "EW", digits)


def _degrees_text(degrees: float, sides: str, digits: int) -> str:
    text = f"{abs(degrees):.{digits}f}°"
    return text if float(text[:-1]) == 0 else f"{text} {sides[degrees < 0]}"


def _with_margin(low: float, high: float, most: float) -> tuple[float, float]:
    margin = max(_MARGIN * (high - low), _SMALLEST / 2)
    return max(low - margin, -most), min(high + margin, most)


def _widened(low: float, high: float, span: float, most: float) -> tuple[float, float]:
    """As wide as wanted around the same middle, moved or cut where the world ends."""
    if span >= 2 * most:
        return -most, most
    middle = _within((low + high) / 2, span / 2 - most, most - span / 2)
    return middle - span / 2, middle + span / 2


def _round_degrees(low: float, high: float, most: int) -> list[float]:
    step = next((step for step in _STEPS if (high - low) / step <= most), 90.0)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 4) for number in range(first, last + 1)]


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
