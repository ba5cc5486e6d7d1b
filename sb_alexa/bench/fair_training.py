"""`sb-alexa bench fair-training`: find the region that suffers, train for it, measure it again."""

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
    *("data_folder", "output_folder", "seed", "num_steps", "pretrained_folder", "test_splits"),
    *("train_splits", "word_pieces_file"),
    *("cohort_speakers", "cohort_names", "cohort_sampling", "elastic"),
)

_EPILOG = """\
Every seed trains a small recogniser on the embedded corpus, in which two accents are rare in
training and balanced in the test. One half of the test speakers divides the map into regions by
word error rate, without their accents being looked at. Each arm is fine-tuned on the training
speakers of the worst region, most of them newly recorded, and the other half of the test speakers
measures.

methods: plain fine-tuning, l2 and ewc over all lambdas (mean Fisher information 1, so lambda means
the same for both), slow (plain with 0.3 times the learning rate), replay (half of every batch from
all training speakers)

Running the same command again continues: finished runs are kept. The folder holds:
  corpus/                    the embedded corpus (unless --corpus names another)
  base-<seed>/               output folders of the recipe: the trained models
  fisher-<seed>/             the run that estimates the Fisher information of a base, beside it
  regions.json               what was found with all of them, a file of cohorts
  <arm>-<seed>/              output folders of the recipe: plain-0, ewc_10-0, ...
  logs/<run>.txt             what each run printed
  transcripts/<arm>.jsonl    word errors of the half that measures, for sb-alexa audit --compare
  report.md, report.png

example:
  sb-alexa bench fair-training --json fair_training.json
  sb-alexa bench fair-training --methods plain ewc --lambdas 0.1 1 --seeds 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    output = Path("results/fair_training")
    add("--output", type=Path, default=output, metavar="FOLDER", help="all runs [%(default)s]")
    add("--corpus", type=Path, metavar="FOLDER", help="in LibriSpeech's layout; write none")
    add(
        "--base", type=Path, metavar="FOLDER", help="finished run of mini that all seeds start from"
    )
    add("--methods", nargs="+", metavar="METHOD", help="plain and some others [all]")
    add("--lambdas", nargs="+", type=float, metavar="LAMBDA", help="of l2 and ewc [0.01 0.1 1 10]")
    add("--seeds", type=int, default=2, help="of bases and fine-tunings [%(default)s]")
    add("--base-steps", type=int, help="of the bases [the YAML's]")
    add("--steps", type=int, help="of every fine-tuning [the YAML's]")
    add(
        "--min-speakers",
        type=int,
        default=40,
        help="fewest test speakers of a region in either half [%(default)s]",
    )
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
    from sb_alexa.bench.fair_figures import figures
    from sb_alexa.bench.fair_results import FairComparison
    from sb_alexa.bench.fair_training_plan import (
        DEFAULT_LAMBDAS,
        METHODS,
        FairPlan,
        check_corpus,
        experiment_splits,
    )
    from sb_alexa.bench.fair_training_plot import plot
    from sb_alexa.bench.fair_training_report import markdown
    from sb_alexa.bench.recipe_jobs import run_jobs
    from sb_alexa.corpora.librispeech_layout import write_librispeech
    from sb_alexa.demo.terminal import StatusLine

    output = args.output.resolve()
    plan = FairPlan(
        output=output,
        corpus=(args.corpus or output / "corpus").resolve(),
        methods=tuple(args.methods or METHODS),
        lambdas=tuple(args.lambdas or DEFAULT_LAMBDAS),
        num_seeds=args.seeds,
        base=args.base and args.base.resolve(),
        base_steps=args.base_steps,
        num_steps=args.steps,
        min_speakers=args.min_speakers,
        settings=settings,
    )
    jobs = plan.jobs()
    for job in jobs:  # before a corpus is written
        job.check_earlier_run()
    if args.corpus is None:
        write_librispeech(plan.corpus, splits=experiment_splits())
    check_corpus(plan.corpus)
    status = StatusLine(sys.stderr)
    run_jobs(jobs, num_parallel=args.jobs, folder=output, status=status)
    comparison = FairComparison.read(plan, on_arm=lambda name: status.show(f"resampling: {name}"))
    status.finish()
    comparison.write_transcripts(output / "transcripts")
    write_report(
        output,
        markdown(comparison),
        draw=lambda path: plot(comparison, path),
        command="bench fair-training",
        figures=figures(comparison),
        json_file=args.json,
    )
    return 0
