"""`sb-alexa bench loss`: time and memory of the transducer loss, beside other implementations."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

_EPILOG = """\
Joint (512) and loss, forward and backward, on the same tensors in one process: ours, torchaudio's
and, on a GPU with numba, SpeechBrain's and warprnnt_numba's. The variants take turns; values and
gradients are compared first. Run it on an idle machine: it says when the machine was not.

example:
  sb-alexa bench loss --json loss.json --plot loss.png
  sb-alexa bench loss --case small --runs 3 --no-sweep
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--case", choices=("small", "large", "all"), default="all", help="[%(default)s]")
    add("--runs", type=int, help="timed runs of each variant [by case and device]")
    add("--device", help="such as cuda:0 or cpu [the first GPU, else the CPU]")
    add("--threads", type=int, default=2, help="of torch on the CPU [%(default)s]")
    add("--seed", type=int, default=0, help="of lengths, values and weights [%(default)s]")
    add("--no-sweep", action="store_true", help="leave the sweep of T and V out")
    add("--json", metavar="FILE", help="write the figures")
    add("--plot", metavar="FILE", help="draw the sweep: time and memory against T and V, a PNG")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0, 1 if losses disagree; bad input raises ValueError or OSError.
    """
    _check(args)
    import torch

    from sb_alexa.bench.loss_plot import plot
    from sb_alexa.bench.loss_report import markdown, where
    from sb_alexa.bench.loss_run import LossMismatchError
    from sb_alexa.bench.loss_suite import CASES, measure_all
    from sb_alexa.bench.loss_sweep import sweep_sizes
    from sb_alexa.bench.turns import num_threads
    from sb_alexa.commands.figures import write_figures

    device = args.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    if device == "cuda":
        device = "cuda:0"
    cases = [case for case in CASES[device.split(":")[0]] if args.case in (case.name, "all")]
    if args.runs is not None:
        cases = [replace(case, num_rounds=args.runs) for case in cases]
    with num_threads(args.threads):
        try:
            result = measure_all(
                cases,
                device=device,
                seed=args.seed,
                sweep_sizes=[] if args.no_sweep else sweep_sizes(),
                sweep_rounds=args.runs or 3,
            )
        except LossMismatchError as error:
            print(error, file=sys.stderr)
            return 1
        if args.json:
            write_figures(args.json, "bench loss", result.figures)
        if args.plot:
            plot(result.sweep, Path(args.plot), where=where(device))
        print(markdown(result))
        for problem in result.problems:
            print(
                f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr
            )
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("runs", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if args.device and args.device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"--device must be cpu, cuda or such as cuda:0, got {args.device}")
    if args.plot:
        if args.no_sweep:
            raise ValueError(
                "--plot draws the sweep, which --no-sweep leaves out; drop one of them"
            )
        # Without it the minutes of measuring would be lost at the end.
        import matplotlib  # noqa: F401
