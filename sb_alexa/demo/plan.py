"""The stages of the demo and how long the rest of them will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# This much evidence from the machine counts as much as the expectation does.
_PRIOR_SECONDS = 20.0


@dataclass(frozen=True)
class Stage:
    """One stage of the work.

    Arguments
    ---------
    key : str
        Short name.
    title : str
        What is done, for the terminal.
    expected_seconds : float
        Duration on the machine that the figures of the README were measured on.
    scales : bool
        Whether a slower machine takes longer; False for what runs at the speed of speech.
    """

    key: str
    title: str
    expected_seconds: float
    scales: bool = True


class Plan:
    """Estimates the time left from expectations and from how fast this machine has been so far.

    Arguments
    ---------
    stages : sequence of Stage
        In their order.
    clock : callable
        Returns seconds; for tests.

    Example
    -------
    >>> now = iter([0.0, 30.0, 30.0, 30.0])
    >>> plan = Plan(
    ...     [Stage("write", "Write", 10.0), Stage("train", "Train", 100.0)], clock=lambda: next(now)
    ... )
    >>> plan.begin("write")
    >>> plan.begin("train")  # writing took three times as long as expected
    >>> round(plan.seconds_left(0.0))
    167
    """

    def __init__(
        self, stages: Sequence[Stage], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stages = list(stages)
        self._clock = clock
        self._current = -1
        self._begun = 0.0
        self._begun_at_fraction = 0.0
        self._expected_so_far = 0.0
        self._taken_so_far = 0.0

    def begin(self, key: str, *, at_fraction: float = 0.0) -> None:
        """Start a stage, ending the one before.

        Arguments
        ---------
        key : str
            Which one.
        at_fraction : float
            How much of it was done earlier, 0 to 1 (a resumed run).
        """
        self._count(1.0)
        self._current = [stage.key for stage in self.stages].index(key)
        self._begun, self._begun_at_fraction = self._clock(), at_fraction

    def heading(self) -> str:
        """Number and title of the stage, for the beginning of a line."""
        number = f"[{self._current + 1}/{len(self.stages)}]"
        return f"{number} {self.stages[self._current].title:<9}"

    def seconds_left(self, fraction: float) -> float:
        """Time until everything is done.

        Arguments
        ---------
        fraction : float
            How much of the current stage is done, 0 to 1.
        """
        expected, taken = self._evidence(fraction)
        slowness = (taken + _PRIOR_SECONDS) / (expected + _PRIOR_SECONDS)
        current = self.stages[self._current]
        left = [(current, current.expected_seconds * (1.0 - fraction))]
        left += [(stage, stage.expected_seconds) for stage in self.stages[self._current + 1 :]]
        return sum(seconds * (slowness if stage.scales else 1.0) for stage, seconds in left)

    def fraction_by_time(self) -> float:
        """A guess of how much of a stage is done that does not tell."""
        expected = self.stages[self._current].expected_seconds
        return min(0.95, (self._clock() - self._begun) / expected)

    def _evidence(self, fraction: float) -> tuple[float, float]:
        """Seconds expected and seconds taken for what has been done."""
        stage = self.stages[self._current]
        if not stage.scales:
            return self._expected_so_far, self._taken_so_far
        done = max(0.0, fraction - self._begun_at_fraction)
        # Before there is progress, the time it takes says nothing yet.
        taken = self._clock() - self._begun if done else 0.0
        return (
            self._expected_so_far + done * stage.expected_seconds,
            self._taken_so_far + taken,
        )

    def _count(self, fraction: float) -> None:
        if self._current >= 0:
            self._expected_so_far, self._taken_so_far = self._evidence(fraction)
