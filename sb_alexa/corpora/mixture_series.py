"""The endless series of mixtures of a training set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_plan import MixturePlan, draw_plan
from sb_alexa.corpora.mixture_settings import MixtureSettings
from sb_alexa.corpora.text_files import name_some


class MixtureSeries:
    """Mixtures of utterances, so many for every epoch, none of them twice.

    A `BatchPlan` takes a series in place of durations.

    Arguments
    ---------
    utterances : sequence of Utterance
        What may be said.
    num_mixtures : int
        Mixtures in an epoch.
    settings : MixtureSettings
        How they are composed.
    seed : int
        Seed of all of them.

    Raises
    ------
    ValueError
        If there is nothing to mix, an utterance is longer than a mixture may be or has no words.

    Example
    -------
    >>> said = [Utterance(f"{n % 3}-1-{n}", 4.0, f"{n}.flac", str(n % 3), "GO") for n in range(9)]
    >>> series = MixtureSeries(said, num_mixtures=100)
    >>> series.plan(epoch=2, index=7).duration_s == series.of_epoch(2)[7]
    True
    >>> len(series), series.of_epoch(1) == series.of_epoch(2)
    (100, False)
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        num_mixtures: int,
        settings: MixtureSettings | None = None,
        seed: int = 0,
    ) -> None:
        if num_mixtures < 1:
            raise ValueError(f"num_mixtures={num_mixtures} must be at least 1")
        if not utterances:
            raise ValueError("there are no utterances to mix; check the splits")
        self.utterances = list(utterances)
        self.num_mixtures = num_mixtures
        self.settings = settings or MixtureSettings()
        self.seed = seed
        self._check()
        self._durations_s: tuple[int, tuple[float, ...]] = (-1, ())

    def _check(self) -> None:
        limit_s = self.settings.max_duration_s
        too_long = [f"{u.id} ({u.duration_s} s)" for u in self.utterances if u.duration_s > limit_s]
        if too_long:
            raise ValueError(
                f"{len(too_long)} utterances are longer than a whole mixture may be "
                f"(max_duration_s={limit_s}): {name_some(too_long)}; leave them out, or raise the "
                "limit"
            )
        empty = [u.id for u in self.utterances if not u.text.strip()]
        if empty:
            raise ValueError(
                f"{len(empty)} utterances have no words: {name_some(empty)}; leave them out"
            )

    def __len__(self) -> int:
        return self.num_mixtures

    def plan(self, *, epoch: int, index: int) -> MixturePlan:
        """The mixture of an epoch with a number from 0."""
        if not 0 <= index < self.num_mixtures:
            raise IndexError(f"mixture {index} does not exist: an epoch has {self.num_mixtures}")
        return draw_plan(self.utterances, self.settings, seed=self.seed, epoch=epoch, index=index)

    def of_epoch(self, epoch: int) -> tuple[float, ...]:
        """Seconds of each mixture of an epoch; those of the last epoch asked for are kept."""
        if self._durations_s[0] != epoch:
            durations_s = tuple(
                self.plan(epoch=epoch, index=index).duration_s for index in range(len(self))
            )
            self._durations_s = (epoch, durations_s)
        return self._durations_s[1]

    def fingerprint(self) -> str:
        """A hash of all that decides the series."""
        digest = hashlib.sha256(repr((self.num_mixtures, self.settings, self.seed)).encode())
        for utterance in self.utterances:
            digest.update(f"{utterance.id}\0{utterance.duration_s!r}\n".encode())
        return digest.hexdigest()
