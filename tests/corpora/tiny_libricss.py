"""A corpus in LibriCSS's layout that is written in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from sb_alexa.corpora.libricss_files import CONDITIONS, MEETING_COLUMNS

SAMPLE_RATE = 1000
Line = tuple[float, float, str, str, str]

# Two talkers overlap; one turn lies within another; one starts when all have ended.
LINES: list[Line] = [
    (0.5, 2.0, "84", "84-1-0", "TURN ON THE LAMP"),
    (1.5, 3.0, "14", "14-1-0", "STOP"),
    (2.25, 2.5, "84", "84-1-1", "NO"),
    (3.0, 3.5, "84", "84-1-2", "GO ON"),
    (5.0, 6.125, "14", "14-1-1", "it  WAS late"),
]


def session_folder(root: Path, condition: str, number: int) -> Path:
    """Where a session lies."""
    return root / condition / f"overlap_ratio_10.0_sil0.1_1.0_session{number}_actual10.3"


def write_session(
    root: Path,
    condition: str = "OV10",
    number: int = 0,
    lines: Sequence[Line] = LINES,
    *,
    num_channels: int = 2,
    duration_s: float = 7.0,
) -> Path:
    """Write one session of noise; return its folder."""
    folder = session_folder(root, condition, number)
    for name in ("record", "clean", "transcription"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng([CONDITIONS.index(condition), number])
    noise = random.uniform(-0.1, 0.1, (round(duration_s * SAMPLE_RATE), num_channels))
    soundfile.write(folder / "record" / "raw_recording.wav", noise, SAMPLE_RATE)
    soundfile.write(folder / "clean" / "mix.wav", noise[:, 0], SAMPLE_RATE)
    write_lines(folder, lines)
    return folder


def write_lines(folder: Path, lines: Sequence[Sequence[object]]) -> None:
    """Write the transcription of a session."""
    rows = ["\t".join(str(field) for field in line) for line in (MEETING_COLUMNS, *lines)]
    (folder / "transcription" / "meeting_info.txt").write_text("\n".join(rows) + "\n")


def write_corpus(root: Path, conditions: Sequence[str] = ("0S", "OV10")) -> Path:
    """Write sessions 0 and 3 of some conditions."""
    for condition in conditions:
        for number in (3, 0):
            write_session(root, condition, number)
    return root
