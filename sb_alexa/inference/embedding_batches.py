"""Recordings to embed, in batches of equal length, so that none has to be padded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sb_alexa.corpora.audio import AudioError, read_audio
from sb_alexa.corpora.manifest import Utterance

# Audio of a batch. The largest activation of SpeechBrain's ResNet takes 4 MiB for each second.
_LONGEST_BATCH_S = 100.0


@dataclass(frozen=True)
class PlannedBatch:
    """Recordings to read and to embed together.

    Arguments
    ---------
    rows : tuple of int
        Positions among the utterances.
    seconds : float
        Audio of all of them.
    """

    rows: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class ReadBatch:
    """What came of reading a `PlannedBatch`.

    Arguments
    ---------
    groups : tuple of (tuple of int, Tensor)
        Positions and waveforms (B, N) of recordings that are equally long. Usually one group: the
        durations of a manifest may be rounded.
    bad : tuple of (int, str)
        Positions of recordings that cannot be used, and why.
    seconds : float
        Audio that was planned.
    """

    groups: tuple[tuple[tuple[int, ...], Tensor], ...]
    bad: tuple[tuple[int, str], ...]
    seconds: float


def plan_batches(
    durations_s: Sequence[float],
    *,
    sample_rate: int,
    batch_size: int,
    max_seconds: float | None = None,
) -> list[PlannedBatch]:
    """Group recordings by length.

    Arguments
    ---------
    durations_s : sequence of float
        Length of each recording in seconds.
    sample_rate : int
        Samples per second; lengths are equal when they are in samples.
    batch_size : int
        Most recordings of a batch. It also holds 100 seconds at most, or one recording.
    max_seconds : float, optional
        Longer recordings count as so long.

    Returns
    -------
    list of PlannedBatch
        The batch with the most audio first, so that one that does not fit into memory is met at
        once.

    Example
    -------
    >>> plan = plan_batches([1.0, 2.0, 1.0, 1.0, 9.0], sample_rate=100, batch_size=2, max_seconds=3)
    >>> [batch.rows for batch in plan]
    [(4,), (0, 2), (1,), (3,)]
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, duration_s in enumerate(durations_s):
        kept_s = duration_s if max_seconds is None else min(duration_s, max_seconds)
        by_length[round(kept_s * sample_rate)].append(row)
    batches = []
    for num_samples, rows in by_length.items():
        seconds = num_samples / sample_rate
        size = batch_size
        if seconds > 0:
            size = max(1, min(batch_size, int(_LONGEST_BATCH_S / seconds)))
        for start in range(0, len(rows), size):
            part = tuple(rows[start : start + size])
            batches.append(PlannedBatch(part, len(part) * seconds))
    return sorted(batches, key=lambda batch: (-batch.seconds, batch.rows))


def share_batches(batches: Sequence[PlannedBatch], num_shares: int) -> list[list[PlannedBatch]]:
    """Deal batches to processes that each get about as much audio.

    Arguments
    ---------
    batches : sequence of PlannedBatch
        From `plan_batches`.
    num_shares : int
        Number of processes.

    Returns
    -------
    list of list of PlannedBatch
        For each process, in the order given.

    Example
    -------
    >>> batches = [PlannedBatch((row,), seconds) for row, seconds in enumerate([5.0, 4.0, 3.0])]
    >>> [[batch.rows[0] for batch in share] for share in share_batches(batches, 2)]
    [[0], [1, 2]]
    """
    shares: list[list[PlannedBatch]] = [[] for _ in range(num_shares)]
    seconds = [0.0] * num_shares
    for batch in batches:
        least = seconds.index(min(seconds))
        shares[least].append(batch)
        seconds[least] += batch.seconds
    return shares


class RecordingDataset(Dataset[ReadBatch]):
    """Reads planned batches; to be used with a `DataLoader` of `batch_size=None`.

    A recording that cannot be used is told, not raised, so that all of them can be named at once.

    Arguments
    ---------
    utterances : sequence of Utterance
        All of them.
    batches : sequence of PlannedBatch
        Which to read together.
    sample_rate : int
        Samples per second wanted.
    max_seconds : float, optional
        How much to read of each recording, from its beginning.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        batches: Sequence[PlannedBatch],
        *,
        sample_rate: int,
        max_seconds: float | None = None,
    ) -> None:
        self.utterances = utterances
        self.batches = batches
        self.sample_rate = sample_rate
        self.max_seconds = max_seconds

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> ReadBatch:
        batch = self.batches[index]
        by_length: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
        bad = []
        for row in batch.rows:
            try:
                samples = self._read(self.utterances[row])
            except AudioError as error:
                bad.append((row, str(error)))
                continue
            if reason := unusable(samples):
                bad.append((row, reason))
            else:
                by_length[len(samples)].append((row, samples))
        # Stacked here, in the worker process: each tensor that is sent costs a file descriptor.
        groups = tuple(
            (tuple(row for row, _ in group), torch.stack([samples for _, samples in group]))
            for group in by_length.values()
        )
        return ReadBatch(groups, tuple(bad), batch.seconds)

    def _read(self, utterance: Utterance) -> Tensor:
        limit = self.max_seconds
        if limit is None or utterance.duration_s <= limit:
            return read_audio(utterance.path, self.sample_rate)
        samples = read_audio(utterance.path, self.sample_rate, end_s=limit)
        # Resampling rounds the length up.
        return samples[: round(limit * self.sample_rate)]


def unusable(samples: Tensor) -> str | None:
    """Why nobody can be recognised in a recording (N,), or None.

    Example
    -------
    >>> unusable(torch.zeros(100))
    'is silent: all samples are equal'
    >>> unusable(torch.tensor([0.0, 0.1])) is None
    True
    """
    if not len(samples):
        return "is empty"
    low, high = samples.aminmax()
    if not (low.isfinite() and high.isfinite()):
        return "holds NaN or infinite samples"
    return "is silent: all samples are equal" if bool(low == high) else None
