"""Picture of the gates of one recording: frames x toggles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sb_alexa.inference.matplotlib_figure import new_figure
from sb_alexa.inference.transcription import TimedWord
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.log_mel import LogMel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Fields of `Gates`; the colour of what is skipped is nearly that of the paper.
KINDS = ("feed_forward", "query", "key")
_TITLES = {"feed_forward": "feed-forward", "query": "queries", "key": "keys"}
_COLOURS = {"feed_forward": "#b8591b", "query": "#1f5fa8", "key": "#2b7a4b"}
_SKIPPED, _INK, _SOFT = "#f1efea", "#22252b", "#62666f"

# Inches. The only row of a block is taller than one of many, so that the block can be named.
_SINGLE_ROW, _WORD_ROW, _SPEECH, _COMPUTE = 0.14, 0.17, 0.95, 0.95
_ROWS_OF_A_BLOCK = (0.24, 0.44)
_WIDTHS, _INCHES_PER_SECOND, _MARGINS, _MAX_WORD_ROWS = (10.0, 30.0), 1.5, 2.4, 6
_WORD_SIZE = 9.0
_SMALL: dict[str, Any] = {"fontsize": 8, "color": _SOFT, "va": "bottom"}


def plot_gates(
    gates: Gates,
    *,
    seconds_per_frame: float,
    samples: Tensor,
    sample_rate: int,
    compute: Tensor,
    words: Sequence[TimedWord] = (),
    kinds: Sequence[str] = KINDS,
    title: str = "",
) -> Figure:
    """Draw which modules of a gated encoder were computed for which frames of a recording.

    From top to bottom over one axis of seconds: the recognised words where they were emitted, the
    log-mel spectrogram, the toggles by kind and block with their keep rates at the right, and the
    operations of each frame.

    Arguments
    ---------
    gates : Gates
        Of one recording, (1, T, ...).
    seconds_per_frame : float
        Of the encoder.
    samples : Tensor
        (N,) the recording.
    sample_rate : int
        Samples per second.
    compute : Tensor
        (T,) multiply-adds of each frame as a share of those of the dense encoder, 1 = dense.
    words : sequence of TimedWord
        What was recognised; a word is written where its first piece was emitted.
    kinds : sequence of str
        Which of `feed_forward`, `query` and `key` to draw: those that the encoder toggles.
    title : str
        Above the picture.

    Returns
    -------
    Figure
        Of matplotlib, not registered with pyplot: `figure.savefig("gates.png")`.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the gates are those of several recordings, of none, or do not go with `compute`.

    Reference
    ---------
    Xie et al., "Compute Cost Amortized Transformer for Streaming ASR", Interspeech 2022, arXiv
    2207.02393, figure 3. Spectrogram, words, keep rates and operations are ours.
    """
    num_frames = gates.num_frames
    if gates.feed_forward.shape[0] != 1 or not num_frames or compute.shape != (num_frames,):
        raise ValueError(
            "the picture shows one recording: gates (1, T, ...) with T >= 1 and compute (T,), got "
            f"{tuple(gates.feed_forward.shape)} and {tuple(compute.shape)}"
        )
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise ValueError(f"kinds are some of {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}")
    seconds = num_frames * seconds_per_frame
    width = min(max(_INCHES_PER_SECOND * seconds + _MARGINS, _WIDTHS[0]), _WIDTHS[1])
    rows = _word_rows(words, seconds / (width - _MARGINS))
    heights = [_WORD_ROW * max(len(rows), 1), _SPEECH]
    heights += [_panel_height(kind, gates) for kind in kinds]
    heights.append(_COMPUTE)
    figure = new_figure(width, sum(heights) + 1.1)
    grid = figure.subplots(
        len(heights),
        2,
        sharex="col",
        squeeze=False,
        gridspec_kw={"height_ratios": heights, "width_ratios": [width - _MARGINS, 0.9]},
    )
    for panel in (grid[0, 1], grid[1, 1], grid[-1, 1]):
        panel.set_axis_off()
    grid[1, 1].text(0, 0, "computed\nby block\n(pale: skipped)", **_SMALL)
    _draw_words(grid[0, 0], rows, sum(map(len, rows)), len(words))
    _draw_speech(grid[1, 0], samples, sample_rate, words)
    for (panel, bars), kind in zip(grid[2:-1], kinds, strict=True):
        computed = getattr(gates, kind)[0].float().cpu()
        _draw_toggles(panel, computed.flatten(1).numpy(), kind, seconds, gates.num_blocks)
        _draw_keep_rates(bars, computed, kind)
    _draw_compute(grid[-1, 0], grid[-1, 1], compute.double().cpu().numpy(), seconds_per_frame)
    grid[-1, 0].set_xlim(0, seconds)
    if title:
        figure.suptitle(title, fontsize=12, color=_INK, x=0.01, ha="left")
    return figure


def _panel_height(kind: str, gates: Gates) -> float:
    per_block = getattr(gates, kind).shape[3]
    if per_block == 1:
        return _SINGLE_ROW * gates.num_blocks
    low, high = _ROWS_OF_A_BLOCK
    return gates.num_blocks * min(max(0.07 * per_block, low), high)


def _word_rows(words: Sequence[TimedWord], seconds_per_inch: float) -> list[list[TimedWord]]:
    """Rows of words that do not touch: each word in the first row that is free at its time."""
    rows: list[list[TimedWord]] = []
    ends: list[float] = []
    for word in words:
        # Letters of the default font are 0.65 times as wide as high, on average and in capitals.
        width_s = (len(word.word) + 1.5) * 0.65 * _WORD_SIZE / 72 * seconds_per_inch
        row = next((r for r, end in enumerate(ends) if end <= word.start_s), len(rows))
        if row == _MAX_WORD_ROWS:
            continue
        if row == len(rows):
            rows.append([])
            ends.append(0.0)
        rows[row].append(word)
        ends[row] = word.start_s + width_s
    return rows


def _draw_words(panel: Axes, rows: list[list[TimedWord]], num_shown: int, num_words: int) -> None:
    panel.set_axis_off()
    panel.set_ylim(0, max(len(rows), 1))
    style: dict[str, Any] = {"fontsize": _WORD_SIZE, "va": "center"}
    # Read from the top: of words emitted together the first stands highest.
    for height, row in enumerate(reversed(rows)):
        for word in row:
            panel.plot([word.start_s] * 2, [0, height + 0.85], color=_SOFT, lw=0.6)
            text = panel.text(word.start_s, height + 0.5, f" {word.word}", color=_INK, **style)
            # A long word at the end may reach beyond the panel, which shall not shrink for it.
            text.set_in_layout(False)
    label = "emitted " if num_shown == num_words else f"emitted\n({num_shown} of {num_words})"
    panel.text(
        -0.006, 0.5, label, transform=panel.transAxes, ha="right", color=_SOFT, **style
    )  # fmt: skip


def _draw_speech(
    panel: Axes, samples: Tensor, sample_rate: int, words: Sequence[TimedWord]
) -> None:
    hop_ms, n_mels = 10.0, 64
    log_mel = LogMel(sample_rate=sample_rate, hop_length=hop_ms, n_mels=n_mels)
    with torch.no_grad():
        energies = log_mel(samples[None].float().cpu())[0]
    low, high = energies.quantile(torch.tensor([0.02, 0.995])).tolist()
    panel.imshow(
        energies.T.numpy(),
        origin="lower",
        aspect="auto",
        cmap="Greys",
        vmin=low,
        vmax=max(high, low + 1e-3),
        extent=(0, len(energies) * hop_ms / 1000, 0, n_mels),
    )
    for word in words:
        panel.axvline(word.start_s, color=_SOFT, lw=0.5, alpha=0.5)
    panel.set_yticks([])
    _label(panel, "log-mel", _SOFT)
    _frame(panel)


def _draw_toggles(
    panel: Axes, computed: np.ndarray, kind: str, seconds: float, num_blocks: int
) -> None:
    """Rows of toggles, block 1 at the top; several frames in one pixel give a mixed colour."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list(kind, [_SKIPPED, _COLOURS[kind]])
    rows = computed.shape[1]
    panel.imshow(
        computed.T,
        aspect="auto",
        cmap=colours,
        vmin=0,
        vmax=1,
        extent=(0, seconds, rows, 0),
        # Frames that share a pixel are averaged; any others keep their sharp edges.
        interpolation="antialiased" if len(computed) > 1500 else "nearest",
    )
    per_block = rows // num_blocks
    for block in range(1, num_blocks):
        panel.axhline(block * per_block, color="white", lw=1.6 if per_block > 1 else 0.8)
    _name_blocks(panel, num_blocks, per_block)
    _label(panel, _TITLES[kind], _COLOURS[kind])
    _frame(panel)


def _draw_keep_rates(bars: Axes, computed: Tensor, kind: str) -> None:
    """For each block the share that was computed, as a bar and in percent."""
    num_blocks = computed.shape[1]
    rates = 100 * computed.reshape(len(computed), num_blocks, -1).mean(dim=(0, 2))
    bars.barh(np.arange(num_blocks) + 0.5, rates.tolist(), height=0.72, color=_COLOURS[kind])
    for block, rate in enumerate(rates.tolist()):
        # Inside of a long bar, else beside it.
        inside = rate > 45
        bars.text(
            rate - 4 if inside else rate + 4,
            block + 0.5,
            f"{rate:.0f} %",
            va="center_baseline",
            ha="right" if inside else "left",
            color="white" if inside else _INK,
            fontsize=7,
        )
    bars.set(xlim=(0, 100), ylim=(num_blocks, 0), yticks=[], facecolor=_SKIPPED)
    bars.tick_params(axis="x", length=0, labelbottom=False)
    _frame(bars)


def _draw_compute(panel: Axes, beside: Axes, compute: np.ndarray, seconds_per_frame: float) -> None:
    edges = np.arange(len(compute) + 1) * seconds_per_frame
    percent = 100 * compute
    panel.stairs(percent, edges, fill=True, color="#c9ccd3")
    panel.stairs(percent, edges, color=_INK, lw=0.8, baseline=None)
    mean = float(percent.mean())
    panel.axhline(mean, color="#b3261e", lw=1.0, ls="--")
    top = max(105.0, 1.05 * float(percent.max()))
    panel.set_ylim(0, top)
    beside.set_ylim(0, top)
    beside.text(0, mean, f"mean {mean:.0f} %", color="#b3261e", fontsize=9, va="center")
    panel.set_yticks([0, 50, 100], ["0", "50", "100 %"], fontsize=8, color=_SOFT)
    panel.set_xlabel("seconds", color=_SOFT)
    panel.tick_params(colors=_SOFT, length=0)
    _label(panel, "compute\nof dense", _SOFT)
    _frame(panel)


def _name_blocks(panel: Axes, num_blocks: int, per_block: int) -> None:
    centres = [(block + 0.5) * per_block for block in range(num_blocks)]
    panel.set_yticks(centres, [str(block + 1) for block in range(num_blocks)], fontsize=7.5)
    panel.tick_params(axis="y", length=0, pad=3, colors=_SOFT)


def _label(panel: Axes, text: str, colour: str) -> None:
    panel.set_ylabel(text, color=colour, fontsize=10)


def _frame(panel: Axes) -> None:
    panel.spines[:].set_visible(False)
    panel.tick_params(axis="x", length=0)
