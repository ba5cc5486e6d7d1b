"""Measure an audit: rates of groups, cohorts that nobody declared, and other systems beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sb_alexa.corpora.text_files import name_some
from sb_alexa.corpora.transcript_matching import match_transcripts
from sb_alexa.corpora.transcript_table import TranscriptTable
from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.declared_groups import DeclaredGroups
from sb_alexa.fairness.group_regression import GroupRegression, regress_error_rates
from sb_alexa.fairness.speaker_totals import SpeakerTotals
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.error_rate_estimates import GroupErrorRate
from sb_alexa.metrics.group_rate_tests import compare_with_rest
from sb_alexa.metrics.paired_error_rates import bootstrap_paired_error_rates
from sb_alexa.report.audit_discovery import REGION, VOICE, ZIP, cohort_column, discover_cohorts
from sb_alexa.report.audit_places import map_places
from sb_alexa.report.audit_results import (
    AuditColumn,
    AuditResult,
    AuditSettings,
    SystemComparison,
)
from sb_alexa.report.audit_speakers import speaker_spread

# The end of a 95 % interval then lies between the fifth and the sixth most extreme draw.
_FEWEST_DRAWS = 100


@dataclass(frozen=True, eq=False)
class AuditRequest:
    """What is asked of an audit.

    Arguments
    ---------
    columns : sequence of tuple of str
        Columns of groups, each alone, or several whose intersections are the groups.
    applied : mapping of str to CohortModel
        Cohorts found earlier, by the name that their column is to have.
    find_regions : bool
        Whether to grow a geographic tree, where the table has coordinates.
    attributes : mapping of str to mapping | None
        Of ZIP codes, see `DemographicPartition.find`.
    embeddings : mapping of str to numpy.ndarray | None
        (E,) by speaker or by utterance.
    regress : bool
        Whether to adjust the declared columns for one another, where there are two or more.
    settings : AuditSettings
        Draws, level and seed.
    """

    columns: Sequence[tuple[str, ...]] = ()
    applied: Mapping[str, CohortModel] = field(default_factory=dict)
    find_regions: bool = True
    attributes: Mapping[str, Mapping[str, object]] | None = None
    embeddings: Mapping[str, np.ndarray] | None = None
    regress: bool = True
    settings: AuditSettings = field(default_factory=AuditSettings)


def measure_audit(
    tables: Sequence[TranscriptTable],
    request: AuditRequest | None = None,
    *,
    on_step: Callable[[str], None] | None = None,
) -> AuditResult:
    """Audit the last of one or more systems, and compare all others with the first.

    The first one finds the cohorts, on half of the speakers; these speakers are in no group of the
    cohorts that are measured. A part that cannot be done is said in the notes and the rest goes on.

    Arguments
    ---------
    tables : sequence of TranscriptTable
        A single system; or the base and one or more others, on utterances of which they have some
        in common. Columns and places are those of the first.
    request : AuditRequest | None
        What is asked for; None for overall rates and, with coordinates, regions.
    on_step : callable of str | None
        Told what begins, in words.

    Returns
    -------
    AuditResult

    Raises
    ------
    ValueError
        If a column does not exist, there are fewer than two speakers, or the tables contradict one
        another.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> speakers = [f"s{number}" for number in range(60)]
    >>> table = TranscriptTable(
    ...     "mine",
    ...     tuple(f"u{number}" for number in range(60)),
    ...     tuple(speakers),
    ...     generator.poisson(np.repeat([6.0, 12.0], 30)).astype(float),
    ...     np.full(60, 100.0),
    ...     {"accent": ("plain",) * 30 + ("hard",) * 30},
    ... )
    >>> result = measure_audit([table], AuditRequest([("accent",)]))
    >>> gap = result.columns[0].rates.gap
    >>> gap.bottom, round(gap.gap_relative.value, 1), gap.gap_relative.low > 0
    ('hard', 1.0, True)
    """
    request = request or AuditRequest()
    say = on_step or (lambda step: None)
    matched = match_transcripts(tables)
    base, audited = matched[0], matched[-1]
    _check_speakers(base)
    notes = [note for table in matched for note in _named(table, of_several=len(matched) > 1)]
    if request.settings.num_samples < _FEWEST_DRAWS:
        notes.append(
            f"{request.settings.num_samples} bootstrap draws are too few for intervals to be "
            f"believed; {_FEWEST_DRAWS} are the least, 1000 are usual"
        )
    columns, origins = _declared_columns(base, request, notes)
    say("looking for cohorts")
    found = discover_cohorts(
        base,
        find_regions=request.find_regions,
        attributes=request.attributes,
        embeddings=request.embeddings,
        seed=request.settings.seed,
    )
    columns, origins = {**columns, **found.columns}, {**origins, **found.origins}
    cells = [replace(table, columns=columns).cells(columns) for table in matched]
    say("drawing speakers")
    measured, overall = _rates(cells[-1], origins, request.settings)
    regression = _regression(audited, request, notes, say)
    comparisons = []
    for table, others in zip(matched[1:], cells[1:], strict=True):
        say(f"comparing {table.name}")
        comparisons.append(_comparison(table.name, others, cells[0], request.settings))
    return AuditResult(
        system=audited.name,
        num_utterances=len(audited),
        overall=overall,
        speakers=speaker_spread(SpeakerTotals.of(audited.errors, audited.words, audited.speakers)),
        columns=measured,
        regression=regression,
        tree=found.tree,
        places=map_places(audited) if request.find_regions else (),
        partition=found.partition,
        voices=found.voices,
        base=base.name if comparisons else "",
        comparisons=tuple(comparisons),
        notes=(*notes, *found.notes),
        settings=request.settings,
    )


def _check_speakers(table: TranscriptTable) -> None:
    if len(set(table.speakers)) < 2:
        raise ValueError(
            f"{table.name} has one speaker only, {table.speakers[0]!r}: what one speaker is served "
            "with says nothing about others; an audit needs two, and ten in each group"
        )


def _named(table: TranscriptTable, *, of_several: bool) -> list[str]:
    return [f"{table.name}: {note}" if of_several else note for note in table.notes]


def _declared_columns(
    table: TranscriptTable, request: AuditRequest, notes: list[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Groups by column, and where each column comes from."""
    columns: dict[str, tuple[str, ...]] = {}
    origins = {}
    for names in request.columns:
        # Groups that were all put aside have been spoken of.
        if len(names) == 1 and names[0] in table.columns:
            columns[names[0]] = table.columns[names[0]]
            origins[names[0]] = "declared"
        elif all(name in table.columns for name in names):
            sides = {name: table.columns[name] for name in names}
            column = " & ".join(names)
            columns[column] = tuple(DeclaredGroups.of(sides).assign(sides).tolist())
            origins[column] = "declared"
    for column, model in request.applied.items():
        if column in columns:
            raise ValueError(
                f"cohorts {column!r} have the name of a column of groups; rename the file or the "
                "column"
            )
        groups = cohort_column(model, table, request.embeddings)
        if any(groups):
            columns[column], origins[column] = groups, "applied"
        else:
            notes.append(f"{column}: the {model.kind} know nobody of {table.name}")
    taken = [column for column in (REGION, ZIP, VOICE) if column in columns]
    if taken:
        raise ValueError(
            f"an audit calls the cohorts that it finds {taken[0]!r}; rename that column or file"
        )
    return columns, origins


def _rates(
    cells: ErrorCells, origins: Mapping[str, str], settings: AuditSettings
) -> tuple[tuple[AuditColumn, ...], GroupErrorRate]:
    estimates = bootstrap_error_rates(
        cells, level=settings.level, num_samples=settings.num_samples, seed=settings.seed
    )
    tests = compare_with_rest(cells)
    columns = []
    for name, rates in estimates.columns.items():
        unknown = cells.column(name).codes < 0
        somewhere = np.unique(cells.speakers[~unknown])
        columns.append(
            AuditColumn(
                name,
                origins[name],
                rates,
                tuple(test for test in tests if test.column == name),
                cells.num_speakers - len(somewhere),
            )
        )
    return tuple(columns), estimates.overall


def _regression(
    table: TranscriptTable, request: AuditRequest, notes: list[str], say: Callable[[str], None]
) -> GroupRegression | None:
    single = [names[0] for names in request.columns if len(names) == 1]
    names = [name for name in dict.fromkeys(single) if name in table.columns]
    if not request.regress or len(names) < 2:
        return None
    say("adjusting groups for one another")
    kept, said = _with_errors(table, names)
    notes += said
    try:
        return regress_error_rates(kept.cells(names), level=request.settings.level)
    except (ValueError, ImportError) as error:
        notes.append(f"no adjusted ratios: {error}")
        return None


def _with_errors(table: TranscriptTable, names: Sequence[str]) -> tuple[TranscriptTable, list[str]]:
    """The table with groups that have no error made unknown: their ratio has no estimate."""
    said, columns = [], dict(table.columns)
    for name in names:
        errors: dict[str, float] = {}
        for group, number in zip(table.columns[name], table.errors.tolist(), strict=True):
            errors[group] = errors.get(group, 0.0) + number
        without = sorted(group for group, number in errors.items() if group and not number)
        if without:
            columns[name] = tuple("" if one in without else one for one in table.columns[name])
            said.append(
                f"column {name!r}: the adjusted ratios leave out groups without any error: "
                f"{name_some(without)}"
            )
    return replace(table, columns=columns), said


def _comparison(
    system: str, cells: ErrorCells, base: ErrorCells, settings: AuditSettings
) -> SystemComparison:
    differences = bootstrap_paired_error_rates(
        cells, base, level=settings.level, num_samples=settings.num_samples, seed=settings.seed
    )
    return SystemComparison(system, differences)
