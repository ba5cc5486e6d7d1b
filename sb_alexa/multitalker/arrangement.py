"""Which output channel says which turn: two channels are enough for any number of talkers."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from sb_alexa.turn import Turn

_CHANNEL_COUNTS = (1, 2)


@dataclass(frozen=True)
class Arrangement:
    """Turns of a mixture in order, each with its output channel.

    Arguments
    ---------
    turns : tuple of Turn
        As `turns_in_order` sorts them.
    channels : tuple of int
        Channel of each turn, counted from 0.
    num_channels : int
        Channels of the model; any of them may be without a turn.

    Raises
    ------
    ValueError
        If the turns are out of order, or not every one has one of the channels.

    Example
    -------
    >>> anna, ben = Turn("anna", 0.0, 2.0, "GO"), Turn("ben", 1.5, 3.0, "UP")
    >>> arrangement = Arrangement((anna, ben), (0, 1), num_channels=2)
    >>> arrangement.channel(1) == (ben,), len(arrangement.by_channel)
    (True, 2)
    """

    turns: tuple[Turn, ...]
    channels: tuple[int, ...]
    num_channels: int

    def __post_init__(self) -> None:
        if len(self.turns) != len(self.channels):
            raise ValueError(
                f"an arrangement needs a channel for each turn, got {len(self.turns)} turns and "
                f"{len(self.channels)} channels"
            )
        strange = set(self.channels) - set(range(self.num_channels))
        if strange:
            raise ValueError(
                f"channels {sorted(strange)} do not exist: num_channels={self.num_channels}, "
                "counted from 0"
            )
        if self.turns != turns_in_order(self.turns):
            raise ValueError("the turns of an arrangement are out of order; use turns_in_order")

    def channel(self, number: int) -> tuple[Turn, ...]:
        """Turns of one channel, counted from 0, in order."""
        if not 0 <= number < self.num_channels:
            raise ValueError(
                f"channel {number} does not exist: num_channels={self.num_channels}, counted from 0"
            )
        return tuple(
            turn
            for turn, channel in zip(self.turns, self.channels, strict=True)
            if channel == number
        )

    @property
    def by_channel(self) -> tuple[tuple[Turn, ...], ...]:
        """Turns of every channel; `turns_in_order` makes `turns` of them again."""
        return tuple(self.channel(number) for number in range(self.num_channels))


def turns_in_order(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Sort turns by their start, whatever order they come in.

    Arguments
    ---------
    turns : iterable of Turn
        In any order.

    Returns
    -------
    tuple of Turn
        By start; those that start together by end, then speaker, then text.

    Example
    -------
    >>> late, early = Turn("anna", 1.0, 2.0, "UP"), Turn("ben", 0.0, 2.0, "GO")
    >>> turns_in_order([late, early]) == (early, late)
    True
    """
    return tuple(sorted(turns, key=lambda t: (t.start_s, t.end_s, t.speaker, t.text)))


def arrange_turns(turns: Iterable[Turn], num_channels: int = 2) -> Arrangement:
    """Put turns on channels so that none of them has to say two things at once.

    In the order of their starts, turns stay on the current channel; the channel switches exactly
    when a turn starts before the previous one has ended. The first turn is on channel 0.

    Arguments
    ---------
    turns : iterable of Turn
        Turns of one mixture, in any order.
    num_channels : int
        2, or 1 for a model with a single channel, which says all turns by their start one after
        another, however many overlap.

    Returns
    -------
    Arrangement
        A function of the set of turns alone.

    Raises
    ------
    ValueError
        If three turns overlap (for which two channels cannot be enough); they are named.

    Reference
    ---------
    I. Sklyar, A. Piunova, X. Zheng and Y. Liu, "Multi-turn RNN-T for streaming recognition of
    multi-party speech", 2022 (arXiv 2112.10200), overlap-based target arrangement. Ties of start
    are broken by end, speaker and text; the paper leaves them open.

    Example
    -------
    >>> turns = [
    ...     Turn("anna", 0.0, 3.0, "TURN ON THE LIGHT"),
    ...     Turn("ben", 2.0, 5.0, "PLAY MUSIC"),
    ...     Turn("anna", 6.0, 7.0, "STOP"),
    ...     Turn("ben", 6.5, 8.0, "GO ON"),
    ... ]
    >>> arrange_turns(turns).channels
    (0, 1, 1, 0)
    >>> arrange_turns(turns, num_channels=1).channels
    (0, 0, 0, 0)
    """
    if num_channels not in _CHANNEL_COUNTS:
        raise ValueError(f"num_channels={num_channels}: turns are arranged on 1 or 2 channels")
    ordered = turns_in_order(turns)
    if num_channels == 1:
        return Arrangement(ordered, (0,) * len(ordered), num_channels)
    channels: list[int] = []
    last: list[Turn | None] = [None, None]
    current = 0
    for turn in ordered:
        previous, other = last[current], last[1 - current]
        if previous is not None and turn.start_s < previous.end_s:
            if other is not None and turn.start_s < other.end_s:
                raise ValueError(_collision(turns_in_order((other, previous, turn))))
            current = 1 - current
        last[current] = turn
        channels.append(current)
    return Arrangement(ordered, tuple(channels), num_channels)


def overlaps_at_most(turns: Iterable[Turn], count: int) -> bool:
    """Whether never more than so many turns are spoken at the same time.

    Arguments
    ---------
    turns : iterable of Turn
        In any order.
    count : int
        Turns at once that are allowed; `arrange_turns` has room for 2.

    Returns
    -------
    bool
        Turns that only touch are not at the same time.

    Example
    -------
    >>> turns = [Turn("anna", 0.0, 2.0, "GO"), Turn("ben", 1.0, 3.0, "UP")]
    >>> overlaps_at_most(turns, 1), overlaps_at_most(turns, 2)
    (False, True)
    """
    running: list[float] = []
    for turn in turns_in_order(turns):
        while running and running[0] <= turn.start_s:
            heapq.heappop(running)
        heapq.heappush(running, turn.end_s)
        if len(running) > count:
            return False
    return True


def _collision(turns: tuple[Turn, ...]) -> str:
    named = "; ".join(
        f"{turn.speaker} from {turn.start_s:g} to {turn.end_s:g} s: {turn.text[:40]!r}"
        for turn in turns
    )
    return (
        f"three turns overlap, which two channels cannot hold ({named}); "
        "leave this mixture out or move one of them"
    )
