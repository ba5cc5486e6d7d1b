"""The files of LibriSpeech: where they lie, which there are, and what a transcript says."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sb_alexa.corpora.audio import AudioInfo
from sb_alexa.corpora.folder_listing import found_in, size_bytes, visible_entries
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import CorpusError, name_some, parse_file

# Panayotov et al., "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015.
PUBLISHED_NUM_UTTERANCES = {
    "train-clean-100": 28_539,
    "train-clean-360": 104_014,
    "train-other-500": 148_688,
    "dev-clean": 2_703,
    "dev-other": 2_864,
    "test-clean": 2_620,
    "test-other": 2_939,
}
LAYOUT = (
    "expected <split>/<reader>/<chapter>/<reader>-<chapter>-<number>.flac with "
    "<reader>-<chapter>.trans.txt beside it, for example dev-clean/84/121123/84-121123-0000.flac"
)
_UTTERANCE_ID = re.compile(r"[^-\s]+-[^-\s]+-[^-\s]+")
_METADATA = ("SPEAKERS.TXT", "speakers.csv")


def parse_transcript_line(line: str) -> tuple[str, str]:
    """Split one line of a `.trans.txt` into utterance id and text; the text may be empty.

    Raises
    ------
    ValueError
        If the line does not begin with `<reader>-<chapter>-<number>`.

    Example
    -------
    >>> parse_transcript_line("84-121123-0000 GO DO YOU HEAR\\n")
    ('84-121123-0000', 'GO DO YOU HEAR')
    >>> parse_transcript_line("84-121123-0001")
    ('84-121123-0001', '')
    """
    identifier, _, text = line.strip().partition(" ")
    if not _UTTERANCE_ID.fullmatch(identifier):
        raise ValueError(
            f"{line.strip()[:60]!r} is not '<reader>-<chapter>-<number> TEXT', "
            f"such as '84-121123-0000 GO DO YOU HEAR'"
        )
    return identifier, text.strip()


@dataclass
class SplitFiles:
    """A split while it is prepared. Paths are relative to the data folder.

    Arguments
    ---------
    name : str
        Its folder.
    audio : dict of str to (str, int)
        Path and size in bytes of the audio of each utterance id.
    transcripts : list of (str, int)
        Path and size in bytes of each `.trans.txt`.
    utterances : list of Utterance
        Those with good audio and a transcript, found by `match_transcripts`; so are the others:
    missing_audio : list of str
        Paths that a transcript promises.
    without_transcript : list of str
        Audio that no transcript names.
    empty : list of str
        Audio of utterances with an empty transcript.
    """

    name: str
    audio: dict[str, tuple[str, int]] = field(default_factory=dict)
    transcripts: list[tuple[str, int]] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    missing_audio: list[str] = field(default_factory=list)
    without_transcript: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def find_root(data: Path, names: Sequence[str]) -> Path:
    """The folder that holds the splits: `data` itself or `data/LibriSpeech`.

    Raises
    ------
    CorpusError
        If there is none; the message tells what was expected and what was found.
    """
    if not data.is_dir():
        problem = "is not a folder" if data.exists() else "does not exist"
        raise CorpusError(f"data_folder {data} {problem}; {LAYOUT}")
    roots = [folder for folder in (data, data / "LibriSpeech") if folder.is_dir()]
    root = max(roots, key=lambda folder: sum((folder / name).is_dir() for name in names))
    absent = [name for name in names if not (root / name).is_dir()]
    if not absent:
        return root
    present = [
        entry.name
        for folder in roots
        for entry in visible_entries(folder)
        if any(Path(entry.path).glob("*/*/*.trans.txt"))
    ]
    if not present:
        raise CorpusError(f"data_folder {data} is not LibriSpeech: {LAYOUT}; {found_in(data)}")
    problems = []
    for name in absent:
        known = [*present, *PUBLISHED_NUM_UTTERANCES]
        close = [c for c in difflib.get_close_matches(name, dict.fromkeys(known)) if c != name]
        problems.append(repr(name) + (f" (did you mean {' or '.join(close)}?)" if close else ""))
    raise CorpusError(
        f"{data} has no split {', '.join(problems)}; it holds {name_some(sorted(set(present)))}"
    )


def scan_split(data: Path, root: Path, name: str) -> SplitFiles:
    """List the files of a split, without opening any.

    Raises
    ------
    CorpusError
        If there are none, or two with the same utterance id.
    """
    split = SplitFiles(name)
    readers = [entry for entry in visible_entries(root / name) if entry.is_dir()]
    for chapter in (entry for reader in readers for entry in visible_entries(reader.path)):
        for entry in visible_entries(chapter.path) if chapter.is_dir() else ():
            path = entry.path[len(str(data)) :].replace(os.sep, "/").lstrip("/")
            file = (path, size_bytes(entry))
            if entry.name.endswith(".trans.txt"):
                split.transcripts.append(file)
            elif entry.name.endswith(".flac"):
                other = split.audio.setdefault(entry.name.removesuffix(".flac"), file)
                if other != file:
                    raise CorpusError(f"{data}: {file[0]} and {other[0]} have the same id")
    if not split.audio and not split.transcripts:
        raise CorpusError(f"{root / name} is not LibriSpeech: {LAYOUT}; {found_in(root / name)}")
    return split


def listing(root: Path, found: Iterable[SplitFiles]) -> Iterator[tuple[str, int]]:
    """Every file that decides what is prepared, with its size in bytes."""
    for split in found:
        yield from split.audio.values()
        yield from split.transcripts
    yield from ((n, (root / n).stat().st_size) for n in _METADATA if (root / n).is_file())


def match_transcripts(split: SplitFiles, data: Path, infos: Mapping[str, AudioInfo]) -> None:
    """Bring audio and transcripts of a split together, and note what lacks its other half."""
    texts: dict[str, str] = {}
    for path, _ in split.transcripts:
        for identifier, text in parse_file(data / path, parse_transcript_line):
            if identifier in texts:
                raise CorpusError(f"{data / path}: {identifier} has a transcript already")
            texts[identifier] = text
            if identifier not in split.audio:
                split.missing_audio.append(f"{path.rpartition('/')[0]}/{identifier}.flac")
    for identifier, (path, _) in split.audio.items():
        if identifier not in texts:
            split.without_transcript.append(path)
        elif path in infos:
            text, speaker = texts[identifier], identifier.partition("-")[0]
            duration_s = infos[path].duration_s
            split.utterances.append(
                Utterance(identifier, duration_s, str(data / path), speaker, text)
            )
            if not text:
                split.empty.append(path)
