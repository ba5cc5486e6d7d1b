"""A clean stop on Ctrl-C or on a cluster's warning."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class TrainingStopped(KeyboardInterrupt):
    """Training was stopped on request after its state was saved."""


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
