"""What benchmarks that train several runs of a recipe share: arguments and report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how runs are made and where figures go: --jobs, --set, --json."""
    parser.add_argument(
        "--jobs", type=int, default=2, help="runs at a time, a thread each [%(default)s]"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="YAML key or run option for every run; can be repeated",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures")


def write_report(
    output: Path,
    text: str,
    *,
    draw: Callable[[Path], None],
    command: str,
    figures: Mapping[str, float | None],
    json_file: str | None,
) -> None:
    """Print the tables; write them to ``report.md``, the plot to ``report.png``, and figures.

    Arguments
    ---------
    output : Path
        Folder of the first two.
    text : str
        Markdown.
    draw : Callable
        Draws a PNG at a path; passed over where matplotlib is missing.
    command : str
        Such as ``bench sts-training``.
    figures : mapping
        For the JSON file.
    json_file : str | None
        None writes none.
    """
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.corpora.stamp import replaced_atomically

    print(text)
    with replaced_atomically(output / "report.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    try:
        draw(output / "report.png")
    except ImportError:
        print("no plot: matplotlib is missing (pip install 'sb-alexa[plots]')", file=sys.stderr)
    if json_file:
        write_figures(json_file, command, figures)


def parse_settings(assignments: Sequence[str], *, set_here: Collection[str]) -> dict[str, str]:
    """Read what ``--set`` collected.

    Arguments
    ---------
    assignments : sequence of str
        KEY=VALUE.
    set_here : collection of str
        Keys that the benchmark sets itself.

    Raises
    ------
    ValueError
        If one has no key, or a key of `set_here`.

    Example
    -------
    >>> parse_settings(["batch_size=16"], set_here=["seed"])
    {'batch_size': '16'}
    """
    settings = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not key.isidentifier() or not equals:
            raise ValueError(f"--set takes KEY=VALUE, such as batch_size=16; got {assignment!r}")
        if key in set_here:
            raise ValueError(f"{key} is set by this benchmark for each run; leave out --set {key}")
        settings[key] = value
    return settings
