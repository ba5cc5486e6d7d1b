"""Training speakers of VoxCeleb that are held out, and the development list made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.trial_lists import Trial, draw_trials, speaker_of
from sb_alexa.corpora.voxceleb_metadata import SpeakerInfo


@dataclass(frozen=True)
class DevelopmentSize:
    """How many training speakers are held out, and what is made of them.

    Arguments
    ---------
    num_speakers : int
        0 for none, otherwise at least 2.
    num_utterances_per_speaker : int
        Most utterances of each, at least 2.
    num_trials_per_speaker : int
        Target trials of each, and as many non-target ones.
    seed : int
        Of the choice.
    """

    num_speakers: int
    num_utterances_per_speaker: int
    num_trials_per_speaker: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_speakers < 0 or self.num_speakers == 1:
            raise ValueError(f"num_dev_speakers={self.num_speakers} must be 0, or 2 or more")
        if self.num_utterances_per_speaker < 2:
            raise ValueError(
                f"num_dev_utterances_per_speaker={self.num_utterances_per_speaker} must be at "
                "least 2: a target trial compares two"
            )
        if self.num_trials_per_speaker < 1:
            raise ValueError(
                f"num_dev_trials_per_speaker={self.num_trials_per_speaker} must be at least 1"
            )


@dataclass(frozen=True)
class Development:
    """Speakers held out of training, and trials between them."""

    speakers: frozenset[str]
    trials: list[Trial]


def hold_out(
    utterances: Iterable[str], speakers: Mapping[str, SpeakerInfo], size: DevelopmentSize
) -> Development:
    """Choose development speakers, in proportion to gender and nationality, and draw their trials.

    Arguments
    ---------
    utterances : iterable of str
        What could be trained on.
    speakers : mapping of str to SpeakerInfo
        With everybody who speaks.
    size : DevelopmentSize
        How many.

    Raises
    ------
    CorpusError
        If too few speakers would be left for training.

    Example
    -------
    >>> said = [f"id1000{i}/s{k}/1" for i in range(8) for k in range(3)]
    >>> who = {f"id1000{i}": SpeakerInfo(f"id1000{i}", "MF"[i % 2], "", "") for i in range(8)}
    >>> held_out = hold_out(said, who, DevelopmentSize(2, 3, 3, seed=0))
    >>> sorted(who[one].gender for one in held_out.speakers), len(held_out.trials)
    (['F', 'M'], 12)
    """
    if not size.num_speakers:
        return Development(frozenset(), [])
    said: dict[str, list[str]] = {}
    for name in sorted(utterances):
        said.setdefault(speaker_of(name), []).append(name)
    # A target trial needs two utterances.
    candidates = sorted(one for one, names in said.items() if len(names) > 1)
    if len(candidates) < size.num_speakers or len(said) < size.num_speakers + 2:
        raise CorpusError(
            f"num_dev_speakers={size.num_speakers} leaves no training speakers of the {len(said)} "
            f"there are ({len(candidates)} with two utterances or more); ask for fewer, or 0"
        )
    rng = stream(size.seed, Purpose.TRIALS, 0)
    chosen = sorted(_spread(candidates, speakers, size.num_speakers, rng))
    kept = {one: _some(said[one], size.num_utterances_per_speaker, rng) for one in chosen}
    trials = draw_trials(kept, num_per_speaker=size.num_trials_per_speaker, rng=rng)
    return Development(frozenset(chosen), trials)


def _spread(
    candidates: Collection[str],
    speakers: Mapping[str, SpeakerInfo],
    num_wanted: int,
    rng: np.random.Generator,
) -> list[str]:
    """Systematic sampling: every group is there in its proportion, to the nearest person."""
    rank = dict(zip(candidates, rng.permutation(len(candidates)), strict=True))
    ordered = sorted(
        candidates, key=lambda one: (speakers[one].gender, speakers[one].nationality, rank[one])
    )
    return [ordered[(2 * i + 1) * len(ordered) // (2 * num_wanted)] for i in range(num_wanted)]


def _some(names: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    return [names[index] for index in sorted(rng.permutation(len(names))[:most])]
