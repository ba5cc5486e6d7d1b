"""`sb-alexa bench fisher`: what the Fisher information for elastic weight consolidation costs."""

from __future__ import annotations

import argparse
import sys

_EPILOG = """\
The recipe's own estimation (gradient of every utterance by itself, sum of squares in float64, mean
over processes with gloo) on noise instead of speech: with an exact loss the time does not depend on
it. Random weights, reading of audio not included. Processes have one thread each.

example:
  sb-alexa bench fisher --json fisher.json
  sb-alexa bench fisher --utterances 20 --processes 1 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--hparams", default="fair_ewc", help="YAML of LibriSpeech/ASR [%(default)s]")
    add("--utterances", type=int, default=500, help="in all [%(default)s]; fewer extrapolate")
    add("--seconds", type=float, default=12.0, help="of an utterance [%(default)s]")
    add("--processes", type=int, nargs="+", default=[1, 2], metavar="N", help="[1 2]")
    add("--json", metavar="FILE", help="write the figures")


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
    processes = sorted(set(args.processes))
    if processes[0] < 1 or args.utterances < processes[-1]:
        raise ValueError(
            "--processes must be >= 1 and --utterances at least as many, got "
            f"{args.processes} and {args.utterances}"
        )
    if not 0.1 <= args.seconds < float("inf"):
        raise ValueError(f"--seconds must be >= 0.1, got {args.seconds}")
    from sb_alexa.bench.fisher_run import figures, markdown, measure_fisher
    from sb_alexa.bench.machine import MachineWatch
    from sb_alexa.bench.models import build_hparams
    from sb_alexa.commands.figures import write_figures

    build_hparams(args.hparams)  # a mistake in it is told here, not by every process
    watch = MachineWatch()
    timings = [
        measure_fisher(
            args.hparams,
            num_utterances=args.utterances,
            duration_s=args.seconds,
            num_processes=number,
        )
        for number in processes
    ]
    problems = watch.report().problems
    if args.json:
        write_figures(args.json, "bench fisher", figures(timings))
    print(markdown(args.hparams, timings, args.seconds))
    for problem in problems:
        print(f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr)
    return 0
