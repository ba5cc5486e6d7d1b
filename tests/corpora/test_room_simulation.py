"""Simulated rooms."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora import room_simulation
from sb_alexa.corpora.room_responses import RoomFolder
from sb_alexa.corpora.room_simulation import draw_room, simulate_rooms
from sb_alexa.corpora.text_files import CorpusError
from tests.corpora.tiny_librispeech import written

needs_pyroomacoustics = pytest.mark.skipif(
    importlib.util.find_spec("pyroomacoustics") is None,
    reason="pyroomacoustics is not installed (pip install 'sb-alexa[multitalker]')",
)


def test_rooms_have_space_for_everybody() -> None:
    rooms = [draw_room(1, number, num_positions=8) for number in range(200)]
    for room in rooms:
        size_m = np.array(room.size_m)
        places = np.array([room.microphone_m, *room.talkers_m])
        assert (places >= 0.5).all() and (places[:, :2] <= size_m[:2] - 0.5).all()
        assert (places[:, 2] < size_m[2]).all()
        distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
        assert distances[~np.eye(9, dtype=bool)].min() >= 0.5
        assert 0.15 <= room.reverberation_time_s <= 0.6
    assert draw_room(1, 0) != draw_room(1, 1) != draw_room(2, 1)


@needs_pyroomacoustics
def test_any_number_of_workers_and_a_resumption_give_the_same_rooms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_simulation, "_ROOMS_PER_PROCESS", 1)
    arguments = {"num_positions": 2, "seed": 3, "progress": False}
    one = simulate_rooms(tmp_path / "one", 2, num_workers=1, **arguments)
    rooms = RoomFolder(one)
    expected = written(one)
    assert len(rooms) == 2 and len(expected) == 2 * 3 + 1
    for seat in range(2):
        response = rooms.response(0, seat, 16_000)
        direct, echo = np.square(response[:40]).sum(), np.square(response[40:]).sum()
        assert echo > 0.01 * direct
        assert 0.15 <= response.size / 16_000 <= 0.7
    assert not np.array_equal(rooms.response(0, 0, 16_000), rooms.response(0, 1, 16_000))

    # Written one after another by other processes, and one of them lost.
    two = simulate_rooms(tmp_path / "two", 1, num_workers=1, **arguments)
    with pytest.raises(ValueError, match=r"holds rooms simulated with .*'seed': 3"):
        simulate_rooms(two, 2, num_positions=2, seed=4)
    kept = (two / "room-00001").stat().st_ino
    simulate_rooms(two, 2, num_workers=2, **arguments)
    assert written(two) == expected
    assert (two / "room-00001").stat().st_ino == kept, "a finished room is not made again"
    shutil.rmtree(two / "room-00001")
    with pytest.raises(CorpusError, match="1 of 2 simulated rooms"):
        RoomFolder(two)
    with pytest.raises(ValueError, match="holds 2 rooms, more than num_rooms=1"):
        simulate_rooms(two, 1, **arguments)


@needs_pyroomacoustics
def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_rooms=0"):
        simulate_rooms(tmp_path, 0)
    with pytest.raises(ValueError, match="num_positions=9"):
        simulate_rooms(tmp_path, 1, num_positions=9)
    (tmp_path / "other.txt").write_text("something else")
    with pytest.raises(ValueError, match="not empty and holds no simulated rooms"):
        simulate_rooms(tmp_path, 1)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sb-alexa\[multitalker\]'"):
        simulate_rooms(tmp_path, 1)
