"""Turns in the files of other tools: SegLST, RTTM, STM and CTM."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import groupby
from pathlib import Path
from typing import Any

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.text_files import CorpusError, parse_file
from sb_alexa.multitalker.arrangement import turns_in_order
from sb_alexa.turn import Turn, Word

# Six digits are far finer than a sample, and hide what floating point adds to 0.1 + 0.2.
_DIGITS = 6
_COMMENT = ";"
_STM_LABEL = re.compile(r"<[^<>\s]*,[^<>\s]*>")
_STM_NOT_SCORED = "ignore_time_segment_in_scoring"

# A session and a turn of it.
_Row = tuple[str, Turn]


def read_turns(path: str | os.PathLike[str]) -> dict[str, tuple[Turn, ...]]:
    """Read who says what and when; the suffix of the file tells the format.

    * `.json`: SegLST, a list of segments.
    * `.stm`: the optional label (`<O,F0,M>`) before the words is left out, and so are segments that
      are not to be scored.
    * `.rttm`: its SPEAKER lines; it has no words, so the text of every turn is empty.
    * `.ctm`: it has words with their times but no turns, so all words of a channel of a session are
      one turn, with the channel for its speaker.

    Arguments
    ---------
    path : str or path-like
        The file, UTF-8.

    Returns
    -------
    sessions : dict of str to tuple of Turn
        Sessions in the order of the file, turns in order of start.

    Raises
    ------
    CorpusError
        If a line does not parse or a turn ends before it starts; the message names the file, the
        line and the session.
    ValueError
        If the suffix is none of these.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.stm"
    >>> _ = path.write_text("s1 1 ben 1.5 3 PLAY MUSIC\\ns1 1 anna 0 2 <O,F0,F> TURN ON\\n")
    >>> [(turn.speaker, turn.start_s, turn.text) for turn in read_turns(path)["s1"]]
    [('anna', 0.0, 'TURN ON'), ('ben', 1.5, 'PLAY MUSIC')]
    """
    path = Path(path)
    read = _format_of(path, _READERS)
    sessions: dict[str, list[Turn]] = {}
    for session, turn in read(path):
        sessions.setdefault(session, []).append(turn)
    return {session: turns_in_order(turns) for session, turns in sessions.items()}


def write_turns(path: str | os.PathLike[str], sessions: Mapping[str, Sequence[Turn]]) -> None:
    """Write who says what and when; the suffix of the file tells the format.

    Times are rounded to microseconds. Sessions without turns leave no trace. In RTTM, STM and CTM,
    where blanks separate the fields, blanks in names become underscores, as in `channel_1`. A CTM
    has the speakers for its channels. `read_turns` tells what each format cannot hold.

    Arguments
    ---------
    path : str or path-like
        `.json` (SegLST), `.rttm`, `.stm` or `.ctm`; replaced in one step.
    sessions : mapping of str to sequence of Turn
        Turns of each session, in any order.

    Raises
    ------
    ValueError
        If the suffix is none of these, a name cannot be written, or a turn has no word times,
        which a CTM consists of. The file is then what it was before.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.stm"
    >>> write_turns(path, {"s1": [Turn("channel 1", 0.1 + 0.2, 2.0, "TURN ON")]})
    >>> path.read_text()
    's1 1 channel_1 0.3 2.0 TURN ON\\n'
    """
    path = Path(path)
    text = _format_of(path, _WRITERS)(sessions)
    with replaced_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_turn_file(path: str | os.PathLike[str]) -> None:
    """Refuse, before long work, a file whose name `write_turns` would refuse after it.

    Arguments
    ---------
    path : str or path-like
        The file that `write_turns` is going to write.

    Raises
    ------
    ValueError
        If the suffix is none of its formats.

    Example
    -------
    >>> check_turn_file("turns.rttm")
    >>> check_turn_file("turns.txt")
    Traceback (most recent call last):
    ValueError: turns.txt: turns are kept in files that end in .json, .rttm, .stm, .ctm, not in ...
    """
    _format_of(Path(path), _WRITERS)


def _format_of(path: Path, formats: Mapping[str, Any]) -> Any:
    if path.suffix.lower() not in formats:
        raise ValueError(
            f"{path}: turns are kept in files that end in {', '.join(formats)}, not in "
            f"{path.suffix or 'nothing'!r}; rename it"
        )
    return formats[path.suffix.lower()]


def _read_seglst(path: Path) -> Iterator[_Row]:
    try:
        segments = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise CorpusError(f"{path} is not JSON: {error}") from error
    if not isinstance(segments, list):
        raise CorpusError(f"{path} is not SegLST, which is a list of segments")
    for number, segment in enumerate(segments, start=1):
        try:
            row = _row(
                str(segment["session_id"]),
                str(segment["speaker"]),
                _seconds(segment["start_time"]),
                _seconds(segment["end_time"]),
                segment["words"],
            )
        except KeyError as error:
            raise CorpusError(f"{path}, segment {number}: it has no {error}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise CorpusError(f"{path}, segment {number}: {error}") from error
        yield row


def _read_stm(path: Path) -> Iterator[_Row]:
    def parse(line: str) -> _Row | None:
        if line.startswith(_COMMENT):
            return None
        session, _, speaker, start, end, *rest = _fields(line, 5, "STM", most=6)
        words = rest[0].split() if rest else []
        if words and _STM_LABEL.fullmatch(words[0]):
            words = words[1:]
        if [word.lower() for word in words] == [_STM_NOT_SCORED]:
            return None
        return _row(session, speaker, _seconds(start), _seconds(end), " ".join(words))

    return parse_file(path, parse)


def _read_rttm(path: Path) -> Iterator[_Row]:
    def parse(line: str) -> _Row | None:
        if line.startswith(_COMMENT):
            return None
        fields = _fields(line, 8, "RTTM")
        if fields[0] != "SPEAKER":
            return None
        start, duration = _seconds(fields[3]), _seconds(fields[4])
        return _row(fields[1], fields[7], start, start + duration, "")

    return parse_file(path, parse)


def _read_ctm(path: Path) -> Iterator[_Row]:
    def parse(line: str) -> tuple[str, str, Word] | None:
        if line.startswith(_COMMENT):
            return None
        session, channel, start, duration, text = _fields(line, 5, "CTM")[:5]
        start_s, end_s = _seconds(start), _seconds(start) + _seconds(duration)
        try:
            return session, channel, Word(text, float(start_s), float(end_s))
        except ValueError as error:
            raise ValueError(f"session {session}: {error}") from error

    channels: dict[tuple[str, str], list[Word]] = {}
    for session, channel, word in parse_file(path, parse):
        channels.setdefault((session, channel), []).append(word)
    for (session, channel), words in channels.items():
        words.sort(key=lambda word: (word.start_s, word.end_s))
        end_s = max(word.end_s for word in words)
        text = " ".join(word.text for word in words)
        yield session, Turn(channel, words[0].start_s, end_s, text, tuple(words))


def _row(session: str, speaker: str, start_s: Decimal, end_s: Decimal, text: str) -> _Row:
    try:
        return session, Turn(speaker, float(start_s), float(end_s), " ".join(text.split()))
    except ValueError as error:
        raise ValueError(f"session {session}: {error}") from error


def _fields(line: str, fewest: int, name: str, most: int = 0) -> list[str]:
    fields = line.split(maxsplit=most - 1)
    if len(fields) < fewest:
        raise ValueError(f"a line of {name} has at least {fewest} fields, got {line.strip()!r}")
    return fields


def _seconds(value: str | float) -> Decimal:
    """Exact, so that the sum of a start and a duration is the end that was meant."""
    try:
        seconds = Decimal(str(value))
    except InvalidOperation:
        seconds = Decimal("nan")
    if not seconds.is_finite():
        raise ValueError(f"{value!r} is not a time in seconds")
    return seconds


def _written_seglst(sessions: Mapping[str, Sequence[Turn]]) -> str:
    segments = [
        {
            "session_id": session,
            "speaker": turn.speaker,
            "start_time": float(_rounded(turn.start_s)),
            "end_time": float(_rounded(turn.end_s)),
            "words": turn.text,
        }
        for session, turns in sessions.items()
        for turn in turns_in_order(turns)
    ]
    return json.dumps(segments, indent=1, ensure_ascii=False) + "\n"


def _written_stm(sessions: Mapping[str, Sequence[Turn]]) -> str:
    return _joined(
        f"{session} 1 {speaker} {_rounded(turn.start_s)} {_rounded(turn.end_s)} {turn.text}"
        for session, speaker, turn in _named_rows(sessions)
    )


def _written_rttm(sessions: Mapping[str, Sequence[Turn]]) -> str:
    return _joined(
        f"SPEAKER {session} 1 {_rounded(turn.start_s)} {_duration(turn)} <NA> <NA> {speaker} "
        "<NA> <NA>"
        for session, speaker, turn in _named_rows(sessions)
    )


def _written_ctm(sessions: Mapping[str, Sequence[Turn]]) -> str:
    lines = []
    for session, rows in groupby(_named_rows(sessions), key=lambda row: row[0]):
        words = []
        for _, speaker, turn in rows:
            if turn.text and not turn.words:
                raise ValueError(
                    f"session {session}: the turn of {turn.speaker} from {turn.start_s:g} s has no "
                    "word times, and a CTM holds nothing else; write .json or .stm instead"
                )
            words += [(speaker, word.start_s, word.end_s, word) for word in turn.words]
        # Scoring tools want a channel's words together and in order.
        for speaker, _, _, word in sorted(words, key=lambda row: row[:3]):
            times = f"{_rounded(word.start_s)} {_duration(word)}"
            lines.append(f"{session} {speaker} {times} {word.text}")
    return _joined(lines)


def _named_rows(sessions: Mapping[str, Sequence[Turn]]) -> Iterator[tuple[str, str, Turn]]:
    """Turns with the names of session and speaker as fields of a line."""
    session_fields = _name_fields(sessions)
    for session, turns in sessions.items():
        speaker_fields = _name_fields(turn.speaker for turn in turns)
        for turn in turns_in_order(turns):
            yield session_fields[session], speaker_fields[turn.speaker], turn


def _name_fields(names: Iterable[str]) -> dict[str, str]:
    fields = {name: "_".join(name.split()) for name in names}
    for name, field in fields.items():
        if not field or field.startswith(_COMMENT):
            raise ValueError(f"the name {name!r} cannot be a field of a line; choose another")
    if len(set(fields.values())) < len(fields):
        raise ValueError(
            f"two of the names {sorted(fields)} are the same once blanks are underscores; "
            "rename one, or write .json"
        )
    return fields


def _rounded(time_s: float) -> Decimal:
    digits = f"{_seconds(time_s):.{_DIGITS}f}".rstrip("0")
    return Decimal(digits + "0" if digits.endswith(".") else digits)


def _duration(stretch: Turn | Word) -> Decimal:
    return _rounded(stretch.end_s) - _rounded(stretch.start_s)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in lines)


_READERS: dict[str, Callable[[Path], Iterator[_Row]]] = {
    ".json": _read_seglst,
    ".rttm": _read_rttm,
    ".stm": _read_stm,
    ".ctm": _read_ctm,
}
_WRITERS: dict[str, Callable[[Mapping[str, Sequence[Turn]]], str]] = {
    ".json": _written_seglst,
    ".rttm": _written_rttm,
    ".stm": _written_stm,
    ".ctm": _written_ctm,
}
