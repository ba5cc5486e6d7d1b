"""Who is in the region that was found without labels, and who should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb_alexa.bench.fair_discovery import MapRegions, TestedRun
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.synthetic_folder import STAMP
from sb_alexa.fairness.geographic_regions import Region


@dataclass(frozen=True)
class FoundRegion:
    """The worst region.

    Arguments
    ---------
    name : str
        Of the region.
    borders : tuple of float
        South, north, west and east in degrees.
    num_regions : int
        Of the whole map.
    num_bases : int
        Whose results found it.
    num_speakers, num_held_out : int
        Test speakers, and those of them who had no part in finding it.
    num_training : int
        Training speakers, old and new, whom the arms are fine-tuned on.
    num_training_utterances : int
        Theirs.
    rare_share : float | None
        Share of the held-out speakers whose accent is rare; None where no accent is.
    rare_found : float | None
        Share of all held-out speakers with a rare accent who are in the region.
    """

    name: str
    borders: tuple[float, float, float, float]
    num_regions: int
    num_bases: int
    num_speakers: int
    num_held_out: int
    num_training: int
    num_training_utterances: int
    rare_share: float | None
    rare_found: float | None

    @classmethod
    def of(
        cls,
        regions: MapRegions,
        base: TestedRun,
        training: TrainingSpeakers,
        rare_accents: Mapping[str, float],
    ) -> FoundRegion:
        """Compare what the bases found with what the corpus knows.

        Arguments
        ---------
        regions : MapRegions
            What was found.
        base : TestedRun
            A test of the same speakers.
        training : TrainingSpeakers
            Of the fine-tuning.
        rare_accents : mapping of str to float
            By accent; see `rare_accents`.
        """
        accents = base.accent_of_speakers(held_out=True)
        rare = {speaker for speaker, accent in accents.items() if accent in rare_accents}
        speakers = np.array(base.table.speakers)
        inside = set(speakers[base.in_worst & ~base.is_finder].tolist())
        learned = regions.tree.assign(training.latitude, training.longitude) == regions.worst.name
        worst = regions.worst
        return cls(
            worst.name,
            (worst.south, worst.north, worst.west, worst.east),
            len(regions.tree.regions),
            round(sum(_num_words(one) for one in regions.tree.regions) / base.table.words.sum()),
            len(set(speakers[base.in_worst].tolist())),
            len(inside),
            int(learned.sum()),
            int(training.num_utterances[learned].sum()),
            len(inside & rare) / len(inside) if rare else None,
            len(inside & rare) / len(rare) if rare else None,
        )


def _num_words(region: Region) -> int:
    return (region.discovery + region.held_out).words


@dataclass(frozen=True, eq=False)
class TrainingSpeakers:
    """Whom a run was trained on.

    Arguments
    ---------
    accents : tuple of str
        (P,) empty where unknown.
    latitude, longitude : numpy.ndarray
        (P,) degrees, NaN where unknown.
    num_utterances : numpy.ndarray
        (P,) of each.
    """

    accents: tuple[str, ...]
    latitude: np.ndarray
    longitude: np.ndarray
    num_utterances: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> TrainingSpeakers:
        """Read them from what a run prepared.

        Arguments
        ---------
        folder : Path
            Output folder of the recipe.
        """
        prepared = folder / "prepared"
        utterances: dict[str, int] = {}
        for utterance in read_manifest(prepared / "train.csv", folder):
            utterances[utterance.speaker] = utterances.get(utterance.speaker, 0) + 1
        table = read_speaker_table(prepared / "speakers.csv")
        rows = [table.rows.get(speaker, {}) for speaker in utterances]
        latitude, longitude = (
            np.array([float(row.get(name) or "nan") for row in rows])
            for name in ("latitude", "longitude")
        )
        return cls(
            tuple(row.get("accent", "") for row in rows),
            latitude,
            longitude,
            np.array(list(utterances.values())),
        )


def rare_accents(corpus: Path) -> dict[str, float]:
    """Share of their readers that training keeps, by accent; empty for a corpus that is not ours.

    Arguments
    ---------
    corpus : Path
        Its folder.
    """
    path = corpus / STAMP
    stamp = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    splits = stamp.get("arguments", {}).get("splits", {})
    return dict(splits.get("train-clean", {}).get("rare_accents", {}))
