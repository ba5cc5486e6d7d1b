"""The report as one PNG picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.demo.learning_chart import log_ticks
from sb_alexa.demo.report import DemoReport, accent_name, align
from sb_alexa.demo.terminal import minutes

_ACCENT, _SOFT, _WRONG = "#1f5fa8", "#62666f", "#b3401f"


def write_picture(path: Path, report: DemoReport, live_samples: np.ndarray | None = None) -> None:
    """Draw learning curves, error rates by accent and the live time line.

    Arguments
    ---------
    path : Path
        The PNG.
    report : DemoReport
        A finished demo.
    live_samples : numpy.ndarray, optional
        Audio of `report.longest_live`, shape (N,).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with_live = report.longest_live is not None and live_samples is not None
    figure = plt.figure(figsize=(11, 8.6 if with_live else 5.4), layout="constrained")
    top, *below = figure.subfigures(
        2 if with_live else 1, 1, height_ratios=[5, 3][: 1 + with_live], squeeze=False
    )[:, 0]
    overall = report.results.overall
    figure.suptitle(
        f"A ConvRNN-T trained from scratch in {minutes(report.results.seconds_training)}: "
        f"{overall.wer:.1f} % WER [{overall.low:.1f}, {overall.high:.1f}] on "
        f"{overall.num_speakers} unseen speakers\n"
        "synthetic speech: it says nothing about people or accuracy in the real world",
        fontsize=12,
    )
    loss, wer, accents = top.subplots(1, 3)
    _draw_learning(loss, wer, report)
    _draw_accents(accents, report)
    if below and live_samples is not None:
        _draw_time_line(below[0].subplots(), report, live_samples)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def _draw_learning(loss: Any, wer: Any, report: DemoReport) -> None:
    for axes, figure, unit in (
        (loss, "loss", "loss (nats per utterance)"),
        (wer, "wer", "WER (%)"),
    ):
        for event, colour, label in (
            ("train", _SOFT, "training"),
            ("valid", _ACCENT, "development"),
        ):
            points = np.array(report.results.curve(event, figure)).reshape(-1, 2)
            marker = "o" if event == "valid" else ""
            if len(points):
                axes.plot(
                    points[:, 0] / 60,
                    points[:, 1],
                    color=colour,
                    marker=marker,
                    ms=3,
                    lw=1.4,
                    label=label,
                )
        axes.set(xlabel="minutes of training", ylabel=unit, yscale="log")
        values = [
            value
            for event in ("train", "valid")
            for _, value in report.results.curve(event, figure)
        ]
        ticks = log_ticks(min(values), max(values)) if values else []
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        _plain(axes)
    loss.legend(frameon=False)


def _draw_accents(axes: Any, report: DemoReport) -> None:
    rates = report.results.by_accent
    for row, rate in enumerate(reversed(rates.values())):
        axes.plot(
            [rate.low, rate.high],
            [row, row],
            color=_ACCENT,
            lw=3,
            alpha=0.4,
            solid_capstyle="round",
        )
        axes.plot(rate.wer, row, "o", color=_ACCENT, ms=6)
    axes.axvline(report.results.overall.wer, color=_SOFT, ls="--", lw=1)
    axes.set_yticks(range(len(rates)), [accent_name(name) for name in reversed(rates)])
    axes.set(xlabel="WER (%), 95 % interval over speakers", xlim=(0, None))
    _plain(axes)


def _draw_time_line(axes: Any, report: DemoReport, samples: np.ndarray) -> None:
    transcript = report.longest_live
    assert transcript is not None
    times = np.linspace(0, transcript.duration_s, len(samples))
    scale = 0.3 / max(float(np.abs(samples).max()), 1e-9)
    axes.plot(times, samples * scale, color=_SOFT, lw=0.4, alpha=0.7)
    for word in transcript.spoken:
        span = [(word.start_s, word.end_s - word.start_s)]
        axes.broken_barh(span, (0.5, 0.3), fc="#c9dbef", ec="white")
        axes.text(
            (word.start_s + word.end_s) / 2,
            0.65,
            word.text.lower(),
            ha="center",
            va="center",
            fontsize=8,
        )
    row_ends: list[float] = []
    for tag, i, j in align([w.text for w in transcript.spoken], [w.text for w in transcript.shown]):
        if j is None:
            continue
        right = tag == "equal" and i is not None
        if right and i is not None:
            axes.plot(
                [transcript.spoken[i].end_s, transcript.shown[j].shown_s],
                [0.5, -0.5],
                color=_ACCENT,
                lw=0.7,
            )
        shown = transcript.shown[j]
        # On the first row that is free: words that end a chunk together are shown at one time.
        row = next((r for r, end in enumerate(row_ends) if end <= shown.shown_s), len(row_ends))
        width_s = 0.0085 * transcript.duration_s * (len(shown.text) + 1)
        row_ends[row : row + 1] = [shown.shown_s + width_s]
        axes.text(
            shown.shown_s, -0.58 - 0.13 * row, shown.text.lower(),
            fontsize=8, va="center", color="black" if right else _WRONG,
        )  # fmt: skip
    bottom = min(-1.0, -0.58 - 0.13 * len(row_ends))
    axes.set(xlabel="seconds", ylim=(bottom, 1), yticks=[0.65, 0, -0.7], xlim=(0, None))
    axes.set_yticklabels(["said", "audio", "shown"])
    if transcript.latency.latencies_ms:
        delay = f"{transcript.latency.median_ms:.0f} ms"
        axes.set_title(f"live: words on the screen {delay} after their end (median)", fontsize=10)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
