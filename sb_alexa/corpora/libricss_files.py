"""The files of LibriCSS: where they lie, which there are, and what a transcription says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sb_alexa.corpora.text_files import CorpusError, name_some, parse_file
from sb_alexa.multitalker.arrangement import turns_in_order
from sb_alexa.turn import Turn, Word

# Chen et al., "Continuous speech separation: dataset and analysis", ICASSP 2020, arXiv 2001.11482.
CONDITIONS = ("0L", "0S", "OV10", "OV20", "OV30", "OV40")
PUBLISHED_NUM_SESSIONS = 10
# Recorded by the far microphones, or the sources added up without room and noise.
AUDIO_FILES = {"record": "record/raw_recording.wav", "mix": "clean/mix.wav"}
MEETING_INFO = "transcription/meeting_info.txt"
WORDS = "transcription/words.txt"
MEETING_COLUMNS = ("start_time", "end_time", "speaker", "utterance_id", "transcription")
WORD_COLUMNS = ("start_time", "end_time", "utterance_id", "word")
LAYOUT = (
    "expected <condition>/overlap_ratio_<percent>_sil<s>_<s>_session<k>_actual<percent>/ with "
    f"{AUDIO_FILES['record']} and {MEETING_INFO}, conditions {', '.join(CONDITIONS)}"
)
_SESSION_NAME = re.compile(
    r"overlap_ratio_[\d.]+_sil[\d.]+_[\d.]+_session(?P<number>\d+)_actual[\d.]+"
)


class MeetingLine(NamedTuple):
    """One line of `meeting_info.txt`: a turn, and the LibriSpeech utterance that is played."""

    utterance_id: str
    turn: Turn


class WordLine(NamedTuple):
    """One line of `words.txt`: a word, and the utterance it belongs to."""

    utterance_id: str
    word: Word


@dataclass(frozen=True)
class SessionFiles:
    """A session as it lies on disk. Paths are relative to the data folder.

    Arguments
    ---------
    condition : str
        One of `CONDITIONS`.
    number : int
        Number of the session within the condition, from 0.
    folder : str
        Its folder.
    sizes_bytes : dict of str to int
        Size of each file that is there: the keys are `AUDIO_FILES` values, `MEETING_INFO`, `WORDS`.
    """

    condition: str
    number: int
    folder: str
    sizes_bytes: dict[str, int]

    @property
    def name(self) -> str:
        """Unique name, such as `OV10-session3`."""
        return f"{self.condition}-session{self.number}"

    def path(self, file: str) -> str:
        """Path of one of its files, relative to the data folder."""
        return f"{self.folder}/{file}"


def parse_meeting_line(line: str) -> MeetingLine | None:
    """Read one line of `meeting_info.txt`; None for the header.

    Raises
    ------
    ValueError
        If the line does not hold five fields between tabs, a time is not a number, the turn does
        not end after its start or nothing is said.

    Example
    -------
    >>> line = parse_meeting_line("3.5\\t5.25\\t1089\\t1089-134686-0000\\tHe  hoped\\n")
    >>> line.utterance_id, line.turn
    ('1089-134686-0000', Turn(speaker='1089', start_s=3.5, end_s=5.25, text='HE HOPED', words=()))
    >>> parse_meeting_line("start_time\\tend_time\\tspeaker\\tutterance_id\\ttranscription") is None
    True
    """
    fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
    if tuple(fields) == MEETING_COLUMNS:
        return None
    if len(fields) != len(MEETING_COLUMNS):
        raise ValueError(
            f"{line.strip()[:60]!r} does not hold {', '.join(MEETING_COLUMNS)} between tabs"
        )
    start_s, end_s = _seconds(fields[0]), _seconds(fields[1])
    speaker, utterance_id, text = fields[2], fields[3], " ".join(fields[4].upper().split())
    if not 0.0 <= start_s < end_s:
        raise ValueError(
            f"turn {utterance_id} of speaker {speaker} lasts from {start_s} to {end_s} s; it must "
            "start at 0 or later and end after its start"
        )
    if not text:
        raise ValueError(f"turn {utterance_id} of speaker {speaker} has no transcription")
    return MeetingLine(utterance_id, Turn(speaker, start_s, end_s, text))


def parse_word_line(line: str) -> WordLine | None:
    """Read one line of `words.txt`; None for the header.

    Raises
    ------
    ValueError
        If the line does not hold four fields between tabs, or the times are not in order.

    Example
    -------
    >>> parse_word_line("3.75\\t4.0\\t1089-134686-0000\\tHE").word
    Word(text='HE', start_s=3.75, end_s=4.0)
    """
    fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
    if tuple(fields) == WORD_COLUMNS:
        return None
    if len(fields) != len(WORD_COLUMNS):
        raise ValueError(
            f"{line.strip()[:60]!r} does not hold {', '.join(WORD_COLUMNS)} between tabs"
        )
    return WordLine(fields[2], Word(fields[3].upper(), _seconds(fields[0]), _seconds(fields[1])))


def _seconds(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        raise ValueError(f"{field[:20]!r} is not a number of seconds") from None


def find_root(data: Path) -> Path:
    """The folder that holds the conditions: `data` itself or `data/for_release`.

    Raises
    ------
    CorpusError
        If there is none; the message tells what was expected and what was found.
    """
    if not data.is_dir():
        problem = "is not a folder" if data.exists() else "does not exist"
        raise CorpusError(f"data_folder {data} {problem}; {LAYOUT}")
    for root in (data, data / "for_release"):
        if any((root / condition).is_dir() for condition in CONDITIONS):
            return root
    found = sorted(entry.name for entry in data.iterdir() if not entry.name.startswith("."))
    holds = f"found {name_some(found)}" if found else "the folder is empty"
    raise CorpusError(f"data_folder {data} is not LibriCSS: {LAYOUT}; {holds}")


def scan_sessions(data: Path, root: Path) -> list[SessionFiles]:
    """List the sessions in order of condition and number, without opening a file.

    Raises
    ------
    CorpusError
        If there are none, a folder of a condition is not named like a session, or two sessions of
        a condition have the same number.
    """
    sessions: dict[tuple[int, int], SessionFiles] = {}
    for rank, condition in enumerate(CONDITIONS):
        for folder in _visible_folders(root / condition):
            match = _SESSION_NAME.fullmatch(folder.name)
            if match is None:
                raise CorpusError(f"{folder} is not named like a session of LibriCSS: {LAYOUT}")
            sizes_bytes = {
                file: (folder / file).stat().st_size
                for file in (*AUDIO_FILES.values(), MEETING_INFO, WORDS)
                if (folder / file).is_file()
            }
            relative = folder.relative_to(data).as_posix()
            session = SessionFiles(condition, int(match["number"]), relative, sizes_bytes)
            other = sessions.setdefault((rank, session.number), session)
            if other is not session:
                raise CorpusError(
                    f"{data}: {other.folder} and {relative} are both session {session.number} of "
                    f"{condition}; delete one of them"
                )
    if not sessions:
        raise CorpusError(f"{root} holds no session: {LAYOUT}")
    return [session for _, session in sorted(sessions.items())]


def _visible_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(e for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))


def listing(sessions: Iterable[SessionFiles]) -> Iterator[tuple[str, int]]:
    """Every file that decides what is prepared, with its size in bytes."""
    for session in sessions:
        yield from ((session.path(file), size) for file, size in session.sizes_bytes.items())


def read_turns(data: Path, session: SessionFiles) -> tuple[Turn, ...]:
    """The turns of a session in order of start, with the times of words where they are known.

    Raises
    ------
    CorpusError
        If a line cannot be read, an utterance is there twice, or the timed words are not those of
        the transcription; the message names the file.
    """
    path = data / session.path(MEETING_INFO)
    lines = list(parse_file(path, parse_meeting_line))
    if not lines:
        raise CorpusError(f"{path} holds no turn")
    if WORDS in session.sizes_bytes:
        lines = _with_words(data / session.path(WORDS), lines)
    return turns_in_order(line.turn for line in lines)


def _with_words(path: Path, lines: Sequence[MeetingLine]) -> list[MeetingLine]:
    words: dict[str, list[Word]] = defaultdict(list)
    for utterance_id, word in parse_file(path, parse_word_line):
        words[utterance_id].append(word)
    timed = []
    for line in lines:
        try:
            turn = replace(line.turn, words=tuple(words.pop(line.utterance_id, ())))
        except ValueError as error:
            raise CorpusError(f"{path}: utterance {line.utterance_id}: {error}") from error
        timed.append(MeetingLine(line.utterance_id, turn))
    if words:
        raise CorpusError(f"{path} times words of no turn: {name_some(sorted(words))}")
    return timed
