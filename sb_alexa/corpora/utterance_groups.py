"""How the turns of a session overlap, and where nobody speaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from sb_alexa.multitalker.arrangement import overlaps_at_most, turns_in_order
from sb_alexa.turn import Turn


@dataclass(frozen=True)
class ConditionCounts:
    """What the sessions of a condition hold; counts of parts add up.

    Arguments
    ---------
    num_sessions, num_groups, num_turns : int
        Sessions, utterance groups and turns.
    num_groups_beyond_two : int
        Groups in which three or more talk at once at some time.
    audio_s : float
        Length of the recordings in seconds.
    speech_s, overlapped_s : float
        Summed length of all turns, and of the parts of them during which another turn is active.

    Example
    -------
    >>> counts = ConditionCounts(speech_s=8.0, overlapped_s=1.0) + ConditionCounts(speech_s=2.0)
    >>> counts.overlap_ratio
    0.1
    """

    num_sessions: int = 0
    num_groups: int = 0
    num_turns: int = 0
    num_groups_beyond_two: int = 0
    audio_s: float = 0.0
    speech_s: float = 0.0
    overlapped_s: float = 0.0

    def __add__(self, other: ConditionCounts) -> ConditionCounts:
        return ConditionCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def overlap_ratio(self) -> float:
        """Part of the speech that is overlapped: 0 to 1."""
        return self.overlapped_s / self.speech_s if self.speech_s else 0.0


def overlap_seconds(turns: Iterable[Turn]) -> float:
    """Summed time during which a turn is not the only one, seconds.

    Two turns that overlap for one second count for two. Over the summed length of all turns this
    is the overlap ratio by which LibriCSS names its sessions.

    Example
    -------
    >>> overlap_seconds([Turn("a", 0.0, 2.0, "A"), Turn("b", 1.5, 3.0, "B")])
    1.0
    """
    edges = sorted((t, change) for turn in turns for t, change in _edges(turn))
    overlapped_s = last_s = 0.0
    active = 0
    for time_s, change in edges:
        if active > 1:
            overlapped_s += active * (time_s - last_s)
        active += change
        last_s = time_s
    return overlapped_s


def _edges(turn: Turn) -> tuple[tuple[float, int], tuple[float, int]]:
    return (turn.start_s, 1), (turn.end_s, -1)


def utterance_groups(turns: Iterable[Turn]) -> list[tuple[Turn, ...]]:
    """Split the turns of a session where nobody speaks.

    Turns that only touch stay together: there is no silence between them.

    Returns
    -------
    groups : list of tuple of Turn
        In order of time; turns in order of start.

    Example
    -------
    >>> spans = [(0.0, 2.0), (1.5, 1.8), (1.9, 3.0), (3.5, 4.0)]
    >>> groups = utterance_groups(Turn("a", *span, "A") for span in spans)
    >>> [len(group) for group in groups]
    [3, 1]
    """
    groups: list[list[Turn]] = []
    end_s = float("-inf")
    for turn in turns_in_order(turns):
        if turn.start_s > end_s:
            groups.append([])
        groups[-1].append(turn)
        end_s = max(end_s, turn.end_s)
    return [tuple(group) for group in groups]


def count_session(turns: Sequence[Turn], audio_s: float) -> ConditionCounts:
    """What one session holds.

    Arguments
    ---------
    turns : sequence of Turn
        All its turns, in any order.
    audio_s : float
        Length of its recording in seconds.

    Example
    -------
    >>> turns = [Turn("a", 0.0, 2.0, "A"), Turn("b", 1.0, 3.0, "B"), Turn("c", 4.0, 6.0, "C")]
    >>> counts = count_session(turns, 7.0)
    >>> counts.num_turns, counts.num_groups, round(counts.overlap_ratio, 3)
    (3, 2, 0.333)
    """
    groups = utterance_groups(turns)
    return ConditionCounts(
        num_sessions=1,
        num_groups=len(groups),
        num_turns=len(turns),
        num_groups_beyond_two=sum(not overlaps_at_most(group, 2) for group in groups),
        audio_s=audio_s,
        speech_s=sum(turn.duration_s for turn in turns),
        overlapped_s=overlap_seconds(turns),
    )
