"""What an application gains and loses by acting on ends of turns: false cut-offs and dead air.

An application takes the floor when the recogniser says that a turn has ended. It may ask for a
certain confidence, and wait a little for more words. Each such policy has a rate of false cut-offs
and a latency; the figures here are the best over a grid of policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sb_alexa.metrics.emitted_turn import EmittedTurn
from sb_alexa.metrics.turn_latency import speech_end_s
from sb_alexa.turn import Turn


@dataclass(frozen=True)
class EndpointGrid:
    """Policies of an application.

    A policy takes the floor `delay_s` after the first end of turn that has at least the confidence
    `threshold` and after which the channel has emitted nothing else by then.

    Arguments
    ---------
    thresholds : tuple of float
        Confidences, 0 to 1; 0 accepts every end of turn.
    delays_s : tuple of float
        Seconds, 0 or more.
    timeout_s : float
        Seconds after the true end of a turn at which the floor is taken in any case.

    Raises
    ------
    ValueError
        If there is no policy, or a number is out of range.
    """

    thresholds: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    delays_s: tuple[float, ...] = tuple(0.1 * step for step in range(16))
    timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if not self.thresholds or not all(0.0 <= value <= 1.0 for value in self.thresholds):
            raise ValueError(f"thresholds must be some numbers in 0..1, got {self.thresholds}")
        if not self.delays_s or not all(0.0 <= value < math.inf for value in self.delays_s):
            raise ValueError(f"delays_s must be some numbers >= 0, got {self.delays_s}")
        if not 0.0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s must be above 0, got {self.timeout_s}; 3 s is usual")

    @property
    def num_policies(self) -> int:
        """Thresholds x delays, in this order, the delay running fastest."""
        return len(self.thresholds) * len(self.delays_s)


@dataclass(frozen=True)
class EndpointCounts:
    """False cut-offs and latencies of every policy of a grid, of one group or summed over many.

    Arguments
    ---------
    grid : EndpointGrid
        The policies.
    cut_off : tuple of int
        Turns that each policy cut off; empty stands for zeros.
    latency_s : tuple of float
        Sum of the latencies of the turns that each policy did not cut off; empty stands for zeros.
    turns : int
        Turns.

    Raises
    ------
    ValueError
        If counts and policies differ in number, a policy cut off more turns than there are, or
        counts of different grids are added.
    """

    grid: EndpointGrid = EndpointGrid()
    cut_off: tuple[int, ...] = ()
    latency_s: tuple[float, ...] = ()
    turns: int = 0

    def __post_init__(self) -> None:
        for name in ("cut_off", "latency_s"):
            if not getattr(self, name):
                object.__setattr__(self, name, (0,) * self.grid.num_policies)
            if len(getattr(self, name)) != self.grid.num_policies:
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} numbers for {self.grid.num_policies} "
                    "policies; count with endpoint_counts(...)"
                )
        if not 0 <= max(self.cut_off) <= self.turns:
            raise ValueError(f"{max(self.cut_off)} of {self.turns} turns cannot be cut off")

    def __add__(self, other: EndpointCounts) -> EndpointCounts:
        if not isinstance(other, EndpointCounts):
            return NotImplemented
        if self.grid != other.grid:
            raise ValueError("counts of different policies do not add up; use one EndpointGrid")
        return EndpointCounts(
            self.grid,
            tuple(a + b for a, b in zip(self.cut_off, other.cut_off, strict=True)),
            tuple(a + b for a, b in zip(self.latency_s, other.latency_s, strict=True)),
            self.turns + other.turns,
        )

    @property
    def false_cutoff_rates(self) -> np.ndarray:
        """(policies,) percent of the turns for which the floor was taken before their true end."""
        cut_off = np.array(self.cut_off, dtype=np.float64)
        return 100.0 * cut_off / self.turns if self.turns else np.full_like(cut_off, math.nan)

    @property
    def mean_latencies_ms(self) -> np.ndarray:
        """(policies,) mean time from true end to taking the floor, of the turns not cut off.

        NaN where every turn was cut off.
        """
        kept = self.turns - np.array(self.cut_off, dtype=np.float64)
        sums_ms = 1000.0 * np.array(self.latency_s)
        return np.divide(sums_ms, kept, out=np.full_like(sums_ms, math.nan), where=kept > 0)

    def false_cutoff_rate(self, latency_ms: float) -> float:
        """Least rate of false cut-offs that a latency allows.

        Arguments
        ---------
        latency_ms : float
            Largest mean latency; 300 and 600 ms are usual.

        Returns
        -------
        float
            Percent of the turns, of the best policy whose mean latency is not larger; NaN where no
            policy is as fast.
        """
        return _least(self.false_cutoff_rates, self.mean_latencies_ms <= latency_ms)

    def latency_ms(self, false_cutoff_rate: float) -> float:
        """Least latency that a rate of false cut-offs allows.

        Arguments
        ---------
        false_cutoff_rate : float
            Largest rate in percent; 5 and 10 are usual.

        Returns
        -------
        float
            Mean latency of the best policy that does not cut off more turns, in ms; NaN where
            every policy does.
        """
        return _least(self.mean_latencies_ms, self.false_cutoff_rates <= false_cutoff_rate)


def endpoint_counts(
    references: Sequence[Sequence[Turn]],
    hypotheses: Sequence[Sequence[EmittedTurn]],
    grid: EndpointGrid | None = None,
    *,
    closed_turns: bool = False,
) -> EndpointCounts:
    """Try all policies on one utterance group, whatever the number of turns recognised in it.

    An emitted turn belongs to the true turn of its channel with which it shares most time, the time
    from its first to its last word piece; if it shares none, to the nearest. A true turn may get
    several, where the recogniser broke it up, or none; then the floor is taken at the timeout.
    A turn ends with its last word, where words have times (`Turn.words`), since an application
    need not wait for the silence that a reference may have behind it.

    Arguments
    ---------
    references : sequence of sequence of Turn
        True turns of each channel.
    hypotheses : sequence of sequence of EmittedTurn
        Recognised turns of each channel, in order.
    grid : EndpointGrid | None
        The policies; None for the default.
    closed_turns : bool
        Whether the recogniser also ends the last turn of a mixture; else that turn, which ends
        last, does not count.

    Returns
    -------
    EndpointCounts
        Of this group.

    Raises
    ------
    ValueError
        If references and hypotheses differ in the number of channels.

    Reference
    ---------
    LiveKit, eot-bench, 2026, github.com/livekit/eot-bench: best rate of false cut-offs at 300 and
    600 ms, best mean latency at 5 and 10 % of false cut-offs, over thresholds, delays and timeouts.
    Deviations: the rate counts turns, not pauses inside of turns, as corpora without word times
    have no pauses; the floor is taken on emitted tokens, not on scores within pauses; one timeout,
    only after the true end.

    Example
    -------
    >>> said = [[Turn("anna", 0.0, 2.0, "STOP NOW")]]
    >>> early = EmittedTurn(first_piece_s=0.5, last_piece_s=0.75, end_s=1.0)
    >>> rest = EmittedTurn(start_s=1.25, first_piece_s=1.5, last_piece_s=1.75, end_s=2.125)
    >>> grid = EndpointGrid(thresholds=(0.0,), delays_s=(0.0, 0.5))
    >>> counts = endpoint_counts(said, [[early, rest]], grid, closed_turns=True)
    >>> counts.false_cutoff_rates.tolist(), counts.mean_latencies_ms.tolist()
    ([100.0, 0.0], [nan, 625.0])
    """
    if len(references) != len(hypotheses):
        raise ValueError(
            f"the references are on {len(references)} channels, the hypotheses on "
            f"{len(hypotheses)}; pass one sequence of turns, empty or not, for each channel"
        )
    grid = grid or EndpointGrid()
    ends_of_turns = [
        (turn, ends)
        for said, emitted in zip(references, hypotheses, strict=True)
        for turn, ends in zip(said, _ends_by_turn(said, emitted), strict=True)
    ]
    if not closed_turns and ends_of_turns:
        ends_of_turns.remove(max(ends_of_turns, key=lambda pair: (pair[0].end_s, pair[0].start_s)))
    cut_off, latency_s = np.zeros(grid.num_policies, np.int64), np.zeros(grid.num_policies)
    for turn, ends in ends_of_turns:
        waited_s = _floor_taken(ends, grid) - speech_end_s(turn)
        cut_off += waited_s < 0.0
        latency_s += np.where(waited_s < 0.0, 0.0, np.minimum(waited_s, grid.timeout_s))
    return EndpointCounts(
        grid, tuple(cut_off.tolist()), tuple(latency_s.tolist()), len(ends_of_turns)
    )


def _floor_taken(ends: Sequence[tuple[float, float, float]], grid: EndpointGrid) -> np.ndarray:
    """(policies,) seconds at which each takes the floor; infinite where it does not."""
    thresholds = np.repeat(grid.thresholds, len(grid.delays_s))
    delays_s = np.tile(grid.delays_s, len(grid.thresholds))
    taken_s = np.full(grid.num_policies, math.inf)
    for end_s, confidence, continues_s in ends:
        acts = (confidence >= thresholds) & (end_s + delays_s < continues_s) & np.isinf(taken_s)
        taken_s[acts] = end_s + delays_s[acts]
    return taken_s


def _ends_by_turn(
    said: Sequence[Turn], emitted: Sequence[EmittedTurn]
) -> list[list[tuple[float, float, float]]]:
    """For each true turn the ends emitted in it: time, confidence, when the channel went on."""
    ends: list[list[tuple[float, float, float]]] = [[] for _ in said]
    if not said:
        return ends
    for number, heard in enumerate(emitted):
        if heard.end_s is None or heard.words_s is None:
            continue
        later = (turn.first_s for turn in emitted[number + 1 :] if turn.first_s is not None)
        first_s, last_s = heard.words_s
        # Time in common, or minus the gap where there is none.
        shared_s = [min(last_s, turn.end_s) - max(first_s, turn.start_s) for turn in said]
        best = max(range(len(said)), key=shared_s.__getitem__)
        ends[best].append((heard.end_s, heard.end_confidence, next(later, math.inf)))
    return ends


def _least(values: np.ndarray, allowed: np.ndarray) -> float:
    """Least of the allowed values; NaN where there is none."""
    candidates = values[allowed & ~np.isnan(values)]
    return float(candidates.min()) if candidates.size else math.nan
