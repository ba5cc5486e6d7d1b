"""What an interrupted demo remembers: which stages are done and how long it has worked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb_alexa.corpora.stamp import replaced_atomically

_EVERYTHING = "everything"


class DemoJournal:
    """Stages done and time taken, kept in a file so that a rerun goes on from there.

    Arguments
    ---------
    path : Path
        The file.
    arguments : mapping
        What decides the outcome of the demo, as JSON values.
    clock : callable
        Returns seconds; for tests.

    Raises
    ------
    ValueError
        If the file belongs to a demo with other arguments, or is damaged.

    Example
    -------
    >>> path = getfixture("tmp_path") / "demo.json"
    >>> with DemoJournal(path, {"seed": 0}).working() as journal:
    ...     journal.finish("corpus")
    >>> journal = DemoJournal(path, {"seed": 0})
    >>> journal.is_done("corpus"), journal.is_done("test")
    (True, False)
    """

    def __init__(
        self,
        path: Path,
        arguments: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._arguments = dict(arguments)
        self._clock = clock
        self._done: list[str] = []
        self._seconds_before = 0.0
        self._begun = clock()
        if path.is_file():
            self._read()

    @property
    def seconds_total(self) -> float:
        """Time worked, over all interrupted runs; what is done again afterwards does not count."""
        if self.is_done(_EVERYTHING):
            return self._seconds_before
        return self._seconds_before + self._clock() - self._begun

    def is_done(self, stage: str) -> bool:
        """Whether a stage has been finished."""
        return stage in self._done

    def finish(self, stage: str) -> None:
        """Note a stage as done."""
        if stage not in self._done:
            self._done.append(stage)
        self._write()

    def complete(self) -> None:
        """Note the demo as done and stop counting."""
        if not self.is_done(_EVERYTHING):
            self._seconds_before = self.seconds_total
            self.finish(_EVERYTHING)

    @contextmanager
    def working(self, since: float | None = None) -> Iterator[DemoJournal]:
        """Count the time of the block, also if it is interrupted.

        Arguments
        ---------
        since : float, optional
            Time of the clock when the work began. Default: now.
        """
        self._begun = self._clock() if since is None else since
        try:
            yield self
        finally:
            self._write()

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            earlier = content["arguments"]
            self._done, self._seconds_before = content["done"], content["seconds"]
        except (ValueError, KeyError, TypeError) as error:
            folder = self._path.parent
            raise ValueError(f"{self._path} is damaged; delete {folder} and start anew") from error
        if earlier != self._arguments:
            raise ValueError(
                f"{self._path.parent} holds a demo made with {_listed(earlier)}, not "
                f"{_listed(self._arguments)}; choose another --output, or delete the folder"
            )

    def _write(self) -> None:
        content = {
            "arguments": self._arguments,
            "done": self._done,
            "seconds": round(self.seconds_total, 3),
        }
        with replaced_atomically(self._path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in arguments.items())
