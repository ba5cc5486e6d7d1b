"""Picture of who says what when: recognised turns on a time line, true turns below."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sb_alexa.inference.matplotlib_figure import check_picture, new_figure, save_figure
from sb_alexa.turn import Turn, Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _RECOGNISED, _STARTED, _ENDED = "#22252b", "#62666f", "#e9ecf2", "#1b7a3d", "#b3261e"
# Speakers in the order in which they speak; a ninth has the colour of the first again.
_SPEAKERS = (
    "#1f5fa8", "#b8591b", "#5b4a9e", "#8a6d00", "#a8326e", "#00707a", "#5c6b1d", "#7a4a3a",
)  # fmt: skip

# Inches.
_INCHES_PER_SECOND, _LABELS, _AXIS, _TITLE = 1.05, 1.0, 0.42, 0.35
_WORD_ROW, _MAX_WORD_ROWS, _LANE_GAP = 0.15, 3, 0.2
_WORD_SIZE, _NAME_SIZE, _FLAG_SIZE = 7.5, 6.5, 8.0
_WORD_INDENT_S = 0.03
_SECONDS_PER_ROW, _MIN_SECONDS = 15.0, 6.0


def plot_turns(
    recognised: Mapping[str, Sequence[Turn]],
    references: Sequence[Turn] = (),
    *,
    title: str = "",
) -> Figure:
    """Draw recognised turns, one lane for each output channel, above what was really said.

    A recognised turn reaches from where its start was reported to where its end was, each with a
    flag; its words stand where they were emitted. True turns have the colour of their speaker and
    their starts and ends are dotted lines through all lanes. Long recordings go on in rows of 15
    seconds.

    Arguments
    ---------
    recognised : mapping of str to sequence of Turn
        Name of each channel, in the order of drawing, and its turns; a channel may be empty. Words
        without times are spread over their turn.
    references : sequence of Turn
        True turns, in any order, of any number of talkers at once; none where nobody knows.
    title : str
        Above the picture.

    Returns
    -------
    Figure
        Of matplotlib, not registered with pyplot: `figure.savefig("turns.png")`.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is neither a channel nor a true turn.
    """
    if not recognised and not references:
        raise ValueError("there is nothing to draw: pass at least one channel or one true turn")
    lanes = [(name, tuple(turns), False) for name, turns in recognised.items()]
    lanes += [
        ("reference" if number == 0 else "", lane, True)
        for number, lane in enumerate(_reference_lanes(references))
    ]
    end_s = max([turn.end_s for _, turns, _ in lanes for turn in turns], default=0.0)
    num_rows = max(1, math.ceil(end_s / _SECONDS_PER_ROW))
    # A single row is as long as the recording; of several all have the same scale.
    row_s = _SECONDS_PER_ROW if num_rows > 1 else max(math.ceil(end_s + 0.25), _MIN_SECONDS)
    stretches = [(number * row_s, (number + 1) * row_s) for number in range(num_rows)]
    box = _WORD_ROW * max(
        _word_rows(_placed_words(turns, *stretch)) for _, turns, _ in lanes for stretch in stretches
    )
    panel_height = len(lanes) * (box + _LANE_GAP)
    height = num_rows * (panel_height + _AXIS) + (_TITLE if title else 0.0) + 0.25
    figure = new_figure(_LABELS + _INCHES_PER_SECOND * row_s, height)
    panels = figure.subplots(num_rows, 1, squeeze=False)[:, 0]
    for panel, stretch in zip(panels, stretches, strict=True):
        _draw_stretch(panel, lanes, _speaker_colours(references), box, stretch)
    _draw_legend(panels[-1], panel_height, bool(recognised), bool(references))
    if title:
        figure.suptitle(title, fontsize=12, color=_INK, x=0.01, ha="left")
    return figure


def draw_turns(
    recognised: Mapping[str, Sequence[Turn]],
    path: str | os.PathLike[str],
    references: Sequence[Turn] = (),
    *,
    title: str = "",
) -> None:
    """Draw as `plot_turns` does and write the picture.

    Arguments
    ---------
    recognised : mapping of str to sequence of Turn
        Name and turns of each output channel.
    path : str or path-like
        The file to write, by its name PNG, PDF or SVG.
    references : sequence of Turn
        True turns.
    title : str
        Above the picture.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is nothing to draw, or the name of the file ends in something else.
    """
    check_picture(path)
    save_figure(plot_turns(recognised, references, title=title), path)


def _reference_lanes(turns: Sequence[Turn]) -> list[tuple[Turn, ...]]:
    """As few lanes as hold the turns without overlap: each turn in the first that is free."""
    lanes: list[list[Turn]] = []
    for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)):
        free = next((lane for lane in lanes if lane[-1].end_s <= turn.start_s), None)
        if free is None:
            free = []
            lanes.append(free)
        free.append(turn)
    return [tuple(lane) for lane in lanes]


def _speaker_colours(turns: Sequence[Turn]) -> dict[str, str]:
    speakers = dict.fromkeys(
        turn.speaker for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s))
    )
    return {speaker: _SPEAKERS[n % len(_SPEAKERS)] for n, speaker in enumerate(speakers)}


def _draw_stretch(
    panel: Axes,
    lanes: Sequence[tuple[str, tuple[Turn, ...], bool]],
    colours: Mapping[str, str],
    box: float,
    stretch: tuple[float, float],
) -> None:
    """One row of the picture; the panel is measured in seconds and inches."""
    from matplotlib.ticker import MultipleLocator

    start_s, end_s = stretch
    height = len(lanes) * (box + _LANE_GAP)
    panel.set(xlim=stretch, ylim=(-0.04, height), yticks=[])
    panel.spines[["top", "left", "right"]].set_visible(False)
    panel.spines["bottom"].set_color("#c9ccd3")
    panel.tick_params(colors=_SOFT, labelsize=8, length=3)
    panel.xaxis.set_major_locator(MultipleLocator(1.0))
    panel.xaxis.set_major_formatter("{x:.0f} s")
    for number, (name, turns, is_reference) in enumerate(lanes):
        bottom = height - (number + 1) * (box + _LANE_GAP)
        if name:
            _draw_name(panel, name, bottom + box / 2)
        if not is_reference:
            panel.axhline(bottom + box / 2, color="#d7dae1", lw=0.8, zorder=0)
        for turn in turns:
            if is_reference:
                _draw_edges(panel, turn, colours[turn.speaker], stretch)
            if turn.start_s < end_s and start_s < max(turn.end_s, turn.start_s + 1e-3):
                if is_reference:
                    _draw_true_turn(panel, turn, bottom, box, colours[turn.speaker], start_s)
                else:
                    _draw_recognised_turn(panel, turn, bottom, box)
        for left_s, row, text in _placed_words(turns, *stretch):
            panel.text(
                left_s,
                bottom + box - (row + 0.5) * _WORD_ROW,
                text,
                fontsize=_WORD_SIZE,
                color=_INK,
                va="center_baseline",
            ).set_in_layout(False)


def _draw_name(panel: Axes, name: str, height: float) -> None:
    panel.annotate(
        name,
        (0, height),
        xycoords=("axes fraction", "data"),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9,
        color=_SOFT,
    )


def _draw_edges(panel: Axes, turn: Turn, colour: str, stretch: tuple[float, float]) -> None:
    for time_s in (turn.start_s, turn.end_s):
        if stretch[0] <= time_s < stretch[1]:
            panel.axvline(time_s, color=colour, lw=0.7, ls=":", alpha=0.6)


def _draw_true_turn(
    panel: Axes, turn: Turn, bottom: float, box: float, colour: str, start_s: float
) -> None:
    _draw_box(panel, turn, bottom, box, color=colour, alpha=0.16)
    style: dict[str, Any] = {"fontsize": _NAME_SIZE, "clip_on": True, "va": "bottom"}
    left_s, top = max(turn.start_s, start_s), bottom + box + 0.01
    panel.text(left_s, top, turn.speaker, color=colour, **style)


def _draw_recognised_turn(panel: Axes, turn: Turn, bottom: float, box: float) -> None:
    _draw_box(panel, turn, bottom, box, color=_RECOGNISED)
    style: dict[str, Any] = {"fontsize": _FLAG_SIZE, "clip_on": True, "va": "center"}
    top = bottom + box + 0.13
    for time_s, flag, flag_colour, side in (
        (turn.start_s, "\N{BLACK RIGHT-POINTING TRIANGLE}", _STARTED, "left"),
        (turn.end_s, "\N{BLACK LEFT-POINTING TRIANGLE}", _ENDED, "right"),
    ):
        panel.plot([time_s] * 2, [bottom, top], color=flag_colour, lw=1.4)
        panel.text(time_s, top - 0.045, flag, color=flag_colour, ha=side, **style)


def _draw_box(panel: Axes, turn: Turn, bottom: float, box: float, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    panel.add_patch(Rectangle((turn.start_s, bottom), turn.duration_s, box, lw=0, **style))


def _timed_words(turn: Turn) -> Iterable[Word]:
    """Words of a turn; times that nobody knows are shared out by letters."""
    if turn.words:
        return turn.words
    texts = turn.text.split()
    letters = sum(len(text) + 1 for text in texts)
    words, start_s = [], turn.start_s
    for text in texts:
        end_s = start_s + turn.duration_s * (len(text) + 1) / letters
        words.append(Word(text, start_s, end_s))
        start_s = end_s
    return words


def _placed_words(
    turns: Sequence[Turn], start_s: float, end_s: float
) -> list[tuple[float, int, str]]:
    """Left edge, row and text of words that do not touch; one that finds no room waits for it."""
    placed: list[tuple[float, int, str]] = []
    free_s = [-math.inf] * _MAX_WORD_ROWS
    for word in (word for turn in turns for word in _timed_words(turn)):
        if not start_s <= word.start_s < end_s:
            continue
        # Capitals of the default font are 0.72 times as wide as high, wide ones among them.
        width_s = (len(word.text) + 0.7) * 0.72 * _WORD_SIZE / 72 / _INCHES_PER_SECOND
        # A word at the end of a stretch is moved left rather than cut.
        left_s = min(word.start_s + _WORD_INDENT_S, end_s - width_s)
        row = next((r for r, time_s in enumerate(free_s) if time_s <= left_s), None)
        if row is None:  # words that came out together stand a little late rather than not at all
            row = free_s.index(min(free_s))
            left_s = free_s[row]
        free_s[row] = left_s + width_s
        placed.append((left_s, row, word.text))
    return placed


def _word_rows(placed: Sequence[tuple[float, int, str]]) -> int:
    """Rows that words take, two at least, so that boxes have a height."""
    return max([2, *(row + 1 for _, row, _ in placed)])


def _draw_legend(panel: Axes, height: float, recognised: bool, references: bool) -> None:
    from matplotlib.lines import Line2D

    entries = []
    if recognised:
        entries += [
            Line2D([], [], color=_STARTED, marker=">", ms=5, lw=0, label="turn started"),
            Line2D([], [], color=_ENDED, marker="<", ms=5, lw=0, label="turn ended"),
        ]
    if references:
        label = "start or end of a true turn"
        entries.append(Line2D([], [], color=_SOFT, lw=0.9, ls=":", label=label))
    panel.legend(
        handles=entries,
        ncols=len(entries),
        loc="upper right",
        bbox_to_anchor=(1.0, -0.34 / height),
        frameon=False,
        fontsize=8,
        labelcolor=_SOFT,
        borderaxespad=0.0,
        handletextpad=0.4,
    )
