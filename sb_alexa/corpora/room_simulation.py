"""Simulated rooms: impulse responses of shoe boxes, from pyroomacoustics."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.room_responses import STAMP
from sb_alexa.corpora.stamp import replaced_atomically

_FORMAT = 1
_UNFINISHED = ".unfinished"
# Starting a process and loading pyroomacoustics takes about as long as ten rooms.
_ROOMS_PER_PROCESS = 32
_LEAST_M = (3.0, 3.0, 2.4)
_MOST_M = (8.0, 6.0, 3.5)
_REVERBERATION_S = (0.15, 0.6)
_FROM_WALLS_M = 0.5
_MICROPHONE_HEIGHT_M = (0.7, 1.2)
_MOUTH_HEIGHT_M = (1.1, 1.8)
_LEAST_DISTANCE_M = 0.5
# Reflections up to this order are exact, later ones come from ray tracing: exact ones up to 0.6 s
# took 40 s for four talkers in a small room, these take less than 1 s.
_IMAGE_ORDER = 10
_NUM_RAYS = 5000
_PEAK = 0.9
# Sabine: reverberation time of a box with walls that absorb everything, in s m^-1 of V / S.
_SABINE_S_PER_M = 0.161


@dataclass(frozen=True)
class Room:
    """A shoe box with a microphone and talkers.

    Arguments
    ---------
    size_m : tuple of float
        Length, width, height.
    reverberation_time_s : float
        By Sabine's formula; the simulated one tends to be longer in low rooms with hard walls.
    microphone_m : tuple of float
        From a corner.
    talkers_m : tuple of tuple of float
        From the same corner.
    """

    size_m: tuple[float, ...]
    reverberation_time_s: float
    microphone_m: tuple[float, ...]
    talkers_m: tuple[tuple[float, ...], ...]


def draw_room(seed: int, number: int, *, num_positions: int = 4) -> Room:
    """Draw a room; a function of its arguments alone.

    Arguments
    ---------
    seed : int
        Seed of the rooms.
    number : int
        Which room.
    num_positions : int
        Talkers, each at least 0.5 m from walls, microphone and other talkers.

    Returns
    -------
    Room

    Example
    -------
    >>> room = draw_room(0, 1)
    >>> room == draw_room(0, 1), len(room.talkers_m), 0.15 <= room.reverberation_time_s <= 0.6
    (True, 4, True)
    """
    rng = stream(seed, Purpose.ROOM, number)
    size_m = rng.uniform(_LEAST_M, _MOST_M)
    surface = 2 * (size_m[0] * size_m[1] + size_m[0] * size_m[2] + size_m[1] * size_m[2])
    least_s = 1.5 * _SABINE_S_PER_M * float(np.prod(size_m)) / surface
    reverberation_time_s = rng.uniform(max(_REVERBERATION_S[0], least_s), _REVERBERATION_S[1])
    places = [_draw_place(rng, size_m, _MICROPHONE_HEIGHT_M, [])]
    for _ in range(num_positions):
        places.append(_draw_place(rng, size_m, _MOUTH_HEIGHT_M, places))
    return Room(
        tuple(size_m.tolist()),
        float(reverberation_time_s),
        tuple(places[0].tolist()),
        tuple(tuple(place.tolist()) for place in places[1:]),
    )


def _draw_place(
    rng: np.random.Generator,
    size_m: np.ndarray,
    height_m: tuple[float, float],
    others: list[np.ndarray],
) -> np.ndarray:
    low = np.array([_FROM_WALLS_M, _FROM_WALLS_M, height_m[0]])
    high = np.array([size_m[0] - _FROM_WALLS_M, size_m[1] - _FROM_WALLS_M, height_m[1]])
    while True:
        place = rng.uniform(low, high)
        if all(np.linalg.norm(place - other) >= _LEAST_DISTANCE_M for other in others):
            return place


def simulate_rooms(
    folder: str | os.PathLike[str],
    num_rooms: int,
    *,
    num_positions: int = 4,
    seed: int = 0,
    sample_rate: int = 16_000,
    num_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write impulse responses of shoe-box rooms as `room-00001/position-1.wav` and so on.

    Reverberation times are 0.15 to 0.6 s. Rooms are the same for any number of workers; after an
    interruption only what is missing is made, and a later call may ask for more rooms.

    Arguments
    ---------
    folder : str or path-like
        Where to write; empty, or of an earlier run with the same arguments.
    num_rooms : int
        Rooms in all.
    num_positions : int
        Talkers in each, at most 8.
    seed : int
        Seed of the rooms.
    sample_rate : int
        Samples per second.
    num_workers : int, optional
        Processes; by default one for every processor.
    progress : bool
        Show a bar with the time left, on a terminal.

    Returns
    -------
    Path
        The folder, for `RoomFolder`.

    Raises
    ------
    ImportError
        If pyroomacoustics is not installed.
    ValueError
        If a number is out of range, or the folder holds something else.
    """
    if num_rooms < 1:
        raise ValueError(f"num_rooms={num_rooms} must be at least 1")
    if not 1 <= num_positions <= 8:
        raise ValueError(f"num_positions={num_positions} must lie in 1 to 8, to fit into a room")
    if importlib.util.find_spec("pyroomacoustics") is None:
        raise ImportError(
            "simulating rooms needs pyroomacoustics: pip install 'sb-alexa[multitalker]'"
        )
    root = Path(folder)
    arguments = {
        "format": _FORMAT,
        "num_positions": num_positions,
        "seed": seed,
        "sample_rate": sample_rate,
    }
    _claim(root, arguments, num_rooms)
    missing = [n for n in range(1, num_rooms + 1) if not _room_folder(root, n).is_dir()]
    blocks = [
        missing[first : first + _ROOMS_PER_PROCESS]
        for first in range(0, len(missing), _ROOMS_PER_PROCESS)
    ]
    write = partial(
        _write_rooms, root=root, seed=seed, num_positions=num_positions, sample_rate=sample_rate
    )
    bar = tqdm(
        total=num_rooms,
        initial=num_rooms - len(missing),
        desc="simulating rooms",
        unit="room",
        disable=None if progress else True,
    )
    with bar, closing(map_in_fresh_processes(write, blocks, num_workers=num_workers)) as written:
        for index, _ in written:
            bar.update(len(blocks[index]))
    shutil.rmtree(root / _UNFINISHED, ignore_errors=True)
    return root


def _room_folder(root: Path, number: int) -> Path:
    return root / f"room-{number:05d}"


def _claim(root: Path, arguments: dict[str, Any], num_rooms: int) -> None:
    """Write into the folder what it is for, or check that it is for the same."""
    path = root / STAMP
    if path.is_file():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        earlier_rooms = earlier.pop("num_rooms")
        if earlier != arguments:
            raise ValueError(
                f"{root} holds rooms simulated with {earlier}, not {arguments}; choose another "
                "folder or delete this one"
            )
        if earlier_rooms > num_rooms:
            raise ValueError(
                f"{root} holds {earlier_rooms} rooms, more than num_rooms={num_rooms}; choose "
                "another folder or ask for as many"
            )
    elif root.is_dir() and any(root.iterdir()):
        raise ValueError(f"{root} is not empty and holds no simulated rooms; choose another folder")
    with replaced_atomically(path) as temporary:
        temporary.write_text(
            json.dumps({**arguments, "num_rooms": num_rooms}, indent=1) + "\n", encoding="utf-8"
        )


def _write_rooms(
    numbers: list[int], *, root: Path, seed: int, num_positions: int, sample_rate: int
) -> None:
    for number in numbers:
        room = draw_room(seed, number, num_positions=num_positions)
        noise_seed = int(stream(seed, Purpose.ROOM, number, 1).integers(2**31))
        responses = simulate(room, sample_rate=sample_rate, seed=noise_seed)
        unfinished = root / _UNFINISHED / f"{number}.{os.getpid()}"
        unfinished.mkdir(parents=True)
        (unfinished / "room.json").write_text(json.dumps(asdict(room)) + "\n", encoding="utf-8")
        for position, response in enumerate(responses, start=1):
            soundfile.write(
                unfinished / f"position-{position}.wav", response, sample_rate, subtype="PCM_24"
            )
        os.replace(unfinished, _room_folder(root, number))


def simulate(room: Room, *, sample_rate: int, seed: int) -> list[np.ndarray]:
    """Compute the responses from all talkers of a room to its microphone.

    Arguments
    ---------
    room : Room
        Geometry and reverberation time.
    sample_rate : int
        Samples per second.
    seed : int
        Seed of the ray tracing.

    Returns
    -------
    list of numpy.ndarray
        float32 (N,) of each talker, the loudest sample 0.9, until one reverberation time after it.
    """
    import pyroomacoustics as pra

    # Threads of pyroomacoustics would draw their random numbers in any order.
    pra.constants.set("num_threads", 1)
    pra.random.seed(seed)
    absorption, _ = pra.inverse_sabine(room.reverberation_time_s, room.size_m)
    box = pra.ShoeBox(
        room.size_m,
        fs=sample_rate,
        materials=pra.Material(absorption),
        max_order=_IMAGE_ORDER,
        ray_tracing=True,
        air_absorption=False,
    )
    box.set_ray_tracing(n_rays=_NUM_RAYS)
    box.add_microphone(room.microphone_m)
    for talker_m in room.talkers_m:
        box.add_source(talker_m)
    box.compute_rir()
    return [_cut(response, room, sample_rate) for response in box.rir[0]]


def _cut(response: np.ndarray, room: Room, sample_rate: int) -> np.ndarray:
    loudest = int(np.argmax(np.abs(response)))
    end = loudest + round(room.reverberation_time_s * sample_rate)
    return (response[:end] * (_PEAK / np.abs(response[loudest]))).astype(np.float32)
