"""Whether the machine was idle: figures taken beside other work are worth nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

# Share of the cores that other processes may use, and change of speed from start to end.
_OTHERS_TOLERATED = 0.05
_DRIFT_TOLERATED = 0.05


@dataclass(frozen=True)
class MachineReport:
    """What was seen of the machine during a benchmark.

    Arguments
    ---------
    load_average : float
        Of the last minute before the start.
    other_cores : float | None
        Cores that other processes kept busy on average; None where the system does not tell.
    num_cores : int
        Cores of the machine.
    calibration_ms : tuple of float
        Median time of a fixed computation before and after.

    Example
    -------
    >>> MachineReport(0.0, 0.0, num_cores=2, calibration_ms=(1.0, 1.01)).problems
    ()
    >>> print(*MachineReport(1.7, 0.9, num_cores=2, calibration_ms=(1.0, 1.0)).problems)
    other processes used 0.90 of 2 cores
    """

    load_average: float
    other_cores: float | None
    num_cores: int
    calibration_ms: tuple[float, float]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the figures are not to be trusted; empty on an idle machine."""
        found = []
        if self.other_cores is None:
            # Only the second best witness: it includes this process and lags by a minute.
            if self.load_average > 0.5:
                found.append(f"the load average at the start was {self.load_average:.2f}")
        elif self.other_cores > _OTHERS_TOLERATED * self.num_cores:
            found.append(f"other processes used {self.other_cores:.2f} of {self.num_cores} cores")
        before, after = self.calibration_ms
        if max(before, after) > (1.0 + _DRIFT_TOLERATED) * min(before, after):
            found.append(
                f"a fixed computation took {before:.2f} ms before and {after:.2f} ms afterwards"
            )
        return tuple(found)


class MachineWatch:
    """Observe the machine from construction to `report`.

    Example
    -------
    >>> report = MachineWatch(calibration_seconds=0.01).report()
    >>> report.num_cores >= 1 and min(report.calibration_ms) > 0
    True
    """

    def __init__(self, *, calibration_seconds: float = 0.5) -> None:
        self.calibration_seconds = calibration_seconds
        self.load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        self.before_ms = calibrate(calibration_seconds)
        self.start = _clocks()

    def report(self) -> MachineReport:
        """What was seen so far."""
        end = _clocks()
        other_cores = None
        if self.start.all_busy_s is not None and end.all_busy_s is not None:
            all_s = end.all_busy_s - self.start.all_busy_s
            own_s = end.own_busy_s - self.start.own_busy_s
            # The system counts in ticks of 10 ms, so a short interval may come out negative.
            other_cores = max(0.0, (all_s - own_s) / max(end.wall_s - self.start.wall_s, 1e-9))
        after_ms = calibrate(self.calibration_seconds)
        return MachineReport(
            self.load_average, other_cores, os.cpu_count() or 1, (self.before_ms, after_ms)
        )


def calibrate(seconds: float) -> float:
    """Median time in ms of a fixed matrix product, repeated for some seconds."""
    matrix = torch.ones(256, 256)
    return float(np.median(_repeat(lambda: matrix @ matrix, seconds)))


def _repeat(function: Callable[[], object], seconds: float) -> list[float]:
    times_ms: list[float] = []
    end = time.perf_counter() + seconds
    while not times_ms or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times_ms.append(1000.0 * (time.perf_counter() - start))
    return times_ms


@dataclass(frozen=True)
class _Clocks:
    """Wall clock, computing time of this process and, where known, of the machine, in s.

    Processes that this one started count as its own once they have ended and been waited for.
    """

    wall_s: float
    own_busy_s: float
    all_busy_s: float | None


def _clocks() -> _Clocks:
    all_busy_s = None
    try:
        # cpu user nice system idle iowait irq softirq steal ..., in clock ticks
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        all_busy_s = (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        pass
    children = os.times()
    own_busy_s = time.process_time() + children.children_user + children.children_system
    return _Clocks(time.perf_counter(), own_busy_s, all_busy_s)
