"""Who of VoxCeleb can be trained on, and what the test lists need."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.trial_lists import Trial, speaker_of, utterances_of
from sb_alexa.corpora.voxceleb_files import (
    PUBLISHED_NUM_TRIALS,
    PUBLISHED_SUBSETS,
    AudioFile,
    VoxCelebFiles,
    read_all_metadata,
    read_trial_lists,
    text_listing,
)
from sb_alexa.corpora.voxceleb_metadata import SpeakerInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What is needed of the corpora.

    Arguments
    ---------
    files : VoxCelebFiles
        Where the corpora lie.
    speakers : mapping of str to SpeakerInfo
        Everybody in the metadata.
    train : dict of str to AudioFile
        Audio of the training subsets by utterance, development speakers included.
    test_trials : dict of str to list of Trial
        By list.
    test : dict of str to AudioFile
        Audio that they name, by utterance.
    text_files : sequence of Path
        Metadata, speaker tables and lists.
    """

    files: VoxCelebFiles
    speakers: Mapping[str, SpeakerInfo]
    train: dict[str, AudioFile]
    test_trials: dict[str, list[Trial]]
    test: dict[str, AudioFile]
    text_files: Sequence[Path]

    @property
    def audio(self) -> dict[str, AudioFile]:
        """All audio that is needed, by utterance."""
        return {**self.train, **self.test}

    @property
    def speaker_tables(self) -> list[Path]:
        """Tables that come with a corpus; then it is none of the published ones."""
        return [path for path in self.text_files if path.name == SPEAKERS_CSV]

    def listing(self) -> list[tuple[str, int]]:
        """Every file that decides what is prepared, with its size in bytes."""
        audio = [(file.path, file.size_bytes) for file in self.audio.values()]
        return audio + text_listing(self.text_files)


def select(
    files: VoxCelebFiles,
    train_subsets: Sequence[str],
    test_lists: Sequence[str | os.PathLike[str]],
    metadata_files: Sequence[str | os.PathLike[str]] | None,
) -> Selection:
    """Find out what is needed, and refuse what cannot be prepared, before audio is read.

    Arguments
    ---------
    files : VoxCelebFiles
        Where the corpora lie.
    train_subsets, test_lists, metadata_files
        See :func:`sb_alexa.corpora.voxceleb.prepare_voxceleb`.

    Raises
    ------
    CorpusError
        If metadata or lists cannot be read, training and test speakers overlap, or speakers or
        files are not there.
    """
    speakers, texts = read_all_metadata(metadata_files, files.folders)
    trials, lists = read_trial_lists(test_lists, files.folders)
    for name, found in trials.items():
        _check_unseen(name, found, speakers, train_subsets)
    train = files.scan(_training_speakers(files, speakers, train_subsets, texts))
    named = utterances_of(trial for found in trials.values() for trial in found)
    present = files.scan({speaker_of(name) for name in named} & files.speakers.keys())
    for name, found in trials.items():
        _check_present(name, found, files, present)
    tables = [folder / SPEAKERS_CSV for folder in files.folders]
    tables = [path for path in tables if path.is_file()]
    if not tables:
        _compare_counts(train_subsets, speakers, train, trials)
    test = {name: present[name] for name in named}
    return Selection(files, speakers, train, trials, test, [*texts, *lists, *tables])


def _check_unseen(
    name: str,
    trials: Iterable[Trial],
    speakers: Mapping[str, SpeakerInfo],
    train_subsets: Sequence[str],
) -> None:
    """Refuse trials of training speakers."""
    of_list = {speaker_of(utterance) for utterance in utterances_of(trials)}
    seen = sorted(
        one for one in of_list if one in speakers and speakers[one].subset in train_subsets
    )
    if seen:
        subsets = sorted({speakers[one].subset for one in seen})
        raise CorpusError(
            f"{len(seen)} of the {len(of_list)} speakers of trial list {name} belong to the "
            f"training subset {' and '.join(subsets)}: {name_some(seen)}. Errors on speakers seen "
            "in training say nothing about others. (VoxCeleb1-E and -H consist of speakers of "
            "vox1_dev: train on vox2_dev to use them, or test on VoxCeleb1-O)"
        )


def _training_speakers(
    files: VoxCelebFiles,
    speakers: Mapping[str, SpeakerInfo],
    train_subsets: Sequence[str],
    texts: Sequence[Path],
) -> set[str]:
    chosen: set[str] = set()
    for subset in train_subsets:
        members = {one.id for one in speakers.values() if one.subset == subset}
        there = members & files.speakers.keys()
        if not there:
            raise CorpusError(
                f"training subset {subset}: the metadata ({name_some([p.name for p in texts])}) "
                f"describe {len(members)} speakers of it, and none of them has a folder in "
                f"{name_some([str(folder) for folder in files.folders])}"
            )
        chosen |= there
    strangers = sorted(files.speakers.keys() - speakers.keys())
    if strangers and train_subsets:
        logger.warning(
            "%d folders of speakers are in no metadata and not trained on: %s",
            len(strangers),
            name_some(strangers),
        )
    return chosen


def _check_present(
    name: str, trials: Sequence[Trial], files: VoxCelebFiles, present: Mapping[str, AudioFile]
) -> None:
    """Refuse trials that name what is not there."""
    named = utterances_of(trials)
    absent = sorted({speaker_of(one) for one in named} - files.speakers.keys())
    lacking = [one for one in named if one not in present and speaker_of(one) not in absent]
    if not absent and not lacking:
        return
    problems = []
    if absent:
        problems.append(f"{len(absent)} speakers without a folder ({name_some(absent)})")
    if lacking:
        problems.append(f"{len(lacking)} files that are not there ({name_some(lacking)})")
    gone = {one for one in named if one not in present}
    num_trials = sum(trial.enrol in gone or trial.test in gone for trial in trials)
    raise CorpusError(
        f"trial list {name} names {' and '.join(problems)}, in {num_trials} of its {len(trials)} "
        f"trials; looked in {name_some([str(folder) for folder in files.folders])}. Add the data "
        "folder that holds them, or take these trials out of a list of your own: an error rate "
        "over a part of a list is not that of the list"
    )


def _compare_counts(
    train_subsets: Sequence[str],
    speakers: Mapping[str, SpeakerInfo],
    train: Iterable[str],
    trials: Mapping[str, Sequence[Trial]],
) -> None:
    """Say in one warning what differs from the published numbers."""
    differences = []
    by_subset: dict[str, list[str]] = {subset: [] for subset in train_subsets}
    for name in train:
        by_subset[speakers[speaker_of(name)].subset].append(name)
    for subset, names in by_subset.items():
        found = (len({speaker_of(name) for name in names}), len(names))
        if found != PUBLISHED_SUBSETS[subset]:
            published = "{} speakers with {} utterances".format(*PUBLISHED_SUBSETS[subset])
            differences.append(
                f"{subset} {found[0]} speakers with {found[1]} utterances instead of {published}"
            )
    for name, of_list in trials.items():
        num_published = PUBLISHED_NUM_TRIALS.get(name, len(of_list))
        if len(of_list) != num_published:
            differences.append(f"{name} {len(of_list)} trials instead of {num_published}")
    if differences:
        logger.warning("Not what was published (fine for a subset): %s", "; ".join(differences))


def check_trials_are_usable(chosen: Selection, bad: Mapping[str, str]) -> None:
    """Refuse test lists that name damaged audio.

    Arguments
    ---------
    chosen : Selection
        With the lists.
    bad : mapping of str to str
        Reason by path of what cannot be used.

    Raises
    ------
    CorpusError
        If there is such audio; the message names it.
    """
    needed = [
        f"{file.path} ({bad[file.path]})" for file in chosen.test.values() if file.path in bad
    ]
    if needed:
        raise CorpusError(
            f"the test lists name {len(needed)} audio files that cannot be used: "
            f"{name_some(needed)}. Copy them again: an error rate over a part of a list is not "
            "that of the list"
        )
