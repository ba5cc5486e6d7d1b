"""Regions of a map where a recogniser serves speakers worse, found without any labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.fairness.cohort_gap import CohortCounts, CohortGap, measure_gap, speaker_moments
from sb_alexa.fairness.cohort_json import build
from sb_alexa.fairness.geographic_growth import GrowthRules, Line, best_line
from sb_alexa.fairness.geographic_places import SpeakerPlaces, checked_coordinates
from sb_alexa.fairness.geographic_regions import (
    GeographicSplit,
    Region,
    node_from_json,
    place_in_regions,
    walk,
)
from sb_alexa.fairness.speaker_totals import (
    SpeakerTotals,
    nameless_speakers,
    speakers_in_discovery,
)
from sb_alexa.metrics.multiple_testing import holm


@dataclass(frozen=True)
class GeographicTree:
    """A map divided into regions; make it with `grow`.

    Arguments
    ---------
    root : GeographicSplit | Region
        A single region where no difference was confirmed.
    rules : GrowthRules
        It was grown by.
    num_lines_tested : int
        On the held-out half.
    num_rows_without_place, num_speakers_without_place : int
        Without coordinates: left out of the tree, and only of it.
    num_speakers_in_several_places : int
        They count where most of their words were spoken.
    """

    root: GeographicSplit | Region
    rules: GrowthRules
    num_lines_tested: int
    num_rows_without_place: int
    num_speakers_without_place: int
    num_speakers_in_several_places: int

    @classmethod
    def grow(
        cls,
        latitude: ArrayLike,
        longitude: ArrayLike,
        errors: ArrayLike,
        words: ArrayLike,
        speakers: Sequence[object] | np.ndarray | None = None,
        *,
        min_share: float = 0.02,
        min_speakers: int = 20,
        min_gap_points: float = 0.3,
        min_z: float = 3.0,
        criterion: str = "z",
        level: float = 0.025,
        in_discovery: ArrayLike | None = None,
        seed: int = 0,
    ) -> GeographicTree:
        """Divide the map along parallels and meridians where the WER differs most.

        Half of the speakers draw the lines. The others measure them: a line whose gap they do not
        confirm, after Holm over all lines drawn, is taken away with all lines within its sides
        unless one of those is confirmed. The order of the rows does not matter.

        Arguments
        ---------
        latitude, longitude : array of float
            (N,) degrees of each utterance (or speaker); NaN or None where unknown. The map ends at
            longitude 180: no region crosses it.
        errors, words : array of float
            (N,) word errors and reference words.
        speakers : sequence | None
            (N,) who speaks; None where each row is another speaker. Speakers without any reference
            word take no part.
        min_share, min_speakers, min_gap_points, min_z, criterion, level
            See `GrowthRules`.
        in_discovery : array of bool | None
            (N,) rows of the speakers who draw the lines; None draws half of them. The same for
            all rows of a speaker.
        seed : int
            Of the halves.

        Returns
        -------
        GeographicTree
            With regions ranked by WER.

        Raises
        ------
        ValueError
            If coordinates are out of range (the rows are named), counts are none, or fewer than
            four speakers have a place.

        Reference
        ---------
        Trinh et al., "Reducing geographic disparities in automatic speech recognition via elastic
        weight consolidation", Interspeech 2022, arXiv 2207.07850; the full text was not available
        to us. Theirs: recursive splits of latitude and longitude by the largest WER difference.
        Ours: `criterion="z"`, all rules, the two halves, the correction by Holm.

        Example
        -------
        >>> generator = np.random.default_rng(0)
        >>> latitude, longitude = generator.uniform(30, 40, (2, 600))
        >>> errors = generator.poisson(np.where(latitude < 33, 20, 10))
        >>> tree = GeographicTree.grow(latitude, longitude, errors, np.full(600, 100))
        >>> [(r.name, round(r.north, 1), round(r.held_out.wer)) for r in tree.regions]
        [('R1', 33.0, 20), ('R2', 90.0, 9)]
        >>> tree.assign([31.0, 35.0, None], [36.0, 36.0, 36.0]).tolist()
        ['R1', 'R2', '']
        """
        rules = GrowthRules(min_share, min_speakers, min_gap_points, min_z, criterion, level)
        totals, places = _speakers_with_places(latitude, longitude, errors, words, speakers)
        found = places.speakers
        moments = speaker_moments(totals.errors[found], totals.words[found])
        if len(moments) < 4:
            raise ValueError(
                f"{len(moments)} speakers have coordinates and words; a tree needs at least 4, and "
                f"some hundred to find anything ({places.num_rows_without_place} rows have no "
                "coordinates)"
            )
        finders = speakers_in_discovery(totals, found, in_discovery, seed=seed)
        growth = _Growth(places, moments, finders, rules, seed)
        everyone = np.arange(len(moments))
        draft = growth.draft(everyone, (-90.0, 90.0, -180.0, 180.0))
        root = _ranked(growth.confirmed(draft))
        return cls(
            root,
            rules,
            len(growth.gaps),
            places.num_rows_without_place,
            places.num_speakers_without_place,
            places.num_speakers_in_several_places,
        )

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions by rank, the worst first."""
        found = [node for node in walk(self.root) if isinstance(node, Region)]
        return tuple(sorted(found, key=lambda region: int(region.name[1:])))

    @property
    def splits(self) -> tuple[GeographicSplit, ...]:
        """The lines, each before those within its sides."""
        return tuple(node for node in walk(self.root) if isinstance(node, GeographicSplit))

    @property
    def cohorts(self) -> tuple[str, ...]:
        """What `assign` may answer."""
        return tuple(region.name for region in self.regions)

    def assign(self, latitude: ArrayLike, longitude: ArrayLike) -> np.ndarray:
        """Put places into regions.

        Arguments
        ---------
        latitude, longitude : array of float
            (N,) degrees; NaN or None where unknown.

        Returns
        -------
        numpy.ndarray
            (N,) names of regions, empty where the place is unknown.

        Raises
        ------
        ValueError
            If coordinates are out of range; the rows are named.
        """
        north, east = checked_coordinates(latitude, longitude)
        known = ~np.isnan(north)
        found = place_in_regions(self.root, north[known], east[known])
        names = np.zeros(len(north), dtype=found.dtype)
        names[known] = found
        return names

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` makes the same tree of them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GeographicTree:
        """The tree that `to_json` described.

        Raises
        ------
        ValueError
            If a key is missing, unknown or of another type.
        """
        root, rules = node_from_json(values.get("root")), build(GrowthRules, values.get("rules"))
        return build(cls, values, root=root, rules=rules)


@dataclass(frozen=True)
class _Draft:
    """A part of the map while its lines are not confirmed."""

    speakers: np.ndarray
    borders: tuple[float, float, float, float]
    line: Line | None = None
    test: int = 0
    below: _Draft | None = None
    above: _Draft | None = None


class _Growth:
    """The speakers of both halves, and the gaps measured on the second."""

    def __init__(
        self,
        places: SpeakerPlaces,
        moments: np.ndarray,
        in_discovery: np.ndarray,
        rules: GrowthRules,
        seed: int,
    ) -> None:
        self.places = np.stack([places.latitude, places.longitude], axis=1)
        self.moments = moments
        self.in_discovery = in_discovery
        self.rules = rules
        self.seed = seed
        self.min_words = rules.min_share * float(moments[in_discovery, 2].sum())
        self.gaps: list[CohortGap] = []

    def draft(self, speakers: np.ndarray, borders: tuple[float, float, float, float]) -> _Draft:
        """Draw lines until no line satisfies the rules, and measure each on the other half."""
        first = self.in_discovery[speakers]
        found, others = speakers[first], speakers[~first]
        line = best_line(
            self.places[found],
            self.moments[found],
            self.places[others],
            self.rules,
            min_words=self.min_words,
        )
        if line is None:
            return _Draft(speakers, borders)
        axis = 0 if line.axis == "latitude" else 1
        is_below = self.places[speakers, axis] <= line.threshold_degrees
        errors, words = self.moments[others, 1], self.moments[others, 2]
        test = len(self.gaps)
        in_bottom = is_below[~first] == (line.points > 0)
        self.gaps.append(measure_gap(errors, words, in_bottom, seed=self.seed + test))
        inner, outer = list(borders), list(borders)
        inner[2 * axis + 1] = outer[2 * axis] = line.threshold_degrees
        below = self.draft(speakers[is_below], (inner[0], inner[1], inner[2], inner[3]))
        above = self.draft(speakers[~is_below], (outer[0], outer[1], outer[2], outer[3]))
        return _Draft(speakers, borders, line, test, below, above)

    def confirmed(self, draft: _Draft) -> GeographicSplit | Region:
        """What the held-out half leaves of a draft."""
        adjusted = holm([gap.p_value for gap in self.gaps])

        def keep(part: _Draft) -> GeographicSplit | Region:
            if part.line is None or part.below is None or part.above is None:
                return self.region(part)
            gap, p_value = self.gaps[part.test], float(adjusted[part.test])
            supported = (
                p_value <= self.rules.level
                and gap.points >= self.rules.min_gap_points
                and gap.low > 0
            )
            below, above = keep(part.below), keep(part.above)
            if not supported and isinstance(below, Region) and isinstance(above, Region):
                return self.region(part)
            line = part.line
            return GeographicSplit(
                line.axis,
                line.threshold_degrees,
                below,
                above,
                line.points,
                gap,
                p_value,
                supported,
            )

        return keep(draft)

    def region(self, part: _Draft) -> Region:
        """A part of the map as one region that has no rank yet."""
        first = self.in_discovery[part.speakers]
        discovery, held_out = (
            CohortCounts.of(self.moments[half, 1], self.moments[half, 2])
            for half in (part.speakers[first], part.speakers[~first])
        )
        return Region("", *part.borders, discovery, held_out)


def _speakers_with_places(
    latitude: ArrayLike,
    longitude: ArrayLike,
    errors: ArrayLike,
    words: ArrayLike,
    speakers: Sequence[object] | np.ndarray | None,
) -> tuple[SpeakerTotals, SpeakerPlaces]:
    """Speakers, and the places of those who have one and a word."""
    north, east = checked_coordinates(latitude, longitude)
    errors, words = np.asarray(errors), np.asarray(words)
    if not north.shape == errors.shape == words.shape:
        raise ValueError(
            "latitude, errors and words must be one number for each row, got shapes "
            f"{north.shape}, {errors.shape} and {words.shape}"
        )
    if speakers is None:
        speakers = nameless_speakers(north, east, errors, words)
    totals = SpeakerTotals.of(errors, words, speakers)
    return totals, SpeakerPlaces.of(north, east, totals)


def _ranked(root: GeographicSplit | Region) -> GeographicSplit | Region:
    """The same tree with names for its regions, R1 for the highest WER on the discovery half."""
    regions = [node for node in walk(root) if isinstance(node, Region)]
    worst_first = sorted(regions, key=lambda r: (-r.discovery.wer, r.south, r.west))
    names = {(r.south, r.west): f"R{rank}" for rank, r in enumerate(worst_first, start=1)}

    def named(node: GeographicSplit | Region) -> GeographicSplit | Region:
        if isinstance(node, Region):
            return replace(node, name=names[node.south, node.west])
        return replace(node, below=named(node.below), above=named(node.above))

    return named(root)
