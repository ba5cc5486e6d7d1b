"""One reader of the embedded corpus on disk: written as a whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ
from sb_alexa.corpora.synthetic import Utterance, in_room, speak
from sb_alexa.corpora.voices import Speaker

# Folder, inside the corpus, of what is being written; it can be deleted between runs.
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class ReaderFolder:
    """Where a reader of a split lies in LibriSpeech's layout.

    Arguments
    ---------
    folder : Path
        The corpus.
    split : str
        Its split, such as ``train-clean``.
    speaker : Speaker
        The reader.
    num_utterances : int
        How many sentences are read, all in one chapter.
    seed : int
        Seed of the corpus.
    """

    folder: Path
    split: str
    speaker: Speaker
    num_utterances: int
    seed: int

    @property
    def name(self) -> str:
        """Path of the audio, relative to the corpus."""
        return f"{self.split}/{self.speaker.speaker_id}"

    @property
    def audio_folder(self) -> Path:
        """The reader's folder of chapters."""
        return self.folder / self.name

    @property
    def chapter(self) -> str:
        """Name of the only chapter, reader included, with which its files begin."""
        return f"{self.speaker.speaker_id}-1{self.speaker.speaker_id}"

    @property
    def alignment_file(self) -> Path:
        """The times of the words."""
        return self.folder / "alignments" / self.split / f"{self.chapter}.words.csv"

    def exists(self) -> bool:
        """Whether the reader has been written."""
        return self.audio_folder.is_dir() and self.alignment_file.is_file()

    def files(self) -> list[Path]:
        """Return the reader's files, in a fixed order."""
        return [*sorted(self.audio_folder.glob("*/*")), self.alignment_file]

    def size_bytes(self) -> int:
        """Return the size of the reader's files."""
        return sum(path.stat().st_size for path in self.files())

    def add_to(self, digest: Any) -> float:
        """Add names and contents to a hash of hashlib; return the seconds of audio."""
        duration_s = 0.0
        for path in self.files():
            data = path.read_bytes()
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
            if path.suffix == ".flac":
                duration_s += soundfile.info(io.BytesIO(data)).duration
        return duration_s


def write_reader(job: tuple[ReaderFolder, list[str]]) -> None:
    """Speak the sentences of a reader and write them; needs a fresh process.

    The last step, a rename, makes the audio folder appear as a whole.

    Arguments
    ---------
    job : (ReaderFolder, list of str)
        The reader and what is read.
    """
    reader, sentences = job
    unfinished = reader.folder / UNFINISHED / reader.name
    chapter = unfinished / reader.chapter.partition("-")[2]
    chapter.mkdir(parents=True)
    transcript, alignment = io.StringIO(), io.StringIO()
    rows = csv.writer(alignment, lineterminator="\n")
    rows.writerow(["utterance", "word", "start_s", "end_s"])
    for clean in speak(reader.speaker, sentences, seed=reader.seed):
        utterance = in_room(clean, seed=reader.seed)
        name = f"{reader.chapter}-{utterance.index:04d}"
        _write_flac(chapter / f"{name}.flac", utterance)
        transcript.write(f"{name} {utterance.text}\n")
        for word in utterance.words:
            rows.writerow([name, word.label, f"{word.start_s:.4f}", f"{word.end_s:.4f}"])
    _write_text(chapter / f"{reader.chapter}.trans.txt", transcript.getvalue())
    times = unfinished.with_name(reader.alignment_file.name)
    _write_text(times, alignment.getvalue())
    for source, target in ((times, reader.alignment_file), (unfinished, reader.audio_folder)):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_flac(path: Path, utterance: Utterance) -> None:
    samples = np.round(utterance.samples * 32767).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
