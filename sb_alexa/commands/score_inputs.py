"""What `sb-alexa score` measures: scores from a file or a model, thresholds, groups."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.corpora.trial_lists import read_trials, speaker_of, utterances_of
from sb_alexa.inference.score_files import read_scores, write_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.report.decision import Decision
from sb_alexa.report.verification_report import SCORES

if TYPE_CHECKING:
    from sb_alexa.inference.speaker_recognition import SpeakerRecognition
    from sb_alexa.inference.verification_settings import VerificationSettings

_TARGET_PRIOR = 0.01


@dataclass(frozen=True, eq=False)
class ScoredSystem:
    """Scores of a system, how it decides, and the target prior it is judged at."""

    trials: ScoredTrials
    decision: Decision
    target_prior: float


def check_columns(columns: Sequence[str], table: SpeakerTable | None) -> None:
    """Refuse columns that the table lacks, before anything takes long."""
    for column in columns:
        if table is not None:
            table.values(column, ())


def groups_of_speakers(
    columns: Sequence[str], table: SpeakerTable | None, trials: ScoredTrials
) -> dict[str, dict[str, str]]:
    """Group of every speaker, by column.

    Raises
    ------
    ValueError
        If the table lacks speakers.
    """
    if table is None:
        return {}
    return {column: table.values(column, trials.speakers) for column in columns}


def scored_system(args: argparse.Namespace) -> ScoredSystem:
    """Read scores, or make them with a model and write them into the report's folder."""
    if Path(args.scores).is_dir():
        return _scored_by_model(args)
    prior = _TARGET_PRIOR if args.target_prior is None else args.target_prior
    trials = read_scores(args.scores, speaker_pattern=args.speaker_pattern)
    return ScoredSystem(trials, _named_decision(args, prior) or Decision.of_these(trials), prior)


def base_system(
    args: argparse.Namespace, system: ScoredSystem
) -> tuple[ScoredTrials, Decision] | None:
    """The system to compare with, or None.

    Raises
    ------
    ValueError
        If only one of the two systems has a threshold from elsewhere.
    """
    if not args.compare:
        return None
    trials = read_scores(args.compare, speaker_pattern=args.speaker_pattern)
    if args.compare_threshold is not None:
        decision = Decision.given(args.compare_threshold)
    elif args.compare_dev_scores:
        development = read_scores(args.compare_dev_scores, speaker_pattern=args.speaker_pattern)
        decision = Decision.fitted_on(development, target_prior=system.target_prior)
    else:
        decision = Decision.of_these(trials)
    if decision.is_honest != system.decision.is_honest:
        raise ValueError(
            "thresholds of both systems must come from elsewhere, or neither: give --threshold or "
            "--dev-scores for the one and --compare-threshold or --compare-dev-scores for the other"
        )
    return trials, decision


def _named_decision(args: argparse.Namespace, target_prior: float) -> Decision | None:
    if args.threshold is not None:
        return Decision.given(args.threshold)
    if args.dev_scores:
        development = read_scores(args.dev_scores, speaker_pattern=args.speaker_pattern)
        return Decision.fitted_on(development, target_prior=target_prior)
    return None


def _scored_by_model(args: argparse.Namespace) -> ScoredSystem:
    from sb_alexa.inference.speaker_recognition import SpeakerRecognition

    run_opts = {"device": args.device} if args.device else None
    recognition = SpeakerRecognition.from_hparams(args.scores, run_opts=run_opts)
    known = recognition.verification
    prior = args.target_prior
    if prior is None:
        prior = known.target_prior if known else _TARGET_PRIOR
    decision = _named_decision(args, prior) or (_known_decision(known, prior) if known else None)
    trials = _score(args, recognition, known)
    write_scores(Path(args.output) / SCORES, trials)
    print(f"wrote {Path(args.output) / SCORES}\n")
    return ScoredSystem(trials, decision or Decision.of_these(trials), prior)


def _known_decision(known: VerificationSettings, target_prior: float) -> Decision:
    origin = "taken from the model, made for a target prior of"
    if known.calibration is not None and target_prior != known.target_prior:
        threshold = known.calibration.threshold(target_prior=target_prior)
        return Decision(
            threshold, f"{origin} {target_prior:g} from its calibration", known.calibration
        )
    return Decision(known.threshold, f"{origin} {known.target_prior:g}", known.calibration)


def _score(
    args: argparse.Namespace,
    recognition: SpeakerRecognition,
    known: VerificationSettings | None,
) -> ScoredTrials:
    from sb_alexa.inference.speaker_embeddings import extract_embeddings
    from sb_alexa.inference.trial_recordings import find_recordings
    from sb_alexa.inference.trial_scoring import score_trials

    trials = read_trials(Path(args.trials))
    recordings = find_recordings(utterances_of(trials), args.data_folder)
    embeddings = extract_embeddings(
        recognition.mods["speaker_encoder"],
        recordings,
        sample_rate=recognition.sample_rate,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        device=recognition.device,
        cache=Path(args.output) / "embeddings.safetensors",
        progress=True,
    )
    scores = score_trials(
        embeddings,
        trials,
        cohort=known.cohort if known else None,
        top_n=known.top_n if known else None,
    )
    return ScoredTrials(
        Path(args.scores).resolve().name,
        scores,
        np.array([trial.is_target for trial in trials]),
        enrol=[trial.enrol for trial in trials],
        test=[trial.test for trial in trials],
        enrol_speakers=[speaker_of(trial.enrol) for trial in trials],
        test_speakers=[speaker_of(trial.test) for trial in trials],
    )
