"""Batches of several utterances of each of several speakers, as a function of (seed, epoch)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from sb_alexa.corpora.text_files import name_some
from sb_alexa.training.batching import derive_seed


@dataclass(frozen=True)
class SpeakerBatchPlan:
    """The batches of every epoch: N different speakers with M different utterances of each.

    In every epoch the utterances of a speaker are shuffled and cut into groups of M, so that no
    utterance comes twice and what does not fill a group has its turn in another epoch. The groups
    are dealt to as many batches as can be filled with N different speakers; fewer than N groups
    find no place, and more only if a few speakers have most of the utterances: a speaker cannot
    have more groups than there are batches. Which speakers meet in a batch is drawn anew in every
    epoch. As with `BatchPlan`, a batch is the global one, whatever the number of processes.

    Arguments
    ---------
    speakers : tuple of str
        The speaker of each utterance.
    num_speakers : int
        N, different speakers in a global batch.
    utterances_per_speaker : int
        M, utterances of each of them; they stand next to each other.
    num_processes : int
        At most N * M, so that no process is ever without work.
    seed : int
        Seed of the plan.
    max_utterances_per_speaker : int | None
        In an epoch, at most; rounded down to a multiple of M. It keeps speakers with many
        utterances from coming more often than others.

    Raises
    ------
    ValueError
        If a number is out of range, or there are fewer than N speakers or fewer than M utterances
        of one; these are named.

    Example
    -------
    >>> speakers = ("ann", "bob", "ann", "bob", "bob", "ann", "ann")
    >>> plan = SpeakerBatchPlan(speakers, num_speakers=2, utterances_per_speaker=2)
    >>> [sorted(speakers[row] for row in batch) for batch in plan.batches(epoch=1)]
    [['ann', 'ann', 'bob', 'bob']]
    """

    speakers: tuple[str, ...]
    num_speakers: int
    utterances_per_speaker: int
    num_processes: int = 1
    seed: int = 0
    max_utterances_per_speaker: int | None = None

    def __post_init__(self) -> None:
        wanted, limit = self.utterances_per_speaker, self.max_utterances_per_speaker
        for name, value in (
            ("num_speakers", self.num_speakers),
            ("utterances_per_speaker", wanted),
        ):
            if value < 2:
                raise ValueError(f"{name}={value} must be at least 2: batches compare speakers")
        if limit is not None and limit < wanted:
            raise ValueError(
                f"max_utterances_per_speaker={limit} must be null or at least "
                f"utterances_per_speaker={wanted}"
            )
        if not 1 <= self.num_processes <= self.num_speakers * wanted:
            raise ValueError(
                f"{self.num_processes} processes cannot share a batch of {self.num_speakers} "
                f"speakers with {wanted} utterances each; start fewer processes"
            )
        counts = Counter(self.speakers)
        if len(counts) < self.num_speakers:
            raise ValueError(
                f"there are {len(counts)} speakers, fewer than num_speakers={self.num_speakers} in "
                "every batch; lower it or check the splits and the length limits"
            )
        few = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < wanted]
        if few:
            raise ValueError(
                f"{len(few)} speakers have fewer than utterances_per_speaker={wanted} utterances: "
                f"{name_some(few)}; lower it or leave these speakers out"
            )

    @property
    def num_batches(self) -> int:
        """Batches in every epoch."""
        groups = [self._num_groups(count) for count in Counter(self.speakers).values()]
        # From above to the greatest number of batches that its own limit on groups can fill.
        found = sum(groups) // self.num_speakers
        while (fillable := sum(min(g, found) for g in groups) // self.num_speakers) < found:
            found = fillable
        return found

    def batches(self, epoch: int) -> list[list[int]]:
        """The global batches of an epoch.

        Arguments
        ---------
        epoch : int
            Epoch number.

        Returns
        -------
        list of list of int
            N * M utterance numbers each; all M of a speaker stand next to each other.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        by_speaker: dict[str, list[int]] = {name: [] for name in sorted(set(self.speakers))}
        for index in torch.randperm(len(self.speakers), generator=generator).tolist():
            by_speaker[self.speakers[index]].append(index)
        names = list(by_speaker)
        shuffled = [
            by_speaker[names[i]] for i in torch.randperm(len(names), generator=generator).tolist()
        ]
        num_batches = self.num_batches
        counts = [min(self._num_groups(len(own)), num_batches) for own in shuffled]
        counts = _without_some(counts, sum(counts) - num_batches * self.num_speakers, generator)
        plan: list[list[int]] = [[] for _ in range(num_batches)]
        size = self.utterances_per_speaker
        for own, places in zip(shuffled, _deal(counts, num_batches, generator), strict=True):
            for number, place in enumerate(places):
                plan[place] += own[number * size : (number + 1) * size]
        return plan

    def fingerprint(self) -> str:
        """A hash of all that decides the plan except the number of processes."""
        content = (
            self.speakers,
            self.num_speakers,
            self.utterances_per_speaker,
            self.seed,
            self.max_utterances_per_speaker,
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def _num_groups(self, num_utterances: int) -> int:
        if self.max_utterances_per_speaker is not None:
            num_utterances = min(num_utterances, self.max_utterances_per_speaker)
        return num_utterances // self.utterances_per_speaker


def _without_some(counts: Sequence[int], number: int, generator: torch.Generator) -> list[int]:
    """The counts of each speaker's groups after leaving out so many groups, any of them."""
    owners = torch.repeat_interleave(torch.tensor(counts))
    left = list(counts)
    for owner in owners[torch.randperm(len(owners), generator=generator)[:number]].tolist():
        left[owner] -= 1
    return left


def _deal(
    counts: Sequence[int], num_batches: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """For each speaker so many different batches; all batches are dealt equally many groups.

    The batches come in laps of random order. A speaker whose groups go from one lap into the next
    skips the batches it has already: the batches skipped come later in the lap.
    """
    lap: list[int] = []
    for count in counts:
        places = [lap.pop() for _ in range(min(count, len(lap)))]
        if len(places) < count:
            order = torch.randperm(num_batches, generator=generator).tolist()
            already = set(places)
            places += [one for one in order if one not in already][: count - len(places)]
            fresh = set(places) - already
            lap = [one for one in order if one not in fresh]
        yield places
