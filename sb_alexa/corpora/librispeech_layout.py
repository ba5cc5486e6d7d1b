"""The embedded corpus on disk, laid out like LibriSpeech."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sb_alexa.corpora.reader_folder import ReaderFolder, write_reader
from sb_alexa.corpora.sentences import PARTITIONS, CommandGrammar, SentenceSource, TextSentences
from sb_alexa.corpora.session_corpus import check_number
from sb_alexa.corpora.spoken_corpus import (
    FIRST_SPEAKER,
    MAX_SPEAKERS,
    SpokenCorpus,
    draw_sentences,
    utterances_per_speaker,
)
from sb_alexa.corpora.synthesis import require_espeak
from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV, speakers_csv, text_sha256
from sb_alexa.corpora.voices import (
    check_hardness,
    check_rare_accents,
    make_speakers,
    without_most_of,
)

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
_TABLES = ("SPEAKERS.TXT", SPEAKERS_CSV)
_FOLDER_NAME = re.compile(r"[\w.-]+")
_MAX_UTTERANCES = 9999
# In all, of test-clean: more cost decoding time, fewer than four a reader say little of the reader.
_MOST_TEST_UTTERANCES = 7680

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
        Readers, 1 to 9999; multiples of 16 are balanced over accents and genders. Those that rare
        accents leave out are counted.
    num_utterances_per_speaker : int
        Utterances of each, 1 to 9999.
    rare_accents : mapping of str to float
        Accents that the split has little of: the share of their readers that are kept, see
        :func:`sb_alexa.corpora.voices.without_most_of`. All others are who they would be without.
    """

    num_speakers: int
    num_utterances_per_speaker: int
    rare_accents: Mapping[str, float] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        for name, largest in (
            ("num_speakers", MAX_SPEAKERS),
            ("num_utterances_per_speaker", _MAX_UTTERANCES),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= largest:
                raise ValueError(f"{name} must be a whole number within 1..{largest}, got {value}")
        object.__setattr__(self, "rare_accents", check_rare_accents(self.rare_accents))


def default_splits(
    *,
    num_train_speakers: int = 96,
    hours_of_training: float = 3.0,
    sentences_per_utterance: int = 1,
    num_test_speakers: int = 32,
    utterances_per_test_speaker: int | None = None,
    rare_accents: Mapping[str, float] | None = None,
    num_new_speakers: int = 0,
) -> dict[str, SplitSpec]:
    """Return the splits of the demonstration: train-clean, dev-clean and test-clean.

    Arguments
    ---------
    num_train_speakers : int
        Readers in train-clean. More readers saying less each help unseen readers most.
    hours_of_training : float
        Approximate length of train-clean, hours.
    sentences_per_utterance : int
        Most of them, as in `write_librispeech`.
    num_test_speakers : int
        Readers in test-clean.
    utterances_per_test_speaker : int, optional
        Default: 12 of up to 640 readers, fewer of more of them, at least 4.
    rare_accents : mapping of str to float, optional
        Of train-clean alone, see `SplitSpec`; the other splits are balanced.
    num_new_speakers : int
        Readers in train-new, which say as much as those of train-clean: recordings that are made
        when a model has been trained and found wanting. 0 makes no such split.

    Example
    -------
    >>> splits = default_splits(num_train_speakers=48, hours_of_training=1.0)
    >>> splits["test-clean"]
    SplitSpec(num_speakers=32, num_utterances_per_speaker=12)
    >>> default_splits(num_test_speakers=960)["test-clean"]
    SplitSpec(num_speakers=960, num_utterances_per_speaker=8)
    """
    per_speaker = utterances_per_speaker(
        num_train_speakers=num_train_speakers,
        hours_of_training=hours_of_training,
        sentences_per_utterance=sentences_per_utterance,
    )
    check_number("num_test_speakers", num_test_speakers, 1, MAX_SPEAKERS)
    per_test_speaker = utterances_per_test_speaker
    if per_test_speaker is None:
        per_test_speaker = min(12, max(4, _MOST_TEST_UTTERANCES // num_test_speakers))
    new = {"train-new": SplitSpec(num_new_speakers, per_speaker)} if num_new_speakers else {}
    return {
        "train-clean": SplitSpec(num_train_speakers, per_speaker, rare_accents or {}),
        **new,
        "dev-clean": SplitSpec(16, 8),
        "test-clean": SplitSpec(num_test_speakers, per_test_speaker),
    }


def write_librispeech(
    folder: str | Path,
    *,
    seed: int = 0,
    splits: Mapping[str, SplitSpec] | None = None,
    text_file: str | Path | None = None,
    hardness: Mapping[str, Mapping[str, float]] | None = None,
    sentences_per_utterance: int = 1,
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
    sentences_per_utterance : int
        Most sentences that are said in one utterance, without a pause; 3 makes them 2 to 8 s.
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
    check_number("sentences_per_utterance", sentences_per_utterance, 1)
    arguments = _arguments(seed, splits, text_file, hardness)
    if sentences_per_utterance > 1:  # absent in the stamps of corpora that know nothing of it
        arguments["sentences_per_utterance"] = sentences_per_utterance
    source = CommandGrammar() if text_file is None else TextSentences.from_file(text_file)
    readers = _readers(folder, seed, splits, hardness)
    corpus = SpokenCorpus(folder, arguments, readers, _TABLES)
    if corpus.is_finished:
        return folder
    require_espeak()
    corpus.speak(
        write_reader,
        partial(_sentences, source, sentences_per_utterance),
        num_workers=num_workers,
        progress=progress,
    )
    corpus.finish(_tables)
    return folder


def _sentences(source: SentenceSource, most: int, reader: ReaderFolder) -> list[str]:
    return draw_sentences(
        source,
        _partition(reader.split),
        reader.speaker,
        reader.num_utterances,
        seed=reader.seed,
        sentences_per_utterance=most,
    )


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
        first_id = FIRST_SPEAKER[partition] + num_readers[partition]
        num_readers[partition] += spec.num_speakers
        if num_readers[partition] > MAX_SPEAKERS:
            raise ValueError(f"more than {MAX_SPEAKERS} {partition} speakers in all; ask for fewer")
        speakers = make_speakers(spec.num_speakers, seed=seed, first_id=first_id, hardness=hardness)
        readers += [
            ReaderFolder(folder, speaker, spec.num_utterances_per_speaker, seed, split)
            for speaker in without_most_of(speakers, spec.rare_accents)
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
        "splits": {split: _stamped(spec) for split, spec in splits.items()},
        "text_sha256": text_sha256(text_file),
        "hardness": check_hardness(hardness),
    }


def _stamped(spec: SplitSpec) -> dict[str, Any]:
    values = asdict(spec)
    if not spec.rare_accents:  # absent in the stamps of corpora that know nothing of them
        del values["rare_accents"]
    return values


def _tables(durations_s: Mapping[ReaderFolder, float]) -> dict[str, str]:
    """Content of the tables of readers."""
    speakers_text = [_SPEAKERS_HEADER]
    for reader, duration_s in durations_s.items():
        who = reader.speaker
        speakers_text.append(
            f"{who.speaker_id:<5}| {who.gender} | {reader.split:<16} | {duration_s / 60:<5.2f} "
            f"| Synthetic {who.accent}\n"
        )
    table = speakers_csv(reader.speaker for reader in durations_s)
    return dict(zip(_TABLES, ("".join(speakers_text), table), strict=True))
