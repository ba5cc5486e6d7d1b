"""The embedded corpus on disk, laid out like LibriSpeech."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.sentences import PARTITIONS, sentence_source
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ, require_espeak
from sb_alexa.corpora.synthetic import Utterance, in_room, speak
from sb_alexa.corpora.voices import Speaker, check_hardness, make_speakers

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
_STAMP = "synthetic_corpus.json"
_UNFINISHED = ".unfinished"
# Each partition has its own block of reader ids, so a split's readers do not depend on the others.
# Blocks are multiples of 16: readers run through accents and genders from the start of the block.
_FIRST_READER = {"train": 10001, "dev": 20001, "test": 30001}
_MAX_READERS = 9999
_MAX_UTTERANCES = 9999
# Measured over the default corpus, for choosing a number of utterances that makes so many hours.
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
_TABLE_COLUMNS = (
    "speaker,gender,accent,latitude,longitude,zip,attribute_a,attribute_b,hardness".split(",")
)


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


@dataclass(frozen=True)
class _ReaderJob:
    """All a worker has to know to write one reader's folder."""

    folder: Path
    split: str
    partition: str
    speaker: Speaker
    num_utterances: int
    seed: int
    text_file: str | None

    @property
    def name(self) -> str:
        return f"{self.split}/{self.speaker.speaker_id}"

    @property
    def audio_folder(self) -> Path:
        return self.folder / self.name

    @property
    def chapter(self) -> str:
        return f"{self.speaker.speaker_id}-1{self.speaker.speaker_id}"

    @property
    def alignment_file(self) -> Path:
        return self.folder / "alignments" / self.split / f"{self.chapter}.words.csv"


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
    jobs = _jobs(folder, seed, splits, text_file, hardness)
    stamp = _read_stamp(folder, arguments)
    done = _finished(jobs, stamp)
    if stamp.get("complete") and len(done) == len(jobs):
        return folder
    require_espeak()
    shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    _write_atomically(folder / _STAMP, _as_json({"arguments": arguments, "complete": False}))
    missing = [job for job in jobs if job.name not in done]
    for job in missing:
        shutil.rmtree(job.audio_folder, ignore_errors=True)
    total = sum(job.num_utterances for job in jobs)
    with tqdm(
        total=total, unit="utt", desc="speaking", disable=not progress, dynamic_ncols=True
    ) as bar:
        bar.update(total - sum(job.num_utterances for job in missing))
        for index, _ in map_in_fresh_processes(_write_reader, missing, num_workers=num_workers):
            bar.update(missing[index].num_utterances)
    shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    _write_summary(folder, jobs, arguments)
    return folder


def _jobs(
    folder: Path,
    seed: int,
    splits: Mapping[str, SplitSpec],
    text_file: str | None,
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> list[_ReaderJob]:
    if not splits:
        raise ValueError("splits is empty; name at least one, such as train-clean")
    sentence_source(text_file)
    num_readers = dict.fromkeys(PARTITIONS, 0)
    jobs = []
    for split, spec in splits.items():
        partition = next((name for name in PARTITIONS if split.startswith(name)), None)
        if partition is None or Path(split).name != split:
            raise ValueError(
                f"split {split!r} must be a folder name that begins with {', '.join(PARTITIONS)}"
            )
        speakers = make_speakers(
            spec.num_speakers,
            seed=seed,
            first_id=_FIRST_READER[partition] + num_readers[partition],
            hardness=hardness,
        )
        num_readers[partition] += spec.num_speakers
        if num_readers[partition] > _MAX_READERS:
            raise ValueError(f"more than {_MAX_READERS} {partition} speakers in all; ask for fewer")
        jobs += [
            _ReaderJob(
                folder, split, partition, speaker, spec.num_utterances_per_speaker, seed, text_file
            )
            for speaker in speakers
        ]
    return jobs


def _write_reader(job: _ReaderJob) -> None:
    """Write one reader; the last step, a rename, makes the audio folder appear as a whole."""
    reader = job.speaker.speaker_id
    source = sentence_source(job.text_file)
    sentences = [
        source.draw(job.partition, stream(job.seed, Purpose.SENTENCE, reader, index))
        for index in range(job.num_utterances)
    ]
    unfinished = job.folder / _UNFINISHED / job.name
    chapter = unfinished / f"1{reader}"
    chapter.mkdir(parents=True)
    transcript, alignment = io.StringIO(), io.StringIO()
    rows = csv.writer(alignment, lineterminator="\n")
    rows.writerow(["utterance", "word", "start_s", "end_s"])
    for clean in speak(job.speaker, sentences, seed=job.seed):
        utterance = in_room(clean, seed=job.seed)
        name = f"{job.chapter}-{utterance.index:04d}"
        _write_flac(chapter / f"{name}.flac", utterance)
        transcript.write(f"{name} {utterance.text}\n")
        for word in utterance.words:
            rows.writerow([name, word.label, f"{word.start_s:.4f}", f"{word.end_s:.4f}"])
    (chapter / f"{job.chapter}.trans.txt").write_text(transcript.getvalue(), encoding="utf-8")
    _write_atomically(job.alignment_file, alignment.getvalue())
    job.audio_folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, job.audio_folder)


def _write_flac(path: Path, utterance: Utterance) -> None:
    samples = np.round(utterance.samples * 32767).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")


def _arguments(
    seed: int,
    splits: Mapping[str, SplitSpec],
    text_file: str | None,
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Any]:
    """Return what decides the bytes of the corpus, as it is kept in the stamp."""
    text_sha256 = None
    if text_file is not None:
        try:
            text_sha256 = hashlib.sha256(Path(text_file).read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(f"cannot read text_file: {error}") from error
    return {
        "format": _FORMAT,
        "seed": seed,
        "splits": {split: asdict(spec) for split, spec in splits.items()},
        "text_sha256": text_sha256,
        "hardness": check_hardness(hardness),
    }


def _read_stamp(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    path = folder / _STAMP
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"{folder} is not empty and holds no synthetic corpus; choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return {}
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
        earlier = stamp["arguments"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; delete the folder and write it anew") from error
    if earlier != arguments:
        different = [
            f"{key}: {earlier.get(key)} there, {value} asked for"
            for key, value in arguments.items()
            if earlier.get(key) != value
        ]
        raise ValueError(
            f"{folder} holds a synthetic corpus made otherwise ({'; '.join(different)}); "
            "choose another folder or delete this one"
        )
    return stamp


def _finished(jobs: list[_ReaderJob], stamp: dict[str, Any]) -> set[str]:
    """Return the names of readers that are whole on disk."""
    sizes = stamp.get("readers", {})
    finished = set()
    for job in jobs:
        if not job.audio_folder.is_dir() or not job.alignment_file.is_file():
            continue
        # An interrupted run has no sizes yet; its folders were renamed in place when whole.
        if not stamp.get("complete") or sizes.get(job.name) == _size_bytes(job):
            finished.add(job.name)
    return finished


def _files(job: _ReaderJob) -> list[Path]:
    return [*sorted(job.audio_folder.glob("*/*")), job.alignment_file]


def _size_bytes(job: _ReaderJob) -> int:
    return sum(path.stat().st_size for path in _files(job))


def _write_summary(folder: Path, jobs: list[_ReaderJob], arguments: dict[str, Any]) -> None:
    """Write the tables of readers, then the stamp that declares the corpus complete."""
    speakers_text, table = io.StringIO(_SPEAKERS_HEADER), io.StringIO()
    speakers_text.seek(0, io.SEEK_END)
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_TABLE_COLUMNS)
    digest = hashlib.sha256()
    duration_s = 0.0
    for job in jobs:
        reader_s = 0.0
        for path in _files(job):
            data = path.read_bytes()
            digest.update(str(path.relative_to(folder).as_posix()).encode() + b"\0")
            digest.update(hashlib.sha256(data).digest())
            if path.suffix == ".flac":
                reader_s += soundfile.info(io.BytesIO(data)).duration
        duration_s += reader_s
        who = job.speaker
        speakers_text.write(
            f"{who.speaker_id:<5}| {who.gender} | {job.split:<16} | {reader_s / 60:<5.2f} "
            f"| Synthetic {who.accent}\n"
        )
        row = [who.speaker_id, who.gender, who.accent, who.latitude, who.longitude]
        rows.writerow([*row, who.zip_code, who.attribute_a, who.attribute_b, who.hardness])
    _write_atomically(folder / "SPEAKERS.TXT", speakers_text.getvalue())
    _write_atomically(folder / "speakers.csv", table.getvalue())
    for text in (speakers_text.getvalue(), table.getvalue()):
        digest.update(hashlib.sha256(text.encode()).digest())
    stamp = {
        "arguments": arguments,
        "complete": True,
        "sha256": digest.hexdigest(),
        "hours": round(duration_s / 3600, 4),
        "readers": {job.name: _size_bytes(job) for job in jobs},
    }
    _write_atomically(folder / _STAMP, _as_json(stamp))


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)
