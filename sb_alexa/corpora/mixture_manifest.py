"""Manifests of recordings in which several people talk: JSON lines, one mixture a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sb_alexa.corpora.audio import read_audio
from sb_alexa.corpora.manifest import DATA_ROOT
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.text_files import parse_file
from sb_alexa.multitalker.arrangement import overlaps_at_most
from sb_alexa.turn import Turn, Word

_KEYS = ("id", "session", "condition", "path", "channel", "start_s", "end_s", "turns")


@dataclass(frozen=True)
class RecordedMixture:
    """A stretch of a recording and the turns in it.

    Arguments
    ---------
    id : str
        Unique name, such as `OV20-session3-012`.
    session : str
        The recording it is cut from, such as `OV20-session3`: what a bootstrap resamples.
    condition : str
        Group to which results are reported, such as `OV20`.
    path : str
        The audio file.
    channel : int
        Channel of the file, from 0.
    start_s, end_s : float
        The stretch, in seconds from the start of the file.
    turns : tuple of Turn
        In order of start. Times are in seconds **from the start of the stretch**, so that they fit
        the samples that `read` returns.

    Raises
    ------
    ValueError
        If the stretch is empty, the channel is negative or the turns are not in order of start.

    Example
    -------
    >>> turns = (Turn("84", 0.0, 2.5, "TURN ON THE LAMP"), Turn("14", 2.0, 3.0, "STOP"))
    >>> mixture = RecordedMixture(
    ...     "OV20-session3-012", "OV20-session3", "OV20", "a.wav", 0, 60.0, 63.0, turns
    ... )
    >>> mixture.duration_s, mixture.fits_two_channels, mixture.session_turns[1].start_s
    (3.0, True, 62.0)
    """

    id: str
    session: str
    condition: str
    path: str
    channel: int
    start_s: float
    end_s: float
    turns: tuple[Turn, ...]

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_s < self.end_s < float("inf"):
            raise ValueError(
                f"mixture {self.id} lasts from {self.start_s} to {self.end_s} s; it must start at "
                "0 or later and end after its start"
            )
        if self.channel < 0:
            raise ValueError(f"mixture {self.id}: channel={self.channel} must be 0 or more")
        starts = [turn.start_s for turn in self.turns]
        if starts != sorted(starts):
            raise ValueError(f"mixture {self.id}: its turns are not in order of start")

    @property
    def duration_s(self) -> float:
        """Length of the stretch in seconds."""
        return self.end_s - self.start_s

    @property
    def session_turns(self) -> tuple[Turn, ...]:
        """The turns in seconds from the start of the audio file."""
        return tuple(turn.shifted(self.start_s) for turn in self.turns)

    @property
    def fits_two_channels(self) -> bool:
        """Whether never more than two talk at once, so that `arrange_turns` can place the turns."""
        return overlaps_at_most(self.turns, 2)

    def read(self, sample_rate: int = 16_000) -> torch.Tensor:
        """Its samples, float32 (N,), as `read_audio` gives them."""
        return read_audio(
            self.path, sample_rate, channel=self.channel, start_s=self.start_s, end_s=self.end_s
        )


def write_mixture_manifest(
    path: str | os.PathLike[str],
    mixtures: Iterable[RecordedMixture],
    data_root: str | os.PathLike[str],
) -> None:
    """Write mixtures as JSON lines.

    Arguments
    ---------
    path : str or path-like
        The file; replaced in one step.
    mixtures : iterable of RecordedMixture
        In the order to write.
    data_root : str or path-like
        Paths below this folder are written as `$data_root/...`, others as they are.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> turns = (Turn("84", 0.0, 0.75, "STOP", (Word("STOP", 0.25, 0.5),)),)
    >>> mixture = RecordedMixture("a-0", "a", "0L", "/data/a.wav", 0, 1.0, 1.75, turns)
    >>> write_mixture_manifest(folder / "test.jsonl", [mixture], "/data")
    >>> read_mixture_manifest(folder / "test.jsonl", "/data") == [mixture]
    True
    >>> read_mixture_manifest(folder / "test.jsonl", "/elsewhere")[0].path
    '/elsewhere/a.wav'
    """
    prefix = _with_slash(data_root)
    with (
        replaced_atomically(path) as temporary,
        temporary.open("w", newline="\n", encoding="utf-8") as file,
    ):
        for mixture in mixtures:
            audio = Path(mixture.path).as_posix()
            if audio.startswith(prefix):
                audio = DATA_ROOT + audio[len(prefix) :]
            row = {key: getattr(mixture, key) for key in _KEYS}
            row |= {"path": audio, "turns": [_turn_as_json(turn) for turn in mixture.turns]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_mixture_manifest(
    path: str | os.PathLike[str], data_root: str | os.PathLike[str]
) -> list[RecordedMixture]:
    """Read a manifest written by `write_mixture_manifest`.

    Arguments
    ---------
    path : str or path-like
        The JSON lines.
    data_root : str or path-like
        Takes the place of `$data_root`.

    Returns
    -------
    mixtures : list of RecordedMixture
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is not a mixture or repeats an id; the message names file and line.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"manifest {path} does not exist; prepare the corpus first")
    prefix = _with_slash(data_root)
    mixtures: dict[str, RecordedMixture] = {}

    def parse(line: str) -> RecordedMixture:
        mixture = _parse_line(line, prefix)
        if mixture.id in mixtures:
            raise ValueError(f"id {mixture.id!r} is repeated")
        return mixture

    for mixture in parse_file(Path(path), parse):
        mixtures[mixture.id] = mixture
    return list(mixtures.values())


def _with_slash(folder: str | os.PathLike[str]) -> str:
    return Path(folder).as_posix().rstrip("/") + "/"


def _turn_as_json(turn: Turn) -> dict[str, Any]:
    row: dict[str, Any] = {
        key: getattr(turn, key) for key in ("speaker", "start_s", "end_s", "text")
    }
    if turn.words:
        row["words"] = [[word.text, word.start_s, word.end_s] for word in turn.words]
    return row


def _parse_line(line: str, prefix: str) -> RecordedMixture:
    row = json.loads(line)
    if not isinstance(row, dict) or any(key not in row for key in _KEYS):
        raise ValueError(f"a mixture needs the keys {', '.join(_KEYS)}")
    try:
        row["turns"] = tuple(
            Turn(**{**turn, "words": tuple(Word(*word) for word in turn.get("words", ()))})
            for turn in row["turns"]
        )
        if row["path"].startswith(DATA_ROOT):
            row["path"] = prefix + row["path"][len(DATA_ROOT) :]
        return RecordedMixture(**row)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a mixture: {error}") from error
