"""Round steps of a scale of colours, from light to dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NUM_COLOURS = 8


@dataclass(frozen=True)
class ColourSteps:
    """Which colour a value has; make it with `of`.

    Arguments
    ---------
    borders : tuple of float
        Ascending, one more than there are steps.
    digits : int
        Behind the point, that tell the borders apart.
    """

    borders: tuple[float, ...]
    digits: int

    @classmethod
    def of(cls, values: Sequence[float]) -> ColourSteps:
        """Steps between round numbers that hold all values, at most eight.

        Arguments
        ---------
        values : sequence of float
            At least one; NaN are passed over.

        Raises
        ------
        ValueError
            If there is no value.

        Example
        -------
        >>> steps = ColourSteps.of([7.3, 8.0, 11.9])
        >>> steps.borders
        (7.0, 8.0, 9.0, 10.0, 11.0, 12.0)
        >>> [steps.colour(value) for value in (7.3, 8.0, 11.9)]
        [0, 2, 7]
        """
        known = [value for value in values if math.isfinite(value)]
        if not known:
            raise ValueError("a scale of colours needs at least one value")
        low, high = min(known), max(known)
        # Equal rates still need a step, no finer than anybody would read.
        finest = math.floor(math.log10(max((high - low) / NUM_COLOURS, 0.01 * high, 1e-3)))
        for exponent, digit in ((finest + e, d) for e in (0, 1) for d in (1, 2, 5)):
            step = digit * 10.0**exponent
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first <= NUM_COLOURS:
                break
        last = max(last, first + 1)
        digits = max(0, -exponent)
        borders = (round(number * step, digits) for number in range(first, last + 1))
        return cls(tuple(borders), digits)

    def colour(self, value: float) -> int:
        """0 for the lightest, 7 for the darkest colour; values on a border belong above."""
        number = sum(value >= border for border in self.borders[1:-1])
        return self.colour_of_step(number)

    def colour_of_step(self, number: int) -> int:
        """The colour of a step, counted from 0."""
        num_steps = len(self.borders) - 1
        if num_steps == 1:
            return NUM_COLOURS // 2 - 1
        return round(number * (NUM_COLOURS - 1) / (num_steps - 1))
