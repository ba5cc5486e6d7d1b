"""Times of many chunks, and how many streams fit into real time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.recogniser import Recogniser, RecogniserState


@dataclass(frozen=True)
class ChunkTimes:
    """Times of the steps of one batch of streams; quantiles are derived last.

    Arguments
    ---------
    chunk_ms : float
        Audio in a chunk.
    num_streams : int
        Streams in the batch.
    encoder_ms : tuple of float
        Each step without the search.
    total_ms : tuple of float
        Each step.
    num_tokens : int
        Labels emitted by all streams in all steps.

    Example
    -------
    >>> times = ChunkTimes(150.0, 2, encoder_ms=(20.0, 40.0), total_ms=(30.0, 60.0), num_tokens=3)
    >>> times.rtf(), times.p50_ms("encoder"), times.tokens_per_second
    (0.3, 30.0, 5.0)
    """

    chunk_ms: float
    num_streams: int
    encoder_ms: tuple[float, ...]
    total_ms: tuple[float, ...]
    num_tokens: int

    def __add__(self, other: ChunkTimes) -> ChunkTimes:
        if not isinstance(other, ChunkTimes):
            return NotImplemented
        if (self.chunk_ms, self.num_streams) != (other.chunk_ms, other.num_streams):
            raise ValueError(
                f"times of {self.num_streams} streams in chunks of {self.chunk_ms} ms cannot be "
                f"pooled with those of {other.num_streams} in chunks of {other.chunk_ms} ms"
            )
        return ChunkTimes(
            self.chunk_ms,
            self.num_streams,
            self.encoder_ms + other.encoder_ms,
            self.total_ms + other.total_ms,
            self.num_tokens + other.num_tokens,
        )

    def times_ms(self, part: str = "total") -> tuple[float, ...]:
        """Times of ``"total"`` or ``"encoder"``."""
        return self.encoder_ms if part == "encoder" else self.total_ms

    def p50_ms(self, part: str = "total") -> float:
        """Median time of a step."""
        return float(np.median(self.times_ms(part)))

    def p95_ms(self, part: str = "total") -> float:
        """Time that 95 % of the steps do not exceed."""
        return float(np.quantile(self.times_ms(part), 0.95))

    def rtf(self, part: str = "total") -> float:
        """Real-time factor: computing time over the duration of the audio."""
        return float(np.mean(self.times_ms(part))) / self.chunk_ms

    def keeps_up(self, part: str = "total") -> bool:
        """Whether 95 % of the steps take no longer than the audio they process."""
        return self.p95_ms(part) <= self.chunk_ms

    @property
    def tokens_per_second(self) -> float:
        """Labels for each second of audio of a stream."""
        seconds = self.num_streams * len(self.total_ms) * self.chunk_ms / 1000.0
        return self.num_tokens / seconds


def time_chunks(
    recogniser: Recogniser,
    audio: EndlessAudio,
    state: RecogniserState,
    *,
    num_streams: int,
    num_chunks: int,
    first_chunk: int = 0,
) -> tuple[ChunkTimes, RecogniserState]:
    """Feed chunks and time each step.

    Arguments
    ---------
    recogniser : Recogniser
        The model.
    audio : EndlessAudio
        What the streams hear.
    state : RecogniserState
        Of `num_streams` streams.
    num_streams : int
        Batch size.
    num_chunks : int
        Steps, at least 1.
    first_chunk : int
        Number of the first chunk.

    Returns
    -------
    ChunkTimes
        The times.
    RecogniserState
        After the last chunk.
    """
    encoder_ms, total_ms, num_tokens = [], [], 0
    for index in range(first_chunk, first_chunk + num_chunks):
        samples = audio.chunk(index, num_streams, recogniser.chunk_samples)
        step, state = recogniser.step(samples, state)
        encoder_ms.append(step.encoder_ms)
        total_ms.append(step.total_ms)
        num_tokens += step.num_tokens
    times = ChunkTimes(
        recogniser.chunk_ms, num_streams, tuple(encoder_ms), tuple(total_ms), num_tokens
    )
    return times, state


def capacity(keeps_up: Mapping[int, bool]) -> int:
    """The largest batch that keeps up, below the smallest that does not.

    Arguments
    ---------
    keeps_up : mapping of int to bool
        By batch size, what has been measured.

    Returns
    -------
    int
        0 if not even one stream keeps up.

    Example
    -------
    >>> capacity({1: True, 2: True, 4: False})
    2
    """
    smallest_failing = min((batch for batch, fits in keeps_up.items() if not fits), default=None)
    passing = [b for b, fits in keeps_up.items() if fits]
    return max((b for b in passing if smallest_failing is None or b < smallest_failing), default=0)


def next_batch(keeps_up: Mapping[int, bool], largest: int) -> int | None:
    """The batch to measure next in search of the capacity: doubling, then halving the gap.

    Arguments
    ---------
    keeps_up : mapping of int to bool
        By batch size, what has been measured.
    largest : int
        No batch beyond this one.

    Returns
    -------
    int | None
        None when the capacity is known.

    Example
    -------
    >>> next_batch({1: True, 2: True, 4: True, 8: False}, largest=64)
    6
    """
    low = capacity(keeps_up)
    high = min((batch for batch, fits in keeps_up.items() if not fits), default=None)
    if high is None:
        return min(max(1, 2 * low), largest) if low < largest else None
    return (low + high) // 2 if high - low > 1 else None
