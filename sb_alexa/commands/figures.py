"""The file that `--json FILE` writes: figures, and the machine they were measured on."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sb_alexa


def machine_description() -> dict[str, Any]:
    """Describe the machine and the libraries that a figure depends on.

    Returns
    -------
    dict
        `cpu` (model), `cpu_cores` (those this process may use), `threads` (of torch),
        `memory_gib`, `gpu` (model or None), `platform`, `python` and `torch`.

    Example
    -------
    >>> description = machine_description()
    >>> description["cpu_cores"] >= 1 and description["threads"] >= 1
    True
    """
    import torch

    return {
        "cpu": _cpu_model(),
        "cpu_cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_figures(
    path: str | os.PathLike[str],
    command: str,
    figures: Mapping[str, float | None],
    *,
    names: Mapping[str, str] | None = None,
    notes: Sequence[str] | None = None,
) -> None:
    """Write figures as JSON: `{"command", "version", "machine", "figures"}`, replaced in one step.

    Arguments
    ---------
    path : str or path-like
        The file to write; its folder is created when it is missing.
    command : str
        What was run, for example ``bench streaming``.
    figures : mapping
        Number by name, flat. None where a figure could not be measured.
    names : mapping of str to str, optional
        Text that belongs to the figures, such as which group is the worst; written as `names`.
    notes : sequence of str, optional
        Sentences that whoever uses the figures should know; written as `notes`.

    Raises
    ------
    ValueError
        If a figure is not a finite number or None.

    Example
    -------
    >>> path = getfixture("tmp_path") / "figures.json"
    >>> write_figures(path, "demo", {"wer": 4.5})
    >>> content = json.loads(path.read_text())
    >>> content["command"], content["figures"]
    ('demo', {'wer': 4.5})
    """
    from sb_alexa.corpora.stamp import replaced_atomically

    for name, value in figures.items():
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        if value is not None and not is_number:
            raise ValueError(
                f"figure {name} is {value!r}; figures are finite numbers, or None where nothing "
                "was measured"
            )
    content = {
        "command": command,
        "version": sb_alexa.__version__,
        "machine": machine_description(),
        "figures": dict(figures),
        **({} if names is None else {"names": dict(names)}),
        **({} if notes is None else {"notes": list(notes)}),
    }
    with replaced_atomically(path) as temporary:
        Path(temporary).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    # A container or a batch system often grants fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
