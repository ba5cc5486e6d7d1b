"""`sb-alexa transcribe`: audio files, raw samples or a microphone to text."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sb_alexa.commands.transcribe_turns import LiveTurns, TurnResults
    from sb_alexa.commands.transcribe_words import LiveWords, WordResults
    from sb_alexa.inference.transducer_interface import TransducerInterface

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130

_EPILOG = """\
Without --stream a file is transcribed as a whole and only its text is printed. With --stream it is
given to the model in chunks, and the text appears as it is recognised, with the time of the audio;
the result is the same. `-` (raw signed 16-bit little-endian mono samples on standard input) and
--microphone always stream. Audio at another sampling rate than the model's is converted.

--json-lines prints one JSON object per line: {"type": "partial" or "final", "source", "text",
"words": [{"word", "start", "end", "confidence"}, ...] so far, "audio_s", "latency_ms"}. Times are
in seconds of audio; the latency is that from the arrival of a chunk to its text.

A model for several talkers tells who says what when: without --stream a line for each turn, with it
a line for each event as it happens. A talker is known by the output channel only, which different
people share. --json-lines prints an object for each event: {"event": "turn_started", "word",
"turn_ended" or, at last, "end", "channel" from 0, "time" or "start" and "end" in seconds, "text",
"confidence", "source", "audio_s", "latency_ms"}. --output writes the turns, --figure draws them.

Ctrl-C prints what has been recognised so far and ends. Exit code 2: a file could not be read.

example:
  sb-alexa transcribe results/demo/model talk.wav
  sb-alexa transcribe results/demo/model talk.wav --stream --realtime
  sb-alexa transcribe results/demo/model *.flac --json-lines > talks.jsonl
  ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | sb-alexa transcribe results/demo/model -
  sb-alexa transcribe results/demo/model talk.wav --beam-size 4 --phrases names.txt
  sb-alexa transcribe results/demo/model --microphone
  sb-alexa transcribe results/sts/model meeting.wav --stream
  sb-alexa transcribe results/sts/model *.wav --output turns.rttm
  sb-alexa transcribe results/sts/model meeting.wav --figure turns.png --reference meeting.stm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", help="folder of a trained model")
    parser.add_argument(
        "audio", metavar="AUDIO", nargs="*", help="audio files; - reads raw samples from a pipe"
    )
    parser.add_argument("--stream", action="store_true", help="show the text as it is recognised")
    parser.add_argument(
        "--microphone", action="store_true", help="listen to the default microphone until Ctrl-C"
    )
    parser.add_argument(
        "--chunk-ms",
        type=float,
        default=160.0,
        help="audio given to the model at a time, in milliseconds (default: %(default)g)",
    )
    parser.add_argument(
        "--realtime", action="store_true", help="stream files at the speed of speech"
    )
    parser.add_argument(
        "--sample-rate",
        type=int,
        help="samples per second on standard input (default: the model's)",
    )
    parser.add_argument("--json-lines", action="store_true", help="print JSON objects, one a line")
    parser.add_argument(
        "--beam-size",
        type=int,
        default=1,
        metavar="K",
        help="keep K hypotheses; 1 is the model's own search (default: %(default)s)",
    )
    parser.add_argument(
        "--phrases", metavar="FILE", help="names and terms to favour, one a line; needs --beam-size"
    )
    parser.add_argument(
        "--phrase-boost",
        type=float,
        default=1.5,
        metavar="NATS",
        help="what each word piece of a phrase is worth (default: %(default)g)",
    )
    turns = parser.add_argument_group("models for several talkers")
    turns.add_argument(
        "--output",
        metavar="FILE",
        help="write the turns of all files: .json (SegLST), .rttm, .stm or .ctm",
    )
    turns.add_argument(
        "--figure", metavar="FILE", help="draw the turns of one recording: .png, .pdf or .svg"
    )
    turns.add_argument(
        "--reference",
        metavar="FILE",
        help="true turns to draw below, a file of the same formats; of several sessions the one "
        "that is named like the recording",
    )
    parser.add_argument(
        "--device", help="such as cpu or cuda:0 (default: the first GPU, if there is one)"
    )


def run(args: argparse.Namespace) -> int:
    """Transcribe.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0 done (Ctrl-C at a live source included), 2 if a file could not be read, 130 after Ctrl-C
        in a file.
    """
    _check(args)
    if not Path(args.folder).is_dir():
        raise FileNotFoundError(
            f"there is no folder {args.folder}; give the folder of a trained model"
        )
    asr, results = _open(args)
    if args.beam_size > 1:
        asr.use_beam_search(
            args.beam_size, phrases=_phrases(args.phrases), phrase_boost=args.phrase_boost
        )
    try:
        if args.microphone:
            return _stream(results.live("microphone"), _microphone(asr, args), is_live=True)
        if args.audio == ["-"]:
            return _stream(results.live("-"), _standard_input(asr, args), is_live=True)
        return _files(asr, results, args)
    finally:
        # After Ctrl-C or an error in the audio, too, what was recognised before is written.
        results.close()


def _open(args: argparse.Namespace) -> tuple[TransducerInterface, WordResults | TurnResults]:
    """The model, and what prints its results."""
    from sb_alexa.inference.model_folder import is_multitalker, read_model_folder

    model = read_model_folder(args.folder)
    run_opts = {"device": args.device} if args.device else None
    if is_multitalker(model.hparams):
        from sb_alexa.commands.transcribe_turns import TurnResults
        from sb_alexa.inference.multitalker import MultiTalkerASR

        turn_asr = MultiTalkerASR.from_model(model, run_opts)
        return turn_asr, TurnResults(turn_asr, args)
    from sb_alexa.commands.transcribe_words import WordResults
    from sb_alexa.inference.asr import TransducerASR

    word_asr = TransducerASR.from_model(model, run_opts)
    return word_asr, WordResults(word_asr, args)


def _files(
    asr: TransducerInterface, results: WordResults | TurnResults, args: argparse.Namespace
) -> int:
    code = DONE
    for path in args.audio:
        try:
            samples = asr.load_audio(path)
        except (ValueError, OSError) as error:
            # The other files may be good; this one decides the exit code.
            print(f"sb-alexa: error: {error}", file=sys.stderr)
            code = BAD_INPUT
            continue
        if not (args.stream or args.realtime):
            results.whole(path, samples)
        elif _stream(results.live(path), _file_chunks(asr, samples, args)) == INTERRUPTED:
            return INTERRUPTED
    return code


def _check(args: argparse.Namespace) -> None:
    if args.microphone and args.audio:
        raise ValueError("give audio files or --microphone, not both")
    if not args.microphone and not args.audio:
        raise ValueError("give an audio file, - for raw samples on standard input, or --microphone")
    if "-" in args.audio and len(args.audio) > 1:
        raise ValueError("- (standard input) cannot be mixed with files; use two calls")
    if args.sample_rate is not None and args.audio != ["-"]:
        raise ValueError("--sample-rate is for standard input; files tell their own")
    if args.sample_rate is not None and args.sample_rate <= 0:
        raise ValueError(f"--sample-rate must be > 0 Hz, got {args.sample_rate}")
    if args.beam_size < 1:
        raise ValueError(f"--beam-size must be >= 1, got {args.beam_size}")
    if args.phrases and args.beam_size == 1:
        raise ValueError("--phrases needs a beam: add --beam-size 4")
    if not 1 <= args.chunk_ms <= 60_000:
        raise ValueError(f"--chunk-ms must be between 1 and 60000, got {args.chunk_ms:g}")
    if args.output or args.figure or args.reference:
        from sb_alexa.commands.transcribe_turns import check_files

        check_files(args)


def _phrases(path: str | None) -> list[str]:
    """The lines of a file that are not empty."""
    if path is None:
        return []
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _stream(
    live: LiveWords | LiveTurns, chunks: Iterable[tuple[Tensor, float]], is_live: bool = False
) -> int:
    """Recognise chunks (samples, time of arrival) and print; Ctrl-C ends the audio only."""
    code, arrived = DONE, None
    try:
        for samples, arrived in chunks:
            live.push(samples, arrived)
    except KeyboardInterrupt:
        code = DONE if is_live else INTERRUPTED
        arrived = time.monotonic()
    finally:
        # After an error in the audio, too, what was recognised before is shown.
        if arrived is not None:
            live.finish(arrived)
    return code


def _file_chunks(
    asr: TransducerInterface, samples: Tensor, args: argparse.Namespace
) -> Iterator[tuple[Tensor, float]]:
    from sb_alexa.inference.audio_sources import chunks

    start, num_samples = time.monotonic(), 0
    for chunk in chunks(samples, round(args.chunk_ms * asr.sample_rate / 1000)):
        num_samples += len(chunk)
        if args.realtime:
            # A chunk arrives when its last sample has been spoken, even if the model is late.
            arrives = start + num_samples / asr.sample_rate
            time.sleep(max(arrives - time.monotonic(), 0))
            yield chunk, arrives
        else:
            yield chunk, time.monotonic()


def _standard_input(
    asr: TransducerInterface, args: argparse.Namespace
) -> Iterator[tuple[Tensor, float]]:
    from sb_alexa.inference.audio_sources import pcm_chunks

    if sys.stdin.isatty():
        raise ValueError(
            "standard input is a terminal; pipe raw 16-bit samples into it, for example "
            "`ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | sb-alexa transcribe FOLDER -`"
        )
    return _arriving(
        pcm_chunks(
            sys.stdin.buffer,
            rate_hz=args.sample_rate or asr.sample_rate,
            sample_rate=asr.sample_rate,
            chunk_ms=args.chunk_ms,
        )
    )


def _microphone(
    asr: TransducerInterface, args: argparse.Namespace
) -> Iterator[tuple[Tensor, float]]:
    from sb_alexa.inference.audio_sources import microphone_chunks

    print("Listening; Ctrl-C ends.", file=sys.stderr)
    return _arriving(microphone_chunks(sample_rate=asr.sample_rate, chunk_ms=args.chunk_ms))


def _arriving(chunks: Iterable[Tensor]) -> Iterator[tuple[Tensor, float]]:
    for chunk in chunks:
        yield chunk, time.monotonic()
