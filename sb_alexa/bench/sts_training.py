"""`sb-alexa bench sts-training`: what two channels, turn tokens and each further loss gain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sb_alexa.bench.recipe_comparison import (
    add_run_arguments,
    parse_settings,
    write_report,
)

_OWN_KEYS = (
    "data_folder", "libricss_folder", "output_folder", "seed", "num_steps", "pretrained_folder",
)  # fmt: skip

_EPILOG = """\
From one model of single talkers, every seed trains the separator-transducer-segmenter and its
variants with equal steps, on the same mixtures in the same order, and tests them on meetings. All
runs are the recipe LibriCSS/ASR with mini and its deltas.

Running the same command again continues: finished runs are kept. The folder holds:
  corpus/, meetings/  the embedded corpora (unless --corpus and --meetings name others)
  pretrain/           output folder of the recipe: the weights all others start from
  <arm>-<seed>/       output folders of the recipe: sts-0, single_channel-0, ...
  logs/<run>.txt      what each run printed
  report.md, report.png

example:
  sb-alexa bench sts-training --json sts_training.json
  sb-alexa bench sts-training --arms sts single_channel --seeds 1 --output results/sts_long
  sb-alexa bench sts-training --jobs 1 --set device=cuda:0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    output = Path("results/sts_training")
    add("--output", type=Path, default=output, metavar="FOLDER", help="all runs [%(default)s]")
    add("--corpus", type=Path, metavar="FOLDER", help="speech to mix; use this, do not write one")
    add("--meetings", type=Path, metavar="FOLDER", help="test meetings; use these, write none")
    add("--hours", type=float, default=8.0, help="of training speech to write [%(default)s]")
    add("--sentences", type=int, default=1, help="most of them in a turn to write [%(default)s]")
    add("--arms", nargs="+", metavar="ARM", help="sts and some of its variants [all]")
    add("--seeds", type=int, default=3, help="paired runs of each arm [%(default)s]")
    add("--pretrained", type=Path, metavar="FOLDER", help="finished run of mini_pretrain")
    add("--pretrain-steps", type=int, help="of the shared start [the YAML's]")
    add("--steps", type=int, help="of every arm [the YAML's]")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the experiment, or what is left of it.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    settings = parse_settings(args.set, set_here=_OWN_KEYS)
    from sb_alexa.bench.amortized_training_plan import experiment_splits
    from sb_alexa.bench.recipe_jobs import run_jobs
    from sb_alexa.bench.sts_training_plan import ARMS, TurnsPlan, check_folders
    from sb_alexa.bench.sts_training_report import TurnsComparison, markdown, plot
    from sb_alexa.corpora.libricss_layout import write_libricss
    from sb_alexa.corpora.librispeech_layout import write_librispeech
    from sb_alexa.demo.terminal import StatusLine

    output = args.output.resolve()
    plan = TurnsPlan(
        output=output,
        corpus=(args.corpus or output / "corpus").resolve(),
        meetings=(args.meetings or output / "meetings").resolve(),
        arms=tuple(args.arms or ARMS),
        num_seeds=args.seeds,
        pretrained=args.pretrained and args.pretrained.resolve(),
        pretrain_steps=args.pretrain_steps,
        num_steps=args.steps,
        settings=settings,
    )
    jobs = plan.jobs()
    for job in jobs:  # before a corpus is written
        job.check_earlier_run()
    if args.corpus is None:
        splits = experiment_splits(
            hours_of_training=args.hours, sentences_per_utterance=args.sentences
        )
        write_librispeech(plan.corpus, splits=splits, sentences_per_utterance=args.sentences)
    if args.meetings is None:
        write_libricss(plan.meetings, sentences_per_turn=args.sentences)
    check_folders(plan)
    run_jobs(jobs, num_parallel=args.jobs, folder=output, status=StatusLine(sys.stderr))
    comparison = TurnsComparison.read(plan)
    write_report(
        output,
        markdown(comparison),
        draw=lambda path: plot(comparison, path),
        command="bench sts-training",
        figures=comparison.figures(),
        json_file=args.json,
    )
    return 0
