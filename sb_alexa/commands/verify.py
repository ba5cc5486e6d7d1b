"""`sb-alexa verify`: whether two recordings have the same speaker."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sb_alexa.inference.speaker_recognition import SpeakerRecognition, Verification

DONE, DIFFERENT = 0, 1

_EPILOG = """\
The first recording (the enrolment) is compared with each of the others. The score is the cosine
between two embeddings or, where the model's folder holds a cohort of other speakers, how far that
lies above the scores with strangers, in standard deviations. From the threshold on, two recordings
count as one speaker's. The folder's threshold was fitted on development speakers: it says little
about recordings of another kind (a telephone, another language, a voice that has aged), and no
score is proof of who speaks.

The likelihood ratio says how much more probable the score is if one person speaks in both than if
two do; how probable that is in the first place has to be judged by other means.

Exit code 0: compared, whatever came of it. With --check, 1: a recording has another speaker. 2: a
recording is missing, damaged, silent or too short, or the folder is no model of speakers.

example:
  sb-alexa verify results/ecapa/1234 enrolment.wav test.wav
  sb-alexa verify results/ecapa/1234 enrolment.wav monday.wav tuesday.wav --json scores.json
  sb-alexa verify results/ecapa/1234 enrolment.wav test.wav --threshold 3.5 --check
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", help="folder of a trained model of speakers")
    parser.add_argument("enrol", metavar="ENROL", help="recording of the speaker in question")
    parser.add_argument("test", metavar="TEST", nargs="+", help="recordings to compare with it")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="score from which on speakers are the same (default: the model's)",
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if a recording has another speaker"
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="use the beginning of longer recordings only; memory grows with the length "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the figures to a JSON file: score, cosine, log_likelihood_ratio, threshold and "
        "same_speaker (1 or 0), with _2, _3, ... for further recordings",
    )
    parser.add_argument(
        "--device", help="such as cpu or cuda:0 (default: the first GPU, if there is one)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare and print.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0, or with `--check` 1 if a recording has another speaker.
    """
    _check(args)
    from sb_alexa.inference.speaker_recognition import SpeakerRecognition

    run_opts = {"device": args.device} if args.device else None
    recognition = SpeakerRecognition.from_hparams(args.folder, run_opts=run_opts)
    has_threshold = args.threshold is not None or recognition.verification is not None
    if args.check and not has_threshold:
        raise ValueError(
            f"--check needs a threshold, and {args.folder} holds none; give one with --threshold"
        )
    # Every recording is read before the first result: one that is bad comes to light at once.
    enrol, *tests = (
        _embed(recognition, path, args.max_seconds) for path in [args.enrol, *args.test]
    )
    found = [recognition.compare(enrol, test, threshold=args.threshold) for test in tests]
    for path, one in zip(args.test, found, strict=True):
        print(_summary(args.enrol, path, one, recognition))
    if not has_threshold:
        print(f"{args.folder} holds no threshold, so nothing is decided; give one with --threshold")
    if args.json:
        from sb_alexa.commands.figures import write_figures

        write_figures(args.json, "verify", _figures(found))
    if args.check and not all(one.same_speaker for one in found):
        return DIFFERENT
    return DONE


def _check(args: argparse.Namespace) -> None:
    if args.threshold is not None and not math.isfinite(args.threshold):
        raise ValueError(f"--threshold must be a finite score, got {args.threshold}")
    if not 0.0 < args.max_seconds < math.inf:
        raise ValueError(f"--max-seconds must be > 0, got {args.max_seconds}")
    if not Path(args.folder).is_dir():
        raise FileNotFoundError(
            f"there is no folder {args.folder}; give the folder of a trained model"
        )


def _embed(recognition: SpeakerRecognition, path: str, max_seconds: float) -> Tensor:
    from sb_alexa.corpora.audio import AudioError

    samples = recognition.load_audio(path)
    seconds = len(samples) / recognition.sample_rate
    if seconds > max_seconds:
        used = f"note: only the first {max_seconds:g} of {seconds:.4g} s of {path} are used"
        print(used, file=sys.stderr)
    try:
        return recognition.embed(samples, max_seconds=max_seconds)
    except AudioError as error:
        raise AudioError(error.reason, path) from error


def _summary(enrol: str, test: str, found: Verification, recognition: SpeakerRecognition) -> str:
    decision = {None: "compared", True: "the same speaker", False: "different speakers"}
    lines = [f"{enrol} and {test}: {decision[found.same_speaker]}"]
    score = f"  score {found.score:.3f}"
    if found.threshold is not None:
        side = "reaches" if found.same_speaker else "is below"
        score += f" {side} the threshold {found.threshold:.3f}"
    settings = recognition.verification
    if settings is not None and settings.cohort is not None:
        size = settings.top_n or len(settings.cohort)
        score += f" (cosine {found.cosine:.3f}, normalised by {size} speakers)"
    lines.append(score)
    if found.log_likelihood_ratio is not None:
        lines.append(f"  {_evidence(found.log_likelihood_ratio)}")
        contradicts = found.same_speaker != (found.log_likelihood_ratio > 0)
        if settings is not None and found.threshold == settings.threshold and contradicts:
            percent = 100 * settings.target_prior
            lines.append(f"  the threshold assumes one speaker in {percent:.3g} % of comparisons")
    return "\n".join(lines)


def _evidence(ratio: float) -> str:
    """A log-likelihood ratio in words.

    Example
    -------
    >>> _evidence(2.0)
    'such a score is 7.4 times as probable with one speaker as with two (log-likelihood ratio 2.00)'
    >>> _evidence(-20.0).startswith("such a score is over a million times as probable with two")
    True
    """
    # Development trials do not tell a million from more.
    times = math.exp(min(abs(ratio), 20.0))
    many = "over a million" if times > 1e6 else f"{times:,.0f}" if times >= 10 else f"{times:.1f}"
    sides = ("one speaker as with two", "two speakers as with one")
    return (
        f"such a score is {many} times as probable with {sides[ratio < 0]} "
        f"(log-likelihood ratio {ratio:.2f})"
    )


def _figures(found: Sequence[Verification]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for number, one in enumerate(found, start=1):
        suffix = "" if number == 1 else f"_{number}"
        same = None if one.same_speaker is None else float(one.same_speaker)
        figures[f"score{suffix}"] = one.score
        figures[f"cosine{suffix}"] = one.cosine
        figures[f"log_likelihood_ratio{suffix}"] = one.log_likelihood_ratio
        figures[f"threshold{suffix}"] = one.threshold
        figures[f"same_speaker{suffix}"] = same
    return figures
