"""Lines of a long task: one that is rewritten in place on a terminal, plain ones anywhere else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

_ERASE_LINE = "\r\x1b[2K"


class StatusLine:
    """Writes lines that stay, and below them one line of status that is replaced again and again.

    Where the output is not a terminal (a log file), a status becomes an ordinary line, and only so
    many of them are written that the file stays readable.

    Arguments
    ---------
    stream : text file
        Where to write.
    log_interval_seconds : float
        Time between two lines of status where the output is not a terminal.
    clock : callable
        Returns seconds; for tests.

    Example
    -------
    >>> import io
    >>> status = StatusLine(io.StringIO())
    >>> for text in ("step 1", "step 2"):
    ...     status.show(text)
    >>> status.finish("done")
    >>> status.stream.getvalue().splitlines()
    ['step 1', 'done']
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        log_interval_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._interval_seconds = log_interval_seconds
        self._clock = clock
        self._last_logged = -float("inf")
        self._status = ""

    def show(self, text: str, *, keep_end: bool = False) -> None:
        """Replace the status.

        Arguments
        ---------
        text : str
            One line.
        keep_end : bool
            Of a text wider than the terminal show the end, not the beginning.
        """
        if self.is_terminal:
            width = shutil.get_terminal_size().columns - 1
            if len(text) > width:
                text = "…" + text[len(text) - width + 1 :] if keep_end else text[: width - 1] + "…"
            self._write(_ERASE_LINE + text)
            self._status = text
        elif self._clock() - self._last_logged >= self._interval_seconds:
            self._last_logged = self._clock()
            self._write(text + "\n")

    def finish(self, text: str = "") -> None:
        """Write lines that stay in the place of the status; without text just remove the status."""
        erase = _ERASE_LINE if self._status else ""
        self._status = ""
        self._last_logged = -float("inf")
        if erase or text:
            self._write(erase + (text + "\n" if text else ""))

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def progress_bar(fraction: float, *, width: int = 24) -> str:
    """A bar of text.

    Example
    -------
    >>> progress_bar(0.5, width=8)
    '████░░░░'
    """
    full = round(max(0.0, min(1.0, fraction)) * width)
    return "█" * full + "░" * (width - full)


def minutes(seconds: float) -> str:
    """A duration as people say it.

    Example
    -------
    >>> minutes(7.4), minutes(300.0), minutes(312.0)
    ('7 s', '5 min', '5 min 12 s')
    """
    whole_minutes, rest = divmod(round(seconds), 60)
    if not whole_minutes:
        return f"{rest} s"
    return f"{whole_minutes} min {rest} s" if rest else f"{whole_minutes} min"
