"""Computations that take turns, so that what the machine does meanwhile hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Ratio:
    """Time of one computation over the time of another.

    Arguments
    ---------
    median, low, high : float
        Of the ratios within each round.

    Example
    -------
    >>> Ratio.of((1.0, 2.0, 3.0), (2.0, 2.0, 2.0))
    Ratio(median=1.0, low=0.5, high=1.5)
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: tuple[float, ...], others: tuple[float, ...]) -> Ratio:
        """Ratios of the runs of the same rounds."""
        ratios = [a / b for a, b in zip(seconds, others, strict=True)]
        return cls(float(np.median(ratios)), min(ratios), max(ratios))


def time_in_turns(
    functions: Mapping[str, Callable[[], object]],
    num_rounds: int,
    device: str,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, tuple[float, ...]]:
    """Time functions in rounds, every other round in reverse order.

    Arguments
    ---------
    functions : mapping of str to Callable
        By name.
    num_rounds : int
        Runs of each.
    device : str
        What has to be waited for.
    progress : Callable
        Called after each run.

    Returns
    -------
    dict
        Seconds of each run, in the order of the rounds.

    Example
    -------
    >>> order = []
    >>> functions = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    >>> len(time_in_turns(functions, 2, "cpu")["b"]), order
    (2, ['a', 'b', 'b', 'a'])
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(num_rounds):
        order = 1 if number % 2 == 0 else -1
        for name in list(functions)[::order]:
            seconds[name].append(timed(functions[name], device))
            progress()
    return {name: tuple(times) for name, times in seconds.items()}


def timed(function: Callable[[], object], device: str) -> float:
    """Seconds of a call, the work of a GPU included."""
    _wait_for(device)
    start = time.perf_counter()
    function()
    _wait_for(device)
    return time.perf_counter() - start


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads inside of the block.

    Example
    -------
    >>> with num_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait_for(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
