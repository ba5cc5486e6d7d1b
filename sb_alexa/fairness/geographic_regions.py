"""Regions of a map and the splits that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sb_alexa.fairness.cohort_gap import CohortCounts, CohortGap
from sb_alexa.fairness.cohort_json import build

AXES = ("latitude", "longitude")


@dataclass(frozen=True)
class Region:
    """A rectangle of the map.

    Arguments
    ---------
    name : str
        ``R1`` is the worst, as ranked on the discovery half.
    south, north, west, east : float
        Degrees. Places on the southern and western borders belong to the neighbour.
    discovery, held_out : CohortCounts
        Of the half that drew the borders and of the other, whose WER is not biased by that.
    """

    name: str
    south: float
    north: float
    west: float
    east: float
    discovery: CohortCounts
    held_out: CohortCounts


@dataclass(frozen=True)
class GeographicSplit:
    """A line along a parallel or a meridian, and what lies on either side.

    Arguments
    ---------
    axis : str
        ``latitude`` or ``longitude``.
    threshold_degrees : float
        Places on the line belong below.
    below, above : GeographicSplit | Region
        South and north of the line, or west and east.
    discovery_points : float
        WER below minus WER above, in points, on the half that chose the line: too large.
    gap : CohortGap
        On the other half; the bottom cohort is the side with the higher WER on the first.
    adjusted_p_value : float
        Of the gap, after Holm over all lines that were tested.
    is_supported : bool
        Whether the held-out half confirms this gap. A line that it does not confirm is kept where
        a line within its sides is confirmed.
    """

    axis: str
    threshold_degrees: float
    below: GeographicSplit | Region
    above: GeographicSplit | Region
    discovery_points: float
    gap: CohortGap
    adjusted_p_value: float
    is_supported: bool


def walk(node: GeographicSplit | Region) -> Iterator[GeographicSplit | Region]:
    """All splits and regions, a split before its sides."""
    yield node
    if isinstance(node, GeographicSplit):
        yield from walk(node.below)
        yield from walk(node.above)


def place_in_regions(
    node: GeographicSplit | Region, latitude: np.ndarray, longitude: np.ndarray
) -> np.ndarray:
    """(N,) names of the regions of places without missing coordinates."""
    longest = max(len(one.name) for one in walk(node) if isinstance(one, Region))
    names = np.empty(len(latitude), dtype=f"<U{longest}")
    pending = [(node, np.arange(len(latitude)))]
    while pending:
        current, rows = pending.pop()
        if isinstance(current, Region):
            names[rows] = current.name
            continue
        degrees = (latitude if current.axis == "latitude" else longitude)[rows]
        is_below = degrees <= current.threshold_degrees
        pending += [(current.below, rows[is_below]), (current.above, rows[~is_below])]
    return names


def node_from_json(values: Any) -> GeographicSplit | Region:
    """What `dataclasses.asdict` made of a split or a region.

    Raises
    ------
    ValueError
        If a key is missing, unknown or of another type.

    Example
    -------
    >>> from dataclasses import asdict
    >>> region = Region("R1", -90.0, 90.0, -180.0, 180.0, CohortCounts(), CohortCounts())
    >>> node_from_json(asdict(region)) == region
    True
    """
    if isinstance(values, dict) and "axis" in values:
        if values["axis"] not in AXES:
            raise ValueError(f"axis must be latitude or longitude, got {values['axis']!r}")
        split = {key: node_from_json(values.get(key)) for key in ("below", "above")}
        return build(GeographicSplit, values, gap=gap_from_json(values.get("gap")), **split)
    halves = ("discovery", "held_out")
    inner = values if isinstance(values, dict) else {}
    return build(Region, values, **{key: build(CohortCounts, inner.get(key)) for key in halves})


def gap_from_json(values: Any) -> CohortGap:
    """What `dataclasses.asdict` made of a gap."""
    inner = values if isinstance(values, dict) else {}
    sides = {key: build(CohortCounts, inner.get(key)) for key in ("bottom", "top")}
    return build(CohortGap, values, **sides)
