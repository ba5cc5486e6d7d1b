"""A stream of hours: its memory and the time of a chunk must not grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.memory import resident_memory_mib
from sb_alexa.bench.recogniser import Recogniser
from sb_alexa.bench.timing import time_chunks
from sb_alexa.streaming.state import named_tensors


@dataclass(frozen=True)
class LongStream:
    """What a long stream cost, minute by minute.

    Arguments
    ---------
    chunk_ms_p50 : tuple of float
        Median time of a chunk in each minute.
    resident_mib : tuple of float
        Resident memory of the process at the end of each minute.
    state_kib : tuple of float
        Size of the streaming state at the end of each minute.

    Example
    -------
    >>> LongStream((40.0, 40.0), (900.0, 901.5), (64.0, 64.0)).resident_growth_mib
    1.5
    """

    chunk_ms_p50: tuple[float, ...]
    resident_mib: tuple[float, ...]
    state_kib: tuple[float, ...]

    @property
    def resident_growth_mib(self) -> float:
        """Growth of resident memory after the first minute, in which buffers are allocated."""
        return self.resident_mib[-1] - self.resident_mib[0]

    @property
    def figures(self) -> dict[str, float]:
        """Flat figures for the JSON file."""
        return {
            "long_stream_minutes": len(self.chunk_ms_p50),
            "long_stream_rss_growth_mib": self.resident_growth_mib,
            "long_stream_state_kib_first_minute": self.state_kib[0],
            "long_stream_state_kib_last_minute": self.state_kib[-1],
            "long_stream_chunk_ms_first_minute": self.chunk_ms_p50[0],
            "long_stream_chunk_ms_last_minute": self.chunk_ms_p50[-1],
        }


def stream_for_hours(recogniser: Recogniser, audio: EndlessAudio, hours: float) -> LongStream:
    """Feed one stream for a long time.

    Arguments
    ---------
    recogniser : Recogniser
        The model.
    audio : EndlessAudio
        What it hears.
    hours : float
        Duration of the audio; at least a minute is streamed.

    Returns
    -------
    LongStream
        Times and memory.
    """
    chunks_per_minute = round(60_000 / recogniser.chunk_ms)
    state = recogniser.initial_state(1)
    medians, resident, sizes = [], [], []
    minutes = range(max(1, round(60 * hours)))
    for minute in tqdm(minutes, desc=f"Streaming {hours:g} h", unit="min", disable=None):
        times, state = time_chunks(
            recogniser,
            audio,
            state,
            num_streams=1,
            num_chunks=chunks_per_minute,
            first_chunk=minute * chunks_per_minute,
        )
        medians.append(times.p50_ms())
        resident.append(resident_memory_mib())
        sizes.append(state_kib(state))
    return LongStream(tuple(medians), tuple(resident), tuple(sizes))


def state_kib(state: Any) -> float:
    """Size of the tensors of a state; a view counts with the whole memory that it keeps alive."""
    storages = {}
    for _, tensor in named_tensors(state):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values()) / 1024
