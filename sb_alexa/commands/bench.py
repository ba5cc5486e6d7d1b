"""`sb-alexa bench`: one benchmark per sub-command."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

# Name -> what it measures. Module sb_alexa.bench.<name>, hyphens as underscores, has
# add_arguments(parser) and run(args).
BENCHMARKS = {
    "amortized": "arbitrators: operations and time saved, errors over thresholds, live streams",
    "amortized-training": "whether arbitrators learn where to save: against dense and random gates",
    "audit-size": "what an audit of a million utterances costs, as a whole process",
    "audit-statistics": "whether intervals and tests of a fairness audit keep their promises",
    "fair-training": "EWC, L2 and plain fine-tuning for the worst region of a map, over lambda",
    "fisher": "the Fisher information that elastic weight consolidation needs: time, processes",
    "loss": "the transducer loss beside torchaudio's: time, peak memory, agreement",
    "search": "greedy and beam search beside SpeechBrain's: time, memory, agreement",
    "speaker-step": "what losses and adversary add to a training step of speaker verification",
    "speaker-training": "whether adversarial reweighting helps groups that are hard, over seeds",
    "streaming": "streaming on one CPU core: real-time factor, chunk times, live streams",
    "sts-training": "two channels, turn tokens and losses of the multi-talker recipe, over seeds",
    "training": "hours of audio per hour of training, on a GPU or a CPU",
}

_EPILOG = """\
example:
  sb-alexa bench streaming --json streaming.json
  sb-alexa bench loss --json loss.json --plot loss.png
  sb-alexa bench search --json search.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and the arguments of each."""
    parser.epilog = _EPILOG
    benchmarks = parser.add_subparsers(
        title="benchmarks", metavar="BENCHMARK", dest="benchmark", required=True
    )
    for name, summary in BENCHMARKS.items():
        benchmark = benchmarks.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _module(name).add_arguments(benchmark)


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        The benchmark's.
    """
    return _module(args.benchmark).run(args)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"sb_alexa.bench.{name.replace('-', '_')}")
