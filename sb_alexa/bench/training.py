"""`sb-alexa bench training`: hours of audio per hour of training."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_EPILOG = """\
Each model takes the recipe's own training steps (features, SpecAugment, encoder, predictor, losses,
backward, optimizer) on synthetic batches; reading audio from disk is not included. bf16 on a GPU,
fp32 on a CPU.

example:
  sb-alexa bench training --json training.json
  sb-alexa bench training --models conv_rnnt --device cpu --batch-seconds 20 --steps 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--models", nargs="+", metavar="YAML", help="recipe YAMLs [conv_rnnt conformer]")
    add("--device", help="such as cuda:0 [the first GPU, else the CPU]")
    add("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="[%(default)s]")
    add("--batch-seconds", type=float, help="audio in a batch [the YAML's on a GPU, 30 on a CPU]")
    add("--steps", type=int, default=20, help="measured steps of each model [%(default)s]")
    add("--warm-up-steps", type=int, default=3, help="steps before them [%(default)s]")
    add("--no-spec-augment", action="store_true", help="leave SpecAugment out")
    add("--json", metavar="FILE", help="write the figures")
    add("--output", metavar="FOLDER", help="write training.md")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    if args.steps < 1 or args.warm_up_steps < 0:
        raise ValueError(
            f"--steps must be >= 1 and --warm-up-steps >= 0, got {args.steps} and "
            f"{args.warm_up_steps}"
        )
    if args.batch_seconds is not None and not args.batch_seconds > 0:
        raise ValueError(f"--batch-seconds must be positive, got {args.batch_seconds}")
    import torch

    from sb_alexa.bench.machine import MachineWatch
    from sb_alexa.bench.training_run import DEFAULT_MODELS, markdown, measure_training
    from sb_alexa.commands.figures import write_figures

    device = args.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    if device == "cuda":
        device = "cuda:0"  # SpeechBrain reads the number of the GPU from the name
    watch = MachineWatch()
    results = [
        measure_training(
            name,
            device=device,
            precision=args.precision,
            batch_seconds=args.batch_seconds,
            num_steps=args.steps,
            warm_up_steps=args.warm_up_steps,
            spec_augment=not args.no_spec_augment,
        )
        for name in args.models or DEFAULT_MODELS
    ]
    # A GPU does not mind other work on the processors, within reason.
    problems = watch.report().problems if device == "cpu" else ()
    text = markdown(results, device)
    if args.json:
        figures: dict[str, float | None] = {}
        for result in results:
            figures.update(result.figures)
        write_figures(args.json, "bench training", figures)
    if args.output:
        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    for problem in problems:
        print(f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr)
    return 0
