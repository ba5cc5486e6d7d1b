"""What fine-tuning on the worst region changed, measured on speakers who had no part in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from sb_alexa.bench.fair_discovery import OTHERS, WORST, TestedRun, check_same, read_tested
from sb_alexa.bench.fair_training_plan import BASE, HELD, PLAIN, TEST_SPLIT, FairPlan
from sb_alexa.bench.fair_truth import FoundRegion, TrainingSpeakers, rare_accents
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.synthetic_folder import STAMP
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate_bootstrap import bootstrap_error_rates
from sb_alexa.metrics.error_rate_estimates import ErrorRateEstimates
from sb_alexa.metrics.paired_error_rates import (
    ErrorRateDifference,
    PairedErrorRates,
    bootstrap_paired_error_rates,
)
from sb_alexa.metrics.verification_estimates import Estimate

PARTS = ("overall", "worst", "others")
_COLUMN = "region"
_GROUPS = {"worst": WORST, "others": OTHERS}


@dataclass(frozen=True, eq=False)
class ArmResult:
    """All seeds of one arm.

    Arguments
    ---------
    runs : tuple of TestedRun
        One for each seed.
    measured : ErrorRateEstimates
        Of the held-out speakers, counts of each summed over the seeds.
    against_base : PairedErrorRates | None
        None for the base.
    """

    runs: tuple[TestedRun, ...]
    measured: ErrorRateEstimates
    against_base: PairedErrorRates | None = None

    def wer(self, part: str) -> Estimate:
        """WER in percent of a part (`PARTS`)."""
        if part == "overall":
            return self.measured.overall.wer
        return self.measured.columns[_COLUMN].by_group[_GROUPS[part]].wer

    def by_seed(self, part: str) -> tuple[float, ...]:
        """The same, seed by seed."""
        return tuple(run.rate(part, finders=False) for run in self.runs)

    def on_finders(self, part: str) -> float:
        """The same on the half that found the regions, all seeds together."""
        return float(np.mean([run.rate(part, finders=True) for run in self.runs]))


@dataclass(frozen=True, eq=False)
class FairComparison:
    """All arms; make it with `read`.

    Arguments
    ---------
    plan : FairPlan
        What was run.
    arms : mapping of str to ArmResult
        The base first.
    region : FoundRegion
        The worst.
    rare_accents : mapping of str to float
        Share of their readers that training keeps, as the corpus says; empty where it does not.
    training_speakers : mapping of str to int
        Of the base, by accent.
    cells : mapping of str to ErrorCells
        Of the held-out speakers, by arm.
    """

    plan: FairPlan
    arms: Mapping[str, ArmResult]
    region: FoundRegion
    rare_accents: Mapping[str, float]
    training_speakers: Mapping[str, int]
    cells: Mapping[str, ErrorCells] = field(repr=False)

    @classmethod
    def read(
        cls, plan: FairPlan, *, on_arm: Callable[[str], None] = lambda name: None
    ) -> FairComparison:
        """Read all runs, which must be finished.

        Arguments
        ---------
        plan : FairPlan
            What was run.
        on_arm : Callable
            Called with the name of each arm before it is read.

        Raises
        ------
        ValueError
            If a run was not tested, or on other utterances than its base.
        """
        regions = plan.regions()
        runs: dict[str, tuple[TestedRun, ...]] = {}
        cells: dict[str, ErrorCells] = {}
        arms: dict[str, ArmResult] = {}
        for name in (BASE, *plan.arms):
            on_arm(name)
            tables = [read_tested(plan.folder(name, seed), TEST_SPLIT) for seed in plan.seeds]
            runs[name] = tuple(TestedRun.of(table, regions) for table in tables)
            for seed, table in zip(plan.seeds, tables, strict=True):
                check_same(table, runs[BASE][0].table, f"{name}-{seed}", "the base")
            cells[name] = _held_out_cells(runs[name])
            paired = None
            if name != BASE:
                paired = bootstrap_paired_error_rates(cells[name], cells[BASE])
            arms[name] = ArmResult(runs[name], bootstrap_error_rates(cells[name]), paired)
        rare = rare_accents(plan.corpus)
        training = TrainingSpeakers.read(plan.folder(PLAIN, 0))
        found = FoundRegion.of(regions, runs[BASE][0], training, rare)
        heard = Counter(TrainingSpeakers.read(plan.folder(BASE, 0)).accents)
        return cls(plan, arms, found, rare, heard, cells)

    @cached_property
    def chosen(self) -> dict[str, str]:
        """For each method with a lambda the arm with the lowest WER of all finders."""
        found = {}
        for method in HELD:
            names = [name for name, arm in self.plan.arms.items() if arm.method == method]
            if names:
                found[method] = min(names, key=lambda n: self.arms[n].on_finders("overall"))
        return found

    @cached_property
    def pairs(self) -> dict[tuple[str, str], PairedErrorRates]:
        """Arms against each other: all against plain fine-tuning, EWC against L2."""
        names = [(name, PLAIN) for name in self.plan.arms if name != PLAIN]
        for weight in self.plan.lambdas:
            names.append((f"ewc_{weight:g}", f"l2_{weight:g}"))
        if len(self.chosen) == 2:
            names.append((self.chosen["ewc"], self.chosen["l2"]))
        known = [pair for pair in dict.fromkeys(names) if set(pair) <= set(self.cells)]
        return {
            (one, other): bootstrap_paired_error_rates(self.cells[one], self.cells[other])
            for one, other in known
        }

    @property
    def num_held_out(self) -> int:
        """Speakers who measure."""
        return self.cells[BASE].num_speakers

    @property
    def num_words(self) -> int:
        """That they say, counted once."""
        return round(float(self.cells[BASE].words.sum())) // self.plan.num_seeds

    @property
    def num_steps(self) -> int:
        """Of every fine-tuning."""
        return self.plan.jobs()[-1].num_steps

    @property
    def synthetic(self) -> bool:
        """Whether nobody has said any of this."""
        return (self.plan.corpus / STAMP).is_file()

    @property
    def held_out_by_accent(self) -> Mapping[str, int]:
        """Number of speakers who measure, by accent."""
        return Counter(self.arms[BASE].runs[0].accent_of_speakers(held_out=True).values())

    def accent_rates(self, name: str) -> dict[str, float]:
        """WER in percent of the held-out speakers of each accent."""
        errors: Counter[str] = Counter()
        words: Counter[str] = Counter()
        for run in self.arms[name].runs:
            for row in np.flatnonzero(~run.is_finder).tolist():
                accent = run.accents[row]
                errors[accent] += int(run.table.errors[row])
                words[accent] += int(run.table.words[row])
        return {
            accent: 100.0 * errors[accent] / words[accent] for accent in sorted(words) if accent
        }

    def write_transcripts(self, folder: Path) -> list[Path]:
        """Write the word errors of the held-out speakers, one table for each arm.

        Tables for ``sb-alexa audit --compare base.jsonl plain.jsonl ... --by region``: the seeds
        follow each other, so the name of an utterance begins with its seed.

        Arguments
        ---------
        folder : Path
            Where to write ``<arm>.jsonl``.
        """
        paths = []
        for name, arm in self.arms.items():
            paths.append(folder / f"{name}.jsonl")
            with (
                replaced_atomically(paths[-1]) as temporary,
                temporary.open("w", encoding="utf-8") as file,
            ):
                for seed, run in enumerate(arm.runs):
                    file.writelines(json.dumps(row) + "\n" for row in _rows(seed, run))
        return paths


def difference(paired: PairedErrorRates, part: str) -> ErrorRateDifference:
    """The difference of one part (`PARTS`)."""
    if part == "overall":
        return paired.overall.difference
    return paired.columns[_COLUMN].by_group[_GROUPS[part]].difference


def _held_out_cells(runs: Sequence[TestedRun]) -> ErrorCells:
    kept = [~run.is_finder for run in runs]
    return ErrorCells.of(
        np.concatenate([run.table.errors[k] for run, k in zip(runs, kept, strict=True)]),
        np.concatenate([run.table.words[k] for run, k in zip(runs, kept, strict=True)]),
        speakers=np.concatenate(
            [np.array(run.table.speakers)[k] for run, k in zip(runs, kept, strict=True)]
        ),
        columns={
            _COLUMN: np.concatenate(
                [
                    np.where(run.in_worst[k], WORST, OTHERS)
                    for run, k in zip(runs, kept, strict=True)
                ]
            )
        },
    )


def _rows(seed: int, run: TestedRun) -> list[dict[str, object]]:
    table = run.table
    rows = []
    for row in np.flatnonzero(~run.is_finder).tolist():
        one: dict[str, object] = {
            "id": f"{seed}/{table.ids[row]}",
            "speaker": table.speakers[row],
            "errors": int(table.errors[row]),
            "words": int(table.words[row]),
            "region": WORST if run.in_worst[row] else OTHERS,
        }
        one |= {column: values[row] for column, values in table.columns.items()}
        if table.latitude is not None and table.longitude is not None:
            one["latitude"] = float(table.latitude[row])
            one["longitude"] = float(table.longitude[row])
        rows.append(one)
    return rows
