"""Where the labels of a chart's points go so that they hide neither one another nor the points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HEIGHT, _CHARACTER = 14.0, 6.9
_NEAR = 9.0
# Of what a label may hide: another label, a point, a line; leaving the frame.
_LABEL_COST, _POINT_COST, _LINE_COST, _OUTSIDE_COST = 100.0, 60.0, 6.0, 200.0


class Box(NamedTuple):
    """A rectangle, or a straight line; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they have a point in common."""
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.top <= other.bottom
            and other.top <= self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Whether the other lies within."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


class LabelPlace(NamedTuple):
    """Where a label goes.

    `x`, `y` and `side` (start, middle or end) place the text, `box` is what it covers. `anchor` is
    the point that it names; where it is far from it, a line from there to `end` leads to it.
    """

    x: float
    y: float
    side: str
    box: Box
    anchor: tuple[float, float]
    end: tuple[float, float]
    is_far: bool


def place_labels(
    texts: Sequence[str],
    anchors: Sequence[tuple[float, float]],
    *,
    lines: Sequence[Box] = (),
    frame: Box,
) -> list[LabelPlace]:
    """Give each label in turn the place that hides least, the nearer of equal ones.

    Arguments
    ---------
    texts : sequence of str
        Labels, of 12 units in height.
    anchors : sequence of (float, float)
        The points they belong to.
    lines : sequence of Box
        That are better not written upon.
    frame : Box
        That the labels should not leave.

    Returns
    -------
    list of LabelPlace
        In the same order.

    Example
    -------
    >>> same = [(50.0, 50.0), (50.0, 50.0)]
    >>> one, other = place_labels(["a", "b"], same, frame=Box(0, 0, 100, 100))
    >>> one.box.meets(other.box)
    False
    """
    points = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    placed: list[LabelPlace] = []
    for text, anchor in zip(texts, anchors, strict=True):
        taken = [place.box for place in placed]

        def cost(place: LabelPlace, taken: list[Box] = taken) -> float:
            return (
                _LABEL_COST * sum(place.box.meets(box) for box in taken)
                + _POINT_COST * sum(place.box.meets(box) for box in points)
                + _LINE_COST * sum(place.box.meets(box) for box in lines)
                + _OUTSIDE_COST * (not frame.holds(place.box))
            )

        # min keeps the first of equals, and candidates come from near to far.
        candidates = enumerate(_candidates(text, anchor))
        placed.append(min(candidates, key=lambda one: cost(one[1]) + 0.2 * one[0])[1])
    return placed


def _candidates(text: str, anchor: tuple[float, float]) -> Iterator[LabelPlace]:
    x, y = anchor
    width = _CHARACTER * len(text)
    for distance in (0, 1, 2, 3, 4, 5):
        rise = _NEAR + distance * (_HEIGHT + 3)
        run = _NEAR + 8 * distance
        for middle in (y - rise, y + rise):
            for left, side in ((x + run, "start"), (x - run - width, "end")):
                box = Box(left, middle - _HEIGHT / 2, left + width, middle + _HEIGHT / 2)
                at = box.left if side == "start" else box.right
                end = (at - 3 if side == "start" else at + 3, middle)
                yield LabelPlace(at, middle + 4, side, box, anchor, end, distance > 0)
