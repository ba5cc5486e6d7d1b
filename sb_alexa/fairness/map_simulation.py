"""Simulated speakers on a map: is a region reported where there is none, and found where one is?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sb_alexa.fairness.audit_simulation import Share
from sb_alexa.fairness.geographic_tree import GeographicTree

# (south, north, west, east), degrees.
Box = tuple[float, float, float, float]
PLANTED: Box = (40.0, 50.0, -120.0, -105.0)
_FACTOR = 1.6


@dataclass(frozen=True)
class SimulatedMap:
    """Columns of a table with one row for each speaker.

    Arguments
    ---------
    latitude, longitude, errors, words : numpy.ndarray
        (S,)
    """

    latitude: np.ndarray
    longitude: np.ndarray
    errors: np.ndarray
    words: np.ndarray

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What `GeographicTree.grow` takes."""
        return self.latitude, self.longitude, self.errors, self.words

    def inside(self, box: Box) -> np.ndarray:
        """(S,) bool: who lives there."""
        south, north, west, east = box
        between = (self.latitude > south) & (self.latitude <= north)
        return between & (self.longitude > west) & (self.longitude <= east)


def simulate_map(
    num_speakers: int,
    *,
    seed: int,
    regions: tuple[Box, ...] = (),
    factor: float = _FACTOR,
    scatter: float = 0.5,
) -> SimulatedMap:
    """Speakers with skewed error rates around 10 %, `factor` times as high in the regions.

    Arguments
    ---------
    num_speakers : int
        Within latitudes 30..50 and longitudes -120..-80.
    seed : int
        Of everything.
    regions : tuple of (south, north, west, east)
        Where recognition is worse.
    factor : float
        By how much.
    scatter : float
        Standard deviation of the logarithm of a speaker's rate.

    Example
    -------
    >>> made = simulate_map(4000, seed=0, regions=(PLANTED,))
    >>> inside = made.inside(PLANTED)
    >>> rates = [made.errors[side].sum() / made.words[side].sum() for side in (inside, ~inside)]
    >>> round(float(rates[0] / rates[1]), 1)
    1.6
    """
    generator = np.random.default_rng(seed)
    latitude = generator.uniform(30, 50, num_speakers)
    longitude = generator.uniform(-120, -80, num_speakers)
    words = np.rint(generator.lognormal(np.log(300), 0.5, num_speakers)) + 1
    rates = 0.1 * np.exp(scatter * generator.standard_normal(num_speakers))
    made = SimulatedMap(latitude, longitude, np.empty(0), words)
    for region in regions:
        rates[made.inside(region)] *= factor
    return SimulatedMap(latitude, longitude, generator.poisson(rates * words), words)


def measure_map_discoveries(
    *,
    num_maps: int = 200,
    num_speakers: int = 400,
    seed: int = 0,
    on_map: Callable[[], object] | None = None,
) -> dict[str, Share]:
    """How often a map of noise is divided, and how often a planted region is found.

    Arguments
    ---------
    num_maps : int
        Of noise, and as many with a region where rates are 1.6 times as high.
    num_speakers : int
        On each.
    seed : int
        The same arguments give the same figures.
    on_map : callable | None
        Called after every map.

    Returns
    -------
    dict of str to Share
        Of maps: ``noise drawn``, with a line that the first half of the speakers would draw;
        ``noise divided``, where the second half confirms one, which is the false discovery;
        ``planted found``, where the worst region holds most of the planted one's speakers, and they
        are most of its own.
    """
    hits = dict.fromkeys(("noise drawn", "noise divided", "planted found"), 0)
    for number in range(num_maps):
        made = simulate_map(num_speakers, seed=seed + number)
        tree = GeographicTree.grow(*made.columns, seed=seed + number)
        hits["noise drawn"] += tree.num_lines_tested > 0
        hits["noise divided"] += len(tree.regions) > 1
        if on_map is not None:
            on_map()
    for number in range(num_maps):
        made = simulate_map(num_speakers, seed=seed + number, regions=(PLANTED,))
        tree = GeographicTree.grow(*made.columns, seed=seed + number)
        inside = made.inside(PLANTED)
        worst = tree.assign(made.latitude, made.longitude) == tree.regions[0].name
        both = (inside & worst).sum()
        hits["planted found"] += bool(both > 0.5 * inside.sum() and both > 0.5 * worst.sum())
        if on_map is not None:
            on_map()
    return {name: Share(number, num_maps) for name, number in hits.items()}
