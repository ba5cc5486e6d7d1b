"""Preparation of VoxCeleb1 and 2, whole or in part, and of corpora laid out like them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sb_alexa.corpora.audio import AudioInfo, check_audio
from sb_alexa.corpora.bad_audio import report_bad_audio, still_bad
from sb_alexa.corpora.manifest import Utterance, write_manifest
from sb_alexa.corpora.speaker_table import read_speaker_table, write_speaker_table
from sb_alexa.corpora.stamp import Journal, Stamp, fingerprint, sizes_bytes
from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV, write_text
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.trial_lists import speaker_of, trials_text, utterances_of
from sb_alexa.corpora.voxceleb_development import Development, DevelopmentSize, hold_out
from sb_alexa.corpora.voxceleb_files import find_speakers
from sb_alexa.corpora.voxceleb_metadata import nationality_group, unknown_nationalities
from sb_alexa.corpora.voxceleb_selection import Selection, check_trials_are_usable, select

__all__ = ["CorpusError", "PreparedVoxCeleb", "SetCounts", "prepare_voxceleb"]

logger = logging.getLogger(__name__)

_SAMPLE_RATE = 16_000
_STAMP = "voxceleb.stamp.json"
_DEV_TRIALS = "dev_trials.txt"
# Raise it when a change of this package changes what is written: older preparations are redone.
_FORMAT = 1
_SUBSETS = ("vox1_dev", "vox1_test", "vox2_dev", "vox2_test")


@dataclass(frozen=True)
class SetCounts:
    """What a manifest holds.

    Arguments
    ---------
    num_speakers, num_utterances : int
        In the manifest.
    duration_s : float
        Their length in seconds.
    fewest_utterances : int
        Of any speaker: a batch can hold so many utterances of everybody.
    """

    num_speakers: int = 0
    num_utterances: int = 0
    duration_s: float = 0.0
    fewest_utterances: int = 0


@dataclass(frozen=True)
class PreparedVoxCeleb:
    """Where the preparation put what.

    Arguments
    ---------
    data_root : Path
        Takes the place of `$data_root` in the manifests: the folder of all data folders.
    train_csv : Path or None
        Training utterances, without those of the speakers held out; None without training subsets.
    dev_csv, dev_trials : Path or None
        Utterances of held-out training speakers and the trials between them.
    test_csv : Path or None
        Every utterance that a test list names, once; None without test lists.
    test_trials : dict of str to Path
        Each test list, by the name of its file without suffix. Like `dev_trials` it names
        utterances as the manifests do, `<speaker>/<session>/<number>`.
    speakers_csv : Path
        Speakers of all manifests (`speaker_table.SPEAKER_COLUMNS`, then `nationality`,
        `nationality_group` (US, UK, other) and `subset`).
    counts : dict of str to SetCounts
        For `train`, `dev` and `test`, where they are there.
    """

    data_root: Path
    train_csv: Path | None
    dev_csv: Path | None
    dev_trials: Path | None
    test_csv: Path | None
    test_trials: dict[str, Path]
    speakers_csv: Path
    counts: dict[str, SetCounts]


def prepare_voxceleb(
    data_folder: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    save_folder: str | os.PathLike[str],
    train_subsets: Sequence[str] = (),
    test_lists: Sequence[str | os.PathLike[str]] = (),
    *,
    metadata_files: Sequence[str | os.PathLike[str]] | None = None,
    num_dev_speakers: int = 40,
    num_dev_utterances_per_speaker: int = 20,
    num_dev_trials_per_speaker: int = 100,
    seed: int = 0,
    num_workers: int | None = None,
    max_bad_fraction: float = 0.01,
    full_decode: bool = False,
    skip_prep: bool = False,
) -> PreparedVoxCeleb:
    """Write manifests, trial lists and speaker table of VoxCeleb or a corpus laid out like it.

    Works on the whole corpora and on any part of them. Nothing is done twice: when the arguments
    and the files are those of a finished run it returns at once, and after an interruption the
    audio already checked is not read again. Only audio that is needed is checked: that of the
    training subsets, and what the test lists name.

    The development list is made of training speakers that are held out: chosen by the seed, in
    proportion to gender and nationality, with target trials across sessions. Speakers of test
    lists are never training speakers. VoxCeleb1-E and -H are therefore refused when `vox1_dev` is
    trained on: they consist of its speakers.

    Arguments
    ---------
    data_folder : str or path-like, or several
        Folders that hold `<speaker>/<session>/<number>.wav` (or `.flac`), at most three levels
        deep, such as those of VoxCeleb1 and of VoxCeleb2.
    save_folder : str or path-like
        Where to write.
    train_subsets : sequence of str
        Some of `vox1_dev`, `vox1_test`, `vox2_dev`, `vox2_test`, as the metadata has them.
    test_lists : sequence of str or path-like
        Lists of `label enrol test`: paths, or names in the data folders, such as `veri_test2.txt`.
    metadata_files : sequence of str or path-like, optional
        By default `vox1_meta.csv` and `vox2_meta.csv` of the data folders, as far as they exist.
    num_dev_speakers : int
        Training speakers held out for development; 0 for none, otherwise at least 2.
    num_dev_utterances_per_speaker : int
        Most utterances of each of them in the development list.
    num_dev_trials_per_speaker : int
        Target trials of each, and as many non-target ones; fewer where pairs run out.
    seed : int
        Of the choice of development speakers, utterances and trials.
    num_workers : int, optional
        Threads that check audio; by default one for every processor, up to 16.
    max_bad_fraction : float
        Largest part of the training files that may be unusable, in 0 to 1. Test lists need all.
    full_decode : bool
        Decode all audio, which finds every damage of FLAC. By default the end of each file only:
        WAV has nothing to check in its middle.
    skip_prep : bool
        Return what an earlier run prepared without looking at the data.

    Returns
    -------
    prepared : PreparedVoxCeleb
        Paths and counts.

    Raises
    ------
    CorpusError
        If a folder does not exist or is not VoxCeleb, metadata or a trial list cannot be read, a
        trial names a speaker or a file that is not there, speakers of a test list are training
        speakers, a subset holds nothing usable, or too much of the audio is bad.

    Reference
    ---------
    A. Nagrani, J. S. Chung, A. Zisserman, "VoxCeleb: a large-scale speaker identification dataset",
    Interspeech 2017 (arXiv 1706.08612); J. S. Chung, A. Nagrani, A. Zisserman, "VoxCeleb2: deep
    speaker recognition", Interspeech 2018 (arXiv 1806.05622).
    """
    size = DevelopmentSize(
        num_dev_speakers, num_dev_utterances_per_speaker, num_dev_trials_per_speaker, seed
    )
    arguments = _checked_arguments(train_subsets, test_lists, size, max_bad_fraction, full_decode)
    if num_workers is not None and num_workers < 0:
        raise ValueError(f"num_workers={num_workers} must not be negative (None: all processors)")
    given = [data_folder] if isinstance(data_folder, (str, os.PathLike)) else list(data_folder)
    if not given:
        raise ValueError("data_folder is an empty list; name at least one folder")
    folders = [Path(folder).expanduser().absolute() for folder in given]
    save = Path(save_folder).expanduser().absolute()
    stamp = Stamp.read(save / _STAMP)
    if skip_prep:
        data_root = Path(os.path.commonpath(folders))
        return _prepared(data_root, save, _checked_stamp(save, stamp, arguments))
    chosen = select(find_speakers(folders), train_subsets, test_lists, metadata_files)
    data_root = chosen.files.data_root
    inputs = fingerprint(chosen.listing())
    if (
        stamp is not None
        and stamp.is_current(save, arguments, inputs)
        and still_bad(data_root, stamp.result["bad_audio"], full_decode=full_decode)
    ):
        logger.info("VoxCeleb is already prepared in %s", save)
    else:
        stamp = _prepare(chosen, size, save, arguments, inputs, num_workers)
    return _prepared(data_root, save, stamp)


def _checked_arguments(
    train_subsets: Sequence[str],
    test_lists: Sequence[str | os.PathLike[str]],
    size: DevelopmentSize,
    max_bad_fraction: float,
    full_decode: bool,
) -> dict[str, Any]:
    """The arguments that decide what is written, as the stamp keeps them."""
    if isinstance(train_subsets, str) or isinstance(test_lists, (str, os.PathLike)):
        raise ValueError("train_subsets and test_lists must be lists, such as ['vox1_dev']")
    strange = [name for name in train_subsets if name not in _SUBSETS]
    if strange or len(set(train_subsets)) < len(train_subsets):
        raise ValueError(
            f"train_subsets={list(train_subsets)} must be different ones of {', '.join(_SUBSETS)}"
        )
    if not train_subsets and not test_lists:
        raise ValueError("nothing was asked for; name a training subset or a test list")
    if not 0.0 <= max_bad_fraction <= 1.0:
        raise ValueError(f"max_bad_fraction={max_bad_fraction} must lie between 0 and 1")
    return {
        "format": _FORMAT,
        "train_subsets": list(train_subsets),
        "test_lists": [Path(name).stem for name in test_lists],
        "development": asdict(size),
        "max_bad_fraction": max_bad_fraction,
        "full_decode": full_decode,
    }


def _checked_stamp(save: Path, stamp: Stamp | None, arguments: dict[str, Any]) -> Stamp:
    """The stamp of a finished preparation of the same data, for `skip_prep`."""
    same = ("format", "train_subsets", "test_lists", "development")
    if (
        stamp is None
        or any(stamp.arguments.get(key) != arguments[key] for key in same)
        or stamp.outputs != sizes_bytes(save, stamp.outputs)
    ):
        asked = {key: arguments[key] for key in same}
        raise CorpusError(
            f"skip_prep=True, but {save} does not hold a finished preparation of {asked}; run it "
            "once with skip_prep=False"
        )
    return stamp


def _prepare(
    chosen: Selection,
    size: DevelopmentSize,
    save: Path,
    arguments: dict[str, Any],
    inputs: str,
    num_workers: int | None,
) -> Stamp:
    files = [(file.path, file.size_bytes) for file in chosen.audio.values()]
    infos, bad = check_audio(
        chosen.files.data_root,
        files,
        Journal(save / "audio_check.jsonl"),
        num_workers=num_workers,
        full_decode=arguments["full_decode"],
    )
    report_bad_audio(
        save / "bad_audio.txt",
        bad,
        num_files=len(files),
        max_bad_fraction=arguments["max_bad_fraction"],
    )
    check_trials_are_usable(chosen, bad)
    good = [name for name, file in chosen.train.items() if file.path in infos]
    if arguments["train_subsets"] and not good:
        raise CorpusError(f"no audio of the training subsets can be used: see {save}/bad_audio.txt")
    development = hold_out(good, chosen.speakers, size) if good else Development(frozenset(), [])
    names = {
        "train": [name for name in good if speaker_of(name) not in development.speakers],
        "dev": utterances_of(development.trials),
        "test": chosen.test,
    }
    sets = {role: _utterances(chosen, infos, found) for role, found in names.items() if found}
    num_converted = sum(
        (info.sample_rate, info.num_channels) != (_SAMPLE_RATE, 1) for info in infos.values()
    )
    if num_converted:
        logger.warning(
            "%d audio files are not 16 kHz mono: they are converted when they are read.",
            num_converted,
        )
    outputs = _write(chosen, development, save, sets)
    result = {
        "counts": {name: asdict(_count(utterances)) for name, utterances in sets.items()},
        "bad_audio": sorted(bad),
    }
    stamp = Stamp(arguments, inputs, sizes_bytes(save, outputs), result)
    stamp.write(save / _STAMP)
    return stamp


def _utterances(
    chosen: Selection, infos: Mapping[str, AudioInfo], names: Iterable[str]
) -> list[Utterance]:
    audio, root = chosen.audio, chosen.files.data_root
    return [
        Utterance(
            id=name,
            duration_s=infos[audio[name].path].duration_s,
            path=str(root / audio[name].path),
            speaker=speaker_of(name),
            text="",
        )
        for name in names
    ]


def _count(utterances: Sequence[Utterance]) -> SetCounts:
    by_speaker: dict[str, int] = {}
    for utterance in utterances:
        by_speaker[utterance.speaker] = by_speaker.get(utterance.speaker, 0) + 1
    duration_s = sum(utterance.duration_s for utterance in utterances)
    return SetCounts(len(by_speaker), len(utterances), duration_s, min(by_speaker.values()))


def _write(
    chosen: Selection,
    development: Development,
    save: Path,
    sets: Mapping[str, Sequence[Utterance]],
) -> list[str]:
    """Write every file but the stamp; returns their names."""
    for role, utterances in sets.items():
        write_manifest(save / f"{role}.csv", utterances, chosen.files.data_root)
    lists = {f"trials/{name}.txt": trials for name, trials in chosen.test_trials.items()}
    if development.trials:
        lists[_DEV_TRIALS] = development.trials
    for name, trials in lists.items():
        write_text(save / name, trials_text(trials))
    _write_speakers(chosen, save, {u.speaker for found in sets.values() for u in found})
    return ["bad_audio.txt", SPEAKERS_CSV, *(f"{role}.csv" for role in sets), *lists]


def _write_speakers(chosen: Selection, save: Path, speakers: set[str]) -> None:
    infos = [chosen.speakers[one] for one in sorted(speakers) if one in chosen.speakers]
    known = {
        one.id: {
            "gender": one.gender,
            "nationality": one.nationality,
            "nationality_group": nationality_group(one.nationality),
            "subset": one.subset,
        }
        for one in infos
    }
    for path in chosen.speaker_tables:
        for speaker, row in read_speaker_table(path).rows.items():
            given = {column: text for column, text in row.items() if column != "speaker"}
            known.setdefault(speaker, {}).update(given)
    if not chosen.speaker_tables:  # Otherwise it is another corpus, with groups of its own.
        for sentence in unknown_nationalities(infos):
            logger.warning("%s", sentence)
    write_speaker_table(save / SPEAKERS_CSV, speakers, known=known)


def _prepared(data_root: Path, save: Path, stamp: Stamp) -> PreparedVoxCeleb:
    counts = {name: SetCounts(**c) for name, c in stamp.result["counts"].items()}
    csv = {name: save / f"{name}.csv" for name in counts}
    return PreparedVoxCeleb(
        data_root=data_root,
        train_csv=csv.get("train"),
        dev_csv=csv.get("dev"),
        dev_trials=save / _DEV_TRIALS if "dev" in csv else None,
        test_csv=csv.get("test"),
        test_trials={n: save / "trials" / f"{n}.txt" for n in stamp.arguments["test_lists"]},
        speakers_csv=save / SPEAKERS_CSV,
        counts=counts,
    )
