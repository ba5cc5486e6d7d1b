"""The recordings that a trial list names, in folders of audio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sb_alexa.corpora.audio import AudioError, inspect_audio
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.trial_lists import speaker_of
from sb_alexa.corpora.voxceleb_files import find_speakers
from sb_alexa.corpora.voxceleb_metadata import SPEAKER_ID

_SUFFIXES = (".wav", ".flac")


def find_recordings(
    names: Sequence[str], data_folders: Sequence[str | os.PathLike[str]]
) -> list[Utterance]:
    """Find audio by name, and read how long it is.

    Arguments
    ---------
    names : sequence of str
        `<speaker>/<session>/<number>`, without suffix.
    data_folders : sequence of str or path-like
        Folders, or folders with a folder `wav`, to which names with `.wav` or `.flac` are relative.
        Speakers of VoxCeleb are found up to three levels deeper.

    Returns
    -------
    list of Utterance
        In the order of the names.

    Raises
    ------
    CorpusError
        If a folder is missing, or recordings are missing or damaged; names them.

    Example
    -------
    >>> import soundfile
    >>> folder = getfixture("tmp_path")
    >>> (folder / "ann" / "s1").mkdir(parents=True)
    >>> soundfile.write(folder / "ann" / "s1" / "1.wav", [0.1] * 800, 16000)
    >>> [one.duration_s for one in find_recordings(["ann/s1/1"], [folder])]
    [0.05]
    """
    folders = [Path(folder).expanduser().absolute() for folder in data_folders]
    gone = [str(folder) for folder in folders if not folder.is_dir()]
    if gone:
        raise CorpusError(f"data folder {name_some(gone)} does not exist")
    paths = {name: path for name in names if (path := _beside(name, folders))}
    absent = [name for name in names if name not in paths]
    if absent and all(SPEAKER_ID.fullmatch(speaker_of(name)) for name in absent):
        files = find_speakers(folders)
        deeper = files.scan({speaker_of(name) for name in absent} & files.speakers.keys())
        paths |= {n: files.data_root / deeper[n].path for n in absent if n in deeper}
        absent = [name for name in absent if name not in deeper]
    if absent:
        raise CorpusError(
            f"{len(absent)} of {len(names)} recordings of the trials are not in "
            f"{name_some([str(folder) for folder in folders])}: {name_some(absent)}; give the data "
            "folders to which these names are relative (an error rate over a part of a list is not "
            "that of the list)"
        )
    found: list[Utterance] = []
    bad: list[str] = []
    for name in names:
        try:
            duration_s = inspect_audio(paths[name], full_decode=False).duration_s
        except AudioError as error:
            bad.append(str(error))
            continue
        found.append(Utterance(name, duration_s, str(paths[name]), speaker_of(name), ""))
    if bad:
        raise CorpusError(f"{len(bad)} recordings cannot be used: {name_some(bad)}")
    return found


def _beside(name: str, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        for root in (folder, folder / "wav"):
            for suffix in _SUFFIXES:
                if (path := root / f"{name}{suffix}").is_file():
                    return path
    return None
