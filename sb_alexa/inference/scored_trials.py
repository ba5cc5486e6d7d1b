"""Trials of speaker verification with their scores, whatever system made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.metrics.verification import checked_trials


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """Trials in one order, and what is known of their two sides.

    Arguments
    ---------
    name : str
        Where they come from, for messages and as the system's name in reports.
    scores : numpy.ndarray
        (N,) float64, higher where the recordings are more alike.
    is_target : numpy.ndarray
        (N,) bool, whether the speaker is the same.
    enrol, test : sequence of str | None
        (N,) names of the recordings, both or neither.
    enrol_speakers, test_speakers : sequence of str | None
        (N,) who speaks, both or neither. Without them nothing can be resampled.
    enrol_groups, test_groups : sequence of str | None
        (N,) groups of the speakers where the file itself tells them; empty where unknown.

    Raises
    ------
    CorpusError
        If lengths differ, one of a pair of sequences is missing, a score is not finite, all trials
        are of one kind, or a label contradicts the speakers.

    Example
    -------
    >>> trials = ScoredTrials(
    ...     "mine",
    ...     np.array([0.9, 0.1]),
    ...     np.array([True, False]),
    ...     enrol_speakers=["ann", "ann"],
    ...     test_speakers=["ann", "bob"],
    ... )
    >>> len(trials), trials.speakers
    (2, ['ann', 'bob'])
    """

    name: str
    scores: np.ndarray
    is_target: np.ndarray
    enrol: Sequence[str] | None = None
    test: Sequence[str] | None = None
    enrol_speakers: Sequence[str] | None = None
    test_speakers: Sequence[str] | None = None
    enrol_groups: Sequence[str] | None = None
    test_groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        try:
            checked_trials(self.scores, self.is_target)
        except ValueError as error:
            raise CorpusError(f"{self.name}: {error}") from error
        for kind, one, other in (
            ("enrol and test", self.enrol, self.test),
            ("enrol_speakers and test_speakers", self.enrol_speakers, self.test_speakers),
            ("enrol_groups and test_groups", self.enrol_groups, self.test_groups),
        ):
            if (one is None) != (other is None):
                raise CorpusError(f"{self.name}: give {kind}, or neither")
            if one is not None and other is not None and {len(one), len(other)} != {len(self)}:
                raise CorpusError(
                    f"{self.name}: {kind} have {len(one)} and {len(other)} entries for "
                    f"{len(self)} scores"
                )
        self._check_labels()

    def _check_labels(self) -> None:
        if self.enrol_speakers is None or self.test_speakers is None:
            return
        sides = zip(self.enrol_speakers, self.test_speakers, strict=True)
        same = np.array([one == other for one, other in sides])
        wrong = np.flatnonzero(same != self.is_target)
        if wrong.size:
            first = wrong[0]
            raise CorpusError(
                f"{self.name}: {wrong.size} of {len(self)} labels contradict the speakers; trial "
                f"{first + 1} compares {self.enrol_speakers[first]!r} with "
                f"{self.test_speakers[first]!r} and is labelled {int(self.is_target[first])}; "
                "correct the labels, or say how to read speakers from names (columns "
                "enrol_speaker and test_speaker, or a speaker pattern)"
            )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def speakers(self) -> list[str]:
        """Everybody in a trial, once, in order of name; empty where speakers are not known."""
        return sorted({*(self.enrol_speakers or ()), *(self.test_speakers or ())})

    def scores_of(self, other: ScoredTrials) -> np.ndarray:
        """What another system gave these trials, in their order.

        Arguments
        ---------
        other : ScoredTrials
            The same trials in any order.

        Returns
        -------
        numpy.ndarray
            (N,) scores of `other`.

        Raises
        ------
        CorpusError
            If recordings are not named, or the trials are not the same.
        """
        for one in (self, other):
            if one.enrol is None:
                raise CorpusError(
                    f"{one.name} does not name recordings, so its trials cannot be matched; write "
                    "a header line with label, score, enrol and test"
                )
        positions = {trial: index for index, trial in enumerate(other._keys())}
        keys = list(self._keys())
        absent = [trial for trial in keys if trial not in positions]
        if absent or len(other) != len(self):
            raise CorpusError(
                f"{self.name} has {len(self)} trials and {other.name} {len(other)}; "
                f"{len(absent)} of the former are not in the latter "
                f"({name_some([f'{one} against {two}' for one, two in absent])}); systems are "
                "compared on the same trials"
            )
        order = np.array([positions[trial] for trial in keys])
        differing = np.flatnonzero(other.is_target[order] != self.is_target)
        if differing.size:
            one, two = keys[differing[0]]
            raise CorpusError(
                f"{self.name} and {other.name} label {differing.size} trials differently, such as "
                f"{one} against {two}; correct one of them"
            )
        return other.scores[order]

    def _keys(self) -> zip:
        return zip(self.enrol or (), self.test or (), strict=True)
