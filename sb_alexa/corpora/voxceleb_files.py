"""The files of VoxCeleb: where they lie, and which utterances there are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.corpora.folder_listing import found_in, size_bytes, visible_entries
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.trial_lists import Trial, read_trials
from sb_alexa.corpora.voxceleb_metadata import (
    METADATA_FILES,
    SPEAKER_ID,
    SpeakerInfo,
    read_metadata,
)

# Nagrani et al., Interspeech 2017, and Chung et al., Interspeech 2018; speakers and utterances.
PUBLISHED_SUBSETS = {
    "vox1_dev": (1_211, 148_642),
    "vox1_test": (40, 4_874),
    "vox2_dev": (5_994, 1_092_009),
    "vox2_test": (118, 36_237),
}
# VoxCeleb1-O, -E and -H: the original lists and the cleaned ones.
PUBLISHED_NUM_TRIALS = {
    "veri_test": 37_720,
    "veri_test2": 37_611,
    "list_test_all": 581_480,
    "list_test_all2": 579_818,
    "list_test_hard": 552_536,
    "list_test_hard2": 550_894,
}
LAYOUT = (
    "expected folders of speakers, such as wav/id10270/x6uYqmx31kE/00001.wav, at most three levels "
    "deep"
)
_AUDIO_SUFFIXES = (".wav", ".flac")
# As VoxCeleb2 is handed out; libsndfile does not read it.
_UNREADABLE_SUFFIX = ".m4a"
_DEEPEST = 3


@dataclass(frozen=True)
class AudioFile:
    """An utterance on disk: its path relative to the data root, and its size in bytes."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class VoxCelebFiles:
    """Folders of VoxCeleb as they were found.

    Arguments
    ---------
    data_root : Path
        The folder that holds all data folders; paths are relative to it.
    folders : sequence of Path
        The data folders.
    speakers : mapping of str to list of str
        The folders of each speaker that is there.
    """

    data_root: Path
    folders: Sequence[Path]
    speakers: Mapping[str, Sequence[str]]

    def scan(self, speakers: Collection[str]) -> dict[str, AudioFile]:
        """List the audio of some speakers by utterance, in order of speaker and name.

        Raises
        ------
        CorpusError
            If an utterance lies in two places, or there is nothing but audio to be converted.
        """
        found: dict[str, AudioFile] = {}
        unreadable: list[str] = []
        for speaker in sorted(speakers):
            for folder in self.speakers.get(speaker, ()):
                for name, file in self._audio_below(folder, unreadable):
                    other = found.setdefault(f"{speaker}/{name}", file)
                    if other is not file:
                        raise CorpusError(
                            f"{self.data_root}: {other.path} and {file.path} are the same "
                            "utterance; give only one of the two folders"
                        )
        if unreadable and not found:
            raise CorpusError(
                f"{self.data_root} holds {len(unreadable)} files as {unreadable[0]}, a format that "
                "is not read; convert each to WAV or FLAC first: "
                "ffmpeg -i 00001.m4a -ac 1 -ar 16000 00001.wav"
            )
        return dict(sorted(found.items()))

    def _audio_below(self, folder: str, unreadable: list[str]) -> list[tuple[str, AudioFile]]:
        found = []
        for session in visible_entries(self.data_root / folder):
            for entry in visible_entries(session.path) if session.is_dir() else ():
                stem, suffix = os.path.splitext(entry.name)
                path = f"{folder}/{session.name}/{entry.name}"
                if suffix in _AUDIO_SUFFIXES:
                    name = f"{session.name}/{stem}"
                    found.append((name, AudioFile(path, size_bytes(entry))))
                elif suffix == _UNREADABLE_SUFFIX:
                    unreadable.append(path)
        return found


def find_speakers(folders: Sequence[Path]) -> VoxCelebFiles:
    """Find the folders of speakers below some data folders, however they are nested.

    Raises
    ------
    CorpusError
        If a data folder does not exist or holds no folder of a speaker.
    """
    for folder in folders:
        if not folder.is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise CorpusError(f"data_folder {folder} {problem}; {LAYOUT}")
    data_root = Path(os.path.commonpath(folders))
    speakers: dict[str, list[str]] = {}
    for folder in folders:
        below = _speakers_below(folder, _DEEPEST)
        if not below:
            raise CorpusError(f"data_folder {folder} is not VoxCeleb: {LAYOUT}; {found_in(folder)}")
        for path in below:
            relative = path.relative_to(data_root).as_posix()
            speakers.setdefault(path.name, []).append(relative)
    return VoxCelebFiles(data_root, folders, speakers)


def _speakers_below(folder: Path, depth: int) -> list[Path]:
    found = []
    for entry in visible_entries(folder):
        if not entry.is_dir():
            continue
        if SPEAKER_ID.fullmatch(entry.name):
            found.append(Path(entry.path))
        elif depth:
            found += _speakers_below(Path(entry.path), depth - 1)
    return found


def find_file(name: str | os.PathLike[str], folders: Iterable[Path]) -> Path:
    """A file by its path, or by its name in one of the data folders or in their `meta`.

    Raises
    ------
    CorpusError
        If there is none; the message tells which text files there are.
    """
    given = Path(name).expanduser()
    places = [place for folder in folders for place in (folder, folder / "meta")]
    for candidate in (*(place / given for place in places), given.absolute()):
        if candidate.is_file():
            return candidate
    texts = {
        p.name for place in places for ending in ("txt", "csv") for p in place.glob(f"*.{ending}")
    }
    present = sorted(texts)
    raise CorpusError(
        f"{given} is not there, neither as a path nor in {name_some([str(p) for p in places])}; "
        f"these folders hold {name_some(present) or 'no text file'}"
    )


def read_all_metadata(
    names: Sequence[str | os.PathLike[str]] | None, folders: Sequence[Path]
) -> tuple[dict[str, SpeakerInfo], list[Path]]:
    """The speakers of all metadata files, and the files.

    Arguments
    ---------
    names : sequence of str or path-like, optional
        Files to read; by default `vox1_meta.csv` and `vox2_meta.csv`, where they are there.
    folders : sequence of Path
        The data folders.

    Raises
    ------
    CorpusError
        If there is no file, one cannot be read, or two describe one speaker.
    """
    paths = []
    for name in METADATA_FILES if names is None else names:
        try:
            paths.append(find_file(name, folders))
        except CorpusError:
            if names is not None:
                raise
    if not paths:
        raise CorpusError(
            f"there is neither {' nor '.join(METADATA_FILES)} in "
            f"{name_some([str(folder) for folder in folders])}, which say who is who; download "
            "them there, or name them in metadata_files"
        )
    speakers: dict[str, SpeakerInfo] = {}
    for path in paths:
        read = read_metadata(path)
        twice = sorted(read.keys() & speakers.keys())
        if twice:
            raise CorpusError(
                f"{path} describes {name_some(twice)} again; give one file per corpus"
            )
        speakers.update(read)
    return speakers, paths


def read_trial_lists(
    names: Sequence[str | os.PathLike[str]], folders: Sequence[Path]
) -> tuple[dict[str, list[Trial]], list[Path]]:
    """The trials of each list by its name without suffix, and the files.

    Raises
    ------
    CorpusError
        If a list is absent or cannot be read, or two have the same name.
    """
    lists: dict[str, list[Trial]] = {}
    paths = [find_file(name, folders) for name in names]
    for path in paths:
        if path.stem in lists:
            raise CorpusError(f"two trial lists are called {path.stem}; rename one")
        lists[path.stem] = read_trials(path)
    return lists, paths


def text_listing(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """Name with a digest of the content, and size in bytes, of each text file.

    A list or a table may be corrected without a change of its size.
    """
    contents = [(path.name, path.read_bytes()) for path in paths]
    return [(f"{name} {hashlib.sha256(text).hexdigest()}", len(text)) for name, text in contents]
