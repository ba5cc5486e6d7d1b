"""`sb-alexa transcribe` with a model for several talkers: turns, their events and files of them."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb_alexa.multitalker.turn_events import (
    TurnEnded,
    TurnEvent,
    TurnStarted,
    WordSpoken,
    turns_from_events,
)

if TYPE_CHECKING:
    from torch import Tensor

    from sb_alexa.inference.multitalker import MultiTalkerASR
    from sb_alexa.inference.turn_transcription import TurnUpdate
    from sb_alexa.turn import Turn

# Names of sessions in files, where a source has no name of its own.
_SESSIONS = {"-": "stdin"}
_MARKS: dict[type, str] = {TurnStarted: "<turn started>", TurnEnded: "<turn ended>"}


def check_files(args: argparse.Namespace) -> None:
    """Refuse, before long work, files that could not be written after it.

    Arguments
    ---------
    args : argparse.Namespace
        Of the command.

    Raises
    ------
    ValueError
        If a name or a combination of options does not fit.
    """
    if args.reference and not args.figure:
        raise ValueError("--reference is drawn into a picture: add --figure FILE.png")
    if args.figure:
        if len(args.audio) > 1:
            raise ValueError("--figure is the picture of one recording; give one audio file")
        from sb_alexa.inference.matplotlib_figure import check_picture

        check_picture(args.figure)
    if args.output:
        from sb_alexa.corpora.turn_files import check_turn_file

        check_turn_file(args.output)
        sources: dict[str, str] = {}
        for source in args.audio:
            session = _session_name(source)
            if session in sources:
                raise ValueError(
                    f"{sources[session]} and {source} would be one session in {args.output}; "
                    "use two calls, or rename one"
                )
            sources[session] = source


class TurnResults:
    """Recognises recordings, prints who says what when, and writes it to files at the end.

    Arguments
    ---------
    asr : MultiTalkerASR
        The model.
    args : argparse.Namespace
        Of the command, as `check_files` accepts them.
    """

    def __init__(self, asr: MultiTalkerASR, args: argparse.Namespace) -> None:
        self._asr = asr
        self._as_json = args.json_lines
        self._named = len(args.audio) > 1
        self._output, self._figure = args.output, args.figure
        source = args.audio[0] if args.audio else "microphone"
        self._references = _read_reference(args.reference, _session_name(source))
        self._events: dict[str, list[TurnEvent]] = {}

    def whole(self, source: str, samples: Tensor) -> None:
        """Recognise a recording as a whole and print its turns."""
        start = time.monotonic()
        update = self._asr.recognize(samples)
        latency_ms = 1000 * (time.monotonic() - start)
        self.keep(source, update.events)
        if self._as_json:
            EventJsonLines(source).show(update, latency_ms)
            return
        prefix = f"{source}\t" if self._named else ""
        for turn in turns_from_events(update.events):
            times = f"[{turn.start_s:7.2f} - {turn.end_s:7.2f} s]"
            print(f"{prefix}{times} {turn.speaker}: {turn.text}", flush=True)

    def live(self, source: str) -> LiveTurns:
        """Open a stream that prints events as they happen."""
        printer = EventJsonLines(source) if self._as_json else EventLines(source, self._named)
        return LiveTurns(self._asr, printer, self, source)

    def close(self) -> None:
        """Write the files that were asked for, of everything that was recognised."""
        turns = {session: turns_from_events(events) for session, events in self._events.items()}
        if self._output and turns:
            from sb_alexa.corpora.turn_files import write_turns

            write_turns(self._output, turns)
        if self._figure and turns:
            from sb_alexa.inference.turn_figure import draw_turns

            ((session, found),) = turns.items()
            lanes: dict[str, list[Turn]] = {
                f"channel {number + 1}": [] for number in range(self._asr.num_channels)
            }
            for turn in found:
                lanes[turn.speaker].append(turn)
            draw_turns(lanes, self._figure, self._references, title=session)

    def keep(self, source: str, events: Iterable[TurnEvent]) -> None:
        """Remember events for the files, if any were asked for: a microphone may run for days."""
        if self._output or self._figure:
            self._events.setdefault(_session_name(source), []).extend(events)


class LiveTurns:
    """A stream whose events are printed as they happen.

    Arguments
    ---------
    asr : MultiTalkerASR
        The model.
    printer : EventLines | EventJsonLines
        Where to.
    results : TurnResults
        Keeps the events for files.
    source : str
        Where the audio comes from.
    """

    def __init__(
        self,
        asr: MultiTalkerASR,
        printer: EventLines | EventJsonLines,
        results: TurnResults,
        source: str,
    ) -> None:
        self._session = asr.turn_session()
        self._printer = printer
        self._results = results
        self._source = source

    def push(self, samples: Tensor, arrived: float) -> None:
        """Recognise the next samples; `arrived` is the moment (monotonic) from which they count."""
        self._show(self._session.push(samples), arrived)

    def finish(self, arrived: float) -> None:
        """End the stream."""
        self._show(self._session.finish(), arrived)

    def _show(self, update: TurnUpdate, arrived: float) -> None:
        self._printer.show(update, 1000 * (time.monotonic() - arrived))
        self._results.keep(self._source, update.events)


class EventLines:
    """A line for each event, for people.

    Arguments
    ---------
    source : str
        Where the audio comes from.
    named : bool
        Print the source on a line of its own first, for several files.
    """

    def __init__(self, source: str, named: bool = False) -> None:
        self._num_turns = 0
        if named:
            print(source, flush=True)

    def show(self, update: TurnUpdate, latency_ms: float) -> None:
        """Print the events and, at the end, the number of turns."""
        for event in update.events:
            if isinstance(event, WordSpoken):
                time_s, what = event.start_s, event.text
            else:
                time_s, what = event.time_s, _MARKS[type(event)]
            self._num_turns += isinstance(event, TurnStarted)
            print(f"[{time_s:7.2f} s] channel {event.channel + 1}: {what}", flush=True)
        if update.is_final:
            turns = "1 turn" if self._num_turns == 1 else f"{self._num_turns} turns"
            print(f"[{update.audio_s:7.2f} s] {turns}  (final)", flush=True)


class EventJsonLines:
    """One JSON object for each event, for programs.

    Arguments
    ---------
    source : str
        Where the audio comes from.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def show(self, update: TurnUpdate, latency_ms: float) -> None:
        """Print the events and, at the end, an object of event ``end``."""
        objects = [event.as_dict() for event in update.events]
        if update.is_final:
            objects.append({"event": "end"})
        for one in objects:
            one["source"] = self._source
            one["audio_s"] = round(update.audio_s, 3)
            one["latency_ms"] = round(latency_ms, 1)
            print(json.dumps(one), flush=True)


def _session_name(source: str) -> str:
    return _SESSIONS.get(source, Path(source).stem)


def _read_reference(path: str | None, session: str) -> Sequence[Turn]:
    """The true turns of a session: that of its name, or the only one."""
    if path is None:
        return ()
    from sb_alexa.corpora.turn_files import read_turns

    sessions = read_turns(path)
    if session in sessions:
        return sessions[session]
    if len(sessions) == 1:
        return next(iter(sessions.values()))
    some = ", ".join(list(sessions)[:5]) or "none"
    raise ValueError(
        f"{path} has no session {session}, which the recording is named after, but "
        f"{len(sessions)} others ({some}); rename the recording, or give a file of one session"
    )
