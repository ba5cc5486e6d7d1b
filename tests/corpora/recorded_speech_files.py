"""Folders of single-talker audio in LibriSpeech's layout: noise that lasts as long as speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

WORDS = ["TURN", "ON", "THE", "KITCHEN", "LIGHT", "PLEASE", "AND", "PLAY", "A", "SONG"]


def write_speech(
    split: Path,
    *,
    num_readers: int = 5,
    num_utterances: int = 10,
    sample_rate: int = 16_000,
    shortest_s: float = 1.0,
) -> Path:
    """Write a split; return its folder.

    Reader r reads one chapter, louder than reader r - 1; utterance i lasts `shortest_s` + 0.3 i s.
    """
    for reader in range(11, 11 + num_readers):
        chapter = split / str(reader) / "7"
        chapter.mkdir(parents=True)
        lines = []
        for i in range(num_utterances):
            random = np.random.default_rng([reader, i])
            num_samples = round((shortest_s + 0.3 * i) * sample_rate)
            samples = 0.01 * (reader - 10) * random.standard_normal(num_samples)
            soundfile.write(chapter / f"{reader}-7-{i:04d}.flac", samples, sample_rate)
            said = " ".join(WORDS[(reader + k * (i + 1)) % len(WORDS)] for k in range(2 + i % 5))
            lines.append(f"{reader}-7-{i:04d} {said}\n")
        (chapter / f"{reader}-7.trans.txt").write_text("".join(lines))
    return split
