"""`sb-alexa transcribe` with a model for a single talker: text and words."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sb_alexa.commands.transcribe_output import JsonLines, LiveText, PlainText

if TYPE_CHECKING:
    from torch import Tensor

    from sb_alexa.inference.asr import TransducerASR


class WordResults:
    """Recognises recordings and prints their text.

    Arguments
    ---------
    asr : TransducerASR
        The model.
    args : argparse.Namespace
        Of the command.
    """

    def __init__(self, asr: TransducerASR, args: argparse.Namespace) -> None:
        for option in ("output", "figure"):
            if getattr(args, option):
                raise ValueError(
                    f"--{option} is for turns, and {args.folder} is a model for a single talker; "
                    "--json-lines prints words with times"
                )
        self._asr = asr
        self._as_json = args.json_lines
        self._named = len(args.audio) > 1

    def whole(self, source: str, samples: Tensor) -> None:
        """Recognise a recording as a whole and print."""
        start = time.monotonic()
        update = self._asr.recognize(samples)
        latency_ms = 1000 * (time.monotonic() - start)
        printer = JsonLines(source) if self._as_json else PlainText(source, named=self._named)
        printer.final(update, update.words, latency_ms)

    def live(self, source: str) -> LiveWords:
        """Open a stream that prints what is recognised as it arrives."""
        printer = JsonLines(source) if self._as_json else LiveText(source, self._named)
        return LiveWords(self._asr, printer)

    def close(self) -> None:
        """Nothing is left to write."""


class LiveWords:
    """A stream whose text is printed when it changes.

    Arguments
    ---------
    asr : TransducerASR
        The model.
    printer : JsonLines | LiveText
        Where to.
    """

    def __init__(self, asr: TransducerASR, printer: JsonLines | LiveText) -> None:
        self._session = asr.streaming_session()
        self._printer = printer
        self._text = ""

    def push(self, samples: Tensor, arrived: float) -> None:
        """Recognise the next samples; `arrived` is the moment (monotonic) from which they count."""
        update = self._session.push(samples)
        if update.text != self._text:
            self._text = update.text
            latency_ms = 1000 * (time.monotonic() - arrived)
            self._printer.partial(update, self._session.words, latency_ms)

    def finish(self, arrived: float) -> None:
        """End the stream."""
        update = self._session.finish()
        latency_ms = 1000 * (time.monotonic() - arrived)
        self._printer.final(update, self._session.words, latency_ms)
