"""`sb-alexa bench streaming`: speed of streaming recognisers on one CPU core."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_EPILOG = """\
Each model streams audio -> features -> encoder -> greedy tokens with random weights, which emit
labels at the rate of speech. All run in turns in one process on one thread. Run it on an idle
machine: it says when the machine was not.

example:
  sb-alexa bench streaming --json streaming.json --output results/bench
  sb-alexa bench streaming --models conv_rnnt --hours 1
  sb-alexa bench streaming --models LibriCSS/ASR/sts LibriCSS/ASR/single_channel
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--models", nargs="+", metavar="YAML", help="recipe YAMLs [conv_rnnt rnnt conformer]")
    add(
        "--chunk-ms", type=float, default=150.0, help="chunk, as near as frames allow [%(default)s]"
    )
    add("--audio", metavar="FILE", help="a recording to stream; noise if not given")
    add("--seconds", type=float, default=30.0, help="audio per model and round [%(default)s]")
    add("--rounds", type=int, default=3, help="turns of each model with one stream [%(default)s]")
    add("--max-streams", type=int, default=64, help="largest batch that is tried [%(default)s]")
    add(
        "--hours",
        type=float,
        default=0.0,
        help="then stream so long with the first model, and watch its memory",
    )
    add("--json", metavar="FILE", help="write the figures")
    add("--output", metavar="FOLDER", help="write streaming.md and streaming.png")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    for name in ("chunk_ms", "seconds", "rounds", "max_streams"):
        if not getattr(args, name) > 0:
            raise ValueError(
                f"--{name.replace('_', '-')} must be positive, got {getattr(args, name)}"
            )
    if args.output:
        # Without it the minutes of measuring would be lost at the end.
        import matplotlib  # noqa: F401

    from sb_alexa.bench.audio import EndlessAudio
    from sb_alexa.bench.models import DEFAULT_MODELS, build_recogniser
    from sb_alexa.bench.streaming_report import markdown, plot
    from sb_alexa.bench.streaming_run import measure, single_thread
    from sb_alexa.commands.figures import write_figures

    with single_thread():
        if args.audio:
            from sb_alexa.corpora.audio import read_audio

            audio = EndlessAudio(read_audio(args.audio))
        else:
            audio = EndlessAudio.noise()
        names = args.models or DEFAULT_MODELS
        recognisers = [build_recogniser(name, chunk_ms=args.chunk_ms) for name in names]
        result = measure(
            recognisers,
            audio,
            seconds=args.seconds,
            num_rounds=args.rounds,
            max_streams=args.max_streams,
            hours=args.hours,
        )
        text = markdown(result)
        if args.json:
            write_figures(args.json, "bench streaming", result.figures)
        if args.output:
            folder = Path(args.output)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "streaming.md").write_text(text + "\n", encoding="utf-8")
            plot(result, folder / "streaming.png")
        print(text)
        for problem in result.machine.problems:
            print(
                f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr
            )
    return 0
