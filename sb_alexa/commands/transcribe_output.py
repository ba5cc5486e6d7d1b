"""How `sb-alexa transcribe` shows results: plain, live on a terminal, or as JSON lines."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb_alexa.inference.transcription import TimedWord, Update


class PlainText:
    """The final text, nothing else.

    Arguments
    ---------
    source : str
        Where the audio comes from.
    named : bool
        Print the source and a tabulator before the text, for several files.
    """

    def __init__(self, source: str, *, named: bool) -> None:
        self._prefix = f"{source}\t" if named else ""

    def partial(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Show nothing before the end."""

    def final(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Print the text."""
        print(f"{self._prefix}{update.text}", flush=True)


class LiveText:
    """The text as it grows: one line rewritten on a terminal, else a line for each change.

    Arguments
    ---------
    source : str
        Where the audio comes from.
    named : bool
        Print the source on a line of its own first, for several files.
    """

    def __init__(self, source: str, named: bool = False) -> None:
        self._is_terminal = sys.stdout.isatty()
        if named:
            print(source, flush=True)

    def partial(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Show the text so far and the time of the audio."""
        line = f"[{update.audio_s:7.2f} s] {update.text}"
        if not self._is_terminal:
            print(line, flush=True)
            return
        # A line that wraps cannot be rewritten: of a long text its end is shown.
        columns = max(shutil.get_terminal_size().columns - 1, 20)
        if len(line) > columns:
            head = line[:12]
            line = f"{head}...{line[-(columns - len(head) - 3) :]}"
        print(f"\r\x1b[K{line}", end="", flush=True)

    def final(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Show the whole text."""
        clear = "\r\x1b[K" if self._is_terminal else ""
        print(f"{clear}[{update.audio_s:7.2f} s] {update.text}  (final)", flush=True)


class JsonLines:
    """One JSON object for each change, for programs.

    Arguments
    ---------
    source : str
        Where the audio comes from.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def partial(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Print an object of type ``partial``."""
        self._print("partial", update, words, latency_ms)

    def final(self, update: Update, words: Sequence[TimedWord], latency_ms: float) -> None:
        """Print an object of type ``final``."""
        self._print("final", update, words, latency_ms)

    def _print(
        self, kind: str, update: Update, words: Sequence[TimedWord], latency_ms: float
    ) -> None:
        event = {
            "type": kind,
            "source": self._source,
            "text": update.text,
            "words": [word.as_dict() for word in words],
            "audio_s": round(update.audio_s, 3),
            "latency_ms": round(latency_ms, 1),
        }
        print(json.dumps(event), flush=True)
