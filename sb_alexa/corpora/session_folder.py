"""One session of a conversation on disk: mixed and written as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sb_alexa.corpora.acoustics import coloured_noise, draw_conditions
from sb_alexa.corpora.libricss_files import (
    AUDIO_FILES,
    CONDITIONS,
    MEETING_COLUMNS,
    MEETING_INFO,
    WORD_COLUMNS,
    WORDS,
)
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.session_timeline import TIMINGS, Timing, place_turns
from sb_alexa.corpora.spoken_corpus import UNFINISHED
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ
from sb_alexa.corpora.utterance_groups import overlap_seconds, utterance_groups
from sb_alexa.turn import Turn, Word

GROUPS = "transcription/utterance_groups.txt"
_GROUP_COLUMNS = ("start_time", "end_time", "num_turns")
_PEAK = 0.95
_TAIL_S = 0.5
# Levels of the talkers differ by at most 5 dB, as the energies of training mixtures do.
_SESSION_LEVEL_DBFS = (-28.0, -22.0)
_SPEAKER_OFFSET_DB = (-2.5, 2.5)
# What the streams of a session are for: (seed, SESSION, condition, number, use, ...).
PLAN, ROOM, PLACE, ECHO, EDGES, _TIMES, _NOISE, DELIVERY = range(8)


@dataclass(frozen=True)
class Session:
    """Which session of a corpus it is; that decides its random numbers.

    Arguments
    ---------
    condition : str
        Name of the condition, such as `OV10`.
    number : int
        Number of the session within the condition.
    seed : int
        Seed of the corpus.

    Example
    -------
    >>> session = Session("OV10", 3, seed=0)
    >>> session.name, session.folder_name(overlap_ratio=0.103)
    ('OV10-session3', 'overlap_ratio_10.0_sil0.1_1.0_session3_actual10.3')
    """

    condition: str
    number: int
    seed: int

    @property
    def name(self) -> str:
        """Unique name, such as `OV10-session3`."""
        return f"{self.condition}-session{self.number}"

    @property
    def timing(self) -> Timing:
        """How the turns follow each other."""
        return TIMINGS[self.condition]

    def stream(self, use: int, *key: int) -> np.random.Generator:
        """The random numbers of the session for one use."""
        whole = (CONDITIONS.index(self.condition), self.number, use, *key)
        return stream(self.seed, Purpose.SESSION, *whole)

    def folder_name(self, overlap_ratio: float) -> str:
        """Name of the folder, as LibriCSS makes it: ratios in percent, silences in seconds."""
        low_s, high_s = self.timing.silence_s
        return (
            f"overlap_ratio_{100 * self.timing.overlap_ratio:.1f}_sil{low_s:.1f}_{high_s:.1f}_"
            f"session{self.number}_actual{100 * overlap_ratio:.1f}"
        )

    def find(self, folder: Path) -> Path | None:
        """The session's folder in a corpus, or None if it has not been written."""
        return next((folder / self.condition).glob(f"*_session{self.number}_actual*"), None)


@dataclass(frozen=True)
class HeardTurn:
    """A turn by itself: what is said, and what the far microphone and a close one hear of it.

    Arguments
    ---------
    speaker : str
        Who talks.
    utterance_id : str
        Unique within the session.
    text : str
        What is said.
    recorded, clean : numpy.ndarray
        float32, 16 kHz, shape (N,): as in the room, and without its echo; neither has the noise.
    words : tuple of Word
        Seconds from the first sample; empty where nobody knows them.
    """

    speaker: str
    utterance_id: str
    text: str
    recorded: np.ndarray
    clean: np.ndarray
    words: tuple[Word, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds, silence before and after the words included."""
        return self.clean.size / SAMPLE_RATE_HZ


def draw_level_dbfs(room: np.random.Generator, place: np.random.Generator) -> float:
    """Level of a talker: that of the session, and how far it differs at the talker's place."""
    return room.uniform(*_SESSION_LEVEL_DBFS) + place.uniform(*_SPEAKER_OFFSET_DB)


def at_level(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    """The samples with this root mean square; softer if they would clip, silence as it is.

    Example
    -------
    >>> at_level(np.array([0.5, -0.5], dtype=np.float32), -20.0).tolist()
    [0.10000000149011612, -0.10000000149011612]
    """
    rms = float(np.sqrt(np.mean(np.square(samples)))) or 1.0
    gain = min(10 ** (level_dbfs / 20) / rms, _PEAK / max(float(np.abs(samples).max()), 1e-9))
    return samples * np.float32(gain)


def write_session(folder: Path, session: Session, heard: Sequence[HeardTurn]) -> Path:
    """Mix the turns of a session and write it; return its folder, which appears as a whole.

    Arguments
    ---------
    folder : Path
        The corpus.
    session : Session
        Which one it is; draws when turns start, and the noise.
    heard : sequence of HeardTurn
        All its turns, in order of start.
    """
    starts_s = place_turns(
        [turn.speaker for turn in heard],
        [turn.duration_s for turn in heard],
        session.timing,
        session.stream(_TIMES),
        sample_rate_hz=SAMPLE_RATE_HZ,
    )
    turns = [
        Turn(turn.speaker, 0.0, turn.duration_s, turn.text, turn.words).shifted(start_s)
        for turn, start_s in zip(heard, starts_s, strict=True)
    ]
    recorded, clean = _mix(session, heard, starts_s)
    speech_s = sum(turn.duration_s for turn in turns)
    name = session.folder_name(overlap_seconds(turns) / speech_s)
    unfinished = folder / UNFINISHED / session.condition / name
    for file, samples in ((AUDIO_FILES["record"], recorded), (AUDIO_FILES["mix"], clean)):
        (unfinished / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(unfinished / file, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    _write_transcription(unfinished, [turn.utterance_id for turn in heard], turns)
    finished = folder / session.condition / name
    finished.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, finished)
    return finished


def _mix(
    session: Session, heard: Sequence[HeardTurn], starts_s: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The far microphone's recording, with noise, and the clean sum; 16-bit samples."""
    firsts = [round(start_s * SAMPLE_RATE_HZ) for start_s in starts_s]
    last = max(first + turn.clean.size for first, turn in zip(firsts, heard, strict=True))
    num_samples = last + round(_TAIL_S * SAMPLE_RATE_HZ)
    recorded = _noise(session, num_samples)
    clean = np.zeros(num_samples, dtype=np.float32)
    for first, turn in zip(firsts, heard, strict=True):
        recorded[first : first + turn.recorded.size] += turn.recorded
        clean[first : first + turn.clean.size] += turn.clean
    return _as_int16(recorded), _as_int16(clean)


def _noise(session: Session, num_samples: int) -> np.ndarray:
    """Noise that goes on through the whole session."""
    rng = session.stream(_NOISE)
    conditions = draw_conditions(rng)
    level_dbfs = sum(_SESSION_LEVEL_DBFS) / 2 - conditions.snr_db
    power = 10 ** (level_dbfs / 10)
    return coloured_noise(num_samples, SAMPLE_RATE_HZ, conditions.noise_slope, power, rng)


def _as_int16(samples: np.ndarray) -> np.ndarray:
    gain = min(1.0, _PEAK / max(float(np.abs(samples).max()), 1e-9))
    return np.round(samples * np.float32(gain * 32767)).astype(np.int16)


def _write_transcription(folder: Path, utterance_ids: Sequence[str], turns: Sequence[Turn]) -> None:
    """Write who says what, when; without `WORDS` where no turn knows when its words are said."""
    meeting: list[Sequence[str]] = [MEETING_COLUMNS]
    words: list[Sequence[str]] = [WORD_COLUMNS]
    for name, turn in zip(utterance_ids, turns, strict=True):
        # Seven decimals hold a sample at 16 kHz exactly.
        times = [f"{turn.start_s:.7f}", f"{turn.end_s:.7f}"]
        meeting.append([*times, turn.speaker, name, turn.text])
        words += [[f"{w.start_s:.4f}", f"{w.end_s:.4f}", name, w.text] for w in turn.words]
    groups: list[Sequence[str]] = [_GROUP_COLUMNS]
    for group in utterance_groups(turns):
        end_s = max(turn.end_s for turn in group)
        groups.append([f"{group[0].start_s:.7f}", f"{end_s:.7f}", str(len(group))])
    tables = {MEETING_INFO: meeting, GROUPS: groups}
    if len(words) > 1:
        tables[WORDS] = words
    for file, lines in tables.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join("\t".join(line) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")
