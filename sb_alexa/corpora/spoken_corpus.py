"""A corpus of synthetic speakers on disk: what it lacks, how it is spoken and declared whole."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import soundfile
from tqdm import tqdm

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.sentences import SentenceSource, draw_several
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ
from sb_alexa.corpora.synthetic import Utterance
from sb_alexa.corpora.synthetic_folder import read_stamp, write_stamp, write_text
from sb_alexa.corpora.voices import Speaker

# Folder, inside the corpus, of what is being written; it can be deleted between runs.
UNFINISHED = ".unfinished"
# Each partition has its own block of speaker ids, so a split's speakers do not depend on the
# others. Blocks are multiples of 16: speakers run through accents and genders from their start.
FIRST_SPEAKER = {"train": 10001, "dev": 20001, "test": 30001}
MAX_SPEAKERS = 9999
# Slightly below the 2.7 s measured over the default corpus: at least as many hours as asked for.
_MEAN_UTTERANCE_S = 2.6


def utterances_per_speaker(
    *, num_train_speakers: int, hours_of_training: float, sentences_per_utterance: int = 1
) -> int:
    """How many utterances each training speaker says to reach about some hours in all.

    Arguments
    ---------
    num_train_speakers : int
        At least 1.
    hours_of_training : float
        More than 0.
    sentences_per_utterance : int
        Most of them, see `draw_sentences`.

    Raises
    ------
    ValueError
        If one is not.

    Example
    -------
    >>> utterances_per_speaker(num_train_speakers=96, hours_of_training=3.0)
    43
    """
    if num_train_speakers < 1:
        raise ValueError(f"num_train_speakers must be >= 1, got {num_train_speakers}")
    if not hours_of_training > 0:
        raise ValueError(f"hours_of_training must be > 0, got {hours_of_training}")
    utterance_s = _MEAN_UTTERANCE_S * (1 + sentences_per_utterance) / 2
    return max(round(hours_of_training * 3600 / utterance_s / num_train_speakers), 1)


def draw_sentences(
    source: SentenceSource,
    partition: str,
    speaker: Speaker,
    num_utterances: int,
    *,
    seed: int,
    sentences_per_utterance: int = 1,
) -> list[str]:
    """What a speaker says; it depends on the seed, the speaker and the number of each utterance.

    Arguments
    ---------
    source : SentenceSource
        Where sentences come from.
    partition : str
        ``train``, ``dev`` or ``test``.
    speaker : Speaker
        Who speaks.
    num_utterances : int
        How many.
    seed : int
        Seed of the corpus.
    sentences_per_utterance : int
        Most of them; the number is drawn for each utterance.
    """
    streams = (
        stream(seed, Purpose.SENTENCE, speaker.speaker_id, index) for index in range(num_utterances)
    )
    return [draw_several(source, partition, rng, most=sentences_per_utterance) for rng in streams]


@dataclass(frozen=True)
class SpokenFolder(ABC):
    """The folder of a corpus that one speaker fills; written as a whole or not at all.

    Arguments
    ---------
    folder : Path
        The corpus.
    speaker : Speaker
        Who speaks.
    num_utterances : int
        How many sentences are said.
    seed : int
        Seed of the corpus.
    """

    folder: Path
    speaker: Speaker
    num_utterances: int
    seed: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Path of the audio, relative to the corpus."""

    @property
    def audio_folder(self) -> Path:
        """Where the audio lies; it appears last, in one step."""
        return self.folder / self.name

    @property
    def unfinished(self) -> Path:
        """Where the audio lies while it is written."""
        return self.folder / UNFINISHED / self.name

    def exists(self) -> bool:
        """Whether the speaker has spoken."""
        return self.audio_folder.is_dir()

    def files(self) -> list[Path]:
        """Return the speaker's files, in a fixed order."""
        return sorted(self.audio_folder.glob("*/*"))

    def size_bytes(self) -> int:
        """Return the size of the speaker's files."""
        return sum(path.stat().st_size for path in self.files())

    def add_to(self, digest: Any) -> float:
        """Add names and contents to a hash of hashlib; return the seconds of audio."""
        duration_s = 0.0
        for path in self.files():
            data = path.read_bytes()
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
            if path.suffix in (".flac", ".wav"):
                duration_s += soundfile.info(io.BytesIO(data)).duration
        return duration_s


Folder = TypeVar("Folder", bound=SpokenFolder)


class SpokenCorpus(Generic[Folder]):
    """The speakers that a folder shall hold, and those that it holds.

    Arguments
    ---------
    folder : Path
        The corpus; created when it is missing.
    arguments : dict
        All that decides its bytes.
    speakers : sequence of SpokenFolder
        Everybody who shall speak.
    tables : sequence of str
        Names of the text files that describe them.

    Raises
    ------
    ValueError
        If the folder holds something else, or a corpus made with other arguments.
    """

    def __init__(
        self,
        folder: Path,
        arguments: dict[str, Any],
        speakers: Sequence[Folder],
        tables: Sequence[str],
    ) -> None:
        stamp = read_stamp(folder, arguments)
        self.folder = folder
        self.arguments = arguments
        self.speakers = speakers
        sizes = stamp.get("readers", {})
        # An interrupted run has no sizes yet, but what it finished was renamed in place as a whole.
        self.missing = [
            one
            for one in speakers
            if not one.exists()
            or (stamp.get("complete") and sizes.get(one.name) != one.size_bytes())
        ]
        has_tables = all((folder / name).is_file() for name in tables)
        self.is_finished = bool(stamp.get("complete")) and not self.missing and has_tables

    def speak(
        self,
        write: Callable[[tuple[Folder, list[str]]], None],
        sentences: Callable[[Folder], list[str]],
        *,
        num_workers: int | None,
        progress: bool,
    ) -> None:
        """Write the speakers that are missing, each in a process of its own.

        Arguments
        ---------
        write : callable
            A function of a module: speaks the sentences of one folder and writes them.
        sentences : callable
            What is said in a folder.
        num_workers : int, optional
            Processes at a time.
        progress : bool
            Whether to show a progress bar on standard error.
        """
        jobs = [(one, sentences(one)) for one in self.missing]
        # Damaged folders go before the stamp does: a resumed run trusts the folders it finds.
        for leftover in (self.folder / UNFINISHED, *(one.audio_folder for one, _ in jobs)):
            shutil.rmtree(leftover, ignore_errors=True)
        write_stamp(self.folder, {"arguments": self.arguments, "complete": False})
        total = sum(one.num_utterances for one in self.speakers)
        with (
            tqdm(
                total=total,
                initial=total - sum(one.num_utterances for one in self.missing),
                unit="utt",
                desc="speaking",
                disable=not progress,
                dynamic_ncols=True,
            ) as bar,
            closing(map_in_fresh_processes(write, jobs, num_workers=num_workers)) as written,
        ):
            for index, _ in written:
                bar.update(jobs[index][0].num_utterances)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def finish(self, tables: Callable[[Mapping[Folder, float]], Mapping[str, str]]) -> None:
        """Write the tables, then the stamp that declares the corpus complete.

        Arguments
        ---------
        tables : callable
            Makes the content of each table by its name from the seconds of audio of each folder.
        """
        digest = hashlib.sha256()
        durations_s = {one: one.add_to(digest) for one in self.speakers}
        for name, text in tables(durations_s).items():
            write_text(self.folder / name, text)
            digest.update(hashlib.sha256(text.encode()).digest())
        stamp = {
            "arguments": self.arguments,
            "complete": True,
            "sha256": digest.hexdigest(),
            "hours": round(sum(durations_s.values()) / 3600, 4),
            "readers": {one.name: one.size_bytes() for one in self.speakers},
        }
        write_stamp(self.folder, stamp)


def write_samples(path: Path, utterance: Utterance, *, format: str) -> None:
    """Write an utterance as 16 bit FLAC or WAV."""
    samples = np.round(utterance.samples * 32767).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format=format)


def put_in_place(moves: Iterable[tuple[Path, Path]]) -> None:
    """Rename finished files and folders, in the order given; parents are created."""
    for source, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
