"""`sb-alexa audit`: whom a recogniser serves worse, from any table of transcripts."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from sb_alexa.commands.report_arguments import (
    add_report_arguments,
    check_report_arguments,
    judge_gap,
)

if TYPE_CHECKING:
    from sb_alexa.report.audit_results import AuditResult

AFTER_INTERRUPT = "no report was written; run the same command again"

_EPILOG = """\
A table has a line for each utterance, from any recogniser: columns id, speaker, reference and
hypothesis (or errors and words), and columns of groups; CSV, TSV, JSON lines. With --hypotheses,
TABLE may be lines of 'id TAB reference', and the others lines of 'id TAB hypothesis'.

Groups need 10 speakers to be ranked. With coordinates (columns latitude and longitude, or --geo)
the map is divided where the error rate differs; half of the speakers find regions, the others
measure them. Where several systems are given, the first finds the cohorts, all others are compared
with it, and the last is the one audited. With --max-gap the exit code is 1 if the word error rates
of two groups of a column differ by more.

example:
  sb-alexa audit results.csv --by gender accent gender+accent -o report
  sb-alexa audit results.csv --by region --geo lat lon --max-gap 2 --json audit.json
  sb-alexa audit test.ref.tsv --hypotheses test.hyp.tsv --speaker-pattern '(\\d+)-.*' \\
      --speakers SPEAKERS.TXT --by gender
  sb-alexa audit --compare before.csv after.csv --by accent -o report
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("table", metavar="TABLE", nargs="?", help="table of transcripts")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="TABLE",
        help="tables of other systems: the first is the base, as in --compare before.csv after.csv",
    )
    parser.add_argument(
        "--hypotheses",
        nargs="+",
        default=[],
        metavar="FILE",
        help="hypotheses of one system or more in files of their own, for the references of TABLE",
    )
    _add_group_arguments(parser)
    _add_reading_arguments(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="of draws and halves of speakers (default: %(default)s)"
    )
    parser.add_argument(
        "--no-regression",
        action="store_true",
        help="do not adjust columns for one another, which takes longest in large tables",
    )
    add_report_arguments(
        parser,
        measure="WER",
        judged="in a column of --by or --cohorts; without these, in one that was found",
    )


def _add_group_arguments(parser: argparse.ArgumentParser) -> None:
    groups = parser.add_argument_group("groups and cohorts")
    groups.add_argument(
        "--by",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of groups, between blanks or commas; gender+accent for their intersections",
    )
    groups.add_argument(
        "--utterance-columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="which of them describe utterances, so that a speaker may be in several groups",
    )
    groups.add_argument(
        "--geo",
        nargs="+",
        metavar="COLUMN",
        help="columns of latitude and longitude (default: those of these names)",
    )
    groups.add_argument("--no-map", action="store_true", help="leave coordinates alone")
    groups.add_argument("--zip", metavar="COLUMN", help="column of ZIP codes (default: zip)")
    groups.add_argument(
        "--attributes",
        metavar="FILE",
        help="table of attributes of ZIP codes: cohorts of ZIP codes are found by these",
    )
    groups.add_argument(
        "--embeddings",
        metavar="NPZ",
        help="NumPy archive with the arrays names (of speakers or utterances) and embeddings: "
        "cohorts of voices are found by these",
    )
    groups.add_argument(
        "--cohorts",
        nargs="+",
        default=[],
        metavar="JSON",
        help="cohorts found by an earlier audit (regions.json, ...), applied to these speakers",
    )


def _add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    reading = parser.add_argument_group("reading tables")
    reading.add_argument(
        "--speakers",
        metavar="FILE",
        help="table of speakers whose columns are joined: CSV with a column speaker, SPEAKERS.TXT",
    )
    reading.add_argument(
        "--names",
        nargs="+",
        default=[],
        metavar="OURS=THEIRS",
        help="what columns are called in the table, such as speaker=reader hypothesis=text",
    )
    reading.add_argument(
        "--speaker-pattern",
        metavar="REGEX",
        help="finds the speaker, as its first group, in an id that it matches as a whole",
    )
    reading.add_argument(
        "--normalize",
        action="store_true",
        help="compare texts in lower case and without punctuation",
    )


def run(args: argparse.Namespace) -> int:
    """Read, measure, print and write.

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
    from sb_alexa.commands.audit_inputs import audit_request, audit_tables
    from sb_alexa.corpora.speaker_sources import read_speakers, says_synthetic
    from sb_alexa.report.audit_markdown import audit_markdown
    from sb_alexa.report.audit_measurement import measure_audit

    def say(step: str) -> None:
        if sys.stderr.isatty():
            print(f"{step} ...", file=sys.stderr, flush=True)

    speakers = read_speakers(args.speakers) if args.speakers else None
    request = audit_request(args)
    say("reading")
    tables = audit_tables(args, speakers)
    result = measure_audit(tables, request, on_step=say)
    synthetic = speakers is not None and says_synthetic(speakers, set(tables[0].speakers))
    # Written first: a reader of the output (`| head`) who leaves early takes no file with him.
    said = _write(args, result, synthetic=synthetic)
    print("\n".join([audit_markdown(result), *said]))
    return _judge_gap(args.max_gap, result)


def _check(args: argparse.Namespace) -> None:
    """What a long audit would only find out at its end, and what contradicts itself."""
    if not args.table and not args.compare:
        raise ValueError("name a table of transcripts, or two with --compare before.csv after.csv")
    if not args.table and len(args.compare) < 2:
        raise ValueError(
            f"--compare {args.compare[0]} is the base; name the table to compare with it as well"
        )
    if args.hypotheses and (args.compare or not args.table):
        raise ValueError(
            "--hypotheses belong to the references of one TABLE; with several files of hypotheses "
            "the first is the base of the comparison"
        )
    if args.seed < 0:
        raise ValueError(f"--seed must be >= 0, got {args.seed}")
    check_report_arguments(args)


def _write(args: argparse.Namespace, result: AuditResult, *, synthetic: bool) -> list[str]:
    """Write what is asked for; what there is to say about it."""
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.report.audit_figures import audit_figures, audit_names, colliding_names
    from sb_alexa.report.audit_report import write_audit_files

    said = []
    if args.output:
        command = shlex.join(["sb-alexa", *sys.argv[1:]])
        written = write_audit_files(args.output, result, synthetic=synthetic, command=command)
        said.append(f"\nwrote {', '.join(map(str, written))}")
    if args.json:
        said += [f"Note: {sentence}" for sentence in colliding_names(result)]
        write_figures(
            args.json,
            "audit",
            audit_figures(result),
            names=audit_names(result),
            notes=result.notes,
        )
    return said


def _judge_gap(max_gap: float | None, result: AuditResult) -> int:
    """What nobody asked for is judged only where nothing was asked for."""
    asked = [column for column in result.columns if not column.is_found] or result.columns
    found = {column.name: column.rates.gap for column in asked}
    gaps = {name: gap.gap_points.value for name, gap in found.items() if gap is not None}
    code = judge_gap(max_gap, gaps, measure="WER")
    small = sum(not group.is_ranked for column in asked for group in column.rates.groups)
    if small and max_gap is not None:
        print(f"Not judged: {small} groups with too few speakers to be ranked")
    return code
