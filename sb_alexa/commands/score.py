"""`sb-alexa score`: error rates of speaker verification, as a whole and by group of speakers."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sb_alexa.commands.report_arguments import (
    add_report_arguments,
    check_report_arguments,
    judge_gap,
)

if TYPE_CHECKING:
    from sb_alexa.report.verification_results import VerificationResult

AFTER_INTERRUPT = "no report was written; run the same command again"

_EPILOG = """\
A score file is a table with a header that names label, score, enrol and test (and perhaps
enrol_speaker and test_speaker), between commas, tabs or blanks; label 1 is the same speaker, 0
another. Or its lines are 'label score group_a group_b', the groups of both speakers, with these
names as a header or with none: then there are no intervals, for the speakers are not known.

A model folder of speakers is scored with its own normalisation, calibration and threshold.

A group needs 10 speakers to be ranked. Threshold: --threshold, or fitted on --dev-scores of the
same system, or the model's; otherwise the one at which both errors are equal on these trials, which
flatters. With --max-gap the exit code is 1 if the EER of two groups of a column differs by more.

example:
  sb-alexa score scores.csv --dev-scores dev.csv --speakers vox1_meta.csv \\
      --by gender nationality_group -o report
  sb-alexa score scores.csv --compare baseline.csv --speakers speakers.csv --by gender,accent
  sb-alexa score results/ecapa/1234 veri_test2.txt --data-folder voxceleb1 \\
      --speakers vox1_meta.csv --by gender -o report --json score.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("scores", metavar="SCORES", help="score file, or folder of a speaker model")
    parser.add_argument(
        "trials", metavar="TRIALS", nargs="?", help="with a model: lines of 'label enrol test'"
    )
    parser.add_argument(
        "--speakers", metavar="CSV", help="speaker table (column speaker), or vox1_meta.csv"
    )
    parser.add_argument(
        "--by",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of the table, between blanks or commas, such as gender accent",
    )
    parser.add_argument(
        "--speaker-pattern",
        metavar="REGEX",
        help="finds the speaker, as its first group, in the name of a recording (default: what "
        "comes before the first slash)",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--threshold", type=float, help="score from which on it is a match")
    threshold.add_argument(
        "--dev-scores",
        metavar="FILE",
        help="scores of development trials, to fit threshold and calibration",
    )
    parser.add_argument(
        "--target-prior",
        type=float,
        help="how probable a target trial is, for the detection cost and the fitted threshold "
        "(default: the model's, or 0.01)",
    )
    add_report_arguments(parser, measure="EER", judged="in a column of --by")
    other = parser.add_argument_group("comparison with another system on the same trials")
    other.add_argument("--compare", metavar="FILE", help="its score file, in any order")
    base = other.add_mutually_exclusive_group()
    base.add_argument("--compare-threshold", type=float, help="its threshold")
    base.add_argument("--compare-dev-scores", metavar="FILE", help="its development trials")
    model = parser.add_argument_group("scoring with a model")
    model.add_argument(
        "--data-folder", nargs="+", metavar="FOLDER", help="where the recordings of the trials lie"
    )
    model.add_argument(
        "--batch-size",
        type=int,
        default=32,
        help="recordings at a time; the result does not depend on it (default: %(default)s)",
    )
    model.add_argument(
        "--num-workers",
        type=int,
        default=0,
        help="processes that read audio (default: %(default)s)",
    )
    model.add_argument("--device", help="such as cpu or cuda:0 (default: the first GPU, if any)")


def run(args: argparse.Namespace) -> int:
    """Score if need be, measure, print and write.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0, or 1 if `--max-gap` is exceeded.
    """
    _check(args)
    from sb_alexa.commands.score_inputs import (
        base_system,
        check_columns,
        groups_of_speakers,
        scored_system,
    )
    from sb_alexa.corpora.speaker_sources import read_speakers, says_synthetic
    from sb_alexa.metrics.verification_bootstrap import DrawSettings
    from sb_alexa.report.verification_markdown import verification_markdown
    from sb_alexa.report.verification_measurement import measure_verification

    columns = list(dict.fromkeys(name for word in args.by for name in word.split(",") if name))
    table = read_speakers(args.speakers) if args.speakers else None
    check_columns(columns, table)
    system = scored_system(args)
    result = measure_verification(
        system.trials,
        system.decision,
        columns=groups_of_speakers(columns, table, system.trials),
        settings=DrawSettings(target_prior=system.target_prior, num_samples=args.num_samples),
        base=base_system(args, system),
        progress=True,
    )
    synthetic = table is not None and says_synthetic(table, system.trials.speakers)
    # Written first: a reader of the output (`| head`) who leaves early takes no file with him.
    said = _write(args, result, synthetic=synthetic)
    print("\n".join([verification_markdown(result), *said]))
    spreads = {column.column: column.eer for column in result.columns}
    gaps = {column: one.spread.gap for column, one in spreads.items() if one is not None}
    return judge_gap(args.max_gap, gaps, measure="EER")


def _check(args: argparse.Namespace) -> None:
    if args.by and not args.speakers:
        raise ValueError("--by needs --speakers with a table that has these columns")
    if args.speakers and not args.by:
        raise ValueError("--speakers needs --by with columns of the table, such as --by gender")
    if args.target_prior is not None and not 0 < args.target_prior < 1:
        raise ValueError(
            f"--target-prior must lie between 0 and 1, got {args.target_prior:g}; 0.01 is usual"
        )
    check_report_arguments(args)
    if (args.compare_threshold is not None or args.compare_dev_scores) and not args.compare:
        raise ValueError("--compare-threshold and --compare-dev-scores belong to --compare")
    if Path(args.scores).is_dir():
        if not (args.trials and args.data_folder and args.output):
            raise ValueError(
                "a model folder needs a trial list, --data-folder with the recordings, and -o with "
                "a folder for the scores and the report"
            )
        if args.speaker_pattern and not (args.compare or args.dev_scores):
            raise ValueError(
                "--speaker-pattern is for score files; a trial list names speakers itself, as "
                "<speaker>/<session>/<number>"
            )
    elif args.trials or args.data_folder:
        raise ValueError(
            f"{args.scores} is not the folder of a model, so there is nothing to score trials "
            "with; leave out TRIALS and --data-folder to judge a score file"
        )


def _write(args: argparse.Namespace, result: VerificationResult, *, synthetic: bool) -> list[str]:
    """Write what is asked for; what there is to say about it."""
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.report.verification_figures import verification_figures
    from sb_alexa.report.verification_report import PAGE, write_verification_files

    said = []
    if args.output:
        command = shlex.join(["sb-alexa", *sys.argv[1:]])
        write_verification_files(args.output, result, synthetic=synthetic, command=command)
        said.append(f"\nwrote {Path(args.output) / PAGE}")
    if args.json:
        write_figures(args.json, "score", verification_figures(result))
    return said
