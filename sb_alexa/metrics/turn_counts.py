"""How often the number of turns is right."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class TurnCounts:
    """Utterance groups whose number of turns was found, of one group or summed over many.

    Half of the groups of a corpus may hold a single turn, which hardly any system gets wrong; the
    groups with more than two turns are counted apart.

    Arguments
    ---------
    groups : int
        Groups.
    right : int
        Groups with exactly as many turns in the hypothesis as in the reference.
    groups_above_two : int
        Groups with more than two turns in the reference.
    right_above_two : int
        Right ones among them.

    Raises
    ------
    ValueError
        If a count is negative or a part is larger than its whole.

    Reference
    ---------
    Sklyar et al., "Multi-turn RNN-T for streaming recognition of multi-party speech", 2022, arXiv
    2112.10200: turn counting accuracy.

    Example
    -------
    >>> counts = count_turns_right(1, 1) + count_turns_right(4, 3)
    >>> counts.accuracy, counts.accuracy_above_two
    (50.0, 0.0)
    """

    groups: int = 0
    right: int = 0
    groups_above_two: int = 0
    right_above_two: int = 0

    def __post_init__(self) -> None:
        if not (
            0 <= self.right_above_two <= self.groups_above_two <= self.groups
            and self.right_above_two <= self.right
            and self.right - self.right_above_two <= self.groups - self.groups_above_two
        ):
            raise ValueError(
                f"{self} cannot be: a part is larger than its whole; count with "
                "count_turns_right(reference_turns, hypothesis_turns)"
            )

    def __add__(self, other: TurnCounts) -> TurnCounts:
        if not isinstance(other, TurnCounts):
            return NotImplemented
        names = (field.name for field in fields(self))
        return TurnCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def accuracy(self) -> float:
        """Groups with the right number of turns, in percent; NaN without a group."""
        return 100.0 * self.right / self.groups if self.groups else math.nan

    @property
    def accuracy_above_two(self) -> float:
        """The same of the groups with more than two turns; NaN without such a group."""
        if not self.groups_above_two:
            return math.nan
        return 100.0 * self.right_above_two / self.groups_above_two


def count_turns_right(reference_turns: int, hypothesis_turns: int) -> TurnCounts:
    """Compare the numbers of turns of one utterance group.

    Arguments
    ---------
    reference_turns : int
        Turns of the reference, at least one.
    hypothesis_turns : int
        Turns of the hypothesis on all channels, as its tokens tell.

    Returns
    -------
    TurnCounts
        Of this group.

    Raises
    ------
    ValueError
        If the reference has no turn or the hypothesis a negative number.

    Example
    -------
    >>> count_turns_right(3, 3)
    TurnCounts(groups=1, right=1, groups_above_two=1, right_above_two=1)
    """
    if reference_turns < 1 or hypothesis_turns < 0:
        raise ValueError(
            f"a group has at least one turn and no hypothesis less than 0, got {reference_turns} "
            f"and {hypothesis_turns}; leave out stretches where nobody speaks"
        )
    right, above_two = reference_turns == hypothesis_turns, reference_turns > 2
    return TurnCounts(1, int(right), int(above_two), int(right and above_two))
