"""A clean stop on Ctrl-C or on a cluster's warning."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class TrainingStopped(KeyboardInterrupt):
    """Training was stopped on request after its state was saved."""


def run_script(main: Callable[[list[str]], object], argv: list[str]) -> int:
    """Run a recipe's `main` as a program, which Ctrl-C ends with a hint instead of a traceback.

    Arguments
    ---------
    main : Callable
        Takes the command line without the program's name.
    argv : list of str
        That command line.

    Returns
    -------
    int
        Exit code: 0, or 130 after an interruption.

    Example
    -------
    >>> def interrupted(argv):
    ...     raise TrainingStopped("stopped after step 3")
    >>> run_script(interrupted, [])
    130
    """
    try:
        main(argv)
    except KeyboardInterrupt as interruption:
        hint = str(interruption) or "run the same command to resume from the last checkpoint"
        if os.environ.get("RANK", "0") == "0":
            print(f"\ninterrupted; {hint}", file=sys.stderr)
        return 130
    return 0


class StopRequest:
    """Turns the first SIGINT or SIGTERM into a request that training honours after its step.

    A second signal interrupts at once. Clusters send SIGTERM before they end a job.

    Attributes
    ----------
    requested : bool
        True after the first signal.

    Example
    -------
    >>> import os
    >>> with StopRequest() as stop:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    ...     stop.requested
    True
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread: leave signals to whoever started us
                break
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
