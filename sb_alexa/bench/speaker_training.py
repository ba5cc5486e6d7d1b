"""`sb-alexa bench speaker-training`: does adversarial reweighting help the groups that are hard?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sb_alexa.bench.recipe_comparison import (
    add_run_arguments,
    parse_settings,
    write_report,
)

_OWN_KEYS = ("data_folder", "output_folder", "seed", "num_steps")

_EPILOG = """\
Every seed trains the baseline and its variants with equal steps, on the same batches in the same
order, and tests them on a trial list, by group of speakers. No group is told to the training. All
runs are the recipe VoxCeleb/SpeakerRec with mini and its deltas.

arms: baseline; aam (AAM-softmax); reweighted by an adversary: aps (accumulated pairwise
similarity), pl (pseudo-labels), pw (pairs)

Running the same command again continues: finished runs are kept. The folder holds:
  corpus/             the embedded corpus (unless --corpus names another)
  <arm>-<seed>/       output folders of the recipe: baseline-0, pw-0, ...
  logs/<run>.txt      what each run printed
  report.md, report.png

example:
  sb-alexa bench speaker-training --json speaker_training.json
  sb-alexa bench speaker-training --list veri_test_hard     (reads the same runs)
  sb-alexa bench speaker-training --arms baseline aam aps pl pw --seeds 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    output = Path("results/speaker_training")
    add("--output", type=Path, default=output, metavar="FOLDER", help="all runs [%(default)s]")
    add("--corpus", type=Path, metavar="FOLDER", help="in VoxCeleb's layout; write none")
    add("--arms", nargs="+", metavar="ARM", help="baseline and its variants [baseline pw]")
    add("--seeds", type=int, default=5, help="paired runs of each arm [%(default)s]")
    add("--steps", type=int, help="of every run [the YAML's]")
    add("--list", default="veri_test", help="trial list that is reported [%(default)s]")
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
    from sb_alexa.bench.recipe_jobs import run_jobs
    from sb_alexa.bench.speaker_comparison import SpeakersComparison
    from sb_alexa.bench.speaker_training_plan import DEFAULT_ARMS, SpeakerPlan, check_folder
    from sb_alexa.bench.speaker_training_plot import plot
    from sb_alexa.bench.speaker_training_report import markdown
    from sb_alexa.corpora.voxceleb_layout import write_voxceleb
    from sb_alexa.demo.terminal import StatusLine

    output = args.output.resolve()
    plan = SpeakerPlan(
        output=output,
        corpus=(args.corpus or output / "corpus").resolve(),
        arms=tuple(args.arms or DEFAULT_ARMS),
        num_seeds=args.seeds,
        num_steps=args.steps,
        test_list=args.list,
        settings=settings,
    )
    jobs = plan.jobs()
    for job in jobs:  # before a corpus is written
        job.check_earlier_run()
    if args.corpus is None:
        write_voxceleb(plan.corpus)
    check_folder(plan)
    status = StatusLine(sys.stderr)
    run_jobs(jobs, num_parallel=args.jobs, folder=output, status=status)
    comparison = SpeakersComparison.read(
        plan, on_draw=lambda done: status.show(f"resampling speakers: {100.0 * done:.0f} %")
    )
    status.finish()
    write_report(
        output,
        markdown(comparison),
        draw=lambda path: plot(comparison, path),
        command="bench speaker-training",
        figures=comparison.figures(),
        json_file=args.json,
    )
    return 0
