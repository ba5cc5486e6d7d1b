"""Two cohorts of ZIP codes, by what is known about the people who live there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sb_alexa.fairness.cohort_gap import CohortGap, measure_gap, speaker_moments, welch_gap
from sb_alexa.fairness.cohort_json import build
from sb_alexa.fairness.geographic_regions import gap_from_json
from sb_alexa.fairness.speaker_totals import (
    SpeakerTotals,
    nameless_speakers,
    speakers_in_discovery,
)
from sb_alexa.fairness.zip_codes import num_zip_digits, restore_zeros, zip_texts
from sb_alexa.fairness.zip_sides import ZipSide, zip_sides
from sb_alexa.metrics.multiple_testing import holm

COHORTS = ("bottom", "top")


@dataclass(frozen=True)
class PartitionGap:
    """One way to divide the ZIP codes in two.

    Arguments
    ---------
    bottom : str
        What the ZIP codes of the bottom cohort have in common, such as ``attribute_a > 0.5``.
    discovery_points : float
        Its WER minus that of the top cohort, in points, on the half of the speakers that chose
        which side is the bottom one: too large.
    gap : CohortGap
        The same on the other half.
    adjusted_p_value : float
        Of the gap, after Holm over all ways to divide.
    """

    bottom: str
    discovery_points: float
    gap: CohortGap
    adjusted_p_value: float


@dataclass(frozen=True)
class DemographicPartition:
    """The ZIP codes in a bottom and a top cohort; make it with `find`.

    Arguments
    ---------
    partitions : tuple of PartitionGap
        All that were tried, by the gap on the discovery half; the first is the one chosen.
    bottom_zip_codes, top_zip_codes : tuple of str
        The chosen one: all ZIP codes of the attribute table whose attribute is known.
    num_digits : int
        Of a ZIP code.
    repair_zip_codes : bool
        Whether codes that lost their leading zeros are repaired.
    num_repaired : int
        Codes of rows that were.
    unknown_zip_codes : tuple of str
        Those of rows that the attribute table lacks.
    num_speakers_without_cohort : int
        Their ZIP code or its attribute is unknown.
    """

    partitions: tuple[PartitionGap, ...]
    bottom_zip_codes: tuple[str, ...]
    top_zip_codes: tuple[str, ...]
    num_digits: int
    repair_zip_codes: bool
    num_repaired: int
    unknown_zip_codes: tuple[str, ...]
    num_speakers_without_cohort: int

    @classmethod
    def find(
        cls,
        zip_codes: Sequence[object] | np.ndarray,
        errors: ArrayLike,
        words: ArrayLike,
        speakers: Sequence[object] | np.ndarray | None = None,
        *,
        attributes: Mapping[str, Mapping[str, object]],
        min_share: float = 0.1,
        min_speakers: int = 20,
        repair_zip_codes: bool = False,
        in_discovery: ArrayLike | None = None,
        seed: int = 0,
    ) -> DemographicPartition:
        """Try every attribute and keep the partition with the largest gap.

        Half of the speakers choose, the others measure.

        Arguments
        ---------
        zip_codes : sequence
            (N,) of each utterance (or speaker), as text; None or empty where unknown.
        errors, words : array of float
            (N,) word errors and reference words.
        speakers : sequence | None
            (N,) who speaks; None where each row is another speaker. One with several ZIP codes
            counts where most words were spoken.
        attributes : mapping of str to mapping
            By ZIP code the value of each attribute: a share within 0..1 (its ZIP codes are divided
            into those where it has the majority and the others), another number (divided at the
            median speaker) or text (each value against all others). None or empty where unknown.
        min_share : float
            Least share of the words with a known attribute, on each side.
        min_speakers : int
            Fewest speakers on each side, in each half.
        repair_zip_codes : bool
            Put lost leading zeros back instead of refusing such codes.
        in_discovery : array of bool | None
            (N,) rows of the speakers who choose; None draws half of them. The same for
            all rows of a speaker.
        seed : int
            Of the halves.

        Returns
        -------
        DemographicPartition

        Raises
        ------
        ValueError
            If ZIP codes lost their leading zeros and may not be repaired, none of them is in the
            attribute table, or no partition has sides that are large enough.

        Reference
        ---------
        Dheram et al., "Toward fairness in speech recognition: discovery and mitigation of
        performance disparities", Interspeech 2022, arXiv 2207.11345; the full text was not
        available to us. Theirs: binary partitions of ZIP codes by majority attribute. Ours: numbers
        that are no shares, the minimum share, the two halves.

        Example
        -------
        >>> table = {"02138": {"owners": 0.2}, "10001": {"owners": 0.7}}
        >>> errors = np.random.default_rng(0).poisson([20, 10] * 60)
        >>> found = DemographicPartition.find(
        ...     ["02138", "10001"] * 60, errors, np.full(120, 100), attributes=table
        ... )
        >>> found.chosen.bottom, round(found.chosen.gap.points)
        ('owners <= 0.5', 9)
        >>> found.assign(["02138-1234", "10001", "99999", None]).tolist()
        ['bottom', 'top', '', '']
        """
        if not 0 <= min_share <= 0.5 or min_speakers < 2:
            raise ValueError(
                "min_share must lie within 0..0.5 and min_speakers be >= 2, got "
                f"{min_share} and {min_speakers}; 0.1 and 20 are ours"
            )
        matched = _matched(zip_codes, attributes, repair=repair_zip_codes)
        if speakers is None:
            counts = np.asarray(errors), np.asarray(words)
            speakers = nameless_speakers(np.array(matched.codes), *counts)
        totals = SpeakerTotals.of(errors, words, speakers)
        people = _People(matched, totals, in_discovery, seed)
        found = people.partitions(min_share, min_speakers)
        if not found:
            raise ValueError(
                f"no attribute divides {len(people.zips)} speakers so that both sides have "
                f"{min_share:.0%} of the words and {min_speakers} speakers in each half; lower "
                "min_share or min_speakers, or add attributes"
            )
        side = found[0][0]
        return cls(
            tuple(partition for _, partition in found),
            tuple(sorted(side.inside)),
            tuple(sorted(side.outside)),
            matched.num_digits,
            repair_zip_codes,
            matched.num_repaired,
            tuple(sorted(set(matched.codes) - matched.table.keys() - {""})),
            len(totals.names) - int(people.known(side).sum()),
        )

    @property
    def chosen(self) -> PartitionGap:
        """The partition with the largest gap on the discovery half."""
        return self.partitions[0]

    @property
    def cohorts(self) -> tuple[str, ...]:
        """What `assign` may answer."""
        return COHORTS

    def assign(self, zip_codes: Sequence[object] | np.ndarray) -> np.ndarray:
        """Put ZIP codes into the two cohorts.

        Arguments
        ---------
        zip_codes : sequence
            (N,) as text; None or empty where unknown.

        Returns
        -------
        numpy.ndarray
            (N,) ``bottom`` or ``top``, empty where the code or its attribute is unknown.

        Raises
        ------
        ValueError
            If codes lost their leading zeros and may not be repaired.
        """
        texts = zip_texts(zip_codes)
        codes, _ = restore_zeros(
            texts, self.num_digits, repair=self.repair_zip_codes, column="ZIP codes"
        )
        cohort = dict.fromkeys(self.bottom_zip_codes, "bottom")
        cohort.update(dict.fromkeys(self.top_zip_codes, "top"))
        return np.array([cohort.get(code, "") for code in codes], dtype="<U6")

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` makes the same partition of them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DemographicPartition:
        """The partition that `to_json` described.

        Raises
        ------
        ValueError
            If a key is missing, unknown or of another type.
        """
        given = values.get("partitions")
        if not isinstance(given, list | tuple) or not all(isinstance(one, dict) for one in given):
            raise ValueError("partitions must be a list of JSON objects")
        if not given:
            raise ValueError("partitions is empty; the first one is the chosen one")
        partitions = tuple(
            build(PartitionGap, one, gap=gap_from_json(one.get("gap"))) for one in given
        )
        lists = {key: _texts(values, key) for key in _CODE_LISTS}
        return build(cls, values, partitions=partitions, **lists)


_CODE_LISTS = ("bottom_zip_codes", "top_zip_codes", "unknown_zip_codes")


@dataclass(frozen=True)
class _Matched:
    """ZIP codes of the rows and of the attribute table, with as many digits."""

    codes: list[str]
    table: dict[str, Mapping[str, object]]
    num_digits: int
    num_repaired: int


def _matched(
    zip_codes: Sequence[object] | np.ndarray,
    attributes: Mapping[str, Mapping[str, object]],
    *,
    repair: bool,
) -> _Matched:
    table_codes, codes = zip_texts(attributes), zip_texts(zip_codes)
    digits = num_zip_digits(table_codes, codes)
    keys, _ = restore_zeros(table_codes, digits, repair=repair, column="attribute table")
    codes, num_repaired = restore_zeros(codes, digits, repair=repair, column="ZIP codes")
    table = dict(zip(keys, attributes.values(), strict=True))
    if len(table) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            f"the attribute table has the ZIP code {twice!r} twice; leave one line for each"
        )
    if not any(code in table for code in codes):
        some = ", ".join(sorted(set(codes) - {""})[:3]) or "all are empty"
        raise ValueError(
            f"none of the ZIP codes ({some}) is in the attribute table "
            f"({', '.join(keys[:3]) or 'which is empty'}); are both of the same country?"
        )
    return _Matched(codes, table, digits, num_repaired)


class _People:
    """Speakers with words whose ZIP code is in the attribute table."""

    def __init__(
        self, matched: _Matched, totals: SpeakerTotals, in_discovery: ArrayLike | None, seed: int
    ) -> None:
        if len(matched.codes) != len(totals.codes):
            raise ValueError(f"{len(matched.codes)} ZIP codes for {len(totals.codes)} rows")
        rows = np.array([code in matched.table for code in matched.codes])
        names, numbers = np.unique(np.array(matched.codes)[rows], return_inverse=True)
        speakers, main, _ = totals.main_values(numbers, rows)
        spoken = totals.words[speakers] > 0
        speakers = speakers[spoken]
        self.table = matched.table
        self.zips = names[main[spoken]]
        self.errors, self.words = totals.errors[speakers], totals.words[speakers]
        self.in_discovery = speakers_in_discovery(totals, speakers, in_discovery, seed=seed)
        self.seed = seed

    def known(self, side: ZipSide) -> np.ndarray:
        """(P,) whether the speaker is on either side."""
        return np.isin(self.zips, sorted(side.inside | side.outside))

    def partitions(self, min_share: float, min_speakers: int) -> list[tuple[ZipSide, PartitionGap]]:
        """Those whose sides are large enough, by their gap on the discovery half."""
        drafts = []
        for side in zip_sides(self.table, self.zips[self.in_discovery].tolist()):
            inside = np.isin(self.zips, sorted(side.inside))
            points = self._discovery_points(inside, self.known(side), min_share, min_speakers)
            if points is None:
                continue
            if points < 0:
                side, inside = side.swapped(), ~inside
            tested = self.known(side) & ~self.in_discovery
            gap = measure_gap(
                self.errors[tested], self.words[tested], inside[tested], seed=self.seed
            )
            drafts.append((side, abs(points), gap))
        adjusted = holm([gap.p_value for _, _, gap in drafts])
        found = [
            (side, PartitionGap(side.inside_is, points, gap, float(p_value)))
            for (side, points, gap), p_value in zip(drafts, adjusted, strict=True)
        ]
        return sorted(found, key=lambda one: (-one[1].discovery_points, one[1].bottom))

    def _discovery_points(
        self, inside: np.ndarray, known: np.ndarray, min_share: float, min_speakers: int
    ) -> float | None:
        """WER inside minus outside on the discovery half; None where a side is too small."""
        moments = speaker_moments(self.errors, self.words)
        first, second = (
            np.stack([moments[half & known & part].sum(axis=0) for part in (inside, ~inside)])
            for half in (self.in_discovery, ~self.in_discovery)
        )
        num_speakers = min(first[:, 0].min(), second[:, 0].min())
        words = first[:, 2]
        if num_speakers < min_speakers or words.min() < min_share * words.sum():
            return None
        return float(welch_gap(first[0], first[1])[0])


def _texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = values.get(key)
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"{key} must be a list of text")
    return tuple(given)
