"""Utterances to mix, written in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.mixture_plan import MixturePlan, PlannedTurn
from sb_alexa.corpora.source_audio import SourceAudio


def utterances_lasting(
    durations_s: Sequence[float], speakers: Sequence[str] | None = None
) -> list[Utterance]:
    """Manifest lines without audio, of one speaker each unless speakers are named."""
    names = speakers or [f"speaker{place}" for place in range(len(durations_s))]
    return [
        Utterance(f"{name}-1-{place:04d}", duration_s, f"{place}.flac", name, "GO UP")
        for place, (duration_s, name) in enumerate(zip(durations_s, names, strict=True))
    ]


def write_utterances(
    folder: Path, number: int = 8, *, rate: int = 16_000, amplitude: float = 0.05
) -> list[Utterance]:
    """Noise of unequal lengths by three speakers, as 16-bit files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place in range(number):
        random = np.random.default_rng(place)
        samples = amplitude * random.standard_normal(int(rate * (0.6 + 0.07 * place)))
        name = f"{place % 3}-1-{place:04d}"
        path = folder / f"{name}.flac"
        soundfile.write(path, np.clip(samples, -1, 1), rate)
        text = " ".join("ABCDE"[: 1 + place % 4])
        duration_s = samples.size / rate
        written.append(Utterance(name, duration_s, str(path), str(place % 3), text))
    return written


def plan_of(
    *turns: tuple[Utterance, float, float], noise_snr_db: float | None = None, room: int = 0
) -> MixturePlan:
    """A plan of (utterance, start in seconds, level in dB)."""
    seats: dict[str, int] = {}
    planned = tuple(
        PlannedTurn(said, start_s, level_db, seats.setdefault(said.speaker, len(seats)))
        for said, start_s, level_db in turns
    )
    return MixturePlan(0, 1, 2, planned, room, noise_snr_db, 1.0)


def reader_of(samples: dict[str, np.ndarray], rate: int = 16_000):
    """A reader of sounds that are on no disk, by utterance id."""

    def read(utterance: Utterance) -> SourceAudio:
        return SourceAudio(samples[utterance.id].astype(np.float32), rate)

    return read
