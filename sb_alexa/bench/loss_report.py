"""Table of `sb-alexa bench loss`."""

from __future__ import annotations

import numpy as np

from sb_alexa.bench.loss_run import ComparisonResult, Measurement
from sb_alexa.bench.loss_suite import MATRIX_PRODUCTS, CaseResult, LossResult
from sb_alexa.bench.loss_sweep import GROWTH_FACTOR, MemoryGrowth
from sb_alexa.bench.turns import Ratio
from sb_alexa.commands.figures import machine_description

_HEADER = (
    "tensors",
    "loss",
    "time (s)",
    "/ torchaudio",
    "extra memory (MiB)",
    "/ torchaudio",
    "gradient difference",
)


def markdown(result: LossResult) -> str:
    """The tables, the machine, and what else was measured.

    Arguments
    ---------
    result : LossResult
        All measurements.

    Returns
    -------
    str
        Markdown.
    """
    lines = []
    for case in result.cases:
        lines += [*_case_lines(case), ""]
    lines += [
        f"{where(result.device)}, torch {machine_description()['torch']}, float32. Joint and loss, "
        "forward and backward: medians of runs in turns, in brackets the ratios of the best and "
        "the worst round. Memory: the measured peak above the level before the run.",
        f"Not idle: {'; '.join(result.problems)}." if result.problems else "The machine was idle.",
    ]
    return "\n".join(lines)


def where(device: str) -> str:
    """The processors in words, with the threads of torch.

    Arguments
    ---------
    device : str
        ``cpu`` or a GPU.

    Returns
    -------
    str
        Such as ``2 threads of`` the processor's name.
    """
    machine = machine_description()
    if device != "cpu":
        return str(machine["gpu"])
    threads = machine["threads"]
    return f"{threads} thread{'s' * (threads != 1)} of {machine['cpu']}"


def _case_lines(case: CaseResult) -> list[str]:
    lines = [
        f"**{case.case.size}**",
        "",
        "| " + " | ".join(_HEADER) + " |",
        "|---" * len(_HEADER) + "|",
    ]
    for comparison in case.comparisons:
        lines += _comparison_rows(comparison)
    lines.append("")
    reference = "ours in float64" if case.case.is_detailed else "the first line of its tensors"
    lines.append(f"Gradients are compared with {reference}, relative to the largest number.")
    for comparison in case.comparisons:
        for peer, reason in comparison.skipped.items():
            lines.append(f"{comparison.title}, without {peer}: {reason}.")
    if case.growth is not None:
        lines.append(_growth_line(case.growth))
    return lines


def _comparison_rows(comparison: ComparisonResult) -> list[str]:
    torchaudio = comparison.peer("torchaudio")
    title = f"{comparison.title}, {100 * comparison.valid_share:.0f} % of the cells valid"
    rows = []
    for measurement in comparison.measurements:
        rows.append([title, *_cells(measurement, torchaudio)])
        title = ""
    for name, seconds in comparison.others.items():
        others = Ratio.of(seconds, torchaudio.seconds) if torchaudio else None
        over = comparison.time_over(name)
        label = "matrix products alone" if name == MATRIX_PRODUCTS else name
        label = f"{label}: exact takes {over.median:.2f} ({over.low:.2f}-{over.high:.2f}) of it"
        rows.append(
            ["", label, f"{np.median(seconds):.3g}", _ratio(others, bold=False), "", "", ""]
        )
    return ["| " + " | ".join(row) + " |" for row in rows]


def _cells(measurement: Measurement, torchaudio: Measurement | None) -> list[str]:
    is_ours = measurement.variant.peer is None
    time_ratio, memory_ratio = None, None
    if torchaudio is not None and measurement is not torchaudio:
        time_ratio = measurement.time_ratio(torchaudio)
        memory_ratio = measurement.memory_ratio(torchaudio)
    title = measurement.variant.title
    if measurement.cells_kept is not None:
        title += f" ({100 * measurement.cells_kept:.2g} % of the cells kept)"
    memory_text = "" if memory_ratio is None else f"{memory_ratio:.3f}"
    extra = measurement.extra_mib
    return [
        title,
        f"{measurement.median_seconds:.3g}",
        _ratio(time_ratio, bold=is_ours),
        "" if extra is None else f"{extra:.0f}",
        f"**{memory_text}**" if memory_text and is_ours else memory_text,
        f"{measurement.gradient_difference:.0e}",
    ]


def _ratio(ratio: Ratio | None, *, bold: bool) -> str:
    if ratio is None:
        return ""
    mark = "**" if bold else ""
    return f"{mark}{ratio.median:.2f}{mark} ({ratio.low:.2f}-{ratio.high:.2f})"


def _growth_line(growth: MemoryGrowth) -> str:
    if growth.base_mib is None or growth.vocabulary_mib is None or growth.frames_mib is None:
        return "The memory could not be measured on this system."
    return (
        f"Memory of the exact loss: {growth.base_mib:.0f} MiB, {growth.vocabulary_mib:.0f} MiB "
        f"with {GROWTH_FACTOR} times the vocabulary, {growth.frames_mib:.0f} MiB with "
        f"{GROWTH_FACTOR} times the frames."
    )
