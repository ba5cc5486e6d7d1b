"""Word error rates by group with intervals, and the cohorts that were found, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.group_regression import GroupRegression
from sb_alexa.metrics.error_rate_estimates import ColumnErrorRates, GroupErrorRate
from sb_alexa.metrics.group_rate_tests import GroupRateTest
from sb_alexa.metrics.paired_error_rates import PairedErrorRates
from sb_alexa.report.audit_speakers import SpeakerSpread


@dataclass(frozen=True)
class AuditSettings:
    """How an audit is done.

    Arguments
    ---------
    num_samples : int
        Bootstrap draws of speakers.
    level : float
        Probability that an interval is to cover, and 1 - the level of the tests.
    seed : int
        Of the draws and of the halves of the speakers.
    """

    num_samples: int = 1000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class AuditColumn:
    """What one column of groups tells.

    Arguments
    ---------
    name : str
        Of the column, such as ``gender`` or ``gender & accent``.
    origin : str
        ``declared`` in the table (alone or as an intersection), ``applied`` from a file of cohorts,
        or found by this audit: ``region``, ``zip`` or ``voice``. Groups that were found hold the
        speakers of the half that had no part in finding them.
    rates : ColumnErrorRates
        Groups in alphabetical order, and the gap between the worst and the best.
    tests : tuple of GroupRateTest
        Of the same groups in the same order, each against the rest.
    num_unknown_speakers : int
        Whose group is not known, or who found the groups.
    """

    name: str
    origin: str
    rates: ColumnErrorRates
    tests: tuple[GroupRateTest, ...]
    num_unknown_speakers: int

    @property
    def is_found(self) -> bool:
        """Whether this audit found the groups."""
        return self.origin in ("region", "zip", "voice")


@dataclass(frozen=True)
class MapPlace:
    """Speakers who live close to each other, as one dot of the map.

    Arguments
    ---------
    latitude, longitude : float
        Degrees, their mean.
    num_speakers : int
        How many.
    errors, words : float
        Their sums.
    """

    latitude: float
    longitude: float
    num_speakers: int
    errors: float
    words: float

    @property
    def wer(self) -> float:
        """Percent."""
        return 100.0 * self.errors / self.words


@dataclass(frozen=True)
class SystemComparison:
    """A system against the base on the same utterances and the same draws of speakers.

    Arguments
    ---------
    system : str
        Its name.
    differences : PairedErrorRates
        System minus base, overall and by all columns of the audit.
    """

    system: str
    differences: PairedErrorRates


@dataclass(frozen=True, eq=False)
class AuditResult:
    """All that an audit found out about one system, and perhaps how others compare with it.

    Arguments
    ---------
    system : str
        The audited one. Of several, the last.
    num_utterances : int
        With at least one reference word.
    overall : GroupErrorRate
        Of everybody.
    speakers : SpeakerSpread
        Rates of single speakers.
    columns : tuple of AuditColumn
        Declared ones in the order asked for, then applied and found ones.
    regression : GroupRegression | None
        The declared columns adjusted for one another.
    tree : GeographicTree | None
        Regions of the map, also where there is only one.
    places : tuple of MapPlace
        Where the speakers are; empty without coordinates.
    partition : DemographicPartition | None
        Of the ZIP codes.
    voices : EmbeddingCohorts | None
        Clusters of speaker embeddings.
    base : str
        Name of the system that others are compared with, which also found the cohorts; empty
        without a comparison.
    comparisons : tuple of SystemComparison
        Of each other system with the base; the last one is the audited system's.
    notes : tuple of str
        What was wrong with the tables, and what could not be done, in sentences.
    settings : AuditSettings
        How it was done.
    """

    system: str
    num_utterances: int
    overall: GroupErrorRate
    speakers: SpeakerSpread
    columns: tuple[AuditColumn, ...]
    regression: GroupRegression | None
    tree: GeographicTree | None
    places: tuple[MapPlace, ...]
    partition: DemographicPartition | None
    voices: EmbeddingCohorts | None
    base: str
    comparisons: tuple[SystemComparison, ...]
    notes: tuple[str, ...]
    settings: AuditSettings
