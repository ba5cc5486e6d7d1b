"""The measurements of `sb-alexa bench fisher`."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import Dataset

from sb_alexa.bench.memory import peak_memory_gib, reset_peak_memory
from sb_alexa.bench.models import build_hparams, title
from sb_alexa.bench.pacing import TOKENS_PER_SECOND
from sb_alexa.bench.training_run import build_experiment, noise_item
from sb_alexa.commands.figures import machine_description
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.training.dataio import collate
from sb_alexa.training.fisher import estimate_fisher
from sb_alexa.training.fisher_information import FisherInformation
from sb_alexa.training.processes import leave_group
from sb_alexa.training.run_log import RunLog

STATED_UTTERANCES = 500


class NoiseUtterances(Dataset[tuple[Utterance, Tensor, Tensor]]):
    """Noise with labels instead of a corpus; an item depends on its number alone.

    Arguments
    ---------
    num_utterances : int
        N.
    duration_s : float
        Of each, in seconds.
    num_labels : int
        V, blank (0) included.

    Example
    -------
    >>> data = NoiseUtterances(3, 2.0, num_labels=30)
    >>> data.ids, data[2][1].shape, bool((data[2][1] == data[2][1]).all())
    (['noise-0', 'noise-1', 'noise-2'], torch.Size([32000]), True)
    """

    def __init__(self, num_utterances: int, duration_s: float, *, num_labels: int) -> None:
        self.num_utterances, self.duration_s, self.num_labels = (
            num_utterances,
            duration_s,
            num_labels,
        )

    @property
    def ids(self) -> list[str]:
        """Names of the items."""
        return [f"noise-{number}" for number in range(self.num_utterances)]

    def __len__(self) -> int:
        return self.num_utterances

    def __getitem__(self, number: int) -> tuple[Utterance, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(number)
        return noise_item(number, self.duration_s, num_labels=self.num_labels, generator=generator)


@dataclass(frozen=True)
class FisherTiming:
    """What was measured with one number of processes.

    Arguments
    ---------
    num_processes : int
        Each of one thread.
    num_utterances : int
        That all of them together looked at.
    seconds : float
        Of the estimation, from the first utterance to the mean on all processes.
    peak_memory_gib : float | None
        Resident, of the largest process; None where the system does not tell.
    num_parameters : int
        Whose Fisher information it was.
    num_left_out : int
        Utterances without a finite gradient.

    Example
    -------
    >>> one = FisherTiming(1, 20, 40.0, 1.0, 10)
    >>> one.utterances_per_second, one.minutes(500)
    (0.5, 16.666666666666668)
    """

    num_processes: int
    num_utterances: int
    seconds: float
    peak_memory_gib: float | None
    num_parameters: int
    num_left_out: int = 0

    @property
    def utterances_per_second(self) -> float:
        """Of all processes together."""
        return self.num_utterances / self.seconds

    def minutes(self, num_utterances: int) -> float:
        """That so many utterances take at this speed."""
        return num_utterances / self.utterances_per_second / 60.0


def measure_fisher(
    name: str,
    *,
    num_utterances: int = STATED_UTTERANCES,
    duration_s: float = 12.0,
    num_processes: int = 1,
    progress: bool = True,
) -> FisherTiming:
    """Estimate the Fisher information of a recipe's model, in fresh processes of one thread each.

    Arguments
    ---------
    name : str
        YAML, see `sb_alexa.bench.models.build_hparams`.
    num_utterances : int
        For all processes together.
    duration_s : float
        Of an utterance, in seconds.
    num_processes : int
        More than one reduce with gloo, as under torchrun.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    FisherTiming
        Before it is taken, each process has looked at one utterance.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (name, num_utterances, duration_s, num_processes, progress, folder)
        torch.multiprocessing.spawn(time_process, arguments, nprocs=num_processes)
        parts = [
            json.loads(_result(folder, rank).read_text(encoding="utf-8"))
            for rank in range(num_processes)
        ]
    peaks = [part["peak_memory_gib"] for part in parts]
    return FisherTiming(
        num_processes,
        num_utterances,
        max(part["seconds"] for part in parts),
        None if None in peaks else max(peaks),
        parts[0]["num_parameters"],
        parts[0]["num_left_out"],
    )


def time_process(
    rank: int,
    name: str,
    num_utterances: int,
    duration_s: float,
    num_processes: int,
    progress: bool,
    folder: str,
) -> None:
    """One of the processes of `measure_fisher`: writes what it measured into the folder."""
    torch.set_num_threads(1)
    if num_processes > 1:
        os.environ["RANK"] = str(rank)  # what torchrun sets and SpeechBrain reads
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=num_processes
        )
    hparams = build_hparams(name)
    experiment = build_experiment(hparams, "cpu", RunLog(folder))

    def estimate(number: int, **options: Any) -> FisherInformation:
        data = NoiseUtterances(number, duration_s, num_labels=hparams["num_labels"])
        return estimate_fisher(experiment, data, ids=data.ids, collate_fn=collate, **options)

    estimate(num_processes, progress=False)  # memory is allocated, kernels are chosen
    reset_peak_memory("cpu")
    if num_processes > 1:
        torch.distributed.barrier()
    begun = time.perf_counter()
    fisher = estimate(num_utterances, progress=progress, journal=Path(folder, "journal"))
    measured = {
        "seconds": time.perf_counter() - begun,
        "peak_memory_gib": peak_memory_gib("cpu"),
        "num_parameters": sum(values.numel() for values in fisher.diagonal.values()),
        "num_left_out": fisher.num_left_out,
    }
    _result(folder, rank).write_text(json.dumps(measured), encoding="utf-8")
    leave_group()


def markdown(name: str, timings: Sequence[FisherTiming], duration_s: float) -> str:
    """The table.

    Arguments
    ---------
    name : str
        YAML.
    timings : sequence of FisherTiming
        Of numbers of processes, the smallest first.
    duration_s : float
        Of an utterance, in seconds.

    Returns
    -------
    str
        Markdown.
    """
    number = timings[0].num_utterances
    lines = [
        f"| processes | utterances per s | minutes for {STATED_UTTERANCES} | speed-up "
        "| memory of a process (GiB) |",
        "|---|---|---|---|---|",
    ]
    for timing in timings:
        gain = timing.utterances_per_second / timings[0].utterances_per_second
        peak = timing.peak_memory_gib
        lines.append(
            f"| {timing.num_processes} | {timing.utterances_per_second:.3f} "
            f"| **{timing.minutes(STATED_UTTERANCES):.1f}** | {gain:.2f} "
            f"| {'' if peak is None else format(peak, '.2f')} |"
        )
    machine = machine_description()
    extrapolated = (
        f" The minutes for {STATED_UTTERANCES} are extrapolated from {number}."
        if number < STATED_UTTERANCES
        else ""
    )
    lines += [
        "",
        f"{title(name)} with {timings[0].num_parameters / 1e6:.1f} million parameters, {number} "
        f"utterances of {duration_s:g} s with {round(duration_s * TOKENS_PER_SECOND)} labels. "
        f"{machine['cpu']}, {machine['cpu_cores']} cores, one thread in a process, torch "
        f"{machine['torch']}.{extrapolated}",
    ]
    return "\n".join(lines)


def figures(timings: Sequence[FisherTiming]) -> dict[str, float | None]:
    """Flat figures for JSON; names end in the number of processes.

    Arguments
    ---------
    timings : sequence of FisherTiming
        Of numbers of processes; speed-ups are over the first.

    Returns
    -------
    dict
        `minutes_<n>` are those of `STATED_UTTERANCES`.

    Example
    -------
    >>> found = figures([FisherTiming(1, 20, 40.0, 1.5, 10), FisherTiming(2, 20, 25.0, 1.5, 10)])
    >>> found["utterances_per_second_2"], found["speedup_2"]
    (0.8, 1.6)
    """
    found: dict[str, float | None] = {
        "utterances": timings[0].num_utterances,
        "parameters_m": timings[0].num_parameters / 1e6,
    }
    for timing in timings:
        found |= {
            f"utterances_per_second_{timing.num_processes}": timing.utterances_per_second,
            f"minutes_{timing.num_processes}": timing.minutes(STATED_UTTERANCES),
            f"peak_memory_gib_{timing.num_processes}": timing.peak_memory_gib,
        }
    for timing in timings[1:]:
        gain = timing.utterances_per_second / timings[0].utterances_per_second
        found[f"speedup_{timing.num_processes}"] = gain
    return found


def _result(folder: str, rank: int) -> Path:
    return Path(folder, f"measured-{rank}.json")
