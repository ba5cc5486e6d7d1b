"""`sb-alexa export`: one streaming step of a trained model as ONNX."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DONE, DIFFERENT = 0, 1
_TOLERANCE = 1e-4

_EPILOG = """\
Writes four files: OUTPUT (front end and encoder), OUTPUT with .predictor.onnx and .joiner.onnx in
place of .onnx, and a description with .json: inputs, outputs, initial state, labels. The graphs are
compared with the model over several steps; exit code 1 if they differ by more than 1e-4.

The loop around them needs numpy and onnxruntime only:

  from sb_alexa.inference.onnx_recognizer import OnnxRecognizer  # or a copy of that file
  recognizer = OnnxRecognizer("model_step.json")
  for samples in microphone:  # float32 arrays of any length at recognizer.sample_rate
      print(recognizer.push(samples))
  print(recognizer.finish())

example:
  sb-alexa export results/demo/model
  sb-alexa export results/demo/model --output phone/model_step.onnx --chunk-ms 120
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", help="folder of a trained model")
    parser.add_argument(
        "--output", type=Path, help="file to write (default: model_step.onnx in FOLDER)"
    )
    parser.add_argument(
        "--chunk-ms",
        type=float,
        default=160.0,
        help="audio in a step, rounded up to whole frames, in milliseconds (default: %(default)g)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, help="streams in a step (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Export and compare.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0 done, 1 if the graphs differ from the model.
    """
    from sb_alexa.inference.export import export_streaming_step
    from sb_alexa.inference.export_check import largest_difference
    from sb_alexa.inference.model_folder import read_model_folder

    model = read_model_folder(args.folder)
    output = args.output or Path(args.folder) / "model_step.onnx"
    description = export_streaming_step(
        model, output, chunk_ms=args.chunk_ms, batch_size=args.batch_size
    )
    print(f"wrote {output} and {description}")
    try:
        difference = largest_difference(model, description)
    except ImportError as error:
        print(f"not compared with the model: {error}", file=sys.stderr)
        return DONE
    print(f"largest difference from the model over 5 steps: {difference:.1e}")
    return DONE if difference <= _TOLERANCE else DIFFERENT
