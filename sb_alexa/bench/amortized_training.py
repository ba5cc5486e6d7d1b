"""`sb-alexa bench amortized-training`: does the arbitrator learn where to save?"""

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
    "data_folder", "output_folder", "seed", "num_steps", "phase_one_steps", "pretrained_folder",
    "test_splits",
)  # fmt: skip

_EPILOG = """\
From one first phase, every seed trains three times with equal steps: with all gates on (dense),
with learned arbitrators and the cost of compute (amortized), and with random gates that keep as
much as the amortized run of the same seed (random). If random gates do as well, nothing was
learned. With --smaller, a plain encoder of these sizes is trained too, both phases: gates are worth
having where they beat one of the same cost. All runs are the recipe LibriSpeech/ASR with
amortized_mini and its two deltas.

Running the same command again continues: finished runs are kept. The folder holds:
  corpus/             the embedded corpus (unless --corpus names one)
  phase1/             output folder of the recipe: the weights all others start from
  <arm>-<seed>/       output folders of the recipe: dense-0, amortized-0, random-0, ...
  logs/<run>.txt      what each run printed
  report.md, report.png

example:
  sb-alexa bench amortized-training --json amortized_training.json
  sb-alexa bench amortized-training --smaller d_ffn=48 --control-seeds 2
  sb-alexa bench amortized-training --corpus my_corpus --seeds 2 --steps 300 --output results/short
  sb-alexa bench amortized-training --jobs 1 --set device=cuda:0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    output = Path("results/amortized_training")
    add("--output", type=Path, default=output, metavar="FOLDER", help="all runs [%(default)s]")
    add("--corpus", type=Path, metavar="FOLDER", help="use this one, do not write one")
    add("--hours", type=float, default=12.0, help="of training speech to write [%(default)s]")
    add("--speakers", type=int, default=512, help="of training speech to write [%(default)s]")
    add(
        "--hardness",
        type=float,
        default=0.8,
        metavar="LEVEL",
        help="0 to 1, of all speech to write: noise, bandwidth, pace [%(default)s]",
    )
    add("--seeds", type=int, default=5, help="paired runs of each arm [%(default)s]")
    add("--control-seeds", type=int, help="of them with the controls too; 0: without [all]")
    add(
        "--smaller",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="size of a plain encoder to compare with, such as d_ffn=48; can be repeated",
    )
    add("--phase-one-steps", type=int, help="of the shared first phase [the YAML's]")
    add("--steps", type=int, help="of the second phase, every arm [the YAML's]")
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
    smaller = parse_settings(args.smaller, set_here=_OWN_KEYS, option="--smaller")
    from sb_alexa.bench.amortized_training_plan import (
        ExperimentPlan,
        check_corpus,
        experiment_splits,
    )
    from sb_alexa.bench.amortized_training_report import Comparison, markdown, plot
    from sb_alexa.bench.recipe_jobs import run_jobs
    from sb_alexa.corpora.librispeech_layout import write_librispeech
    from sb_alexa.corpora.planted_hardness import parse_hardness
    from sb_alexa.demo.terminal import StatusLine

    hardness = parse_hardness([str(args.hardness)])
    output = args.output.resolve()
    plan = ExperimentPlan(
        output=output,
        corpus=(args.corpus or output / "corpus").resolve(),
        num_seeds=args.seeds,
        num_control_seeds=args.control_seeds,
        phase_one_steps=args.phase_one_steps,
        num_steps=args.steps,
        settings=settings,
        smaller=smaller,
    )
    jobs = plan.jobs()
    for job in jobs:  # before a corpus is written
        job.check_earlier_run()
    if args.corpus is None:
        splits = experiment_splits(num_train_speakers=args.speakers, hours_of_training=args.hours)
        write_librispeech(plan.corpus, splits=splits, hardness=hardness)
    check_corpus(plan.corpus)
    run_jobs(jobs, num_parallel=args.jobs, folder=output, status=StatusLine(sys.stderr))
    comparison = Comparison.read(plan)
    write_report(
        output,
        markdown(comparison),
        draw=lambda path: plot(comparison, path),
        command="bench amortized-training",
        figures=comparison.figures(),
        json_file=args.json,
    )
    return 0
