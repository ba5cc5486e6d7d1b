"""What a person sees while the demo works: numbered stages, progress, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from sb_alexa.demo.plan import Plan
from sb_alexa.demo.terminal import StatusLine, minutes, progress_bar

INDENT = " " * 15


class Narrator:
    """Tells of the stages of a plan on a status line.

    Arguments
    ---------
    plan : Plan
        The stages.
    status : StatusLine
        Where to write.
    clock : callable
        Returns seconds; for tests.
    """

    def __init__(
        self, plan: Plan, status: StatusLine, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.plan = plan
        self.status = status
        self._clock = clock
        self._begun = 0.0

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self.status.finish(text)

    def begin(self, stage: str, *, at_fraction: float = 0.0) -> None:
        """Start a stage, of which a part may have been done earlier."""
        self.plan.begin(stage, at_fraction=at_fraction)
        self._begun = self._clock()
        self.show("", at_fraction)

    def show(self, text: str, fraction: float | None = None) -> None:
        """Show how far the stage is.

        Arguments
        ---------
        text : str
            In words.
        fraction : float, optional
            As a number from 0 to 1. By default it is unknown, and the bar is left out.
        """
        known = fraction if fraction is not None else self.plan.fraction_by_time()
        left = minutes(self.plan.seconds_left(known))
        bar = f"{progress_bar(fraction)}  " if fraction is not None else ""
        self.status.show(
            f"{self.plan.heading()}{bar}{text + '  ' if text else ''}about {left} left in all"
        )

    def done(self, text: str, *, timed: bool = True) -> None:
        """End the stage with a line that stays.

        Arguments
        ---------
        text : str
            What came of it.
        timed : bool
            Whether to add how long it took.
        """
        took = f"  ({minutes(self._clock() - self._begun)})" if timed else ""
        self.say(f"{self.plan.heading()}{text}{took}")
