"""Table and plot of `sb-alexa bench search`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sb_alexa.bench.extra_memory import MemoryUse
from sb_alexa.bench.loss_report import where
from sb_alexa.bench.search_case import SearchResult
from sb_alexa.bench.search_run import SearchBench
from sb_alexa.commands.figures import machine_description

_HEADER = (
    "search",
    "ours (s)",
    "SpeechBrain (s)",
    "speed-up",
    "same labels",
    "label errors, ours / SpeechBrain",
    "extra memory (MiB), ours / SpeechBrain",
)


def markdown(result: SearchBench) -> str:
    """The table, the machine, and what else was measured.

    Arguments
    ---------
    result : SearchBench
        All measurements.

    Returns
    -------
    str
        Markdown.
    """
    problems = result.machine.problems
    lines = [
        f"**{result.size}**",
        "",
        "| " + " | ".join(_HEADER) + " |",
        "|---" * len(_HEADER) + "|",
        *("| " + " | ".join(_cells(one)) + " |" for one in result.results),
        "",
        f"{where('cpu')}, torch {machine_description()['torch']}, float32, encoder frames to "
        "labels. Medians of runs in turns, in brackets the ratios of the best and the worst round. "
        "Label errors: against the labels that the frames were made from. Memory: the measured "
        "peak above the level before the run. SpeechBrain's searches go over the padding.",
        f"Not idle: {'; '.join(problems)}." if problems else "The machine was idle.",
    ]
    return "\n".join(lines)


def plot(result: SearchBench, path: Path) -> None:
    """Draw the time of a search against the batch size.

    Arguments
    ---------
    result : SearchBench
        With a sweep.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    titles = dict.fromkeys(one.searcher.title for one in result.sweep)
    for number, title in enumerate(titles):
        of_title = [one for one in result.sweep if one.searcher.title == title]
        of_title.sort(key=lambda one: one.size.batch_size)
        batches = [one.size.batch_size for one in of_title]
        ours = [float(np.median(one.seconds)) for one in of_title]
        theirs = [float(np.median(one.seconds_speechbrain)) for one in of_title]
        colour = f"C{number}"
        axes.plot(batches, ours, "o-", color=colour, label=f"{title}, ours")
        axes.plot(batches, theirs, "s--", color=colour, label=f"{title}, SpeechBrain")
    batches = sorted({one.size.batch_size for one in result.sweep})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    size = result.size
    axes.set_xlabel("utterances in a batch")
    axes.set_ylabel("time (s)")
    axes.set_title(
        f"Transducer search, T {size.num_frames}, U {size.num_labels}, V {size.vocabulary_size}\n"
        f"{where('cpu')}",
        fontsize="medium",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _cells(result: SearchResult) -> list[str]:
    speedup = result.speedup
    return [
        result.searcher.title,
        f"{np.median(result.seconds):.3g}",
        f"{np.median(result.seconds_speechbrain):.3g}",
        f"**{speedup.median:.2f}** ({speedup.low:.2f}-{speedup.high:.2f})",
        f"{100 * result.same_tokens:.1f} %",
        f"{result.errors.error_rate:.1f} % / {result.errors_speechbrain.error_rate:.1f} %",
        f"{_mib(result.memory)} / {_mib(result.memory_speechbrain)}",
    ]


def _mib(memory: MemoryUse | None) -> str:
    return "" if memory is None else f"{memory.extra_mib:.0f}"
