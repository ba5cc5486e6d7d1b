"""Audits of invented speakers, measured by the library itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.group_regression import regress_error_rates
from sb_alexa.fairness.speaker_totals import SpeakerTotals, discovery_half
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.group_rate_tests import compare_with_rest
from sb_alexa.metrics.paired_error_rates import bootstrap_paired_error_rates
from sb_alexa.report.audit_discovery import REGION, VOICE, ZIP
from sb_alexa.report.audit_results import (
    AuditColumn,
    AuditResult,
    AuditSettings,
    MapPlace,
    SystemComparison,
)
from sb_alexa.report.audit_speakers import speaker_spread

FOUND = {REGION: "region", ZIP: "zip", VOICE: "voice"}
ATTRIBUTES: dict[str, dict[str, object]] = {
    f"{number:05d}": {
        "owners": number % 2 * 0.4 + 0.3,
        "income": 1000 * (number % 7),
        "kind": ("city", "town", "country")[number % 3],
    }
    for number in range(2100, 2130)
}


class Speakers:
    """Some hundred speakers with everything that an audit may ask for.

    Accent "far" is hard and lives in the south west, where others are a little harder, too; of
    accent "rare" there are four speakers. The accent is heard in the voice.
    """

    def __init__(self, num_speakers: int = 600, *, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.names = np.array([f"s{number:05d}" for number in range(num_speakers)])
        self.latitude = generator.uniform(32.0, 46.0, num_speakers).round(1)
        self.longitude = generator.uniform(-118.0, -82.0, num_speakers).round(1)
        south_west = (self.latitude < 37.0) & (self.longitude < -100.0)
        chance = np.where(south_west[:, None], [0.3, 0.1, 0.6], [0.6, 0.35, 0.05])
        lot = (generator.random((num_speakers, 1)) > chance.cumsum(axis=1)).sum(axis=1)
        self.accent = np.array(["home", "near", "far"])[np.minimum(lot, 2)]
        self.accent[:4] = "rare"
        self.gender = np.where(generator.random(num_speakers) < 0.5, "F", "M")
        self.gender[-5:] = ""
        codes = np.array(sorted(ATTRIBUTES))
        self.zips = codes[generator.integers(len(codes), size=num_speakers)]
        voices = generator.normal(0, 0.25, (num_speakers, 8))
        voices[:, 0] += self.accent == "far"
        voices[:, 1] += self.gender == "M"
        self.voices = voices + 0.1
        self.words = np.rint(generator.lognormal(np.log(300), 0.4, num_speakers)) + 20
        rates = 0.08 * generator.gamma(6.0, 1 / 6.0, num_speakers)
        rates *= np.select([self.accent == "far", self.accent == "near"], [1.9, 1.15], 1.0)
        rates *= np.where(south_west, 1.25, 1.0)
        is_poor = np.array([float(str(ATTRIBUTES[code]["owners"])) < 0.5 for code in self.zips])
        self.errors = generator.poisson(rates * np.where(is_poor, 1.2, 1.0) * self.words)
        self.generator = generator

    def errors_of(self, share: float, share_far: float | None = None) -> np.ndarray:
        """Of a system that makes some share of the errors, another one of the accent "far"."""
        far = share if share_far is None else share_far
        shares = np.where(self.accent == "far", far, share)
        extra = self.generator.poisson(np.maximum(shares - 1.0, 0.0) * self.errors)
        return self.generator.binomial(self.errors, np.minimum(shares, 1.0)) + extra

    @property
    def declared(self) -> dict[str, np.ndarray]:
        """Columns of groups, the last one of intersections."""
        columns = {"gender": self.gender, "accent": self.accent}
        both = DeclaredGroups.of(columns).assign(columns)
        return {**columns, "gender & accent": both}

    @property
    def places(self) -> tuple[MapPlace, ...]:
        """One for each tenth of a degree."""
        made: dict[tuple[float, float], list[int]] = {}
        for row, at in enumerate(zip(self.latitude.tolist(), self.longitude.tolist(), strict=True)):
            made.setdefault(at, []).append(row)
        return tuple(
            MapPlace(*at, len(rows), float(self.errors[rows].sum()), float(self.words[rows].sum()))
            for at, rows in sorted(made.items())
        )


def audit_example(
    speakers: Speakers | None = None,
    *,
    columns: Mapping[str, np.ndarray] | None = None,
    systems: Mapping[str, np.ndarray] | None = None,
    with_discovery: bool = True,
    notes: tuple[str, ...] = (),
    seed: int = 0,
) -> AuditResult:
    """Audit invented speakers.

    Arguments
    ---------
    speakers : Speakers | None
        None for 600.
    columns : mapping of str to numpy.ndarray | None
        Declared ones; None for those of the speakers.
    systems : mapping of str to numpy.ndarray | None
        Errors by name of further systems, which are compared with the speakers' own; the last one
        is audited.
    with_discovery : bool
        Whether to look for regions, ZIP codes and voices.
    notes : tuple of str
        On the data.
    seed : int
        Of everything that is drawn.
    """
    made = speakers or Speakers(seed=seed)
    settings = AuditSettings(num_samples=200, seed=seed)
    declared = dict(made.declared if columns is None else columns)
    tree = partition = voices = None
    found: dict[str, np.ndarray] = {}
    if with_discovery:
        errors, words, names = made.errors, made.words, made.names
        where = made.latitude, made.longitude
        tree = GeographicTree.grow(*where, errors, words, names, seed=seed)
        partition = DemographicPartition.find(
            made.zips, errors, words, names, attributes=ATTRIBUTES, seed=seed
        )
        voices = EmbeddingCohorts.discover(made.voices, errors, words, names, seed=seed)
        held_out = ~discovery_half(len(names), seed=seed)
        found = {
            REGION: np.where(held_out, tree.assign(*where), ""),
            ZIP: np.where(held_out, partition.assign(made.zips), ""),
            VOICE: np.where(held_out, voices.assign(made.voices), ""),
        }
        if len(tree.regions) < 2:
            del found[REGION]
    groups = {**declared, **found}
    errors_by_system = {"base": made.errors, **(systems or {})}
    cells = {name: _cells(made, errors, groups) for name, errors in errors_by_system.items()}
    system = list(cells)[-1]
    rates = bootstrap_error_rates(cells[system], num_samples=200, seed=seed)
    tests = compare_with_rest(cells[system])
    return AuditResult(
        system=system,
        num_utterances=10 * len(made.names),
        overall=rates.overall,
        speakers=speaker_spread(
            SpeakerTotals.of(cells[system].errors, cells[system].words, cells[system].speakers)
        ),
        columns=tuple(
            AuditColumn(
                name,
                FOUND.get(name, "declared"),
                rates.columns[name],
                tuple(test for test in tests if test.column == name),
                int((groups[name] == "").sum()),
            )
            for name in groups
        ),
        regression=regress_error_rates(cells[system], ["gender", "accent"])
        if {"gender", "accent"} <= declared.keys()
        else None,
        tree=tree,
        places=made.places if with_discovery else (),
        partition=partition,
        voices=voices,
        base="base" if systems else "",
        comparisons=tuple(
            SystemComparison(
                name,
                bootstrap_paired_error_rates(
                    cells[name], cells["base"], num_samples=200, seed=seed
                ),
            )
            for name in systems or {}
        ),
        notes=notes,
        settings=settings,
    )


def _cells(speakers: Speakers, errors: np.ndarray, columns: Mapping[str, np.ndarray]) -> ErrorCells:
    return ErrorCells.of(errors, speakers.words, speakers=speakers.names, columns=columns)
