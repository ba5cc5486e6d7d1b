"""A corpus in LibriSpeech's layout that is written in milliseconds, and what tests do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sb_alexa.corpora import audio, bad_audio
from sb_alexa.corpora.audio import inspect_audio
from sb_alexa.corpora.librispeech import PreparedLibriSpeech, prepare_librispeech

WORDS = ["TURN", "ON", "THE", "KITCHEN", "LIGHT", "PLEASE", "AND", "PLAY", "A", "SONG"]


def write_chapter(folder: Path, reader: int, chapter: int, num_utterances: int) -> None:
    """Write one chapter in LibriSpeech's layout; utterance i lasts 0.1 s + i ms."""
    place = folder / str(reader) / str(chapter)
    place.mkdir(parents=True)
    lines = []
    for i in range(num_utterances):
        name = f"{reader}-{chapter}-{i:04d}"
        random = np.random.default_rng([reader, chapter, i])
        soundfile.write(place / f"{name}.flac", random.uniform(-0.1, 0.1, 1600 + 16 * i), 16_000)
        words = " ".join(WORDS[(reader + k * (i + 1)) % len(WORDS)] for k in range(2 + i % 5))
        lines.append(f"{name} {words}\n")
    (place / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))


def write_corpus(data: Path) -> Path:
    """Write a corpus of 24 + 4 + 4 utterances."""
    for reader in (84, 1272):
        write_chapter(data / "train-clean-5", reader, 7, 6)
        write_chapter(data / "train-clean-5", reader, 12, 6)
    write_chapter(data / "dev-tiny", 14, 1, 4)
    write_chapter(data / "test-tiny", 16, 1, 4)
    (data / "SPEAKERS.TXT").write_text(
        "; comment\n84 | F | train-clean-5 | 8 | A\n1272 | M | train-clean-5 | 8 | B\n"
        "14 | F | dev-tiny | 8 | C\n16 | M | test-tiny | 8 | D\n"
    )
    return data


ALL: dict[str, Any] = {
    "train_splits": ["train-clean-5"],
    "dev_splits": ["dev-tiny"],
    "test_splits": ["test-tiny"],
    "num_word_pieces": 24,
    "num_workers": 2,
}


def prepare(corpus: Path, **kwargs: Any) -> PreparedLibriSpeech:
    return prepare_librispeech(corpus, corpus.parent / "save", **{**ALL, **kwargs})


def flac(corpus: Path, split: str, utterance: str) -> Path:
    reader, chapter, _ = utterance.split("-")
    return corpus / split / reader / chapter / f"{utterance}.flac"


def transcript(corpus: Path, split: str, chapter: str) -> Path:
    return corpus / split / chapter.replace("-", "/") / f"{chapter}.trans.txt"


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def record_inspections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that takes the name of every audio file inspected from now on."""
    names: list[str] = []

    def inspect(path: Path, *, full_decode: bool) -> audio.AudioInfo:
        names.append(Path(path).name)
        return inspect_audio(path, full_decode=full_decode)

    for module in (audio, bad_audio):
        monkeypatch.setattr(module, "inspect_audio", inspect)
    return names
