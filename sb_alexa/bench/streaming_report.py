"""Table and picture of `sb-alexa bench streaming`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sb_alexa.bench.streaming_run import ModelResult, StreamingResult
from sb_alexa.commands.figures import machine_description

_ROWS: tuple[tuple[str, Callable[[ModelResult], str]], ...] = (
    ("parameters (M)", lambda m: f"{m.recogniser.num_parameters / 1e6:.1f}"),
    ("multiply-adds per second of audio (G)", lambda m: f"{m.macs_per_second / 1e9:.2f}"),
    ("frame / chunk (ms)", lambda m: f"{m.recogniser.frame_ms:.0f} / {m.recogniser.chunk_ms:.0f}"),
    ("labels per second", lambda m: f"{m.single.tokens_per_second:.1f}"),
    ("**real-time factor**, one stream", lambda m: f"**{m.rtf():.3f}**"),
    ("time of a chunk p50 / p95 (ms)", lambda m: _p50_p95(m, "total")),
    ("**live streams per core**", lambda m: f"**{m.streams_per_core()}**"),
    ("without search: real-time factor", lambda m: f"{m.rtf('encoder'):.3f}"),
    ("without search: time of a chunk p50 / p95 (ms)", lambda m: _p50_p95(m, "encoder")),
    ("without search: live streams per core", lambda m: f"{m.streams_per_core('encoder')}"),
)


def markdown(result: StreamingResult) -> str:
    """The table, the machine, and what else was measured.

    Arguments
    ---------
    result : StreamingResult
        All measurements.

    Returns
    -------
    str
        Markdown.
    """
    names = [model.recogniser.name for model in result.models]
    lines = [
        "| | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {label} | " + " | ".join(cell(model) for model in result.models) + " |"
            for label, cell in _ROWS
        ),
    ]
    machine = machine_description()
    lstm = result.lstm_ms
    lines += [
        "",
        f"One thread of {machine['cpu']}, torch {machine['torch']}, float32, random weights; live "
        "streams: the largest batch of which 95 % of the steps take no longer than the chunk.",
        f"6 bare LSTM layers of 640 cells on 5 frames: {lstm['ours']:.1f} ms as in the models, "
        f"{lstm['native']:.1f} ms with torch's own kernel, {lstm['onednn']:.1f} ms with oneDNN's.",
    ]
    if result.long_stream is not None:
        stream = result.long_stream
        lines.append(
            f"{len(stream.chunk_ms_p50)} minutes of {names[0]} in one stream: memory grew by "
            f"{stream.resident_growth_mib:.1f} MiB after the first minute, the state has "
            f"{stream.state_kib[-1]:.0f} KiB ({stream.state_kib[0]:.0f} after the first minute), "
            f"a chunk took {stream.chunk_ms_p50[0]:.1f} ms in the first minute and "
            f"{stream.chunk_ms_p50[-1]:.1f} ms in the last."
        )
    problems = result.machine.problems
    lines.append(f"Not idle: {'; '.join(problems)}." if problems else "The machine was idle.")
    return "\n".join(lines)


def plot(result: StreamingResult, path: Path) -> None:
    """Draw the time of a step against the number of streams, relative to real time.

    Arguments
    ---------
    result : StreamingResult
        All measurements.
    path : Path
        PNG to write, replaced in one step.
    """
    from matplotlib.figure import Figure

    from sb_alexa.corpora.stamp import replaced_atomically

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, model in enumerate(result.models):
        chunk_ms = model.recogniser.chunk_ms
        batches = sorted(model.batches)
        p95 = [model.batches[batch].p95_ms() / chunk_ms for batch in batches]
        p50 = [model.batches[batch].p50_ms() / chunk_ms for batch in batches]
        colour = f"C{number}"
        label = f"{model.recogniser.name}: {model.streams_per_core()} live"
        axes.plot(batches, p95, "o-", color=colour, label=label)
        axes.plot(batches, p50, ":", color=colour)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.annotate("real time", (0.0, 1.0), xytext=(4, 3), textcoords="offset points")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("live streams in a batch")
    axes.set_ylabel("time of a step / audio in a step")
    axes.set_title("One CPU core: 95 % of the steps (solid), median (dotted)")
    axes.grid(alpha=0.3)
    axes.legend()
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _p50_p95(model: ModelResult, part: str) -> str:
    return f"{model.single.p50_ms(part):.1f} / {model.single.p95_ms(part):.1f}"
