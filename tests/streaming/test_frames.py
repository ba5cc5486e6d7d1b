from __future__ import annotations

from typing import Any

import pytest

from sb_alexa.streaming.frames import FrameGeometry


def test_the_front_end_of_the_paper() -> None:
    front_end = FrameGeometry(hop=160, window=400).then(FrameGeometry(hop=3, window=3))
    assert front_end == FrameGeometry(hop=480, window=720, look_ahead=0)
    assert front_end.hop_ms(16000) == 30.0


def test_composition_is_associative() -> None:
    parts = [FrameGeometry(2, 5, 1), FrameGeometry(3, 4, 2), FrameGeometry(5, 7, 3)]
    left = parts[0].then(parts[1]).then(parts[2])
    assert left == parts[0].then(parts[1].then(parts[2]))
    assert left == FrameGeometry(hop=30, window=(((7 - 1) * 3 + 4) - 1) * 2 + 5, look_ahead=23)


def test_a_recurrent_part_reaches_back_to_the_beginning() -> None:
    assert FrameGeometry(2, 5).then(FrameGeometry(window=None)).window is None


def test_the_last_hop_is_completed() -> None:
    geometry = FrameGeometry(hop=480, window=720)
    assert [geometry.num_outputs(n) for n in (0, 1, 480, 481)] == [0, 1, 1, 2]
    assert [geometry.padding(n) for n in (0, 1, 480, 481)] == [0, 479, 0, 479]


def test_look_ahead_in_milliseconds() -> None:
    assert FrameGeometry(hop=160, look_ahead=320).look_ahead_ms(16000) == 20.0


@pytest.mark.parametrize("arguments", [{"hop": 0}, {"window": 0}, {"look_ahead": -1}])
def test_arguments_are_checked(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a frame geometry needs"):
        FrameGeometry(**arguments)
