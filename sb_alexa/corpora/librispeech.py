"""Preparation of LibriSpeech, whole or in part, and of corpora laid out like it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from sb_alexa.corpora.audio import AudioInfo, check_audio
from sb_alexa.corpora.bad_audio import report_bad_audio, still_bad
from sb_alexa.corpora.librispeech_files import (
    LAYOUT,
    PUBLISHED_NUM_UTTERANCES,
    SplitFiles,
    find_root,
    listing,
    match_transcripts,
    parse_transcript_line,
    scan_split,
)
from sb_alexa.corpora.manifest import Utterance, write_manifest
from sb_alexa.corpora.speaker_table import parse_speaker_line, write_speaker_table
from sb_alexa.corpora.stamp import Journal, Stamp, fingerprint, replaced_atomically, sizes_bytes
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.word_pieces import WordPieces, train_word_pieces

__all__ = [
    "CorpusError",
    "PreparedLibriSpeech",
    "SplitCounts",
    "parse_speaker_line",
    "parse_transcript_line",
    "prepare_librispeech",
]

logger = logging.getLogger(__name__)

_SAMPLE_RATE = 16_000
_STAMP = "librispeech.stamp.json"
_TOKENIZER = "tokenizer.model"
# Raise it when a change of this package changes what is written: older preparations are redone.
_FORMAT = 1


@dataclass(frozen=True)
class SplitCounts:
    """What a split holds, and what of it was left out; counts of parts add up.

    Arguments
    ---------
    num_utterances : int
        Utterances in the manifest, those with an empty transcript included.
    duration_s : float
        Their length in seconds.
    num_bad_audio : int
        Left out: audio that is missing, empty, truncated or damaged.
    num_audio_without_transcript : int
        Left out: audio that no transcript names.
    num_empty_transcripts : int
        Kept for testing, left out of training.
    num_converted : int
        Not at 16 kHz or not mono: kept, and converted when it is read.

    Example
    -------
    >>> (SplitCounts(2, 3.5) + SplitCounts(1, 0.5, num_bad_audio=1)).num_utterances
    3
    """

    num_utterances: int = 0
    duration_s: float = 0.0
    num_bad_audio: int = 0
    num_audio_without_transcript: int = 0
    num_empty_transcripts: int = 0
    num_converted: int = 0

    def __add__(self, other: SplitCounts) -> SplitCounts:
        return SplitCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class PreparedLibriSpeech:
    """Where the preparation put what.

    Arguments
    ---------
    data_root : Path
        Takes the place of `$data_root` in the manifests.
    train_csv : Path or None
        All training splits in one manifest, without empty transcripts; None if none was asked for.
    dev_csv : Path or None
        All development splits in one manifest.
    test_csv : dict of str to Path
        One manifest for every test split.
    speakers_csv : Path
        Table of the speakers of all splits (`speaker_table.SPEAKER_COLUMNS`).
    tokenizer_model : Path or None
        Word pieces of the training text; None without training splits.
    num_word_pieces : int
        Pieces in it (blank not counted); 0 without training splits.
    counts : dict of str to SplitCounts
        For every split.
    """

    data_root: Path
    train_csv: Path | None
    dev_csv: Path | None
    test_csv: dict[str, Path]
    speakers_csv: Path
    tokenizer_model: Path | None
    num_word_pieces: int
    counts: dict[str, SplitCounts]


def prepare_librispeech(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    train_splits: Sequence[str] = (),
    dev_splits: Sequence[str] = (),
    test_splits: Sequence[str] = (),
    *,
    num_word_pieces: int = 2500,
    word_pieces_file: str | os.PathLike[str] | None = None,
    num_workers: int | None = None,
    max_bad_fraction: float = 0.01,
    full_decode: bool = True,
    skip_prep: bool = False,
) -> PreparedLibriSpeech:
    """Write manifests, speaker table and word pieces of LibriSpeech or a corpus laid out like it.

    Works on the whole corpus and on any part of it. Nothing is done twice: when the arguments and
    the names and sizes of the files are those of a finished run it returns at once, and after an
    interruption the audio already checked is not read again. Audio that cannot be decoded is left
    out and listed in `bad_audio.txt` of the save folder, with the reason; utterances whose
    transcript is empty, or missing, are listed in `bad_transcripts.txt`.

    Arguments
    ---------
    data_folder : str or path-like
        The folder that holds `train-clean-100` and so on, or its parent that holds `LibriSpeech`.
    save_folder : str or path-like
        Where to write.
    train_splits, dev_splits, test_splits : sequence of str
        Folder names; at least one in all. A split may serve twice.
    num_word_pieces : int
        Word pieces learnt from the training text; fewer where it does not allow that many.
    word_pieces_file : str or path-like, optional
        Word pieces of an earlier training, taken instead of learning any: a model that is trained
        further on other text keeps its labels. `num_word_pieces` is not looked at.
    num_workers : int, optional
        Threads that check audio; by default one for every processor, up to 16.
    max_bad_fraction : float
        Largest part of the audio files that may be unusable, in 0 to 1.
    full_decode : bool
        Decode all audio, which finds every damage. Otherwise only the end of each file, which is
        faster and still finds truncation.
    skip_prep : bool
        Return what an earlier run prepared without looking at the data.

    Returns
    -------
    prepared : PreparedLibriSpeech
        Paths and counts.

    Raises
    ------
    CorpusError
        If the folder does not exist, is empty or is not LibriSpeech, a split is unknown or holds
        nothing usable, or too much of the audio is bad.
    FileNotFoundError
        If there is no `word_pieces_file`.
    """
    splits = {"train": train_splits, "dev": dev_splits, "test": test_splits}
    arguments = _checked_arguments(splits, num_word_pieces, max_bad_fraction, full_decode)
    if word_pieces_file is not None:  # absent in older preparations
        arguments["word_pieces"] = _digest(Path(word_pieces_file))
    if num_workers is not None and num_workers < 0:
        raise ValueError(f"num_workers={num_workers} must not be negative (None: all processors)")
    data = Path(data_folder).expanduser().absolute()
    save = Path(save_folder).expanduser().absolute()
    stamp = Stamp.read(save / _STAMP)
    if skip_prep:
        return _prepared(data, save, _checked_stamp(save, stamp, arguments))
    names = list(dict.fromkeys(name for role in splits.values() for name in role))
    root = find_root(data, names)
    found = [scan_split(data, root, name) for name in names]
    inputs = fingerprint(listing(root, found))
    if (
        stamp is not None
        and stamp.is_current(save, arguments, inputs)
        and still_bad(data, stamp.result["bad_audio"], full_decode=full_decode)
    ):
        logger.info("%s is already prepared in %s", data, save)
    else:
        kept = None if word_pieces_file is None else Path(word_pieces_file)
        stamp = _prepare(data, save, root, found, arguments, inputs, kept, num_workers)
    return _prepared(data, save, stamp)


def _checked_arguments(
    splits: Mapping[str, Sequence[str]],
    num_word_pieces: int,
    max_bad_fraction: float,
    full_decode: bool,
) -> dict[str, Any]:
    """The arguments that decide what is written, as the stamp keeps them."""
    for role, names in splits.items():
        _check_splits(f"{role}_splits", names)
    if not any(splits.values()):
        raise ValueError("no splits were asked for; name at least one, such as 'dev-clean'")
    if num_word_pieces < 1:
        raise ValueError(f"num_word_pieces={num_word_pieces} must be at least 1")
    if not 0.0 <= max_bad_fraction <= 1.0:
        raise ValueError(f"max_bad_fraction={max_bad_fraction} must lie between 0 and 1")
    return {
        "format": _FORMAT,
        "splits": {role: list(names) for role, names in splits.items()},
        "num_word_pieces": num_word_pieces,
        "max_bad_fraction": max_bad_fraction,
        "full_decode": full_decode,
    }


def _check_splits(argument: str, splits: Sequence[str]) -> None:
    if isinstance(splits, str):
        raise ValueError(f"{argument}={splits!r} must be a list, such as [{splits}]")
    for name in splits:
        if not name or name != os.path.basename(name) or name.startswith("."):
            raise ValueError(f"{argument}: {name!r} is not the name of a folder")
    if len(set(splits)) < len(splits):
        raise ValueError(f"{argument}={list(splits)} names a split twice")


def _checked_stamp(save: Path, stamp: Stamp | None, arguments: dict[str, Any]) -> Stamp:
    """The stamp of a finished preparation of the same splits, for `skip_prep`."""
    same = ("format", "splits")
    if (
        stamp is None
        or any(stamp.arguments.get(key) != arguments[key] for key in same)
        or stamp.outputs != sizes_bytes(save, stamp.outputs)
    ):
        raise CorpusError(
            f"skip_prep=True, but {save} does not hold a finished preparation of the splits "
            f"{arguments['splits']}; run it once with skip_prep=False"
        )
    return stamp


def _prepare(
    data: Path,
    save: Path,
    root: Path,
    found: list[SplitFiles],
    arguments: dict[str, Any],
    inputs: str,
    word_pieces_file: Path | None,
    num_workers: int | None,
) -> Stamp:
    files = [file for split in found for file in split.audio.values()]
    infos, bad = check_audio(
        data,
        files,
        Journal(save / "audio_check.jsonl"),
        num_workers=num_workers,
        full_decode=arguments["full_decode"],
    )
    for split in found:
        match_transcripts(split, data, infos)
        bad.update((path, "missing") for path in split.missing_audio)
    _report_transcripts(save, found)
    report_bad_audio(
        save / "bad_audio.txt",
        bad,
        num_files=len(files) + sum(len(split.missing_audio) for split in found),
        max_bad_fraction=arguments["max_bad_fraction"],
    )
    counts = {split.name: _count(split, infos, bad) for split in found}
    _compare_counts(root, found)
    num_converted = sum(c.num_converted for c in counts.values())
    if num_converted:
        logger.warning(
            "%d audio files are not 16 kHz mono: they are converted when they are read.",
            num_converted,
        )
    outputs, num_word_pieces = _write(save, data, root, found, arguments, word_pieces_file)
    result = {
        "counts": {name: asdict(c) for name, c in counts.items()},
        "num_word_pieces": num_word_pieces,
        "bad_audio": sorted(bad),
    }
    stamp = Stamp(arguments, inputs, sizes_bytes(save, outputs), result)
    stamp.write(save / _STAMP)
    return stamp


def _report_transcripts(save: Path, found: Sequence[SplitFiles]) -> None:
    problems = {
        "empty transcript (kept for testing, left out of training)": [
            path for split in found for path in split.empty
        ],
        "audio without a transcript (left out)": [
            path for split in found for path in split.without_transcript
        ],
    }
    with replaced_atomically(save / "bad_transcripts.txt") as temporary:
        lines = [f"{path}\t{problem}\n" for problem, paths in problems.items() for path in paths]
        temporary.write_text("".join(lines), encoding="utf-8")
    for problem, paths in problems.items():
        if paths:
            logger.warning("%s: %d, namely %s", problem, len(paths), name_some(paths))


def _count(
    split: SplitFiles, infos: Mapping[str, AudioInfo], bad: Mapping[str, str]
) -> SplitCounts:
    audio = {path for path, _ in split.audio.values()}
    if not split.utterances:
        raise CorpusError(
            f"split {split.name} holds no utterance with audio and transcript: "
            f"{len(split.audio)} audio files, {len(split.without_transcript)} of them without a "
            f"transcript, {sum(path in bad for path in audio)} bad; {LAYOUT}"
        )
    formats = [(infos[p].sample_rate, infos[p].num_channels) for p in audio if p in infos]
    return SplitCounts(
        num_utterances=len(split.utterances),
        duration_s=sum(u.duration_s for u in split.utterances),
        num_bad_audio=len(audio & bad.keys()) + len(split.missing_audio),
        num_audio_without_transcript=len(split.without_transcript),
        num_empty_transcripts=len(split.empty),
        num_converted=sum(f != (_SAMPLE_RATE, 1) for f in formats),
    )


def _compare_counts(root: Path, found: Iterable[SplitFiles]) -> None:
    if (root / "speakers.csv").is_file():
        return  # A corpus of another origin in the layout of LibriSpeech.
    published = PUBLISHED_NUM_UTTERANCES
    differences = [
        f"{split.name} {len(split.audio)} instead of {published[split.name]}"
        for split in found
        if len(split.audio) != published.get(split.name, len(split.audio))
    ]
    if differences:
        logger.warning(
            "Not the number of utterances published (fine for a subset): %s", "; ".join(differences)
        )


def _write(
    save: Path,
    data: Path,
    root: Path,
    found: Sequence[SplitFiles],
    arguments: dict[str, Any],
    word_pieces_file: Path | None,
) -> tuple[list[str], int]:
    """Write every file but the stamp; returns their names and the number of word pieces."""
    by_name = {split.name: split.utterances for split in found}
    manifests = {f"splits/{name}.csv": utterances for name, utterances in by_name.items()}
    for role in ("train", "dev"):
        names = arguments["splits"][role]
        if names:
            manifests[f"{role}.csv"] = _merge({name: by_name[name] for name in names})
    train = [u for u in manifests.get("train.csv", ()) if u.text]
    if "train.csv" in manifests:
        if not train:
            raise CorpusError("every transcript of the training splits is empty")
        manifests["train.csv"] = train
    for name, utterances in manifests.items():
        write_manifest(save / name, utterances, data)
    write_speaker_table(
        save / "speakers.csv",
        {u.speaker for split in found for u in split.utterances},
        speakers_txt=root / "SPEAKERS.TXT",
        speakers_csv=root / "speakers.csv",
    )
    outputs = [*manifests, "speakers.csv", "bad_audio.txt", "bad_transcripts.txt"]
    if not train:
        return outputs, 0
    if word_pieces_file is not None:
        with replaced_atomically(save / _TOKENIZER) as temporary:
            shutil.copyfile(word_pieces_file, temporary)
        return [*outputs, _TOKENIZER], WordPieces(save / _TOKENIZER).num_labels - 1
    logger.info("Learning word pieces from %d transcripts", len(train))
    num_word_pieces = train_word_pieces(
        (u.text for u in train), save / _TOKENIZER, num_word_pieces=arguments["num_word_pieces"]
    )
    return [*outputs, _TOKENIZER], num_word_pieces


def _digest(word_pieces_file: Path) -> str:
    if not word_pieces_file.is_file():
        raise FileNotFoundError(
            f"word_pieces_file={word_pieces_file} does not exist; name word_pieces.model in the "
            "folder of the trained model"
        )
    return hashlib.sha256(word_pieces_file.read_bytes()).hexdigest()


def _merge(splits: Mapping[str, Sequence[Utterance]]) -> list[Utterance]:
    origin: dict[str, str] = {}
    for name, utterances in splits.items():
        for u in utterances:
            if u.id in origin:
                raise CorpusError(
                    f"utterance {u.id} is in both {origin[u.id]} and {name}: use only one of them"
                )
            origin[u.id] = name
    return [u for utterances in splits.values() for u in utterances]


def _prepared(data: Path, save: Path, stamp: Stamp) -> PreparedLibriSpeech:
    splits = stamp.arguments["splits"]
    return PreparedLibriSpeech(
        data_root=data,
        train_csv=save / "train.csv" if splits["train"] else None,
        dev_csv=save / "dev.csv" if splits["dev"] else None,
        test_csv={name: save / "splits" / f"{name}.csv" for name in splits["test"]},
        speakers_csv=save / "speakers.csv",
        tokenizer_model=save / _TOKENIZER if splits["train"] else None,
        num_word_pieces=stamp.result["num_word_pieces"],
        counts={name: SplitCounts(**c) for name, c in stamp.result["counts"].items()},
    )
