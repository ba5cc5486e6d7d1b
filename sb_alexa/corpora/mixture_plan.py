"""Who speaks when in a simulated mixture: drawn without reading any audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.alignments import WordTimes
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_settings import MixtureSettings
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.turn import Turn

# Of mixtures of five turns of LibriSpeech's lengths, 20 % pass at the first draw, 77 % within 8
# and 99.9 % within these; a draw takes some microseconds.
_NUM_TRIES = 64
_MAX_NOISE_SLOPE = 2.0


@dataclass(frozen=True)
class PlannedTurn:
    """An utterance in a mixture.

    Arguments
    ---------
    utterance : Utterance
        What is said; its audio is not read.
    start_s : float
        When it starts, seconds from the start of the mixture, whole milliseconds.
    level_db : float
        Its power over that of the first turn, after the room.
    seat : int
        Number of its speaker among those of the mixture, by first appearance.
    """

    utterance: Utterance
    start_s: float
    level_db: float
    seat: int

    @property
    def end_s(self) -> float:
        """When its audio ends."""
        return self.start_s + self.utterance.duration_s


@dataclass(frozen=True)
class MixturePlan:
    """All that decides a simulated mixture, except the rooms at hand.

    Arguments
    ---------
    seed, epoch, index : int
        Of what it was drawn.
    planned : tuple of PlannedTurn
        At least one, in order of start; the first starts at 0.
    room : int
        A large number that chooses a room, modulo the rooms there are.
    noise_snr_db : float or None
        Power of the first turn over that of the noise; None without noise.
    noise_slope : float
        The noise's power spectrum falls as 1 / f ** noise_slope.
    """

    seed: int
    epoch: int
    index: int
    planned: tuple[PlannedTurn, ...]
    room: int
    noise_snr_db: float | None
    noise_slope: float

    @property
    def id(self) -> str:
        """Name that is unique under any seed and epoch."""
        return f"mixture-{self.seed}-{self.epoch}-{self.index}"

    @property
    def duration_s(self) -> float:
        """Seconds until the last utterance has ended."""
        return max(turn.end_s for turn in self.planned)

    def turns(
        self, word_times: WordTimes | None = None, *, trimmed: bool = False
    ) -> tuple[Turn, ...]:
        """The turns, in order of start.

        Arguments
        ---------
        word_times : WordTimes, optional
            Gives the turns their words.
        trimmed : bool
            A turn lasts from its first word to its last where word times are known, instead of as
            long as its audio, which begins and ends with some silence.

        Returns
        -------
        tuple of Turn
            Times in seconds from the start of the mixture.
        """
        turns = []
        for one in self.planned:
            spoken = one.utterance
            words = () if word_times is None else word_times.words(spoken)
            bounds = (0.0, spoken.duration_s)
            if trimmed and words:
                bounds = (words[0].start_s, words[-1].end_s)
            turn = Turn(spoken.speaker, *bounds, spoken.text, words).shifted(one.start_s)
            turns.append(turn)
        return tuple(sorted(turns, key=lambda turn: turn.start_s))


def draw_plan(
    utterances: Sequence[Utterance],
    settings: MixtureSettings,
    *,
    seed: int,
    epoch: int,
    index: int,
) -> MixturePlan:
    """Draw a mixture; a function of its arguments alone.

    Utterances are drawn without repetition, all equally likely, so a speaker may return. Each turn
    starts some time after the start of the previous one: a delay drawn from `min_delay_s` to the
    previous one's length. Where that makes three talk at once, or a speaker overlap with
    itself, all delays are drawn again, up to 64 times; if that never helps, a turn that does not
    fit waits until nobody speaks, and so does a turn of the speaker of the previous one. Finally,
    last turns are dropped until the mixture is short enough.

    Arguments
    ---------
    utterances : sequence of Utterance
        What may be said.
    settings : MixtureSettings
        What may happen.
    seed, epoch, index : int
        Seed, epoch, and number of the mixture in the epoch, all >= 0.

    Returns
    -------
    MixturePlan
        The plan.

    Raises
    ------
    ValueError
        If there are no utterances, or one drawn is alone too long.

    Example
    -------
    >>> said = [Utterance(f"{n % 3}-1-{n}", 4.0, f"{n}.flac", str(n % 3), "GO") for n in range(9)]
    >>> plan = draw_plan(said, MixtureSettings(), seed=1, epoch=1, index=2)
    >>> plan == draw_plan(said, MixtureSettings(), seed=1, epoch=1, index=2)
    True
    >>> [(turn.speaker, turn.start_s) for turn in plan.turns()]
    [('2', 0.0), ('1', 2.276), ('2', 5.817), ('0', 8.942), ('2', 12.746)]
    """
    if not utterances:
        raise ValueError("there are no utterances to mix; check the splits and the length limits")
    rng = stream(seed, Purpose.MIXTURE, epoch, index)
    chosen = _choose(utterances, int(rng.integers(settings.max_turns)) + 1, rng)
    for utterance in chosen:
        if utterance.duration_s > settings.max_duration_s:
            raise ValueError(
                f"utterance {utterance.id} lasts {utterance.duration_s} s, longer than a whole "
                f"mixture (max_duration_s={settings.max_duration_s}); leave it out, or raise the "
                "limit"
            )
    starts_s = _draw_starts(chosen, settings, rng)
    levels_db = [0.0, *rng.uniform(*settings.energy_ratio_db, size=len(chosen) - 1).tolist()]
    seats = {speaker: n for n, speaker in enumerate(dict.fromkeys(u.speaker for u in chosen))}
    planned = [
        PlannedTurn(utterance, start_s, level_db, seats[utterance.speaker])
        for utterance, start_s, level_db in zip(chosen, starts_s, levels_db, strict=True)
    ]
    while max(turn.end_s for turn in planned) > settings.max_duration_s:
        planned.pop()
    room = int(rng.integers(2**31))
    snr_db = None if settings.noise_snr_db is None else float(rng.uniform(*settings.noise_snr_db))
    slope = float(rng.uniform(0, _MAX_NOISE_SLOPE))
    return MixturePlan(seed, epoch, index, tuple(planned), room, snr_db, slope)


def _choose(
    utterances: Sequence[Utterance], number: int, rng: np.random.Generator
) -> list[Utterance]:
    """Draw so many different utterances, or all there are, in random order."""
    number = min(number, len(utterances))
    chosen: dict[int, Utterance] = {}
    while len(chosen) < number:
        place = int(rng.integers(len(utterances)))
        chosen.setdefault(place, utterances[place])
    return list(chosen.values())


def _draw_starts(
    chosen: Sequence[Utterance], settings: MixtureSettings, rng: np.random.Generator
) -> list[float]:
    waits = rng.random(len(chosen) - 1) < settings.gap_share
    gaps_s = rng.uniform(*settings.gap_s, size=len(chosen) - 1)
    schedule = _Schedule(chosen, settings.min_delay_s, waits.tolist(), gaps_s.tolist())
    shares = rng.random((_NUM_TRIES, len(chosen) - 1)).tolist()
    for row in shares:
        starts_s = schedule.starts_s(row, wait_when_blocked=False)
        if starts_s is not None:
            return starts_s
    starts_s = schedule.starts_s(shares[0], wait_when_blocked=True)
    assert starts_s is not None
    return starts_s


@dataclass(frozen=True)
class _Schedule:
    """Turns in order, without their delays."""

    chosen: Sequence[Utterance]
    min_delay_s: float
    waits: Sequence[bool]
    gaps_s: Sequence[float]

    def starts_s(self, shares: Sequence[float], *, wait_when_blocked: bool) -> list[float] | None:
        """Starts for delays given as shares of their ranges; None if a turn cannot start then."""
        starts_s = [0.0]
        ends_s = [self.chosen[0].duration_s]
        for place, (share, wait, gap_s) in enumerate(
            zip(shares, self.waits, self.gaps_s, strict=True), start=1
        ):
            utterance, previous = self.chosen[place], self.chosen[place - 1]
            least_s = min(self.min_delay_s, previous.duration_s)
            start_s = _whole_ms(starts_s[-1] + least_s + share * (previous.duration_s - least_s))
            wait = wait or utterance.speaker == previous.speaker
            if not wait and self._blocked(utterance.speaker, start_s, ends_s):
                if not wait_when_blocked:
                    return None
                wait = True
            if wait:
                start_s = _whole_ms(max(ends_s) + gap_s)
            starts_s.append(start_s)
            ends_s.append(start_s + utterance.duration_s)
        return starts_s

    def _blocked(self, speaker: str, start_s: float, ends_s: Sequence[float]) -> bool:
        """Whether two others, or the same speaker, still speak."""
        active = [place for place, end_s in enumerate(ends_s) if end_s > start_s]
        return len(active) > 1 or any(self.chosen[place].speaker == speaker for place in active)


def _whole_ms(time_s: float) -> float:
    """Round up: turns start at a sample of every usual rate, and not before another has ended."""
    return math.ceil(time_s * 1000) / 1000
