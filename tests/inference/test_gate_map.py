from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sb_alexa.inference.gate_map import plot_gates
from sb_alexa.inference.transcription import TimedWord
from sb_alexa.nn.gates import Gates
from tests.tiny_model import noise

pytest.importorskip("matplotlib")

from sb_alexa.inference.matplotlib_figure import check_picture, new_figure, save_figure

T, N, H = 100, 12, 4


def random_gates(num_frames: int = T, num_blocks: int = N, groups: int = 1) -> Gates:
    generator = torch.Generator().manual_seed(3)

    def gate(*shape: int) -> torch.Tensor:
        return torch.rand(1, num_frames, *shape, generator=generator) < 0.4

    return Gates(gate(num_blocks, groups), gate(num_blocks, H), gate(num_blocks, H))


def draw(gates: Gates, **options):
    arguments = {
        "seconds_per_frame": 0.03,
        "samples": noise(480 * gates.num_frames),
        "sample_rate": 16000,
        "compute": torch.linspace(0.1, 0.5, gates.num_frames),
        **options,
    }
    return plot_gates(gates, **arguments)


def texts(figure) -> list[str]:
    return [text.get_text().strip() for panel in figure.axes for text in panel.texts]


def panel(figure, label: str):
    return next(one for one in figure.axes if one.get_ylabel() == label)


@pytest.mark.parametrize("groups", [1, 8])
def test_every_toggle_is_a_row_at_its_time(groups: int) -> None:
    gates = random_gates(groups=groups)
    figure = draw(gates)
    for label, kind, rows in (("feed-forward", "feed_forward", N * groups), ("keys", "key", N * H)):
        (image,) = panel(figure, label).get_images()
        expected = getattr(gates, kind)[0].flatten(1).T
        assert np.array_equal(image.get_array(), expected.numpy())
        assert tuple(image.get_extent()) == (0, T * 0.03, rows, 0), "block 1 at the top"
        names = [tick.get_text() for tick in panel(figure, label).get_yticklabels()]
        assert names == [str(n + 1) for n in range(N)]
    assert panel(figure, "keys").get_xlim() == (0, T * 0.03)


@pytest.mark.parametrize("num_blocks", [6, 12])
def test_block_names_do_not_touch(num_blocks: int) -> None:
    figure = draw(random_gates(num_blocks=num_blocks))
    figure.draw_without_rendering()
    for label in ("feed-forward", "queries", "keys"):
        boxes = [tick.get_window_extent() for tick in panel(figure, label).get_yticklabels()]
        for upper, lower in zip(boxes, boxes[1:], strict=False):
            assert lower.y1 <= upper.y0


def test_words_stand_where_they_were_emitted_and_do_not_touch() -> None:
    starts = [0.2, 0.25, 0.3, 1.5, 2.4]
    words = [TimedWord(f"THERMOMETER{i}", s, s + 0.1, 0.9) for i, s in enumerate(starts)]
    figure = draw(random_gates(), words=words)
    figure.draw_without_rendering()
    shown = [text for text in figure.axes[0].texts if "THERMOMETER" in text.get_text()]
    assert sorted(text.get_position()[0] for text in shown) == starts
    heights = {text.get_text().strip(): text.get_position()[1] for text in shown}
    assert heights["THERMOMETER0"] > heights["THERMOMETER1"] > heights["THERMOMETER2"]
    boxes = [text.get_window_extent() for text in shown]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_a_long_word_at_the_end_takes_no_space_from_the_rest() -> None:
    def width(words: list[TimedWord]) -> float:
        figure = draw(random_gates(), words=words)
        figure.draw_without_rendering()
        return panel(figure, "keys").get_window_extent().width

    assert width([TimedWord("ELEVEN" * 40, 2.9, 3.0, 0.9)]) == width([TimedWord("A", 0, 1, 0.9)])


def test_words_that_do_not_fit_are_counted() -> None:
    words = [TimedWord("WORD", 0.5, 0.6, 0.9)] * 9
    assert "emitted\n(6 of 9)" in texts(draw(random_gates(), words=words))


def test_kinds_that_are_not_toggled_are_left_out() -> None:
    figure = draw(random_gates(), kinds=("feed_forward", "key"), title="talk.wav")
    labels = {one.get_ylabel() for one in figure.axes}
    assert "keys" in labels and "queries" not in labels
    assert figure.get_suptitle() == "talk.wav"


def test_keep_rates_and_the_mean() -> None:
    gates = random_gates()
    shown = texts(draw(gates))
    for rate in (100 * gates.feed_forward[0, ..., 0].double().mean(0)).tolist():
        assert f"{rate:.0f} %" in shown
    assert "mean 30 %" in shown


@pytest.mark.parametrize("num_frames", [1, 2000])
def test_very_short_and_long_recordings(num_frames: int, tmp_path: Path) -> None:
    figure = draw(random_gates(num_frames, num_blocks=2))
    assert 10 <= figure.get_figwidth() <= 30
    save_figure(figure, tmp_path / "new" / "gates.png")
    assert (tmp_path / "new" / "gates.png").read_bytes().startswith(b"\x89PNG")


def test_silence_can_be_drawn(tmp_path: Path) -> None:
    save_figure(draw(random_gates(), samples=torch.zeros(480 * T)), tmp_path / "gates.svg")
    assert "<svg" in (tmp_path / "gates.svg").read_text()


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = random_gates()
    with pytest.raises(ValueError, match="one recording"):
        draw(gates, compute=torch.ones(T + 1))
    with pytest.raises(ValueError, match="kinds are some of feed_forward, query, key, got value"):
        draw(gates, kinds=("value",))
    with pytest.raises(ValueError, match=r"ends in \.png, \.pdf, \.svg, got .*gates\.jpg"):
        save_figure(new_figure(1, 1), tmp_path / "gates.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"sb-alexa\[plots\]"):
        draw(gates)
    with pytest.raises(ImportError, match=r"sb-alexa\[plots\]"):
        check_picture("gates.png")
