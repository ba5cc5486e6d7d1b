"""Where the recipe stands, told from the log it writes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sb_alexa.training.run_log import read_events

# Time of a step of CTC alone, as a fraction of one with the transducer loss.
_CTC_STEP_COST = 0.6


@dataclass(frozen=True)
class TrainingProgress:
    """How far training is.

    Arguments
    ---------
    step : int
        Optimiser steps done.
    loss, wer : float | None
        The last ones logged: training loss, and percent on the development set.
    """

    step: int = 0
    loss: float | None = None
    wer: float | None = None

    @classmethod
    def read(cls, folder: Path) -> TrainingProgress:
        """Read it from the log of a run.

        Arguments
        ---------
        folder : Path
            Output folder of the recipe; a missing one is at step 0.
        """
        latest = cls()
        for event in read_events(folder):
            loss = event.get("loss") if event["event"] == "train" else None
            wer = event.get("wer") if event["event"] == "valid" else None
            latest = cls(
                max(latest.step, event["step"]),
                latest.loss if loss is None else loss,
                latest.wer if wer is None else wer,
            )
        return latest

    def fraction(self, num_steps: int, ctc_only_steps: int) -> float:
        """Share of the training time that is over.

        Arguments
        ---------
        num_steps : int
            Steps in all.
        ctc_only_steps : int
            Those at the beginning that leave out the transducer loss and are quicker.

        Example
        -------
        >>> round(TrainingProgress(step=100).fraction(400, 100), 3)
        0.167
        """

        def cost(steps: int) -> float:
            quick = min(steps, ctc_only_steps)
            return _CTC_STEP_COST * quick + (steps - quick)

        return min(1.0, cost(self.step) / max(cost(num_steps), 1e-9))


@contextmanager
def polling(function: Callable[[], None], *, seconds: float = 1.0) -> Iterator[None]:
    """Call a function again and again from another thread, as long as the block runs.

    Arguments
    ---------
    function : callable
        Quick, and safe beside the block.
    seconds : float
        Pause between calls.
    """
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(seconds):
            function()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def output_to_file(path: Path) -> Iterator[TextIO]:
    """Send all that this process prints to a file, and hand out the standard output that it had.

    File descriptors are redirected, not `sys.stdout`: native libraries print too.

    Arguments
    ---------
    path : Path
        Is appended to.

    Yields
    ------
    terminal : text file
        The former standard output.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    former = [os.dup(1), os.dup(2)]
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with (
        path.open("ab") as file,
        os.fdopen(os.dup(1), "w", encoding=encoding, errors="replace") as terminal,
    ):
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, kept in enumerate(former, start=1):
                os.dup2(kept, number)
                os.close(kept)
