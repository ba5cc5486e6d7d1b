"""From simulated and recorded mixtures to batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from sb_alexa.corpora.alignments import WordTimes
from sb_alexa.corpora.mixture_manifest import RecordedMixture
from sb_alexa.corpora.mixture_series import MixtureSeries
from sb_alexa.corpora.mixtures import render
from sb_alexa.corpora.room_responses import NoRoom, Rooms
from sb_alexa.corpora.source_audio import CachedSources, read_source
from sb_alexa.corpora.text_files import name_some
from sb_alexa.multitalker.arrangement import overlaps_at_most
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler
from sb_alexa.training.mixture_batch import (
    MixtureBatch,
    MixtureInfo,
    MixtureItem,
    MixtureTargets,
    collate_mixtures,
)

SIMULATED = "simulated"


class MixtureDataset(Dataset[MixtureItem]):
    """Simulated mixtures, counted through all epochs.

    Item n is mixture n % len(self) of epoch n // len(self), so the dataset has no state that
    loading processes would have to be told: `MixtureBatchSampler` asks for the items of its epoch.

    Arguments
    ---------
    series : MixtureSeries
        The mixtures.
    tokens : TurnTokens
        Labels of turn tokens.
    encode : callable
        Text to word pieces, such as `WordPieces.encode`.
    num_channels : int
        Output channels, 1 or 2.
    rooms : Rooms, optional
        Where mixtures are recorded; by default there is no reverberation.
    word_times : WordTimes, optional
        Gives turns their words.
    trim_turns : bool
        Turns last from their first word to their last where word times are known.
    sample_rate : int
        Samples per second wanted.
    cache_audio : bool
        Keep the utterances in memory (see `CachedSources`); for small corpora.
    """

    def __init__(
        self,
        series: MixtureSeries,
        *,
        tokens: TurnTokens,
        encode: Callable[[str], Sequence[int]],
        num_channels: int = 2,
        rooms: Rooms | None = None,
        word_times: WordTimes | None = None,
        trim_turns: bool = False,
        sample_rate: int = 16_000,
        cache_audio: bool = False,
    ) -> None:
        if trim_turns and word_times is None:
            raise ValueError("trim_turns=True needs word_times, which tell when words are said")
        self.series = series
        self.targets = MixtureTargets(tokens, encode, num_channels)
        self.rooms = NoRoom() if rooms is None else rooms
        self.word_times = word_times
        self.trim_turns = trim_turns
        self.sample_rate = sample_rate
        self.read = CachedSources() if cache_audio else read_source

    def __len__(self) -> int:
        """Mixtures in an epoch."""
        return len(self.series)

    def __getitem__(self, number: int) -> MixtureItem:
        epoch, index = divmod(number, len(self))
        plan = self.series.plan(epoch=epoch, index=index)
        mixture = render(
            plan,
            self.read,
            self.rooms,
            sample_rate=self.sample_rate,
            word_times=self.word_times,
            trimmed=self.trim_turns,
        )
        info = MixtureInfo(plan.id, plan.id, SIMULATED, plan.duration_s, mixture.turns)
        return self.targets.item(info, torch.from_numpy(mixture.samples))


class MixtureBatchSampler(ShardedBatchSampler[BatchPlan]):
    """The part of a batch plan over a `MixtureSeries` that one process works on.

    Yields item numbers of a `MixtureDataset`; see `ShardedBatchSampler`.

    Example
    -------
    >>> from sb_alexa.corpora.manifest import Utterance
    >>> from sb_alexa.training.batching import BatchPlan
    >>> said = [Utterance(f"{n}-1-0", 4.0, f"{n}.flac", str(n), "GO") for n in range(9)]
    >>> plan = BatchPlan(MixtureSeries(said, num_mixtures=4), batch_size=2)
    >>> sampler = MixtureBatchSampler(plan)
    >>> sampler.set_epoch(3)
    >>> sorted(number for batch in sampler for number in batch)
    [12, 13, 14, 15]
    """

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * len(self.plan.durations_s)
        for batch in super().__iter__():
            yield [first + index for index in batch]


class RecordedMixtureDataset(Dataset[MixtureItem]):
    """Recorded mixtures of a manifest, such as LibriCSS.

    Arguments
    ---------
    mixtures : sequence of RecordedMixture
        The manifest.
    tokens : TurnTokens
        Labels of turn tokens.
    encode : callable
        Text to word pieces, such as `WordPieces.encode`.
    num_channels : int
        Output channels, 1 or 2.
    sample_rate : int
        Samples per second wanted; other files are resampled.
    allow_collisions : bool
        Whether there may be mixtures with three talkers at once, which two channels cannot hold:
        they come without labels (`MixtureBatch.arranged`), for scores that need none.

    Raises
    ------
    ValueError
        If there are such mixtures and they are not allowed; they are named.
    """

    def __init__(
        self,
        mixtures: Sequence[RecordedMixture],
        *,
        tokens: TurnTokens,
        encode: Callable[[str], Sequence[int]],
        num_channels: int = 2,
        sample_rate: int = 16_000,
        allow_collisions: bool = False,
    ) -> None:
        self.mixtures = list(mixtures)
        self.targets = MixtureTargets(tokens, encode, num_channels)
        self.sample_rate = sample_rate
        collisions = [mixture.id for mixture in self.mixtures if not self._fits(mixture)]
        if collisions and not allow_collisions:
            raise ValueError(
                f"{len(collisions)} mixtures have three talkers at once, which two channels cannot "
                f"hold: {name_some(collisions)}; leave them out, or set allow_collisions=True for "
                "scores that need no labels"
            )

    @property
    def durations_s(self) -> tuple[float, ...]:
        """Seconds of each mixture, for a `BatchPlan`."""
        return tuple(mixture.duration_s for mixture in self.mixtures)

    def __len__(self) -> int:
        return len(self.mixtures)

    def __getitem__(self, index: int) -> MixtureItem:
        mixture = self.mixtures[index]
        info = MixtureInfo(
            mixture.id, mixture.session, mixture.condition, mixture.duration_s, mixture.turns
        )
        samples = mixture.read(self.sample_rate)
        if self._fits(mixture):
            return self.targets.item(info, samples)
        return self.targets.item_without_labels(info, samples)

    def _fits(self, mixture: RecordedMixture) -> bool:
        return self.targets.num_channels == 1 or overlaps_at_most(mixture.turns, 2)


def mixture_loader(
    dataset: MixtureDataset | RecordedMixtureDataset,
    sampler: ShardedBatchSampler,
    *,
    num_workers: int = 0,
) -> DataLoader[MixtureBatch]:
    """A data loader over a sharded batch plan.

    Arguments
    ---------
    dataset : MixtureDataset or RecordedMixtureDataset
        The mixtures of the plan.
    sampler : ShardedBatchSampler
        Which of them form the batches of this process; for a `MixtureDataset`, a
        `MixtureBatchSampler`.
    num_workers : int
        Loading processes; 0 loads in the training process. The batches are the same.

    Returns
    -------
    DataLoader
        Of `MixtureBatch`.

    Raises
    ------
    ValueError
        If the sampler is not for the dataset.
    """
    simulated = isinstance(dataset, MixtureDataset)
    if simulated != isinstance(sampler, MixtureBatchSampler):
        raise ValueError(
            f"a {type(dataset).__name__} does not go with a {type(sampler).__name__}: a "
            "MixtureDataset needs a MixtureBatchSampler, which counts through the epochs, and "
            "recordings a ShardedBatchSampler"
        )
    if len(sampler.plan.durations_s) != len(dataset):
        raise ValueError(
            f"the batch plan is for {len(sampler.plan.durations_s)} mixtures, but the dataset has "
            f"{len(dataset)}; make the plan from the durations of the dataset"
        )
    # torch types a loader by the items of its dataset, whatever collate_fn makes of them.
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate_mixtures,
        pin_memory=torch.cuda.is_available(),
        # They keep the audio they have read from one epoch to the next.
        persistent_workers=simulated and num_workers > 0,
    )
    return loader
