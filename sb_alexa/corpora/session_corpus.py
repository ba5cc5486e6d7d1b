"""A corpus of conversations on disk, laid out like LibriCSS: what it lacks and how it is made."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from sb_alexa.corpora.libricss_files import AUDIO_FILES, read_turns, scan_sessions
from sb_alexa.corpora.session_folder import HeardTurn, Session, write_session
from sb_alexa.corpora.session_timeline import TIMINGS
from sb_alexa.corpora.spoken_corpus import UNFINISHED
from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV, read_stamp, write_stamp
from sb_alexa.corpora.utterance_groups import ConditionCounts, count_session

MAX_NUMBER = 999
# About this many turns a session are needed for its overlap ratio to be reached.
FEWEST_TURNS = 4
_MIN_MINUTES = 0.1


def checked_conditions(conditions: Sequence[str]) -> list[str]:
    """The names of conditions in their usual order.

    Raises
    ------
    ValueError
        If there is none, or one is unknown or there twice.

    Example
    -------
    >>> checked_conditions(["OV40", "0S"])
    ['0S', 'OV40']
    """
    if isinstance(conditions, str) or not conditions:
        raise ValueError(f"conditions={conditions!r} must be a list such as ['0S', 'OV20']")
    strange = [condition for condition in conditions if condition not in TIMINGS]
    if strange or len(set(conditions)) < len(conditions):
        raise ValueError(
            f"conditions={list(conditions)} must be different ones of {', '.join(TIMINGS)}"
        )
    return [condition for condition in TIMINGS if condition in conditions]


def check_number(name: str, value: int, least: int, most: int = MAX_NUMBER) -> None:
    """Raise ValueError unless an argument is a whole number within bounds."""
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number within {least}..{most}, got {value}")


def check_minutes(minutes_per_session: float) -> None:
    """Raise ValueError unless sessions can be so long."""
    if not _MIN_MINUTES <= minutes_per_session < float("inf"):
        raise ValueError(
            f"minutes_per_session must be >= {_MIN_MINUTES}, got {minutes_per_session}"
        )


class SessionCorpus:
    """The sessions that a folder shall hold, and those that it holds.

    Arguments
    ---------
    folder : Path
        The corpus; created when it is missing.
    arguments : dict
        All that decides its bytes, `seed`, `conditions` and `num_sessions` among it.

    Raises
    ------
    ValueError
        If the folder holds something else, or a corpus made with other arguments.
    """

    def __init__(self, folder: Path, arguments: dict[str, Any]) -> None:
        stamp = read_stamp(folder, arguments)
        self.folder = folder
        self.arguments = arguments
        self.sessions = [
            Session(condition, number, arguments["seed"])
            for condition in arguments["conditions"]
            for number in range(arguments["num_sessions"])
        ]
        self.missing = [one for one in self.sessions if not _is_whole(folder, one, stamp)]
        whole = not self.missing and (folder / SPEAKERS_CSV).is_file()
        self.is_finished = bool(stamp.get("complete")) and whole

    def write(
        self,
        heard: Iterable[tuple[Session, Sequence[HeardTurn]]],
        write_speakers: Callable[[Path], None],
        *,
        doing: str,
        progress: bool,
    ) -> None:
        """Write the sessions that are missing, each as a whole, then what declares all complete.

        Arguments
        ---------
        heard : iterable of (Session, sequence of HeardTurn)
            The missing sessions in any order, each with its turns in order of start.
        write_speakers : callable
            Writes the table of speakers to the path it is given.
        doing : str
            What the progress bar says.
        progress : bool
            Whether to show it, on standard error.
        """
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        # Damaged sessions go before the stamp does: a resumed run trusts the folders it finds.
        for session in self.missing:
            leftover = session.find(self.folder)
            if leftover is not None:
                shutil.rmtree(leftover)
        write_stamp(self.folder, {"arguments": self.arguments, "complete": False})
        with tqdm(
            total=len(self.sessions),
            initial=len(self.sessions) - len(self.missing),
            unit="session",
            desc=doing,
            disable=not progress,
            dynamic_ncols=True,
        ) as bar:
            for session, turns in heard:
                write_session(self.folder, session, turns)
                bar.update()
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        write_speakers(self.folder / SPEAKERS_CSV)
        self._write_summary()

    def _write_summary(self) -> None:
        """Write the stamp that declares the corpus complete and says what it holds."""
        folder = self.folder
        digest = hashlib.sha256()
        sizes = {}
        for session in self.sessions:
            found = session.find(folder)
            assert found is not None
            sizes[session.name] = _size_bytes(found)
            for path in _files(found):
                data = path.read_bytes()
                name = path.relative_to(folder).as_posix()
                digest.update(f"{name}\0{len(data)}\0".encode() + data)
        digest.update(hashlib.sha256((folder / SPEAKERS_CSV).read_bytes()).digest())
        counts = dict.fromkeys(self.arguments["conditions"], ConditionCounts())
        for files in scan_sessions(folder, folder):
            turns = read_turns(folder, files)
            recording = folder / files.path(AUDIO_FILES["record"])
            counts[files.condition] += count_session(turns, soundfile.info(recording).duration)
        stamp = {
            "arguments": self.arguments,
            "complete": True,
            "sha256": digest.hexdigest(),
            "conditions": {name: asdict(count) for name, count in counts.items()},
            "sessions": sizes,
        }
        write_stamp(folder, stamp)


def _is_whole(folder: Path, session: Session, stamp: dict[str, Any]) -> bool:
    """Whether the session lies on disk undamaged."""
    found = session.find(folder)
    if found is None:
        return False
    # An interrupted run has no sizes yet, but what it finished was renamed in place as a whole.
    return not stamp.get("complete") or stamp["sessions"].get(session.name) == _size_bytes(found)


def _files(session: Path) -> list[Path]:
    return sorted(path for path in session.rglob("*") if path.is_file())


def _size_bytes(session: Path) -> int:
    return sum(path.stat().st_size for path in _files(session))
