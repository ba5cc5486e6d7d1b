"""Rooms: impulse responses from talkers to the microphone, measured or simulated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from sb_alexa.corpora.audio import AudioError, read_audio
from sb_alexa.corpora.resampling import resample
from sb_alexa.corpora.source_audio import stored_rate
from sb_alexa.corpora.text_files import CorpusError

# Layout of simulated rooms: several talkers' positions in each.
STAMP = "rooms.json"
_SIMULATED = "room-*/position-*.wav"
_SUFFIXES = (".wav", ".flac")
_DIRECT_PATH_SHARE = 0.5


class Rooms(Protocol):
    """A stock of rooms."""

    def response(self, room: int, seat: int, sample_rate: int) -> np.ndarray | None:
        """From a talker to the microphone.

        Arguments
        ---------
        room : int
            Any number >= 0; the same one gives the same room.
        seat : int
            Number of the talker, from 0: talkers of one mixture sit at different places.
        sample_rate : int
            Samples per second of the response.

        Returns
        -------
        numpy.ndarray or None
            float32 (N,) whose first sample is the direct sound; None for no room at all.
        """
        ...


class NoRoom:
    """Close-talk recordings: no reverberation.

    Example
    -------
    >>> NoRoom().response(3, 0, 16000) is None
    True
    """

    def response(self, room: int, seat: int, sample_rate: int) -> None:
        """No response."""
        return None


class RoomFolder:
    """Impulse responses from a folder of WAV or FLAC files.

    Simulated rooms (:func:`sb_alexa.corpora.room_simulation.simulate_rooms`) lie as
    `room-00001/position-1.wav`: all talkers of a mixture are in one room, at positions of their
    own while there are enough. Any other folder tree is taken as measured responses: neighbours in
    the order of names, which are usually of the same room, are the places of the talkers. Of files
    with many channels the first is used.

    Which room a mixture gets depends on how many there are.

    Arguments
    ---------
    folder : str or path-like
        Searched at all depths.

    Raises
    ------
    CorpusError
        If it holds no audio, or a simulation that was not finished.
    AudioError
        If a response, when asked for, cannot be read.

    Example
    -------
    >>> import soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "hall.wav", np.array([0.0, 0.0, 0.5, 0.25]), 16000)
    >>> RoomFolder(folder).response(7, 0, 16000).tolist()
    [0.5, 0.25]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        root = Path(folder)
        by_room: dict[Path, list[Path]] = {}
        for path in sorted(root.glob(_SIMULATED)):
            by_room.setdefault(path.parent, []).append(path)
        self._rooms = list(by_room.values())
        self._measured: list[Path] = []
        if not self._rooms:
            self._measured = sorted(
                path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES
            )
        if not self._rooms and not self._measured:
            raise CorpusError(
                f"{root} holds no impulse responses: expected WAV or FLAC files, such as "
                "room-00001/position-1.wav"
            )
        _check_finished(root, len(self._rooms))

    def __len__(self) -> int:
        """Rooms, or measured responses."""
        return len(self._rooms) or len(self._measured)

    def response(self, room: int, seat: int, sample_rate: int) -> np.ndarray:
        """See `Rooms.response`."""
        if self._rooms:
            turn, number = divmod(room, len(self._rooms))
            positions = self._rooms[number]
            path = positions[(turn + seat) % len(positions)]
        else:
            path = self._measured[(room + seat) % len(self._measured)]
        return read_response(path, sample_rate)


def read_response(path: str | os.PathLike[str], sample_rate: int) -> np.ndarray:
    """Read an impulse response from its direct sound on.

    The direct sound is where half the greatest amplitude is first exceeded: a reflection may be
    louder than the direct sound, but not by 6 dB in a usual room.

    Arguments
    ---------
    path : str or path-like
        Audio; its first channel is used.
    sample_rate : int
        Samples per second wanted.

    Returns
    -------
    numpy.ndarray
        float32 (N,).

    Raises
    ------
    AudioError
        If it cannot be read or is silent.
    """
    rate_hz = stored_rate(path)
    response = read_audio(path, rate_hz, channel=0).numpy()
    if rate_hz != sample_rate:
        response = resample(response, rate_hz=rate_hz, new_rate_hz=sample_rate)
    amplitude = np.abs(response)
    if not amplitude.max(initial=0.0) > 0:
        raise AudioError("a silent impulse response; remove it", path)
    return response[np.argmax(amplitude >= _DIRECT_PATH_SHARE * amplitude.max()) :]


def _check_finished(root: Path, num_rooms: int) -> None:
    if not (root / STAMP).is_file():
        return
    expected = json.loads((root / STAMP).read_text(encoding="utf-8"))["num_rooms"]
    if num_rooms != expected:
        raise CorpusError(
            f"{root} holds {num_rooms} of {expected} simulated rooms; run the simulation again, "
            "it goes on where it stopped"
        )
