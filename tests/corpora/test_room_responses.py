"""Impulse responses from folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.room_responses import RoomFolder, read_response
from sb_alexa.corpora.text_files import CorpusError

RATE = 16_000


def write(path: Path, value: float, rate: int = RATE) -> None:
    """A response whose second sample tells which one it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.array([0.0, 0.0, 0.5, value]), rate)


def told(response: np.ndarray) -> float:
    return round(float(response[1]), 2)


def test_talkers_of_a_simulated_room_have_their_own_positions(tmp_path: Path) -> None:
    for room in (1, 2):
        for position in (1, 2):
            write(
                tmp_path / f"room-{room:05d}" / f"position-{position}.wav",
                room / 10 + position / 100,
            )
    rooms = RoomFolder(tmp_path)
    assert len(rooms) == 2
    heard = [[told(rooms.response(room, seat, RATE)) for seat in range(3)] for room in range(4)]
    assert heard == [[0.11, 0.12, 0.11], [0.21, 0.22, 0.21], [0.12, 0.11, 0.12], [0.22, 0.21, 0.22]]


def test_measured_responses_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    for place, name in enumerate(("b/2.wav", "a/1.wav", "b/3.WAV")):
        write(tmp_path / name, 0.1 * (place + 1))
    (tmp_path / "readme.txt").write_text("about")
    rooms = RoomFolder(tmp_path)
    assert len(rooms) == 3
    assert [told(rooms.response(0, seat, RATE)) for seat in range(3)] == [0.2, 0.1, 0.3]
    assert told(rooms.response(4, 0, RATE)) == 0.1


def test_a_response_starts_with_its_direct_sound(tmp_path: Path) -> None:
    response = np.zeros((400, 2))
    response[100] = (0.4, 0.0)
    response[130] = (-0.5, 0.9)  # a reflection that is louder
    soundfile.write(tmp_path / "two.wav", response, RATE)
    read = read_response(tmp_path / "two.wav", RATE)
    assert read.dtype == np.float32 and read.shape == (300,)
    assert read[[0, 30]].tolist() == pytest.approx([0.4, -0.5], abs=1e-4)
    slower = read_response(tmp_path / "two.wav", 8_000)
    assert abs(len(slower) - 150) <= 1 and abs(int(np.argmin(slower)) - 15) <= 1


def test_folders_without_rooms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no impulse responses"):
        RoomFolder(tmp_path)
    write(tmp_path / "room-00001" / "position-1.wav", 0.1)
    (tmp_path / "rooms.json").write_text(json.dumps({"num_rooms": 2}))
    with pytest.raises(CorpusError, match="1 of 2 simulated rooms; run the simulation again"):
        RoomFolder(tmp_path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(10), RATE)
    with pytest.raises(AudioError, match=r"silent.wav: a silent impulse response"):
        read_response(tmp_path / "silent.wav", RATE)
