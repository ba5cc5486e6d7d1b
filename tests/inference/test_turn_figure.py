from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from matplotlib.patches import Rectangle

from sb_alexa.inference.turn_figure import draw_turns, plot_turns
from sb_alexa.turn import Turn, Word

REFERENCES = [
    Turn("anna", 0.0, 3.0, "TURN ON THE LIGHT IN THE KITCHEN"),
    Turn("ben", 2.0, 5.5, "AND SET AN ALARM"),
    Turn("anna", 4.0, 7.0, "PLEASE"),
]
RECOGNISED = {
    "channel 1": [
        Turn("channel 1", 0.25, 3.5, "TURN ON", (Word("TURN", 0.5, 1), Word("ON", 1, 2)))
    ],
    "channel 2": [Turn("channel 2", 2.5, 6.0, "AND SET AN ALARM")],
}


def texts(figure) -> list[str]:
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def boxes(panel) -> list[tuple[float, float, float]]:
    """Left, right and bottom of each turn, in seconds and inches."""
    rectangles = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    return [(r.get_x(), r.get_x() + r.get_width(), round(r.get_y(), 6)) for r in rectangles]


def test_turns_lie_in_their_lanes_at_their_times() -> None:
    (panel,) = plot_turns(RECOGNISED, REFERENCES).axes
    drawn = boxes(panel)
    assert [(left, right) for left, right, _ in drawn] == [
        (0.25, 3.5), (2.5, 6.0), (0.0, 3.0), (4.0, 7.0), (2.0, 5.5),
    ]  # fmt: skip
    bottoms = [bottom for _, _, bottom in drawn]
    assert bottoms[0] > bottoms[1] > bottoms[2] == bottoms[3] > bottoms[4], "channels at the top"
    assert panel.get_xlim() == (0.0, 8.0)
    assert [s for s in texts(panel.figure) if s in ("channel 1", "channel 2", "reference")] == [
        "channel 1", "channel 2", "reference",
    ]  # fmt: skip


def test_true_turns_are_lines_through_all_lanes() -> None:
    (panel,) = plot_turns(RECOGNISED, REFERENCES).axes
    dotted = sorted(line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == ":")
    assert dotted == sorted(t for turn in REFERENCES for t in (turn.start_s, turn.end_s))


def test_flags_stand_where_starts_and_ends_were_reported() -> None:
    (panel,) = plot_turns(RECOGNISED, REFERENCES).axes
    flags = [t for t in panel.texts if t.get_text() in "\u25b6\u25c0"]
    assert [flag.get_position()[0] for flag in flags] == [0.25, 3.5, 2.5, 6.0]


def test_words_do_not_touch() -> None:
    crowd = [Word(f"WORD{n}", 0.2 * n, 0.2 * n + 0.1) for n in range(20)]
    turn = Turn("a", 0.0, 4.0, " ".join(word.text for word in crowd), tuple(crowd))
    figure = plot_turns({"channel 1": [turn]}, REFERENCES)
    figure.draw_without_rendering()
    words = {w.text for w in crowd} | {w for turn in REFERENCES for w in turn.text.split()}
    shown = [text for text in figure.axes[0].texts if text.get_text() in words]
    assert {word.text for word in crowd} <= {text.get_text() for text in shown}, "none is left out"
    for one, other in itertools.combinations([text.get_window_extent() for text in shown], 2):
        assert not one.overlaps(other)


def test_timed_words_stand_where_they_were_emitted() -> None:
    figure = plot_turns(RECOGNISED)
    places = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    assert places["TURN"] == pytest.approx(0.5, abs=0.05)
    assert places["ON"] == pytest.approx(1.0, abs=0.05)


def test_a_long_recording_goes_on_in_rows() -> None:
    turns = [Turn("a", 4.0 * n, 4.0 * n + 3, f"WORD{n}") for n in range(10)]
    figure = plot_turns({"channel 1": turns, "channel 2": []}, turns)
    assert [panel.get_xlim() for panel in figure.axes] == [(0, 15), (15, 30), (30, 45)]
    for n in range(10):
        assert texts(figure).count(f"WORD{n}") == 2
    # A turn on both sides of a break is drawn in both rows, one that ends there in the first.
    drawn = [[(left, right) for left, right, _ in boxes(panel)] for panel in figure.axes]
    assert [row.count((12.0, 15.0)) for row in drawn] == [2, 0, 0]
    assert [row.count((28.0, 31.0)) for row in drawn] == [0, 2, 2]


def test_three_talkers_at_once_have_three_lanes() -> None:
    turns = [Turn(name, 0.0, 2.0, "HO") for name in "abc"]
    (panel,) = plot_turns({}, turns).axes
    assert len({bottom for *_, bottom in boxes(panel)}) == 3


def test_nothing_recognised_is_an_empty_lane() -> None:
    (panel,) = plot_turns({"channel 1": [], "channel 2": []}).axes
    assert boxes(panel) == []
    assert texts(panel.figure) == ["channel 1", "channel 2"]


@pytest.mark.parametrize("name", ["turns.png", "turns.svg"])
def test_files(tmp_path: Path, name: str) -> None:
    draw_turns(RECOGNISED, tmp_path / "new" / name, REFERENCES, title="two talkers")
    start = (tmp_path / "new" / name).read_bytes()[:300]
    assert b"PNG" in start or b"<svg" in start or b"<?xml" in start


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_turns({})
    with pytest.raises(ValueError, match=r"\.png"):
        draw_turns(RECOGNISED, tmp_path / "turns.bmp")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'sb-alexa\[plots\]'"):
        draw_turns(RECOGNISED, tmp_path / "turns.png")
