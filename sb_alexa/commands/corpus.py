"""`sb-alexa corpus`: write the embedded corpus of synthetic speech."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb_alexa.corpora.librispeech_layout import SplitSpec

AFTER_INTERRUPT = "finished readers are kept: the same command writes the others"

_EPILOG = """\
The same arguments give the same bytes, whatever the number of workers. The voices are synthetic:
the corpus proves code and compares methods; it says nothing about people or about accuracy on real
speech.

example:
  sb-alexa corpus data/embedded
  sb-alexa corpus data/large --num-train-speakers 256 --hours 20 --seed 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write")
    parser.add_argument(
        "--layout",
        choices=["librispeech"],
        default="librispeech",
        help="the real corpus whose layout on disk is followed (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of readers, sentences, rooms (default: %(default)s)"
    )
    parser.add_argument(
        "--num-train-speakers",
        type=int,
        default=96,
        help="in train-clean; multiples of 16 balance accents and genders (default: %(default)s)",
    )
    parser.add_argument(
        "--hours", type=float, default=3.0, help="of training speech, about (default: %(default)s)"
    )
    parser.add_argument(
        "--text-file",
        type=Path,
        help="English text whose sentences are read instead of household commands",
    )
    parser.add_argument(
        "--num-workers", type=int, help="processes at a time (default: one per processor)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def run(args: argparse.Namespace) -> int:
    """Write the corpus and say what it holds.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0.
    """
    from sb_alexa.corpora.librispeech_layout import default_splits, write_librispeech

    splits = default_splits(
        num_train_speakers=args.num_train_speakers, hours_of_training=args.hours
    )
    folder = write_librispeech(
        args.folder,
        seed=args.seed,
        splits=splits,
        text_file=args.text_file,
        num_workers=args.num_workers,
        progress=not args.quiet,
    )
    if not args.quiet:
        print(describe(folder, splits))
    return 0


def describe(folder: Path, splits: Mapping[str, SplitSpec]) -> str:
    """What a written corpus holds, in a few lines.

    Arguments
    ---------
    folder : Path
        The corpus.
    splits : mapping of str to SplitSpec
        What was asked for.

    Returns
    -------
    text : str
        One line for each split, then the hours and the folder.
    """
    hours = json.loads((folder / "synthetic_corpus.json").read_text(encoding="utf-8"))["hours"]
    lines = [
        f"{name:<12}{spec.num_speakers:>5} speakers x {spec.num_utterances_per_speaker} utterances"
        for name, spec in splits.items()
    ]
    return "\n".join([*lines, f"{hours:.2f} hours of synthetic speech in {folder}"])
