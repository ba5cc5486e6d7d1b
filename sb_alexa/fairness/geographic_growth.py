"""The search for the lines that divide a map into regions of unequal word error rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb_alexa.fairness.cohort_gap import welch_gap
from sb_alexa.fairness.geographic_regions import AXES

CRITERIA = ("z", "difference")


@dataclass(frozen=True)
class GrowthRules:
    """When a map is divided further.

    Arguments
    ---------
    min_share : float
        Least share of all words on each side of a line, 0 to 0.5.
    min_speakers : int
        Fewest speakers on each side of a line, in each half of the speakers.
    min_gap_points : float
        Smallest gap, in points, on either half of the speakers.
    min_z : float
        Smallest gap on the discovery half, in standard errors. The best of the some hundred lines
        through a map without regions exceeds 2 nearly always and 3 in about one map of five
        (Miller and Siegmund, "Maximally selected chi square statistics", Biometrics 38(4), 1982).
    criterion : str
        ``z``: of the lines that satisfy all rules that with the most standard errors between its
        sides. ``difference``: that with the most points, which favours small sides.
    level : float
        Largest Holm-adjusted one-sided p-value at which the held-out half confirms a gap: the
        probability that a map without regions is divided at all.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    min_share: float = 0.02
    min_speakers: int = 20
    min_gap_points: float = 0.3
    min_z: float = 3.0
    criterion: str = "z"
    level: float = 0.025

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 0.5:
            raise ValueError(
                f"min_share must lie within 0..0.5, got {self.min_share}; 0.02 is ours"
            )
        if self.min_speakers < 2:
            raise ValueError(f"min_speakers must be >= 2, got {self.min_speakers}; 20 is ours")
        if not (self.min_gap_points >= 0 and self.min_z >= 0):
            raise ValueError(
                "min_gap_points and min_z must be >= 0, got "
                f"{self.min_gap_points} and {self.min_z}; 0.3 and 3 are ours"
            )
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {CRITERIA}, got {self.criterion!r}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}; 0.025 is ours")


@dataclass(frozen=True)
class Line:
    """The best line through a part of the map.

    Arguments
    ---------
    axis : str
        ``latitude`` or ``longitude``.
    threshold_degrees : float
        Places on it belong below.
    points : float
        WER below minus above on the speakers it was chosen on.
    """

    axis: str
    threshold_degrees: float
    points: float


def best_line(
    places: np.ndarray,
    moments: np.ndarray,
    held_out_places: np.ndarray,
    rules: GrowthRules,
    *,
    min_words: float,
) -> Line | None:
    """The line that divides some speakers most clearly, over all places it could lie.

    Arguments
    ---------
    places : numpy.ndarray
        (n, 2) latitude and longitude of the discovery speakers of this part of the map.
    moments : numpy.ndarray
        (n, 6) their `speaker_moments`.
    held_out_places : numpy.ndarray
        (m, 2) of the other speakers. Only how many there are on each side is looked at.
    rules : GrowthRules
        What a line must satisfy.
    min_words : float
        On each side.

    Returns
    -------
    Line | None
        None where no line satisfies the rules.
    """
    if len(places) < 2 * rules.min_speakers:
        return None
    best: Line | None = None
    highest = -np.inf
    total = moments.sum(axis=0)
    for axis, name in enumerate(AXES):
        order = np.argsort(places[:, axis], kind="stable")
        degrees = places[order, axis]
        cuts = np.flatnonzero(degrees[:-1] < degrees[1:])
        # Counts are integers, so sums do not depend on the order of speakers at the same degree.
        below = moments[order].cumsum(axis=0)[cuts]
        above = total - below
        thresholds = _between(degrees[cuts], degrees[cuts + 1])
        others = np.sort(held_out_places[:, axis])
        others_below = np.searchsorted(others, thresholds, side="right")
        fewest = np.minimum.reduce(
            [below[:, 0], above[:, 0], others_below, len(others) - others_below]
        )
        words = np.minimum(below[:, 2], above[:, 2])
        kept = (fewest >= rules.min_speakers) & (words >= min_words) & (words > 0)
        if not kept.any():
            continue
        points, error, _ = welch_gap(below[kept], above[kept])
        score = np.abs(points / error if rules.criterion == "z" else points)
        clear = (np.abs(points) >= rules.min_gap_points) & (np.abs(points) >= rules.min_z * error)
        score[~clear] = -np.inf
        first = int(score.argmax())
        if score[first] > highest:
            highest = float(score[first])
            best = Line(name, float(thresholds[kept][first]), float(points[first]))
    return best


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    middle = low + (high - low) / 2
    # Between neighbouring floats there is no middle.
    return np.where(middle < high, middle, low)
