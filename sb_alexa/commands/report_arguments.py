"""Options of commands that measure groups and may write a report: where to, and the largest gap."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from pathlib import Path


def add_report_arguments(parser: argparse.ArgumentParser, *, measure: str, judged: str) -> None:
    """Declare `--num-samples`, `-o`, `--json` and `--max-gap`.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    measure : str
        What a gap is of, such as ``WER``.
    judged : str
        Which columns `--max-gap` looks at, to end its help with.
    """
    parser.add_argument(
        "--num-samples",
        type=int,
        default=1000,
        help="bootstrap draws of speakers (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", help="write a report: index.html, ...")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a JSON file")
    parser.add_argument(
        "--max-gap",
        type=float,
        metavar="POINTS",
        help=f"exit with 1 if the measured {measure} of two groups differs by more, {judged}",
    )


def check_report_arguments(args: argparse.Namespace) -> None:
    """Refuse what a long measurement would only find out at its end.

    Raises
    ------
    ValueError
        If a number is out of range, or nothing can be written where it is asked for.
    """
    if args.max_gap is not None and not args.max_gap >= 0:
        raise ValueError(f"--max-gap is a number of points >= 0, got {args.max_gap}")
    if args.num_samples < 1:
        raise ValueError(f"--num-samples must be >= 1, got {args.num_samples}; 1000 is usual")
    if args.output and Path(args.output).exists() and not Path(args.output).is_dir():
        raise ValueError(f"-o {args.output} is a file; name a folder for the report")
    if args.json and Path(args.json).is_dir():
        raise ValueError(f"--json {args.json} is a folder; name a file, such as figures.json")
    if args.output:
        _check_writable("-o", Path(args.output))
    if args.json:
        _check_writable("--json", Path(args.json).absolute().parent)


def judge_gap(max_gap: float | None, gaps: Mapping[str, float], *, measure: str) -> int:
    """Say how large the largest gap is, where a limit is given.

    Arguments
    ---------
    max_gap : float | None
        Points allowed.
    gaps : mapping of str to float
        Points by column; NaN where there is no gap.
    measure : str
        What the gaps are of.

    Returns
    -------
    exit_code : int
        1 if it is larger than allowed.

    Raises
    ------
    ValueError
        If there is a limit and no gap.

    Example
    -------
    >>> judge_gap(1.0, {"gender": 1.5, "accent": float("nan")}, measure="EER")
    <BLANKLINE>
    Largest gap of EER: 1.50 points, by gender; more than the 1 allowed
    1
    """
    if max_gap is None:
        return 0
    known = {column: points for column, points in gaps.items() if not math.isnan(points)}
    if not known:
        raise ValueError(
            "--max-gap: no column has two groups that can be ranked, so there is no gap to judge; "
            "give --by with columns whose groups have 10 speakers or more"
        )
    column = max(known, key=lambda name: known[name])
    exceeded = known[column] > max_gap
    print(
        f"\nLargest gap of {measure}: {known[column]:.2f} points, by {column}; "
        f"{'more than' if exceeded else 'within'} the {max_gap:g} allowed"
    )
    return int(exceeded)


def _check_writable(option: str, folder: Path) -> None:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{option}: nothing can be written to {there}; name another place")
