"""The embedded corpus on disk, laid out like LibriSpeech."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.reader_folder import UNFINISHED, ReaderFolder, write_reader
from sb_alexa.corpora.sentences import PARTITIONS, CommandGrammar, SentenceSource, TextSentences
from sb_alexa.corpora.synthesis import require_espeak
from sb_alexa.corpora.synthetic_folder import (
    SPEAKERS_CSV,
    read_stamp,
    speakers_csv,
    text_sha256,
    write_stamp,
    write_text,
)
from sb_alexa.corpora.voices import check_hardness, make_speakers

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
_TABLES = ("SPEAKERS.TXT", SPEAKERS_CSV)
# Each partition has its own block of reader ids, so a split's readers do not depend on the others.
# Blocks are multiples of 16: readers run through accents and genders from the start of the block.
FIRST_READER = {"train": 10001, "dev": 20001, "test": 30001}
_MAX_READERS = 9999
_FOLDER_NAME = re.compile(r"[\w.-]+")
_MAX_UTTERANCES = 9999
# Slightly below the 2.7 s measured over the default corpus: at least as many hours as asked for.
_MEAN_UTTERANCE_S = 2.6

_SPEAKERS_HEADER = """\
; Synthetic readers of the embedded corpus (eSpeak NG voices). Nobody is described here.
;
; The meaning of the fields in left-to-right order is as follows:
;
; reader_id: the ID of the reader
; gender: 'F' for female, 'M' for male
; subset: the corpus subset to which the reader's audio is assigned
; duration: total number of minutes of speech by the reader, included in the corpus
; name: accent of the voice
;
;ID  |SEX| SUBSET           |MINUTES| NAME
"""


@dataclass(frozen=True)
class SplitSpec:
    """Size of one split.

    Arguments
    ---------
    num_speakers : int
        Readers, 1 to 9999; multiples of 16 are balanced over accents and genders.
    num_utterances_per_speaker : int
        Utterances of each, 1 to 9999.
    """

    num_speakers: int
    num_utterances_per_speaker: int

    def __post_init__(self) -> None:
        for name, largest in (
            ("num_speakers", _MAX_READERS),
            ("num_utterances_per_speaker", _MAX_UTTERANCES),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= largest:
                raise ValueError(f"{name} must be a whole number within 1..{largest}, got {value}")


def default_splits(
    *, num_train_speakers: int = 96, hours_of_training: float = 3.0
) -> dict[str, SplitSpec]:
    """Return the splits of the demonstration: train-clean, dev-clean and test-clean.

    Arguments
    ---------
    num_train_speakers : int
        Readers in train-clean. More readers saying less each help unseen readers most.
    hours_of_training : float
        Approximate length of train-clean, hours.

    Example
    -------
    >>> splits = default_splits(num_train_speakers=48, hours_of_training=1.0)
    >>> splits["test-clean"]
    SplitSpec(num_speakers=32, num_utterances_per_speaker=12)
    """
    if num_train_speakers < 1:
        raise ValueError(f"num_train_speakers must be >= 1, got {num_train_speakers}")
    if not hours_of_training > 0:
        raise ValueError(f"hours_of_training must be > 0, got {hours_of_training}")
    per_speaker = round(hours_of_training * 3600 / _MEAN_UTTERANCE_S / num_train_speakers)
    return {
        "train-clean": SplitSpec(num_train_speakers, max(per_speaker, 1)),
        "dev-clean": SplitSpec(16, 8),
        "test-clean": SplitSpec(32, 12),
    }


def write_librispeech(
    folder: str | Path,
    *,
    seed: int = 0,
    splits: Mapping[str, SplitSpec] | None = None,
    text_file: str | Path | None = None,
    hardness: Mapping[str, Mapping[str, float]] | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the embedded corpus in LibriSpeech's layout; return its folder.

    ::

        <split>/<reader>/<chapter>/<reader>-<chapter>-<nnnn>.flac    16 kHz, mono, 16 bit
        <split>/<reader>/<chapter>/<reader>-<chapter>.trans.txt
        alignments/<split>/<reader>-<chapter>.words.csv              utterance,word,start_s,end_s
        SPEAKERS.TXT, speakers.csv, synthetic_corpus.json

    A finished corpus made with the same arguments is recognised and left as it is. An interrupted
    one is resumed reader by reader. The bytes depend on the arguments only, not on the number of
    workers and not on interruptions.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to write; new, empty, or an earlier corpus made with the same arguments.
    seed : int
        Seed of readers, sentences and recording conditions.
    splits : mapping of str to SplitSpec, optional
        Splits by name. The beginning of the name (``train``, ``dev`` or ``test``) decides where
        the sentences come from; no sentence and no reader is in two of them.
        Default: :func:`default_splits`.
    text_file : str or pathlib.Path, optional
        English text whose sentences are read, instead of household commands.
    hardness : mapping, optional
        Planted difficulty of groups, see :func:`sb_alexa.corpora.voices.make_speakers`.
    num_workers : int, optional
        Processes at a time. Default: the number of processors.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ImportError
        If the speech engine is not installed.
    ValueError
        If an argument is out of range, or the folder holds something else.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as temporary:
    ...     splits = {"test-clean": SplitSpec(num_speakers=1, num_utterances_per_speaker=2)}
    ...     corpus = write_librispeech(temporary, splits=splits, progress=False)
    ...     sorted(path.name for path in corpus.glob("test-clean/*/*/*"))
    ['30001-130001-0000.flac', '30001-130001-0001.flac', '30001-130001.trans.txt']
    """
    folder = Path(folder).resolve()
    splits = default_splits() if splits is None else dict(splits)
    text_file = None if text_file is None else str(Path(text_file).resolve())
    arguments = _arguments(seed, splits, text_file, hardness)
    source = CommandGrammar() if text_file is None else TextSentences.from_file(text_file)
    readers = _readers(folder, seed, splits, hardness)
    stamp = read_stamp(folder, arguments)
    done = _finished(readers, stamp)
    if stamp.get("complete") and len(done) == len(readers) and _has_tables(folder):
        return folder
    require_espeak()
    jobs = [(reader, _sentences(reader, source)) for reader in readers if reader not in done]
    # Damaged readers go before the stamp does: a resumed run trusts the folders it finds.
    for leftover in (folder / UNFINISHED, *(reader.audio_folder for reader, _ in jobs)):
        shutil.rmtree(leftover, ignore_errors=True)
    write_stamp(folder, {"arguments": arguments, "complete": False})
    with (
        tqdm(
            total=sum(reader.num_utterances for reader in readers),
            initial=sum(reader.num_utterances for reader in done),
            unit="utt",
            desc="speaking",
            disable=not progress,
            dynamic_ncols=True,
        ) as bar,
        closing(map_in_fresh_processes(write_reader, jobs, num_workers=num_workers)) as written,
    ):
        for index, _ in written:
            bar.update(jobs[index][0].num_utterances)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    _write_summary(folder, readers, arguments)
    return folder


def _sentences(reader: ReaderFolder, source: SentenceSource) -> list[str]:
    partition = _partition(reader.split)
    return [
        source.draw(
            partition, stream(reader.seed, Purpose.SENTENCE, reader.speaker.speaker_id, index)
        )
        for index in range(reader.num_utterances)
    ]


def _partition(split: str) -> str:
    """Return where the sentences of a split come from, by the beginning of its name."""
    partition = next((name for name in PARTITIONS if split.startswith(name)), None)
    if partition is None or not _FOLDER_NAME.fullmatch(split):
        raise ValueError(
            f"split {split!r} must be a folder name that begins with {', '.join(PARTITIONS)}"
        )
    return partition


def _readers(
    folder: Path,
    seed: int,
    splits: Mapping[str, SplitSpec],
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> list[ReaderFolder]:
    if not splits:
        raise ValueError("splits is empty; name at least one, such as train-clean")
    num_readers = dict.fromkeys(PARTITIONS, 0)
    readers = []
    for split, spec in splits.items():
        partition = _partition(split)
        first_id = FIRST_READER[partition] + num_readers[partition]
        num_readers[partition] += spec.num_speakers
        if num_readers[partition] > _MAX_READERS:
            raise ValueError(f"more than {_MAX_READERS} {partition} speakers in all; ask for fewer")
        speakers = make_speakers(spec.num_speakers, seed=seed, first_id=first_id, hardness=hardness)
        readers += [
            ReaderFolder(folder, split, speaker, spec.num_utterances_per_speaker, seed)
            for speaker in speakers
        ]
    return readers


def _arguments(
    seed: int,
    splits: Mapping[str, SplitSpec],
    text_file: str | None,
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Any]:
    """Return what decides the bytes of the corpus, as it is kept in the stamp."""
    return {
        "format": _FORMAT,
        "seed": seed,
        "splits": {split: asdict(spec) for split, spec in splits.items()},
        "text_sha256": text_sha256(text_file),
        "hardness": check_hardness(hardness),
    }


def _finished(readers: list[ReaderFolder], stamp: dict[str, Any]) -> set[ReaderFolder]:
    """Return the readers that are whole on disk."""
    sizes = stamp.get("readers", {})
    # An interrupted run has no sizes yet, but what it finished was renamed in place as a whole.
    return {
        reader
        for reader in readers
        if reader.exists()
        and (not stamp.get("complete") or sizes.get(reader.name) == reader.size_bytes())
    }


def _has_tables(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _TABLES)


def _write_summary(folder: Path, readers: list[ReaderFolder], arguments: dict[str, Any]) -> None:
    """Write the tables of readers, then the stamp that declares the corpus complete."""
    speakers_text = [_SPEAKERS_HEADER]
    digest = hashlib.sha256()
    total_s = 0.0
    for reader in readers:
        duration_s = reader.add_to(digest)
        total_s += duration_s
        who = reader.speaker
        speakers_text.append(
            f"{who.speaker_id:<5}| {who.gender} | {reader.split:<16} | {duration_s / 60:<5.2f} "
            f"| Synthetic {who.accent}\n"
        )
    table = speakers_csv(reader.speaker for reader in readers)
    for name, text in zip(_TABLES, ("".join(speakers_text), table), strict=True):
        write_text(folder / name, text)
        digest.update(hashlib.sha256(text.encode()).digest())
    stamp = {
        "arguments": arguments,
        "complete": True,
        "sha256": digest.hexdigest(),
        "hours": round(total_s / 3600, 4),
        "readers": {reader.name: reader.size_bytes() for reader in readers},
    }
    write_stamp(folder, stamp)
