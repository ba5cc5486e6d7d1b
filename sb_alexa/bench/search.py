"""`sb-alexa bench search`: time of transducer searches, beside SpeechBrain's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_EPILOG = """\
Searches of this package and SpeechBrain's TransducerBeamSearcher over the same weights and encoder
frames in one process, in turns. A small synthetic task trains the model first, so that it emits
labels as speech does. SpeechBrain's searches take no lengths and go over the padding too, so the
utterances of the main figures have equal lengths. Run it on an idle machine: it says when the
machine was not.

example:
  sb-alexa bench search --json search.json --plot search.png
  sb-alexa bench search --search greedy --runs 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--search", choices=("greedy", "beam", "all"), default="all", help="[%(default)s]")
    add(
        "--runs", type=int, default=5, help="timed runs, four times as many of greedy [%(default)s]"
    )
    add("--threads", type=int, default=2, help="of torch [%(default)s]")
    add("--batch-size", type=int, default=16, help="utterances [%(default)s]")
    add("--frames", type=int, default=250, help="encoder frames of an utterance [%(default)s]")
    add("--labels", type=int, default=40, help="labels of an utterance [%(default)s]")
    add("--vocabulary", type=int, default=500, help="labels and the blank [%(default)s]")
    add("--joint-size", type=int, default=512, help="joint and LSTM cells [%(default)s]")
    add("--beam-size", type=int, default=4, help="of the beam searches [%(default)s]")
    add("--seed", type=int, default=0, help="of training and utterances [%(default)s]")
    add("--json", metavar="FILE", help="write the figures")
    add("--plot", metavar="FILE", help="draw the time against the batch size, a PNG")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0, 1 if the models to be compared differ; bad input raises ValueError or OSError.
    """
    for name in ("runs", "threads", "batch_size", "frames", "labels", "joint_size"):
        if getattr(args, name) < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}"
            )
    if args.beam_size < 2:
        raise ValueError(f"--beam-size must be at least 2, got {args.beam_size}")
    if args.vocabulary <= args.beam_size:
        raise ValueError(
            f"--vocabulary must be larger than the beam of {args.beam_size}, got {args.vocabulary}"
        )
    if 2 * args.labels > args.frames:
        raise ValueError(
            f"--frames must be at least twice the {args.labels} labels, got {args.frames}"
        )
    if args.plot:
        # Without it the minutes of measuring would be lost at the end.
        import matplotlib  # noqa: F401

    from sb_alexa.bench.search_case import SearchMismatchError, SearchSize
    from sb_alexa.bench.search_report import markdown, plot
    from sb_alexa.bench.search_run import measure_all
    from sb_alexa.bench.turns import num_threads
    from sb_alexa.commands.figures import write_figures

    size = SearchSize(
        args.batch_size, args.frames, args.labels, args.vocabulary, joint_size=args.joint_size
    )
    with num_threads(args.threads):
        try:
            result = measure_all(
                size,
                beam_size=args.beam_size,
                searches=("greedy", "beam") if args.search == "all" else (args.search,),
                num_rounds=args.runs,
                with_sweep=bool(args.plot),
                seed=args.seed,
            )
        except SearchMismatchError as error:
            print(error, file=sys.stderr)
            return 1
        if args.json:
            write_figures(args.json, "bench search", result.figures)
        if args.plot:
            plot(result, Path(args.plot))
        print(markdown(result))
        for problem in result.machine.problems:
            print(
                f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr
            )
    return 0
