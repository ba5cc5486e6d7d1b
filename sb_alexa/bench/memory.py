"""Memory of this process and of its GPU."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import torch


def resident_memory_mib() -> float:
    """Resident memory of this process; where the system tells the peak only, the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError, AttributeError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts in KiB, macOS in bytes.
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def reset_peak_memory(device: str) -> None:
    """Let the peak start at the present use.

    Arguments
    ---------
    device : str
        ``cpu`` for this process, or a GPU.
    """
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # elsewhere the peak is that of the process since its start
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_gib(device: str) -> float | None:
    """The largest use since `reset_peak_memory`.

    Arguments
    ---------
    device : str
        ``cpu`` for this process, or a GPU.

    Returns
    -------
    float | None
        GiB allocated by torch on a GPU, GiB resident on a CPU; None where the system does not tell.
    """
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):  # VmHWM:     12345 kB
            return int(line.split()[1]) / 2**20
    return None
