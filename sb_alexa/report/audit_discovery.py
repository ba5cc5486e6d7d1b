"""Cohorts that nobody declared: found on half of the speakers, to be measured on the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sb_alexa.corpora.transcript_table import TranscriptTable
from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.demographic_partition import DemographicPartition
from sb_alexa.fairness.embedding_cohorts import EmbeddingCohorts
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.speaker_totals import discovery_half

REGION, ZIP, VOICE = "found region", "found ZIP cohort", "found voice cohort"


@dataclass
class Discovery:
    """What was found, and why something was not.

    Arguments
    ---------
    columns : dict of str to tuple of str
        (N,) cohort of each utterance by column; empty for the speakers who found the cohorts.
    origins : dict of str to str
        ``region``, ``zip`` or ``voice`` by column.
    tree : GeographicTree | None
        Also where it has a single region, which makes no column.
    partition : DemographicPartition | None
        Of ZIP codes.
    voices : EmbeddingCohorts | None
        Of embeddings.
    notes : list of str
        Sentences.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    tree: GeographicTree | None = None
    partition: DemographicPartition | None = None
    voices: EmbeddingCohorts | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Voices:
    """Embeddings of rows of a table or of its speakers.

    Arguments
    ---------
    values : numpy.ndarray
        (M, E) of those that have one.
    rows : numpy.ndarray
        (N,) position of each utterance's embedding among them; -1 where there is none.
    """

    values: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, table: TranscriptTable, embeddings: Mapping[str, np.ndarray]) -> Voices:
        """Look the utterances up, by speaker if any speaker is there and else by themselves.

        Raises
        ------
        ValueError
            If none of either is there.
        """
        by_speaker = any(speaker in embeddings for speaker in set(table.speakers))
        keys = table.speakers if by_speaker else table.ids
        position: dict[str, int] = {}
        rows = np.fromiter(
            (position.setdefault(key, len(position)) if key in embeddings else -1 for key in keys),
            np.intp,
            len(keys),
        )
        if not position:
            raise ValueError(
                f"none of the {len(embeddings)} embeddings ({', '.join([*embeddings][:3])}, ...) "
                f"is of a speaker ({table.speakers[0]}, ...) or of an utterance "
                f"({table.ids[0]}, ...) of {table.name}; name them alike"
            )
        return cls(np.stack([embeddings[key] for key in position]), rows)


def discover_cohorts(
    table: TranscriptTable,
    *,
    find_regions: bool,
    attributes: Mapping[str, Mapping[str, object]] | None,
    embeddings: Mapping[str, np.ndarray] | None,
    seed: int,
) -> Discovery:
    """Find all the cohorts that the table allows.

    Arguments
    ---------
    table : TranscriptTable
        (N,) utterances.
    find_regions : bool
        Whether to grow a geographic tree, where there are coordinates.
    attributes, embeddings
        As in `AuditRequest`.
    seed : int
        Of the halves of the speakers, which are the same for all kinds of cohorts.

    Returns
    -------
    Discovery
        Whatever could be found; a note for what could not.
    """
    names = sorted(set(table.speakers))
    finder = dict(zip(names, discovery_half(len(names), seed=seed).tolist(), strict=True))
    finders = np.fromiter((finder[who] for who in table.speakers), bool, len(table))
    found = Discovery()
    if find_regions and table.latitude is not None:
        _try(found, "no regions", _find_regions, table, finders, seed)
    if attributes is not None:
        _try(found, "no cohorts of ZIP codes", _find_partition, table, finders, seed, attributes)
    if embeddings is not None:
        _try(found, "no cohorts of voices", _find_voices, table, finders, seed, embeddings)
    return found


def cohort_column(
    model: CohortModel,
    table: TranscriptTable,
    embeddings: Mapping[str, np.ndarray] | None,
) -> tuple[str, ...]:
    """Apply cohorts that were found earlier.

    Arguments
    ---------
    model : CohortModel
        Of any kind.
    table : TranscriptTable
        (N,) utterances, perhaps of new speakers.
    embeddings : mapping of str to numpy.ndarray | None
        As in `AuditRequest`.

    Returns
    -------
    tuple of str
        (N,) cohorts, empty where unknown.

    Raises
    ------
    ValueError
        If the table lacks what the cohorts are of.
    """
    if "embedding" in model.columns:
        if embeddings is None:
            raise ValueError(f"{model.kind} need embeddings of the speakers; give them as well")
        voices = Voices.of(table, embeddings)
        return _spread(model.assign({"embedding": voices.values}), voices.rows)
    sides: dict[str, Sequence[str] | np.ndarray | None] = {
        **table.columns,
        "latitude": table.latitude,
        "longitude": table.longitude,
        "zip": table.zip_codes,
    }
    there = {name: side for name, side in sides.items() if side is not None}
    return tuple(model.assign(there).tolist())


def _try(found: Discovery, failed: str, find: Callable[..., None], *arguments: Any) -> None:
    try:
        find(found, *arguments)
    except ValueError as error:
        found.notes.append(f"{failed}: {error}")


def _add(
    found: Discovery, column: str, origin: str, cohorts: Sequence[str], finders: np.ndarray
) -> None:
    found.columns[column] = tuple(
        "" if is_finder else cohort
        for cohort, is_finder in zip(cohorts, finders.tolist(), strict=True)
    )
    found.origins[column] = origin


def _find_regions(found: Discovery, table: TranscriptTable, finders: np.ndarray, seed: int) -> None:
    latitude, longitude = table.latitude, table.longitude
    assert latitude is not None and longitude is not None
    tree = GeographicTree.grow(
        latitude,
        longitude,
        table.errors,
        table.words,
        table.speakers,
        in_discovery=finders,
        seed=seed,
    )
    found.tree = tree
    if len(tree.regions) > 1:
        _add(found, REGION, "region", tree.assign(latitude, longitude).tolist(), finders)
    if tree.num_speakers_in_several_places:
        found.notes.append(
            f"{tree.num_speakers_in_several_places} speakers have several places; they found "
            "regions where most of their words were spoken"
        )


def _find_partition(
    found: Discovery,
    table: TranscriptTable,
    finders: np.ndarray,
    seed: int,
    attributes: Mapping[str, Mapping[str, object]],
) -> None:
    if table.zip_codes is None:
        raise ValueError(f"{table.name} has no ZIP codes; name their column")
    partition = DemographicPartition.find(
        table.zip_codes,
        table.errors,
        table.words,
        table.speakers,
        attributes=attributes,
        repair_zip_codes=True,
        in_discovery=finders,
        seed=seed,
    )
    found.partition = partition
    _add(found, ZIP, "zip", partition.assign(table.zip_codes).tolist(), finders)
    if partition.unknown_zip_codes:
        some = ", ".join(partition.unknown_zip_codes[:10])
        more = len(partition.unknown_zip_codes) - 10
        found.notes.append(
            f"{len(partition.unknown_zip_codes)} ZIP codes are not in the attribute table, so "
            f"their speakers are in no cohort of ZIP codes: {some}"
            + (f" and {more} more" if more > 0 else "")
        )


def _find_voices(
    found: Discovery,
    table: TranscriptTable,
    finders: np.ndarray,
    seed: int,
    embeddings: Mapping[str, np.ndarray],
) -> None:
    voices = Voices.of(table, embeddings)
    known = voices.rows >= 0
    # Summed to what has an embedding: a speaker's is not repeated for a thousand utterances.
    first = np.zeros(len(voices.values), dtype=np.intp)
    first[voices.rows[known][::-1]] = np.flatnonzero(known)[::-1]
    errors, words = (
        np.bincount(voices.rows[known], weights=side[known], minlength=len(first))
        for side in (table.errors, table.words)
    )
    cohorts = EmbeddingCohorts.discover(
        voices.values,
        errors,
        words,
        [table.speakers[row] for row in first.tolist()],
        in_discovery=finders[first],
        seed=seed,
    )
    found.voices = cohorts
    _add(found, VOICE, "voice", _spread(cohorts.assign(voices.values), voices.rows), finders)
    without = len({who for who, row in zip(table.speakers, voices.rows, strict=True) if row < 0})
    if without:
        found.notes.append(
            f"{without} speakers lack an embedding for some or all utterances, which are in no "
            "cohort of voices"
        )


def _spread(cohorts: np.ndarray, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(np.append(cohorts, "")[rows].tolist())
