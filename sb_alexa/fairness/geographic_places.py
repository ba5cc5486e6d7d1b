"""One place for each speaker of a table with coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.fairness.speaker_totals import SpeakerTotals, name_rows


@dataclass(frozen=True, eq=False)
class SpeakerPlaces:
    """Where speakers live, and who is not on the map.

    Arguments
    ---------
    speakers : numpy.ndarray
        (S,) positions, among all speakers, of those who have a place and at least one word.
    latitude, longitude : numpy.ndarray
        (S,) degrees: where most of the speaker's words were spoken.
    num_rows_without_place, num_speakers_without_place : int
        Left out of the map, and only of it.
    num_speakers_in_several_places : int
        They count at one of them.
    """

    speakers: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    num_rows_without_place: int
    num_speakers_without_place: int
    num_speakers_in_several_places: int

    @classmethod
    def of(
        cls, latitude: np.ndarray, longitude: np.ndarray, totals: SpeakerTotals
    ) -> SpeakerPlaces:
        """From `checked_coordinates` (N,) of the rows that were summed."""
        known = ~np.isnan(latitude)
        # Sorting complex numbers sorts by latitude, then by longitude.
        places, codes = np.unique(latitude[known] + 1j * longitude[known], return_inverse=True)
        speakers, main, num_several = totals.main_values(codes, known)
        found = np.isin(np.arange(len(totals.names)), speakers)
        spoken = totals.words[speakers] > 0
        speakers, main = speakers[spoken], main[spoken]
        return cls(
            speakers,
            places[main].real,
            places[main].imag,
            int((~known).sum()),
            int((~found).sum()),
            num_several,
        )


def checked_coordinates(latitude: ArrayLike, longitude: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Degrees as float64, NaN in both where either is missing.

    Arguments
    ---------
    latitude, longitude : array of float
        (N,) -90 to 90 and -180 to 180; NaN or None where unknown.

    Returns
    -------
    latitude, longitude : numpy.ndarray
        (N,)

    Raises
    ------
    ValueError
        If lengths differ or one is out of range; the rows are named, counted from 0.

    Example
    -------
    >>> checked_coordinates([42.4, None], [-71.1, 3.0])
    (array([42.4,  nan]), array([-71.1,   nan]))
    """
    sides = [np.array(side, dtype=np.float64) for side in (latitude, longitude)]
    if sides[0].ndim != 1 or sides[0].shape != sides[1].shape:
        raise ValueError(
            "latitude and longitude must be one number for each row, got shapes "
            f"{sides[0].shape} and {sides[1].shape}"
        )
    for name, side, most, remedy in (
        ("latitude", sides[0], 90, "are the two columns swapped?"),
        ("longitude", sides[1], 180, "subtract 360 from those counted eastwards beyond 180"),
    ):
        wrong = np.flatnonzero(np.abs(side) > most)
        if wrong.size:
            raise ValueError(
                f"{name} must lie within -{most}..{most} degrees, got {side[wrong[0]]}: "
                f"{wrong.size} rows, {name_rows(wrong)}; {remedy} Leave it empty where unknown"
            )
    missing = np.isnan(sides[0]) | np.isnan(sides[1])
    sides[0][missing] = sides[1][missing] = np.nan
    return sides[0], sides[1]
