"""Where speakers live, as a number of dots that a page can hold."""

from __future__ import annotations

import numpy as np

from sb_alexa.corpora.transcript_table import TranscriptTable
from sb_alexa.fairness.geographic_places import SpeakerPlaces
from sb_alexa.fairness.speaker_totals import SpeakerTotals
from sb_alexa.report.audit_results import MapPlace

MOST_PLACES = 1500


def map_places(table: TranscriptTable, *, most: int = MOST_PLACES) -> tuple[MapPlace, ...]:
    """Speakers by place, merged with their neighbours on a grid where there are too many.

    Arguments
    ---------
    table : TranscriptTable
        Of utterances.
    most : int
        How many dots there may be.

    Returns
    -------
    tuple of MapPlace
        From south to north; none without coordinates. Together they hold everybody who has a place
        and says a word.

    Example
    -------
    >>> table = TranscriptTable(
    ...     "made",
    ...     ("u1", "u2"),
    ...     ("ann", "bob"),
    ...     np.ones(2),
    ...     np.full(2, 10.0),
    ...     {},
    ...     np.array([10.0, 10.1]),
    ...     np.array([5.0, 5.0]),
    ... )
    >>> [place.num_speakers for place in map_places(table)]
    [1, 1]
    >>> map_places(table, most=1)[0].num_speakers
    2
    """
    if table.latitude is None or table.longitude is None:
        return ()
    totals = SpeakerTotals.of(table.errors, table.words, table.speakers)
    places = SpeakerPlaces.of(table.latitude, table.longitude, totals)
    if not len(places.speakers):
        return ()
    dot = _dots(places.latitude, places.longitude, most)
    count = np.bincount(dot)
    sides = (
        places.latitude,
        places.longitude,
        totals.errors[places.speakers],
        totals.words[places.speakers],
    )
    north, east, errors, words = (np.bincount(dot, weights=side) for side in sides)
    return tuple(
        MapPlace(*found)
        for found in zip(
            (north / count).tolist(),
            (east / count).tolist(),
            count.tolist(),
            errors.tolist(),
            words.tolist(),
            strict=True,
        )
    )


def _dots(latitude: np.ndarray, longitude: np.ndarray, most: int) -> np.ndarray:
    """(S,) which dot each speaker belongs to."""
    degrees = keys = np.stack([latitude, longitude], axis=1)
    step = max(float(np.ptp(latitude)), float(np.ptp(longitude))) / 4096
    while True:
        dot = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        if dot.max() < most or not step:
            return dot
        keys = np.floor((degrees - degrees.min(axis=0)) / step)
        step *= 1.3
