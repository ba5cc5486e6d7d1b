"""`sb-alexa demo`: from nothing to a trained, tested and streaming recogniser."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
import time
from pathlib import Path

AFTER_INTERRUPT = "the same command continues where this one stopped"

_EPILOG = """\
Writes a corpus of synthetic speech, trains a small streaming ConvRNN-T on it, tests it on speakers
it has never heard, transcribes one of them live, and leaves a report (demo.html, demo.png) and a
model that `sb-alexa transcribe` opens.

example:
  sb-alexa demo
  sb-alexa demo --fast --output results/tour
  sb-alexa demo --seed 1 --output results/seed1 --json seed1.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/demo"),
        metavar="FOLDER",
        help="where everything goes (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of corpus and training (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="optimiser steps (default: as in the YAML)"
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="a tour in about two minutes, with a model too poor to use",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument(
        "--no-live", action="store_true", help="leave out the live transcription at the end"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0.

    Raises
    ------
    ImportError
        If the extra `demo` is not installed.
    """
    missing = [name for name in ("espeakng_loader", "matplotlib") if not _is_installed(name)]
    if missing:
        raise ImportError(
            f"the demo needs {' and '.join(missing)}; install them: pip install 'sb-alexa[demo]'"
        )
    since = time.monotonic()
    # torch and SpeechBrain take seconds to load.
    print(
        "sb-alexa demo: a streaming ConvRNN-T learns to recognise speech, from scratch", flush=True
    )
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.demo.pipeline import run_demo
    from sb_alexa.demo.settings import DemoFiles, DemoSettings

    settings = DemoSettings(seed=args.seed, num_steps=args.steps)
    if args.fast:
        settings = DemoSettings(
            seed=args.seed, num_train_speakers=32, hours=0.6, num_steps=args.steps or 150
        )
    command = shlex.join(["sb-alexa", *sys.argv[1:]])
    report = run_demo(
        DemoFiles(args.output), settings, live=not args.no_live, command=command, since=since
    )
    if args.json is not None:
        write_figures(args.json, "demo", report.figures())
    return 0


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
