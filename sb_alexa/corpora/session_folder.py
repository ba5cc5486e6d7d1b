"""One session of a synthetic conversation: spoken, mixed and written as a whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from sb_alexa.corpora.acoustics import coloured_noise, draw_conditions, record
from sb_alexa.corpora.libricss_files import (
    AUDIO_FILES,
    MEETING_COLUMNS,
    MEETING_INFO,
    WORD_COLUMNS,
    WORDS,
)
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.reader_folder import UNFINISHED
from sb_alexa.corpora.session_timeline import Timing, place_turns
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ
from sb_alexa.corpora.synthetic import speak
from sb_alexa.corpora.utterance_groups import overlap_seconds, utterance_groups
from sb_alexa.corpora.voices import Speaker
from sb_alexa.turn import Turn, Word

GROUPS = "transcription/utterance_groups.txt"
_GROUP_COLUMNS = ("start_time", "end_time", "num_turns")
_PEAK = 0.95
_TAIL_S = 0.5
# Levels of the talkers differ by at most 5 dB, as the energies of training mixtures do.
_SESSION_LEVEL_DBFS = (-28.0, -22.0)
_SPEAKER_OFFSET_DB = (-2.5, 2.5)
# What the streams of a session are for: (seed, SESSION, condition, number, use, ...).
PLAN, _ROOM, _PLACE, _ECHO, _EDGES, _TIMES, _NOISE, _DELIVERY = range(8)


@dataclass(frozen=True)
class SessionPlan:
    """What is said in a session and by whom; when is decided once it is spoken.

    Arguments
    ---------
    condition : str
        Name of the condition, such as `OV10`.
    condition_index : int
        Its number, part of the key of every random stream of the session.
    number : int
        Number of the session within the condition.
    timing : Timing
        How the turns follow each other.
    turns : tuple of (Speaker, str)
        Who says what, in order of start; sentences in lower case.
    seed : int
        Seed of the corpus.
    """

    condition: str
    condition_index: int
    number: int
    timing: Timing
    turns: tuple[tuple[Speaker, str], ...]
    seed: int

    @property
    def name(self) -> str:
        """Unique name, such as `OV10-session3`."""
        return f"{self.condition}-session{self.number}"

    @property
    def speakers(self) -> list[Speaker]:
        """Everybody who speaks, in order of their ids."""
        return sorted({who for who, _ in self.turns}, key=lambda who: who.speaker_id)

    def stream(self, use: int, *key: int) -> np.random.Generator:
        """The random numbers of the session for one use."""
        whole = (self.condition_index, self.number, use, *key)
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
class SpokenTurn:
    """A turn by itself: what the far microphone and a close one hear of it.

    Arguments
    ---------
    index : int
        Number of the turn within the session.
    recorded, clean : numpy.ndarray
        float32, 16 kHz, shape (N,): with the room's echo, and without; neither has noise.
    words : tuple of Word
        Seconds from the first sample.
    """

    index: int
    recorded: np.ndarray
    clean: np.ndarray
    words: tuple[Word, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds, silence before and after the words included."""
        return self.clean.size / SAMPLE_RATE_HZ


def speak_turns(job: tuple[SessionPlan, Speaker]) -> list[SpokenTurn]:
    """Speak all turns of one speaker of a session; needs a fresh process.

    A speaker keeps a place in the room, and so an echo and a level, throughout the session.

    Arguments
    ---------
    job : (SessionPlan, Speaker)
        The session and who speaks.
    """
    plan, speaker = job
    indices = [index for index, (who, _) in enumerate(plan.turns) if who == speaker]
    room = plan.stream(_ROOM)
    at_place = plan.stream(_PLACE, speaker.speaker_id)
    place = replace(
        draw_conditions(at_place),
        reverberation_time_s=draw_conditions(room).reverberation_time_s,
        level_dbfs=room.uniform(*_SESSION_LEVEL_DBFS) + at_place.uniform(*_SPEAKER_OFFSET_DB),
        snr_db=math.inf,
    )
    seed = int(plan.stream(_DELIVERY).integers(2**31))
    sentences = [plan.turns[index][1] for index in indices]
    spoken = []
    for index, said in zip(indices, speak(speaker, sentences, seed=seed), strict=True):
        edges = draw_conditions(plan.stream(_EDGES, index))
        conditions = replace(place, lead_s=edges.lead_s, tail_s=edges.tail_s)
        # The same stream every time: the echo is drawn first, so it is the same for all turns.
        echo = plan.stream(_ECHO, speaker.speaker_id)
        recorded = record(said.samples, conditions, echo)
        lead = round(conditions.lead_s * SAMPLE_RATE_HZ)
        clean = np.zeros_like(recorded)
        clean[lead : lead + said.samples.size] = _at_level(said.samples, conditions.level_dbfs)
        delay_s = lead / SAMPLE_RATE_HZ
        words = tuple(Word(w.label, w.start_s + delay_s, w.end_s + delay_s) for w in said.words)
        spoken.append(SpokenTurn(index, recorded, clean, words))
    return spoken


def _at_level(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    rms = float(np.sqrt(np.mean(np.square(samples)))) or 1.0
    gain = min(10 ** (level_dbfs / 20) / rms, _PEAK / max(float(np.abs(samples).max()), 1e-9))
    return samples * np.float32(gain)


def write_session(folder: Path, plan: SessionPlan, spoken: Iterable[SpokenTurn]) -> Path:
    """Mix the turns of a session and write it; return its folder, which appears as a whole.

    Arguments
    ---------
    folder : Path
        The corpus.
    plan : SessionPlan
        What was planned.
    spoken : iterable of SpokenTurn
        All its turns, in any order.
    """
    in_order = sorted(spoken, key=lambda turn: turn.index)
    speakers = [str(who.speaker_id) for who, _ in plan.turns]
    starts_s = place_turns(
        speakers,
        [turn.duration_s for turn in in_order],
        plan.timing,
        plan.stream(_TIMES),
        sample_rate_hz=SAMPLE_RATE_HZ,
    )
    turns = [
        Turn(who, 0.0, turn.duration_s, _text(turn), turn.words).shifted(start_s)
        for who, turn, start_s in zip(speakers, in_order, starts_s, strict=True)
    ]
    recorded, clean = _mix(plan, in_order, starts_s)
    speech_s = sum(turn.duration_s for turn in turns)
    name = plan.folder_name(overlap_seconds(turns) / speech_s)
    unfinished = folder / UNFINISHED / plan.condition / name
    for file, samples in ((AUDIO_FILES["record"], recorded), (AUDIO_FILES["mix"], clean)):
        (unfinished / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(unfinished / file, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    _write_transcription(unfinished, plan, turns)
    finished = folder / plan.condition / name
    finished.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, finished)
    return finished


def _text(turn: SpokenTurn) -> str:
    return " ".join(word.text for word in turn.words)


def _mix(
    plan: SessionPlan, spoken: Sequence[SpokenTurn], starts_s: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The far microphone's recording, with noise, and the clean sum; 16-bit samples."""
    firsts = [round(start_s * SAMPLE_RATE_HZ) for start_s in starts_s]
    last = max(first + turn.clean.size for first, turn in zip(firsts, spoken, strict=True))
    num_samples = last + round(_TAIL_S * SAMPLE_RATE_HZ)
    recorded = _noise(plan, num_samples)
    clean = np.zeros(num_samples, dtype=np.float32)
    for first, turn in zip(firsts, spoken, strict=True):
        recorded[first : first + turn.recorded.size] += turn.recorded
        clean[first : first + turn.clean.size] += turn.clean
    return _as_int16(recorded), _as_int16(clean)


def _noise(plan: SessionPlan, num_samples: int) -> np.ndarray:
    """Noise that goes on through the whole session."""
    rng = plan.stream(_NOISE)
    conditions = draw_conditions(rng)
    level_dbfs = sum(_SESSION_LEVEL_DBFS) / 2 - conditions.snr_db
    power = 10 ** (level_dbfs / 10)
    return coloured_noise(num_samples, SAMPLE_RATE_HZ, conditions.noise_slope, power, rng)


def _as_int16(samples: np.ndarray) -> np.ndarray:
    gain = min(1.0, _PEAK / max(float(np.abs(samples).max()), 1e-9))
    return np.round(samples * np.float32(gain * 32767)).astype(np.int16)


def _write_transcription(folder: Path, plan: SessionPlan, turns: Sequence[Turn]) -> None:
    meeting: list[Sequence[str]] = [MEETING_COLUMNS]
    words: list[Sequence[str]] = [WORD_COLUMNS]
    for index, turn in enumerate(turns):
        name = f"{turn.speaker}-{plan.condition}s{plan.number}-{index:04d}"
        # Seven decimals hold a sample at 16 kHz exactly.
        times = [f"{turn.start_s:.7f}", f"{turn.end_s:.7f}"]
        meeting.append([*times, turn.speaker, name, turn.text])
        words += [[f"{w.start_s:.4f}", f"{w.end_s:.4f}", name, w.text] for w in turn.words]
    groups: list[Sequence[str]] = [_GROUP_COLUMNS]
    for group in utterance_groups(turns):
        end_s = max(turn.end_s for turn in group)
        groups.append([f"{group[0].start_s:.7f}", f"{end_s:.7f}", str(len(group))])
    for file, lines in ((MEETING_INFO, meeting), (WORDS, words), (GROUPS, groups)):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join("\t".join(line) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")
