"""What a finished run of the recipe left in its output folder, read back for the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.error_rate import ErrorCounts, word_errors
from sb_alexa.training.run_log import read_events


@dataclass(frozen=True)
class RecognisedUtterance:
    """One utterance of the test set and what was recognised.

    Arguments
    ---------
    id : str
        Its name.
    speaker : str
        Key of the speaker table.
    reference, hypothesis : str
        What was said and what was recognised, words separated by spaces.
    """

    id: str
    speaker: str
    reference: str
    hypothesis: str

    @property
    def counts(self) -> ErrorCounts:
        """Word errors."""
        return word_errors(self.reference, self.hypothesis)


@dataclass(frozen=True)
class Rate:
    """A word error rate with its 95 % interval, speakers resampled.

    Arguments
    ---------
    wer, low, high : float
        Percent.
    num_speakers, num_words : int
        What it rests on.
    """

    wer: float
    low: float
    high: float
    num_speakers: int
    num_words: int


@dataclass(frozen=True)
class RunResults:
    """Everything the report needs to know about a run.

    Arguments
    ---------
    events : tuple of mapping
        Lines of `train_log.jsonl`, in the order of the steps.
    utterances : tuple of RecognisedUtterance
        Of the test split.
    speakers : mapping of str to mapping
        Rows of the speaker table by speaker.
    """

    events: tuple[Mapping[str, Any], ...]
    utterances: tuple[RecognisedUtterance, ...]
    speakers: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, folder: Path, split: str) -> RunResults:
        """Read a run.

        Arguments
        ---------
        folder : Path
            Output folder of the recipe.
        split : str
            Test split to report.

        Raises
        ------
        FileNotFoundError
            If the run is not finished; the message names the missing file.
        """
        results = _existing(folder / "wer" / f"{split}.jsonl")
        utterances = tuple(
            RecognisedUtterance(row["id"], str(row["speaker"]), row["reference"], row["hypothesis"])
            for row in map(json.loads, results.read_text(encoding="utf-8").splitlines())
        )
        with _existing(folder / "prepared" / "speakers.csv").open(encoding="utf-8") as file:
            speakers = {row["speaker"]: row for row in csv.DictReader(file)}
        return cls(tuple(read_events(folder)), utterances, speakers)

    @property
    def overall(self) -> Rate:
        """Over all test speakers."""
        return _rate(self.utterances)

    @property
    def by_accent(self) -> dict[str, Rate]:
        """By accent of the speaker, the lowest rate first."""
        groups: dict[str, list[RecognisedUtterance]] = {}
        for utterance in self.utterances:
            groups.setdefault(self.describe(utterance.speaker, "accent"), []).append(utterance)
        rates = {accent: _rate(members) for accent, members in groups.items()}
        return dict(sorted(rates.items(), key=lambda item: (item[1].wer, item[0])))

    @property
    def median_speaker(self) -> str:
        """The test speaker with the middle error rate: neither the best nor the worst."""
        rates = {
            speaker: counts.error_rate for speaker, counts in _by_speaker(self.utterances).items()
        }
        ranked = sorted(rates, key=lambda speaker: (rates[speaker], speaker))
        return ranked[len(ranked) // 2]

    @property
    def seconds_training(self) -> float:
        """Time spent training."""
        return max((event["seconds"] for event in self.events), default=0.0)

    def curve(self, event: str, figure: str) -> list[tuple[float, float]]:
        """How a figure developed.

        Arguments
        ---------
        event : str
            ``train`` or ``valid``.
        figure : str
            ``loss`` or ``wer``.

        Returns
        -------
        points : list of (float, float)
            Seconds of training, and the figure.
        """
        return [
            (one["seconds"], one[figure])
            for one in self.events
            # Means over an epoch would repeat what the steps have shown.
            if one["event"] == event and one.get(figure) is not None and not one.get("end_of_epoch")
        ]

    def seconds_at(self, step: int) -> float | None:
        """Time spent training up to a step; None if training did not get there."""
        times = [event["seconds"] for event in self.events if event["step"] >= step > 0]
        return min(times, default=None)

    def describe(self, speaker: str, column: str) -> str:
        """A column of the speaker table; ``unknown`` where the table is empty."""
        return self.speakers.get(speaker, {}).get(column) or "unknown"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the run is not finished; run it again")
    return path


def _by_speaker(utterances: Iterable[RecognisedUtterance]) -> dict[str, ErrorCounts]:
    counts: dict[str, ErrorCounts] = {}
    for utterance in utterances:
        counts[utterance.speaker] = counts.get(utterance.speaker, ErrorCounts()) + utterance.counts
    return counts


def _rate(utterances: Iterable[RecognisedUtterance]) -> Rate:
    counts = _by_speaker(utterances)
    total = sum(counts.values(), ErrorCounts())
    # A single speaker has no interval over speakers: it is drawn as a point.
    low, high = (
        bootstrap_interval(list(counts.values()))
        if len(counts) > 1
        else (total.error_rate, total.error_rate)
    )
    return Rate(total.error_rate, low, high, len(counts), total.words)
