"""What benchmarks that train several runs of a recipe share: arguments, arms and report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Arm:
    """A way of training.

    Arguments
    ---------
    hparams : str
        Its YAML.
    about : str
        In a few words.
    options : mapping
        Keys beside it.
    """

    hparams: str
    about: str
    options: Mapping[str, object] = field(default_factory=dict)


def check_arms(arms: Sequence[str], known: Collection[str], *, base: str) -> None:
    """Refuse arms that are unknown, named twice, or do not begin with the base.

    Arguments
    ---------
    arms : sequence of str
        What is to be trained.
    known : collection of str
        What can be.
    base : str
        The one that the others are compared with.
    """
    if not set(arms) <= set(known) or len(set(arms)) < len(arms):
        raise ValueError(f"arms are some of {', '.join(known)}, each once; got {tuple(arms)}")
    if tuple(arms[:1]) != (base,):
        raise ValueError(f"the first arm must be {base}, which the others are compared with")


def check_sizes(*, num_seeds: int, **num_steps: int | None) -> None:
    """Refuse less than one seed, and trainings of less than two steps; None leaves the YAML's."""
    if num_seeds < 1:
        raise ValueError(f"the number of seeds must be >= 1, got {num_seeds}")
    for name, value in num_steps.items():
        if value is not None and value < 2:
            raise ValueError(f"{name} must be >= 2, got {value}; leave it out for the YAML's")


def scaled_schedules(
    values: Mapping[str, Any], names: Sequence[str], *, num_steps: int
) -> dict[str, int]:
    """Keys that count steps, shrunk or grown with the training; none that is not 0 becomes 0.

    Arguments
    ---------
    values : mapping
        Of the YAML, `num_steps` among them.
    names : sequence of str
        Of the keys.
    num_steps : int
        Of the training.

    Example
    -------
    >>> scaled_schedules({"num_steps": 600, "warmup_steps": 60}, ["warmup_steps"], num_steps=200)
    {'warmup_steps': 20}
    """
    factor = num_steps / values["num_steps"]
    return {name: max(round(factor * values[name]), min(1, values[name])) for name in names}


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

    # Files first: a closed pipe (`| head`) ends a command at its first print.
    if json_file:
        write_figures(json_file, command, figures)
    with replaced_atomically(output / "report.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    try:
        draw(output / "report.png")
    except ImportError:
        print("no plot: matplotlib is missing (pip install 'sb-alexa[plots]')", file=sys.stderr)
    print(text)


def parse_settings(
    assignments: Sequence[str], *, set_here: Collection[str], option: str = "--set"
) -> dict[str, str]:
    """Read what ``--set`` collected, or an option like it.

    Arguments
    ---------
    assignments : sequence of str
        KEY=VALUE.
    set_here : collection of str
        Keys that the benchmark sets itself.
    option : str
        Its name.

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
            raise ValueError(f"{option} takes KEY=VALUE, such as batch_size=16; got {assignment!r}")
        if key in set_here:
            raise ValueError(
                f"{key} is set by this benchmark for each run; leave out {option} {key}"
            )
        settings[key] = value
    return settings
