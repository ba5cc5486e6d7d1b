"""`sb-alexa bench audit-size`: what a large audit costs, as a whole process."""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_EPILOG = """\
Writes a table of random transcripts with four columns of groups and coordinates, and audits it in a
process of its own, with 1,000 draws of speakers, a report and no regression. Time is from the start
of the process to its end.

example:
  sb-alexa bench audit-size --json audit_size.json
  sb-alexa bench audit-size --utterances 100000
"""
_WORDS = tuple(f"word{number}" for number in range(25))
_GROUPS = {"accent": 10, "sex": 2, "age": 3, "device": 6}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--utterances", type=int, default=1_000_000, help="of the table [%(default)s]")
    add("--utterances-per-speaker", type=int, default=50, help="[%(default)s]")
    add("--seed", type=int, default=0, help="of the table [%(default)s]")
    add("--json", metavar="FILE", help="write the figures")


def run(args: argparse.Namespace) -> int:
    """Write, audit and print.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    for name in ("utterances", "utterances_per_speaker"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be >= 1, got {getattr(args, name)}")
    from sb_alexa.commands.figures import write_figures

    with tempfile.TemporaryDirectory(prefix="sb_alexa_audit_") as folder:
        table = Path(folder) / "table.csv"
        print(f"writing {args.utterances:,} utterances", file=sys.stderr, flush=True)
        write_random_table(
            table,
            num_utterances=args.utterances,
            utterances_per_speaker=args.utterances_per_speaker,
            seed=args.seed,
        )
        print("auditing", file=sys.stderr, flush=True)
        figures = time_audit(table, Path(folder) / "report")
    if args.json:
        write_figures(args.json, "bench audit-size", {"utterances": args.utterances, **figures})
    print(
        f"{args.utterances:,} utterances: {figures['seconds']:.1f} s, of them "
        f"{figures['cpu_seconds']:.1f} s of processor time; {figures['peak_memory_gib']:.2f} GiB; "
        f"page of {figures['page_mb']:.2f} MB"
    )
    return 0


def write_random_table(
    path: Path, *, num_utterances: int, utterances_per_speaker: int, seed: int
) -> None:
    """Write transcripts of 5 to 19 words with about 8 % errors.

    Arguments
    ---------
    path : pathlib.Path
        The CSV.
    num_utterances, utterances_per_speaker : int
        Rows, and how many of them in a row have one speaker.
    seed : int
        Of everything.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    speaker, rate = "", 0.0
    groups: list[str] = []
    place: list[str] = []
    rows: list[list[object]] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["id", "speaker", "reference", "hypothesis", *_GROUPS, "latitude", "longitude"]
        writer.writerow(columns)
        for number in range(num_utterances):
            if number % utterances_per_speaker == 0:
                speaker = f"s{number // utterances_per_speaker}"
                groups = [f"{n}{generator.integers(size)}" for n, size in _GROUPS.items()]
                place = [f"{generator.uniform(*ends):.3f}" for ends in ((25, 49), (-124, -67))]
                rate = 0.08 * generator.gamma(6.0, 1 / 6)
            drawn = generator.integers(len(_WORDS), size=generator.integers(5, 20)).tolist()
            wrong = (generator.random(len(drawn)) < rate).tolist()
            said = [_WORDS[word] for word in drawn]
            heard = ["xx" if bad else word for word, bad in zip(said, wrong, strict=True)]
            rows.append([f"u{number}", speaker, " ".join(said), " ".join(heard), *groups, *place])
            if len(rows) == 10_000:
                writer.writerows(rows)
                rows = []
        writer.writerows(rows)


def time_audit(table: Path, report: Path) -> dict[str, float]:
    """Audit a table in a process of its own.

    Arguments
    ---------
    table : pathlib.Path
        From `write_random_table`.
    report : pathlib.Path
        Folder to write.

    Returns
    -------
    dict
        `seconds`, `cpu_seconds`, `peak_memory_gib` and `page_mb`.

    Raises
    ------
    RuntimeError
        If the audit fails.
    """
    command = [sys.executable, "-m", "sb_alexa.cli", "audit", str(table), "--by", *_GROUPS]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--no-regression", "-o", str(report)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"the audit ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_gib": usage.ru_maxrss / 2**20,
        "page_mb": (report / "index.html").stat().st_size / 1e6,
    }
