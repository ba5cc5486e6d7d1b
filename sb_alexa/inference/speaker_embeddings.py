"""Embeddings of many recordings: each extracted once, however many trials it occurs in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import name_some
from sb_alexa.inference.embedding_batches import (
    PlannedBatch,
    ReadBatch,
    RecordingDataset,
    plan_batches,
    share_batches,
)
from sb_alexa.inference.embedding_cache import embedding_stamp, read_cached, write_cached
from sb_alexa.training.processes import gather_lists, rank_and_size

# Enough to see what they have in common; a corpus in which everything is bad shall not take hours.
_MOST_BAD = 20


@dataclass(frozen=True, eq=False)
class SpeakerEmbeddings:
    """One embedding for each recording.

    Arguments
    ---------
    names : tuple of str
        Names of the recordings, each once.
    values : Tensor
        (U, E) float32, on the CPU.

    Raises
    ------
    ValueError
        If names and values do not fit, or a name occurs twice.

    Example
    -------
    >>> embeddings = SpeakerEmbeddings(("a/s/1", "b/s/1"), torch.eye(2))
    >>> embeddings.rows(["b/s/1", "a/s/1", "b/s/1"])
    tensor([1, 0, 1])
    """

    names: tuple[str, ...]
    values: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.names):
            raise ValueError(
                f"{len(self.names)} names need embeddings ({len(self.names)}, E), got shape "
                f"{tuple(self.values.shape)}"
            )
        _check_unique(self.names)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def rows(self, names: Sequence[str]) -> Tensor:
        """Where the embeddings of recordings are.

        Arguments
        ---------
        names : sequence of str
            Of recordings, in any order, repeated or not.

        Returns
        -------
        Tensor
            (N,) int64 rows of `values`.

        Raises
        ------
        ValueError
            If some have no embedding; names them.
        """
        row_of = self._row_of
        absent = sorted({name for name in names if name not in row_of})
        if absent:
            raise ValueError(
                f"{len(absent)} recordings that trials name have no embedding: "
                f"{name_some(absent)}; extract embeddings of every recording of the trial list"
            )
        return torch.tensor([row_of[name] for name in names], dtype=torch.int64)


def extract_embeddings(
    encoder: nn.Module,
    utterances: Sequence[Utterance],
    *,
    sample_rate: int,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str | torch.device = "cpu",
    max_seconds: float | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> SpeakerEmbeddings:
    """Embed recordings; the result of one does not depend on the others.

    Recordings of equal length are embedded together and nothing is ever padded. Under torchrun each
    process embeds a share of about as much audio, and all of them get all embeddings.

    Arguments
    ---------
    encoder : torch.nn.Module
        Waveforms (B, N) -> (B, E), such as `SpeakerEncoder`. It is moved to the device, used in
        eval mode and left in the mode it was in.
    utterances : sequence of Utterance
        What to embed; the same on every process.
    sample_rate : int
        Samples per second that the encoder reads; other rates are converted.
    batch_size : int
        Most recordings at a time, of at most 100 seconds together.
    num_workers : int
        Processes that read ahead; 0 reads in this one.
    device : str or torch.device
        Where to compute.
    max_seconds : float, optional
        Use only the beginning of longer recordings; None uses all.
    cache : Path, optional
        File (safetensors) that keeps the embeddings. It is used instead of extracting again while
        weights, names and files are the same.
    progress : bool
        Show how far it is on a terminal.

    Returns
    -------
    SpeakerEmbeddings
        In the order given.

    Raises
    ------
    ValueError
        If recordings are missing, damaged, silent or too short, or an embedding is not finite;
        names them. Nothing is written then.

    Example
    -------
    >>> import soundfile
    >>> path = getfixture("tmp_path") / "a.wav"
    >>> soundfile.write(path, [0.0, 0.5, 0.25, 0.25], 16000, subtype="FLOAT")
    >>> recordings = [Utterance("a/s/1", 4 / 16000, str(path), "a", "")]
    >>> extract_embeddings(torch.nn.Identity(), recordings, sample_rate=16000).values
    tensor([[0.0000, 0.5000, 0.2500, 0.2500]])
    """
    _check(utterances, batch_size, max_seconds, cache)
    names = tuple(utterance.id for utterance in utterances)
    stamp = ""
    if cache is not None:
        stamp = embedding_stamp(
            encoder, utterances, sample_rate=sample_rate, max_seconds=max_seconds
        )
        cached = read_cached(cache, stamp)
        # Together, because the processes extract together.
        if all(gather_lists([cached is not None])) and cached is not None:
            return SpeakerEmbeddings(names, cached)
    rank, num_processes = rank_and_size()
    durations_s = [utterance.duration_s for utterance in utterances]
    batches = plan_batches(
        durations_s, sample_rate=sample_rate, batch_size=batch_size, max_seconds=max_seconds
    )
    mine = share_batches(batches, num_processes)[rank]
    dataset = RecordingDataset(utterances, mine, sample_rate=sample_rate, max_seconds=max_seconds)
    loader: DataLoader[ReadBatch] = DataLoader(dataset, batch_size=None, num_workers=num_workers)
    bar = _progress_bar(mine, shown=progress and rank == 0)
    encoder.to(device)
    with _evaluating(encoder), bar:
        values = _embed(encoder, loader, torch.device(device), names, bar)
    if cache is not None and rank == 0:
        write_cached(cache, stamp, values)
    return SpeakerEmbeddings(names, values)


def check_recordings(
    utterances: Sequence[Utterance], *, sample_rate: int, num_workers: int = 0
) -> None:
    """Read recordings to find out early which cannot be embedded, before a training of hours.

    Under torchrun each process reads a share.

    Arguments
    ---------
    utterances : sequence of Utterance
        The same on every process.
    sample_rate : int
        Samples per second that the encoder reads.
    num_workers : int
        Processes that read ahead; 0 reads in this one.

    Raises
    ------
    ValueError
        If recordings are missing, damaged, empty or silent; names them.
    """
    rank, num_processes = rank_and_size()
    batches = plan_batches(
        [utterance.duration_s for utterance in utterances], sample_rate=sample_rate, batch_size=32
    )
    mine = share_batches(batches, num_processes)[rank]
    dataset = RecordingDataset(utterances, mine, sample_rate=sample_rate)
    loader: DataLoader[ReadBatch] = DataLoader(dataset, batch_size=None, num_workers=num_workers)
    bad = gather_lists([found for batch in loader for found in batch.bad])
    if bad:
        raise ValueError(_said(bad, [utterance.id for utterance in utterances]))


def _embed(
    encoder: nn.Module,
    loader: DataLoader[ReadBatch],
    device: torch.device,
    names: Sequence[str],
    bar: tqdm,
) -> Tensor:
    """The embeddings (U, E) of all processes."""
    found: list[tuple[tuple[int, ...], Tensor]] = []
    bad: list[tuple[int, str]] = []
    for batch in loader:
        bad.extend(batch.bad)
        for rows, wavs in batch.groups:
            embedded, reasons = _embed_group(encoder, rows, wavs.to(device))
            found.append((rows, embedded))
            bad.extend(reasons)
        if len(bad) >= _MOST_BAD:
            break
        bar.update(batch.seconds)
    bad = gather_lists(bad)
    if bad:
        raise ValueError(_said(bad, names))
    found = gather_lists(found)
    values = torch.empty(len(names), found[0][1].shape[1])
    for rows, embedded in found:
        values[list(rows)] = embedded
    return values


def _said(bad: Sequence[tuple[int, str]], names: Sequence[str]) -> str:
    listed = name_some([f"{names[row]} ({reason})" for row, reason in sorted(bad)])
    return (
        f"{len(bad)} of {len(names)} recordings cannot be embedded: {listed}; repair them or leave "
        "them out"
    )


def _embed_group(
    encoder: nn.Module, rows: tuple[int, ...], wavs: Tensor
) -> tuple[Tensor, list[tuple[int, str]]]:
    """Embeddings (B, E) on the CPU, and what is wrong with some."""
    try:
        with torch.no_grad():
            embedded = encoder(wavs).float().cpu()
    except ValueError as error:  # too short
        return torch.empty(0), [(row, str(error)) for row in rows]
    lengths = embedded.norm(dim=1)
    usable = (lengths > 0) & lengths.isfinite()
    wrong = [row for row, good in zip(rows, usable.tolist(), strict=True) if not good]
    return embedded, [(row, "its embedding is zero or not finite") for row in wrong]


@contextmanager
def _evaluating(encoder: nn.Module) -> Iterator[None]:
    """Eval mode for a while; each part returns to the mode it was in."""
    modes = [(part, part.training) for part in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _progress_bar(batches: Sequence[PlannedBatch], *, shown: bool) -> tqdm:
    return tqdm(
        total=round(sum(batch.seconds for batch in batches)),
        desc="Embedding recordings",
        unit="s",
        bar_format="{desc}: {percentage:.0f} % of {total} s |{bar}| {elapsed}<{remaining}",
        disable=None if shown else True,
    )


def _check(
    utterances: Sequence[Utterance],
    batch_size: int,
    max_seconds: float | None,
    cache: Path | None,
) -> None:
    if not utterances:
        raise ValueError("there are no recordings to embed")
    _check_unique([utterance.id for utterance in utterances])
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}; 32 is usual")
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds must be > 0, or None to use all, got {max_seconds}")
    if cache is not None and cache.is_dir():
        raise ValueError(f"cache {cache} is a folder; name a file, such as embeddings.safetensors")


def _check_unique(names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(
            f"{len(repeated)} recordings occur more than once: {name_some(repeated)}; list each "
            "once"
        )
