"""Regions that one half of the test speakers finds and the other half measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.transcript_table import TranscriptTable, read_transcripts
from sb_alexa.fairness.cohort_model import CohortModel
from sb_alexa.fairness.geographic_regions import Region
from sb_alexa.fairness.geographic_tree import GeographicTree
from sb_alexa.fairness.speaker_totals import discovery_half

WORST, OTHERS = "worst region", "other regions"
_COLUMNS = ("gender", "accent")


@dataclass(frozen=True, eq=False)
class MapRegions:
    """Regions of the map by the results of some runs.

    Arguments
    ---------
    tree : GeographicTree
        With at least one line.
    path : Path
        The same as a file of cohorts.
    """

    tree: GeographicTree
    path: Path

    @property
    def worst(self) -> Region:
        """The region with the highest WER on the half that found it."""
        return self.tree.regions[0]

    def of(self, table: TranscriptTable) -> np.ndarray:
        """(N,) name of each utterance's region, empty where the place is unknown."""
        if table.latitude is None or table.longitude is None:
            return np.full(len(table), "")
        return self.tree.assign(table.latitude, table.longitude)


@dataclass(frozen=True, eq=False)
class TestedRun:
    """One run's test, divided into the half that finds regions and the other.

    Arguments
    ---------
    table : TranscriptTable
        N utterances.
    in_worst : numpy.ndarray
        (N,) bool, in the worst region.
    is_finder : numpy.ndarray
        (N,) bool, of the half that found it.
    """

    __test__ = False  # not a test, whatever its name begins with

    table: TranscriptTable
    in_worst: np.ndarray
    is_finder: np.ndarray

    @classmethod
    def of(cls, table: TranscriptTable, regions: MapRegions) -> TestedRun:
        """Of a test and the regions that were found."""
        return cls(table, regions.of(table) == regions.worst.name, finders(table))

    @property
    def accents(self) -> Sequence[str]:
        """(N,) of the speakers, empty where unknown."""
        return self.table.columns.get("accent", ("",) * len(self.table))

    def accent_of_speakers(self, *, held_out: bool) -> dict[str, str]:
        """By speaker, of one half."""
        return {
            self.table.speakers[row]: self.accents[row]
            for row in np.flatnonzero(self.is_finder != held_out).tolist()
        }

    def rate(self, part: str, *, finders: bool) -> float:
        """WER in percent of a part (overall, worst, others) of the finders or of the others."""
        rows = self.is_finder if finders else ~self.is_finder
        if part != "overall":
            rows = rows & (self.in_worst if part == "worst" else ~self.in_worst)
        return 100.0 * float(self.table.errors[rows].sum() / self.table.words[rows].sum())


def read_tested(folder: Path, split: str) -> TranscriptTable:
    """What a run of the recipe made of a test set, with what the corpus knows of the speakers.

    Arguments
    ---------
    folder : Path
        Output folder of the recipe.
    split : str
        Name of the test set.

    Raises
    ------
    ValueError
        If the run was not tested on the split.
    """
    path = folder / "wer" / f"{split}.jsonl"
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: the run was not tested on {split}; test it with "
            f"--test_splits=[{split}]"
        )
    speakers = read_speaker_table(folder / "prepared" / "speakers.csv")
    known = [column for column in _COLUMNS if column in speakers.columns]
    return read_transcripts(path, speakers=speakers, columns=known)


def finders(table: TranscriptTable) -> np.ndarray:
    """(N,) whether each utterance's speaker belongs to the half that finds regions.

    The same speakers for every run on a test set, whatever its seed: nobody who found a region or
    chose a lambda measures it.
    """
    names, codes = np.unique(np.array(table.speakers), return_inverse=True)
    return discovery_half(len(names), seed=0)[codes]


def find_regions(
    folders: Sequence[Path], split: str, path: Path, *, min_speakers: int
) -> MapRegions:
    """Divide the map where WER differs, without looking at any label; once for all.

    What was found stays, so that runs that are added later are trained for the same region and
    measured on it.

    Arguments
    ---------
    folders : sequence of Path
        Output folders of the recipe, whose counts are summed: where speakers are few, one training
        is served by luck what another is not.
    split : str
        Name of the test set.
    path : Path
        File of cohorts: written, or read where it exists.
    min_speakers : int
        Fewest speakers of a region in either half.

    Raises
    ------
    ValueError
        If the speakers have no places, no line through the map is confirmed, or the file holds
        something else.
    """
    if path.is_file():
        return _read_regions(path, min_speakers)
    tables = [read_tested(folder, split) for folder in folders]
    table = tables[0]
    for folder, other in zip(folders, tables, strict=True):
        check_same(other, table, str(folder), str(folders[0]))
    if table.latitude is None or table.longitude is None:
        raise ValueError(
            f"{folders[0] / 'prepared' / 'speakers.csv'} has no latitude and longitude; regions "
            "need them, and `sb-alexa corpus --rare-accents` writes a corpus with a map"
        )
    tree = GeographicTree.grow(
        table.latitude,
        table.longitude,
        np.sum([one.errors for one in tables], axis=0),
        len(tables) * table.words,
        table.speakers,
        min_speakers=min_speakers,
        in_discovery=finders(table),
    )
    if not tree.splits:
        raise ValueError(
            f"{', '.join(folder.name for folder in folders)}: no region of the map is served worse "
            f"than another, as far as {len(set(table.speakers))} speakers can tell, so there is "
            "nothing to mitigate"
        )
    CohortModel(tree).save(path)
    return MapRegions(tree, path)


def _read_regions(path: Path, min_speakers: int) -> MapRegions:
    tree = CohortModel.load(path).cohorts
    if not isinstance(tree, GeographicTree) or tree.rules.min_speakers != min_speakers:
        raise ValueError(
            f"{path} holds other cohorts than regions of at least {min_speakers} speakers; choose "
            "another output folder, or delete it with the runs that were trained for them"
        )
    return MapRegions(tree, path)


def check_same(one: TranscriptTable, other: TranscriptTable, name: str, of_other: str) -> None:
    """Refuse tests of different utterances."""
    if one.ids != other.ids or (one.words != other.words).any():
        raise ValueError(
            f"{name} and {of_other} were tested on different utterances ({len(one)} and "
            f"{len(other)}); test both on the same corpus"
        )
