"""Invented speakers on a map, some of whom live where recognition is worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MapCase:
    """Columns of a table with one row for each speaker."""

    latitude: np.ndarray
    longitude: np.ndarray
    errors: np.ndarray
    words: np.ndarray

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.latitude, self.longitude, self.errors, self.words


def speakers_on_a_map(
    num_speakers: int,
    *,
    seed: int,
    regions: tuple[tuple[float, float, float, float], ...] = (),
    factor: float = 1.6,
    scatter: float = 0.5,
) -> MapCase:
    """Speakers with skewed error rates around 10 %, `factor` times as high in the regions.

    Regions are (south, north, west, east) within latitudes 30..50 and longitudes -120..-80.
    """
    generator = np.random.default_rng(seed)
    latitude = generator.uniform(30, 50, num_speakers)
    longitude = generator.uniform(-120, -80, num_speakers)
    words = np.rint(generator.lognormal(np.log(300), 0.5, num_speakers)) + 1
    rates = 0.1 * np.exp(scatter * generator.standard_normal(num_speakers))
    for south, north, west, east in regions:
        inside = (latitude > south) & (latitude <= north) & (longitude > west) & (longitude <= east)
        rates[inside] *= factor
    return MapCase(latitude, longitude, generator.poisson(rates * words), words)
