"""How long after the fact a recogniser reports starts, words and ends of turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from sb_alexa.metrics.emitted_turn import EmittedTurn
from sb_alexa.turn import Turn


@dataclass(frozen=True)
class Latencies:
    """Latencies of one kind; quantiles cannot be combined from quantiles, so all are kept.

    Arguments
    ---------
    values_ms : tuple of float
        Milliseconds; negative where something is emitted before it is over.

    Example
    -------
    >>> both = Latencies((100.0, 300.0)) + Latencies((800.0,))
    >>> both.mean_ms, both.p50_ms, both.p90_ms
    (400.0, 300.0, 700.0)
    """

    values_ms: tuple[float, ...] = ()

    def __add__(self, other: Latencies) -> Latencies:
        if not isinstance(other, Latencies):
            return NotImplemented
        return Latencies(self.values_ms + other.values_ms)

    @property
    def mean_ms(self) -> float:
        """Mean; NaN without a value, as the quantiles."""
        return float(np.mean(self.values_ms)) if self.values_ms else math.nan

    @property
    def p50_ms(self) -> float:
        """Median."""
        return self.quantile_ms(0.5)

    @property
    def p90_ms(self) -> float:
        """What nine of ten do not exceed."""
        return self.quantile_ms(0.9)

    def quantile_ms(self, probability: float) -> float:
        """Quantile, linearly interpolated; `probability` lies between 0 and 1."""
        return float(np.quantile(self.values_ms, probability)) if self.values_ms else math.nan


@dataclass(frozen=True)
class TurnLatency:
    """Emission latencies of turns, of one utterance group or summed over many.

    Arguments
    ---------
    end_point : Latencies
        EP: token for the end of a turn, after its true end.
    last_piece : Latencies
        LS: last word piece of a turn, after the true end of its last word.
    start_point : Latencies
        SP: token for the start of a turn, after its true start.
    first_piece : Latencies
        FS: first word piece of a turn, after the true start of its first word.
    groups : int
        Groups that were measured.
    groups_left_out : int
        Groups with enough turns that were not, since the hypothesis has other turns.

    Example
    -------
    >>> a = TurnLatency(end_point=Latencies((100.0,)), groups=1)
    >>> b = TurnLatency(end_point=Latencies((200.0,)), groups=1)
    >>> (a + b).end_point.mean_ms, (a + b).groups
    (150.0, 2)
    """

    end_point: Latencies = Latencies()
    last_piece: Latencies = Latencies()
    start_point: Latencies = Latencies()
    first_piece: Latencies = Latencies()
    groups: int = 0
    groups_left_out: int = 0

    def __add__(self, other: TurnLatency) -> TurnLatency:
        if not isinstance(other, TurnLatency):
            return NotImplemented
        names = (field.name for field in fields(self))
        return TurnLatency(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def measured(self) -> float:
        """Fraction of the groups with enough turns that the latencies stand for."""
        groups = self.groups + self.groups_left_out
        return self.groups / groups if groups else math.nan


def turn_latency(
    references: Sequence[Sequence[Turn]],
    hypotheses: Sequence[Sequence[EmittedTurn]],
    *,
    above: int = 2,
) -> TurnLatency:
    """Measure one utterance group.

    Turns are matched by their order on each output channel, which the overlap-based arrangement
    of the reference determines. That makes sense only where every channel has as many turns as in
    the reference; other groups are left out and counted. What was not emitted has no latency: the
    first turn of a mixture has no start token, the last no end token.

    Arguments
    ---------
    references : sequence of sequence of Turn
        True turns of each channel, in order. Starts and ends of words come from `Turn.words`; a
        turn without them is taken to begin and end with a word.
    hypotheses : sequence of sequence of EmittedTurn
        Recognised turns of each channel, in order.
    above : int
        Only groups with more turns than this are measured; 0 for all.

    Returns
    -------
    TurnLatency
        Empty for a group with too few turns.

    Raises
    ------
    ValueError
        If references and hypotheses differ in the number of channels.

    Reference
    ---------
    Sklyar et al., "Separator-Transducer-Segmenter", 2022, arXiv 2205.05199, section on emission
    latency: groups with more than two turns whose number was right. Deviation: the number has to be
    right on each channel, since the paper does not say how turns are matched otherwise.

    Example
    -------
    >>> said = [[Turn("anna", 1.0, 2.0, "STOP")]]
    >>> heard = [[EmittedTurn(start_s=1.25, first_piece_s=1.5, last_piece_s=1.5, end_s=2.5)]]
    >>> latency = turn_latency(said, heard, above=0)
    >>> latency.end_point.p50_ms, latency.last_piece.p50_ms, latency.start_point.p50_ms
    (500.0, -500.0, 250.0)
    """
    if len(references) != len(hypotheses):
        raise ValueError(
            f"the references are on {len(references)} channels, the hypotheses on "
            f"{len(hypotheses)}; pass one sequence of turns, empty or not, for each channel"
        )
    if sum(map(len, references)) <= above:
        return TurnLatency()
    if [len(turns) for turns in references] != [len(turns) for turns in hypotheses]:
        return TurnLatency(groups_left_out=1)
    matched = [
        pair
        for turns, emitted in zip(references, hypotheses, strict=True)
        for pair in zip(turns, emitted, strict=True)
    ]
    return TurnLatency(
        end_point=_after([(emitted.end_s, turn.end_s) for turn, emitted in matched]),
        last_piece=_after(
            [(emitted.last_piece_s, speech_end_s(turn)) for turn, emitted in matched]
        ),
        start_point=_after([(emitted.start_s, turn.start_s) for turn, emitted in matched]),
        first_piece=_after(
            [(emitted.first_piece_s, _speech_start_s(turn)) for turn, emitted in matched]
        ),
        groups=1,
    )


def speech_end_s(turn: Turn) -> float:
    """End of the last word of a turn, of the turn itself where its words have no times.

    Arguments
    ---------
    turn : Turn
        What was said.

    Returns
    -------
    float
        Seconds.
    """
    return turn.words[-1].end_s if turn.words else turn.end_s


def _speech_start_s(turn: Turn) -> float:
    return turn.words[0].start_s if turn.words else turn.start_s


def _after(times_s: Sequence[tuple[float | None, float]]) -> Latencies:
    """Latencies of pairs of an emission, if any, and the truth."""
    return Latencies(
        tuple(1000.0 * (emission - truth) for emission, truth in times_s if emission is not None)
    )
