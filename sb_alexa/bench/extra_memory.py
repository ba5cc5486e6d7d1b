"""The memory that one computation needs beyond what was there before."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from sb_alexa.bench.memory import peak_memory_gib, reset_peak_memory, resident_memory_mib

R = TypeVar("R")

# A peak that starts this far above the present use could not be reset.
_RESET_TOLERANCE_MIB = 1.0


@dataclass(frozen=True)
class MemoryUse:
    """Memory before a computation and at its peak.

    Arguments
    ---------
    level_mib, peak_mib : float
        MiB resident on a CPU, MiB allocated by torch on a GPU.

    Example
    -------
    >>> MemoryUse(100.0, 350.0).extra_mib
    250.0
    """

    level_mib: float
    peak_mib: float

    @property
    def extra_mib(self) -> float:
        """What the computation needed."""
        return max(0.0, self.peak_mib - self.level_mib)


def with_memory_use(function: Callable[[], R], device: str) -> tuple[R, MemoryUse | None]:
    """Call a function and observe the memory meanwhile.

    Arguments
    ---------
    function : Callable
        What it returns still counts as in use.
    device : str
        ``cpu`` for the resident memory of this process, or a GPU.

    Returns
    -------
    result : object
        What the function returned.
    use : MemoryUse | None
        None where the system does not tell the peak of a part of the process's life.

    Example
    -------
    >>> with_memory_use(lambda: "result", "cpu")[0]
    'result'
    """
    gc.collect()
    if device != "cpu":
        torch.cuda.synchronize(device)
        reset_peak_memory(device)
        level_mib = torch.cuda.memory_allocated(device) / 2**20
        result = function()
        torch.cuda.synchronize(device)
        return result, MemoryUse(level_mib, torch.cuda.max_memory_allocated(device) / 2**20)
    release_freed_memory()
    reset_peak_memory("cpu")
    level_mib, start_gib = resident_memory_mib(), peak_memory_gib("cpu")
    result = function()
    peak_gib = peak_memory_gib("cpu")
    if start_gib is None or peak_gib is None:
        return result, None
    if 1024 * start_gib - level_mib > _RESET_TOLERANCE_MIB:
        return result, None
    return result, MemoryUse(level_mib, 1024 * peak_gib)


def release_freed_memory() -> None:
    """Give memory that was freed back to the system.

    glibc keeps freed blocks of up to 32 MiB for later allocations: they stay resident, and whatever
    fits into them would not be seen.
    """
    # Other C libraries have no such call, and no need of it.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
