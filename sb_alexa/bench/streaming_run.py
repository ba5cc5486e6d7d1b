"""The measurements of `sb-alexa bench streaming`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
import torch
from tqdm import tqdm

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.long_stream import LongStream, stream_for_hours
from sb_alexa.bench.lstm_kernels import compare_lstm_kernels
from sb_alexa.bench.machine import MachineReport, MachineWatch
from sb_alexa.bench.operations import macs_per_second
from sb_alexa.bench.recogniser import Recogniser, RecogniserState
from sb_alexa.bench.timing import ChunkTimes, capacity, next_batch, time_chunks
from sb_alexa.streaming.state import rows

PARTS = ("total", "encoder")
# Audio before the first measured chunk: attention costs less until its left context is full.
_WARM_UP_SECONDS = 6.0


@dataclass
class ModelResult:
    """What was measured of one model.

    Arguments
    ---------
    recogniser : Recogniser
        The model.
    macs_per_second : float
        Counted multiply-adds per second of audio.
    rounds : tuple of ChunkTimes
        One stream, each of its turns.
    batches : dict
        Times by number of streams in a batch.
    """

    recogniser: Recogniser
    macs_per_second: float
    rounds: tuple[ChunkTimes, ...]
    batches: dict[int, ChunkTimes] = field(default_factory=dict)

    @property
    def single(self) -> ChunkTimes:
        """One stream, all turns together."""
        return reduce(add, self.rounds)

    def rtf(self, part: str = "total") -> float:
        """Real-time factor of one stream: the median of its turns."""
        return float(np.median([times.rtf(part) for times in self.rounds]))

    def streams_per_core(self, part: str = "total") -> int:
        """The largest batch of which 95 % of the steps take no longer than the chunk."""
        return capacity(self.keeps_up(part))

    def keeps_up(self, part: str) -> dict[int, bool]:
        """By batch, whether it keeps up with real time."""
        return {batch: times.keeps_up(part) for batch, times in self.batches.items()}

    @property
    def figures(self) -> dict[str, float]:
        """Flat figures with the model's prefix."""
        figures: dict[str, float] = {
            "chunk_ms": self.recogniser.chunk_ms,
            "parameters_m": self.recogniser.num_parameters / 1e6,
            "gmac_per_second": self.macs_per_second / 1e9,
            "tokens_per_second": self.single.tokens_per_second,
        }
        for part, name in (("total", ""), ("encoder", "encoder_")):
            figures[f"{name}rtf"] = self.rtf(part)
            figures[f"{name}chunk_ms_p50"] = self.single.p50_ms(part)
            figures[f"{name}chunk_ms_p95"] = self.single.p95_ms(part)
            figures[f"{name}streams_per_core"] = self.streams_per_core(part)
        return {self.recogniser.prefix + name: value for name, value in figures.items()}


@dataclass(frozen=True)
class StreamingResult:
    """What was measured of all models.

    Arguments
    ---------
    models : list of ModelResult
        In the order given.
    lstm_ms : dict
        Times of a bare LSTM stack, see `compare_lstm_kernels`.
    long_stream : LongStream | None
        Of the first model, if asked for.
    machine : MachineReport
        Whether the machine was idle.
    """

    models: list[ModelResult]
    lstm_ms: dict[str, float]
    long_stream: LongStream | None
    machine: MachineReport

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures for the JSON file."""
        figures: dict[str, float | None] = {}
        for model in self.models:
            figures.update(model.figures)
        for name, time_ms in self.lstm_ms.items():
            figures[f"lstm_{name}_ms"] = time_ms
        if self.long_stream is not None:
            figures.update(self.long_stream.figures)
        figures["idle"] = int(not self.machine.problems)
        figures["load_average"] = self.machine.load_average
        figures["other_cores"] = self.machine.other_cores
        figures["calibration_ms_before"], figures["calibration_ms_after"] = (
            self.machine.calibration_ms
        )
        return figures


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch compute on one thread inside of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure(
    recognisers: Sequence[Recogniser],
    audio: EndlessAudio,
    *,
    seconds: float,
    num_rounds: int,
    max_streams: int,
    hours: float = 0.0,
) -> StreamingResult:
    """Measure all models in turns.

    Arguments
    ---------
    recognisers : sequence of Recogniser
        The models.
    audio : EndlessAudio
        What the streams hear.
    seconds : float
        Audio for each model and round; a batch of streams gets a third of it.
    num_rounds : int
        Turns of each model with one stream.
    max_streams : int
        Largest batch that is tried.
    hours : float
        Duration of the long stream of the first model; 0 leaves it out.

    Returns
    -------
    StreamingResult
        All figures.
    """
    watch = MachineWatch()
    states = [warm_state(recogniser, audio) for recogniser in recognisers]
    rounds = measure_rounds(recognisers, states, audio, seconds, num_rounds)
    models = [
        ModelResult(recogniser, macs_per_second(recogniser, audio), times)
        for recogniser, times in zip(recognisers, rounds, strict=True)
    ]
    measure_batches(models, states, audio, seconds / 3, max_streams)
    return StreamingResult(
        models,
        compare_lstm_kernels(),
        stream_for_hours(recognisers[0], audio, hours) if hours > 0 else None,
        watch.report(),
    )


def measure_rounds(
    recognisers: Sequence[Recogniser],
    states: list[RecogniserState],
    audio: EndlessAudio,
    seconds: float,
    num_rounds: int,
) -> list[tuple[ChunkTimes, ...]]:
    """Time one stream of each model in turns.

    Arguments
    ---------
    recognisers : sequence of Recogniser
        The models.
    states : list of RecogniserState
        Of one stream of each; they are replaced by those after the last round.
    audio : EndlessAudio
        What the streams hear.
    seconds : float
        Audio for each model and round.
    num_rounds : int
        Turns of each.

    Returns
    -------
    list of tuple of ChunkTimes
        By model and round.
    """
    rounds: list[list[ChunkTimes]] = [[] for _ in recognisers]
    bar = tqdm(total=num_rounds * len(recognisers), desc="One stream", disable=None)
    for turn in range(num_rounds):
        for number, recogniser in enumerate(recognisers):
            num_chunks = _num_chunks(recogniser, seconds)
            times, states[number] = time_chunks(
                recogniser,
                audio,
                states[number],
                num_streams=1,
                num_chunks=num_chunks,
                first_chunk=turn * num_chunks,
            )
            rounds[number].append(times)
            bar.update()
    bar.close()
    return [tuple(times) for times in rounds]


def measure_batches(
    models: list[ModelResult],
    states: list[RecogniserState],
    audio: EndlessAudio,
    seconds: float,
    max_streams: int,
) -> None:
    """Find how many streams each model carries, one batch of each model after the other.

    Arguments
    ---------
    models : list of ModelResult
        Their `batches` are filled.
    states : list of RecogniserState
        Of one stream of each.
    audio : EndlessAudio
        What the streams hear.
    seconds : float
        Audio for each batch.
    max_streams : int
        Largest batch that is tried.
    """
    bar = tqdm(desc="Batches of streams", disable=None)
    unfinished = True
    while unfinished:
        unfinished = False
        for model, state in zip(models, states, strict=True):
            batch = _batch_to_measure(model, max_streams)
            if batch is None:
                continue
            unfinished = True
            bar.set_postfix_str(f"{model.recogniser.name}, {batch} streams")
            model.batches[batch] = time_chunks(
                model.recogniser,
                audio,
                rows(state, torch.zeros(batch, dtype=torch.long)),
                num_streams=batch,
                num_chunks=_num_chunks(model.recogniser, seconds),
            )[0]
            bar.update()
    bar.close()


def _batch_to_measure(model: ModelResult, max_streams: int) -> int | None:
    batches = (next_batch(model.keeps_up(part), max_streams) for part in PARTS)
    return next((batch for batch in batches if batch is not None), None)


def warm_state(recogniser: Recogniser, audio: EndlessAudio) -> RecogniserState:
    """The state of one stream after the audio of which the first chunks cost less."""
    return time_chunks(
        recogniser,
        audio,
        recogniser.initial_state(1),
        num_streams=1,
        num_chunks=_num_chunks(recogniser, _WARM_UP_SECONDS),
    )[1]


def _num_chunks(recogniser: Recogniser, seconds: float) -> int:
    return max(1, round(1000.0 * seconds / recogniser.chunk_ms))
