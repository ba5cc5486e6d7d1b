"""When the turns of a conversation begin: a given share of overlap, never three at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.corpora.utterance_groups import overlap_seconds
from sb_alexa.turn import Turn

_LEAD_S = 0.5
# A turn that overlaps starts at least this much after the previous one started, and after the turn
# before that ended: turns that start together, or only just touch, could be taken either way.
_MIN_DELAY_S = 0.5
_CLEARANCE_S = 0.01
# The longest of some 700 overlaps of LibriCSS are 6 to 8 times the median, as of a log-normal draw
# with this deviation; now and then a turn then lies within another.
_SPREAD = 0.65
_NUM_TRIALS = 25
_LARGEST_SCALE = 4.0


@dataclass(frozen=True)
class Timing:
    """How the turns of a session follow each other.

    Arguments
    ---------
    overlap_ratio : float
        Part of the speech during which somebody else talks too (`overlap_seconds` over the summed
        length of the turns), 0 to less than 1.
    overlapping_share : float
        Part of the turns that start before the previous ones have ended, 0 to 1.
    silence_s : (float, float)
        Bounds of the silence before any other turn, in seconds.

    Raises
    ------
    ValueError
        If a number is out of range, or one of the first two is zero and the other is not.
    """

    overlap_ratio: float
    overlapping_share: float
    silence_s: tuple[float, float]

    def __post_init__(self) -> None:
        if not 0.0 <= self.overlap_ratio < 1.0:
            raise ValueError(f"overlap_ratio={self.overlap_ratio} must be 0 to less than 1")
        if not 0.0 <= self.overlapping_share <= 1.0:
            raise ValueError(f"overlapping_share={self.overlapping_share} must be within 0..1")
        if (self.overlap_ratio > 0) != (self.overlapping_share > 0):
            raise ValueError(
                f"overlap_ratio={self.overlap_ratio} and overlapping_share="
                f"{self.overlapping_share}: both must be zero, or both above"
            )
        if not 0.0 < self.silence_s[0] <= self.silence_s[1]:
            raise ValueError(f"silence_s={self.silence_s} must hold 0 < shortest <= longest")

    @property
    def mean_step(self) -> tuple[float, float]:
        """By how much a turn of d seconds lengthens a session: (a, b) of a * d + b seconds."""
        silence_s = (1 - self.overlapping_share) * sum(self.silence_s) / 2
        return 1 - self.overlap_ratio / 2, silence_s


# Nominal ratios and silences are those of LibriCSS; so are, about, the shares of turns that overlap
# the ones before them: 0.50, 0.65, 0.74 and 0.78, counted in its reference transcriptions.
TIMINGS = {
    "0L": Timing(0.0, 0.0, (2.9, 3.0)),
    "0S": Timing(0.0, 0.0, (0.1, 0.5)),
    "OV10": Timing(0.1, 0.50, (0.1, 1.0)),
    "OV20": Timing(0.2, 0.65, (0.1, 1.0)),
    "OV30": Timing(0.3, 0.74, (0.1, 1.0)),
    "OV40": Timing(0.4, 0.78, (0.1, 1.0)),
}


def place_turns(
    speakers: Sequence[str],
    durations_s: Sequence[float],
    timing: Timing,
    rng: np.random.Generator,
    *,
    sample_rate_hz: int,
) -> list[float]:
    """Choose when each turn starts.

    How much each turn overlaps is drawn; then all overlaps are stretched together until the overlap
    ratio of the session is as asked for. That fails only where there are too few turns, and the
    closest possible ratio is taken.

    Arguments
    ---------
    speakers : sequence of str
        Who talks, turn by turn. Nobody overlaps himself.
    durations_s : sequence of float
        How long the turns last, seconds.
    timing : Timing
        What is asked for.
    rng : numpy.random.Generator
        Stream of the session.
    sample_rate_hz : int
        Starts are whole samples at this rate.

    Returns
    -------
    list of float
        Start of every turn, in seconds from the start of the session, ascending.

    Example
    -------
    >>> timing = Timing(overlap_ratio=0.2, overlapping_share=0.5, silence_s=(0.1, 1.0))
    >>> speakers, rng = ["anna", "ben", "cleo"] * 10, np.random.default_rng(0)
    >>> starts_s = place_turns(speakers, [3.0] * 30, timing, rng, sample_rate_hz=16000)
    >>> turns = [Turn(who, start, start + 3, "") for who, start in zip(speakers, starts_s)]
    >>> round(overlap_seconds(turns) / 90, 3)
    0.2
    """
    num_turns = len(durations_s)
    silences_s = rng.uniform(*timing.silence_s, size=num_turns)
    successors = rng.permutation(np.arange(1, num_turns))
    overlapping = successors[: round(timing.overlapping_share * len(successors))]
    depths = np.zeros(num_turns)
    depths[overlapping] = rng.lognormal(sigma=_SPREAD, size=overlapping.size)
    total_s = sum(durations_s)

    def starts(scale: float) -> list[float]:
        return _starts(speakers, durations_s, silences_s, scale * depths, sample_rate_hz)

    def excess(starts_s: Sequence[float]) -> float:
        turns = [
            Turn(speaker, start_s, start_s + duration_s, "")
            for speaker, start_s, duration_s in zip(speakers, starts_s, durations_s, strict=True)
        ]
        return overlap_seconds(turns) / total_s - timing.overlap_ratio

    if timing.overlap_ratio == 0.0:
        return starts(0.0)
    low, high = 0.0, _LARGEST_SCALE
    trials = [starts(high)]
    for _ in range(_NUM_TRIALS):
        middle = (low + high) / 2
        trials.append(starts(middle))
        if excess(trials[-1]) > 0:
            high = middle
        else:
            low = middle
    return min(trials, key=lambda starts_s: abs(excess(starts_s)))


def _starts(
    speakers: Sequence[str],
    durations_s: Sequence[float],
    silences_s: np.ndarray,
    depths: np.ndarray,
    sample_rate_hz: int,
) -> list[float]:
    """Starts when each turn reaches so many lengths of the previous one back before the last end.

    A turn that cannot reach back, because two still talk or the speaker himself does, or because
    the previous one has only begun, starts after a silence.
    """
    starts_s: list[float] = []
    # The two latest ends; a turn may start when at most one of them is still to come.
    last_end_s, earlier_end_s = _LEAD_S, 0.0
    own_end_s: dict[str, float] = {}
    for index, (speaker, duration_s) in enumerate(zip(speakers, durations_s, strict=True)):
        start_s = last_end_s + silences_s[index] * (index > 0)
        if depths[index] > 0:
            earliest_s = max(
                starts_s[-1] + _MIN_DELAY_S,
                earlier_end_s + _CLEARANCE_S,
                own_end_s.get(speaker, 0.0) + _CLEARANCE_S,
            )
            wanted_s = max(last_end_s - depths[index] * durations_s[index - 1], earliest_s)
            if wanted_s < last_end_s:
                start_s = wanted_s
        start_s = round(start_s * sample_rate_hz) / sample_rate_hz
        starts_s.append(float(start_s))
        own_end_s[speaker] = start_s + duration_s
        earlier_end_s, last_end_s = sorted((earlier_end_s, last_end_s, start_s + duration_s))[1:]
    return starts_s
