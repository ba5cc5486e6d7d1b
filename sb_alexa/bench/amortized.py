"""`sb-alexa bench amortized`: what arbitrators save, counted and in time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_EPILOG = """\
Two things on one CPU thread. First the trained model at several thresholds of its gates:
operations, word errors, time offline and streaming, live streams per core; threshold 0 computes
everything. Then an encoder of the paper's size with random weights and the model's gates, beside
the dense one: operations and time saved frame by frame, offline, in chunks, and with many streams.
It has the paper's toggles, of whole feed-forward modules, queries and keys. Where the model has
others, each takes the decisions of one of them; --own-toggles measures those of the model instead.
Run it on an idle machine: it says when the machine was not.

example:
  sb-alexa bench amortized results/amortized_mini/1234 --data-root my_corpus \\
      --manifest results/amortized_mini/1234/prepared/splits/test-clean.csv \\
      --json amortized.json --output results/bench
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a trained model with arbitrators")
    add("--manifest", metavar="CSV", required=True, help="test speech, prepared/splits/*.csv")
    add("--data-root", metavar="FOLDER", help="what $data_root stands for in the manifest")
    add("--max-utterances", type=int, help="test utterances, evenly spread [all]")
    add(
        "--thresholds",
        type=float,
        nargs="+",
        default=[0.0, 0.1, 0.3, 0.5, 0.7, 0.9],
        help="a gate is on where its probability is higher [0 0.1 0.3 0.5 0.7 0.9]",
    )
    add(
        "--chunk-ms", type=float, default=150.0, help="chunk, as near as frames allow [%(default)s]"
    )
    add("--rounds", type=int, help="turns of everything that is timed [11]")
    add("--seconds", type=float, help="audio of a stream per threshold and round [10]")
    add("--max-streams", type=int, help="largest batch of streams that is tried [256]")
    add(
        "--paper-left-context",
        type=int,
        default=100,
        metavar="FRAMES",
        help="left context of the paper-size encoder [%(default)s]",
    )
    add(
        "--own-toggles",
        action="store_true",
        help="paper-size encoder with the model's feed-forward groups, attention without toggles",
    )
    add("--device", default="cpu", help="such as cuda: measure batches there too [%(default)s]")
    add("--quick", action="store_true", help="short, to see that it works; measures nothing well")
    add("--json", metavar="FILE", help="write the figures")
    add("--output", metavar="FOLDER", help="write amortized.md and amortized.png")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; 1 if the operations executed are not those of the formula; bad input raises ValueError or
        OSError.
    """
    _check(args)
    if args.output:
        # Without it the minutes of measuring would be lost at the end.
        import matplotlib  # noqa: F401

    from sb_alexa.bench.amortized_plot import plot
    from sb_alexa.bench.amortized_report import markdown
    from sb_alexa.bench.amortized_run import OPERATIONS_TOLERANCE_PERCENT, Effort, measure
    from sb_alexa.bench.amortized_speech import TestSpeech, open_amortized_model
    from sb_alexa.bench.streaming_run import single_thread
    from sb_alexa.commands.figures import write_figures

    _check_device(args.device)
    with single_thread():
        model = open_amortized_model(args.model)
        speech = TestSpeech.read(
            args.manifest,
            args.data_root,
            sample_rate=model.hparams["sample_rate"],
            max_utterances=args.max_utterances,
        )
        effort = (Effort.quick() if args.quick else Effort()).changed(
            num_rounds=args.rounds, seconds=args.seconds, max_streams=args.max_streams
        )
        result = measure(
            model,
            speech,
            args.thresholds,
            effort,
            chunk_ms=args.chunk_ms,
            left_context_frames=args.paper_left_context,
            own_toggles=args.own_toggles,
            device=args.device,
        )
        text = markdown(result)
        if args.json:
            write_figures(args.json, "bench amortized", result.figures)
        if args.output:
            folder = Path(args.output)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "amortized.md").write_text(text + "\n", encoding="utf-8")
            plot(result, folder / "amortized.png")
        print(text)
    for problem in result.machine.problems:
        print(f"The machine was not idle, do not quote these figures: {problem}.", file=sys.stderr)
    deviation = result.exact_operations.deviation_percent
    if abs(deviation) > OPERATIONS_TOLERANCE_PERCENT:
        print(
            f"Frame by frame, the operations executed deviate by {deviation:+.2f} % from the "
            f"formula, more than {OPERATIONS_TOLERANCE_PERCENT:g} %.",
            file=sys.stderr,
        )
        return 1
    return 0


def _check(args: argparse.Namespace) -> None:
    for threshold in args.thresholds:
        if not 0 <= threshold <= 1:
            raise ValueError(
                f"--thresholds must lie between 0 and 1, got {threshold:g}; 0 computes everything, "
                "1 nothing that a gate can switch off"
            )
    for name in ("max_utterances", "rounds", "seconds", "max_streams", "chunk_ms"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} must be positive, got {value}")
    if args.paper_left_context < 0:
        raise ValueError(
            f"--paper-left-context must be 0 frames or more, got {args.paper_left_context}"
        )


def _check_device(device: str) -> None:
    import torch

    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise ValueError(
            f"--device {device} is not there; give cuda on a machine with an NVIDIA GPU, or leave "
            "it out for the CPU alone"
        )
