"""Training of speaker embeddings that is validated and tested by verification trials."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.trial_lists import Trial, speaker_of
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.weight_statistics import GroupWeights, WeightStatistics
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.inference.speaker_embeddings import (
    SpeakerEmbeddings,
    check_recordings,
    extract_embeddings,
)
from sb_alexa.inference.trial_scoring import score_trials
from sb_alexa.inference.verification_settings import VerificationSettings
from sb_alexa.metrics.score_normalization import speaker_means
from sb_alexa.metrics.verification import det_curve, equal_error_rate
from sb_alexa.metrics.verification_bootstrap import DrawSettings
from sb_alexa.report.decision import Decision
from sb_alexa.report.verification_figures import verification_figures
from sb_alexa.report.verification_report import write_verification_report
from sb_alexa.training.logged_experiment import LoggedExperiment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialSet:
    """Trials and the recordings that they name.

    Arguments
    ---------
    trials : sequence of Trial
        What is compared.
    utterances : sequence of Utterance
        Every recording that a trial names, and perhaps others. Sets that share this very object
        have their embeddings extracted once.
    """

    trials: Sequence[Trial]
    utterances: Sequence[Utterance]


@dataclass(frozen=True)
class SpeakerGroups:
    """Groups of the training speakers, to see whom an adversary finds; training ignores them.

    Arguments
    ---------
    columns : mapping of str to mapping of int to str
        By column, such as gender, the group of each speaker's number; empty where unknown.
    """

    columns: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def weights(self, batch: SpeakerBatch, sample_weights: torch.Tensor) -> dict[str, GroupWeights]:
        """Sums of the weights (N,) of a global batch by column and group."""
        numbers = batch.speakers.tolist()
        return {
            column: GroupWeights.of(sample_weights, [group_of[number] for number in numbers])
            for column, group_of in self.columns.items()
        }


class VerificationExperiment(LoggedExperiment):
    """An experiment that learns speaker embeddings.

    `compute_forward` returns the `SpeakerBatch` of all processes and `compute_objectives` the
    learner's loss; both come from the recipe. `hparams` holds `reweighting`
    (`sb_alexa.training.reweighting.Reweighting`). Embeddings of a validation or test are extracted
    once, by all processes together, and scored by matrix products.

    Arguments
    ---------
    cohort : sequence of Utterance
        Recordings of training speakers that scores are normalised by.
    development : TrialSet | None
        Trials that the calibration of the scores is fitted to.
    groups : SpeakerGroups | None
        Whose mean weights the log tells.
    speakers : SpeakerTable | None
        For the groups in the report of a test list.
    synthetic : bool
        Whether the voices are synthetic, which the report says.
    **kwargs : object
        See `LoggedExperiment`.
    """

    metric = "eer"
    best_key = "EER"

    def __init__(
        self,
        *,
        cohort: Sequence[Utterance] = (),
        development: TrialSet | None = None,
        groups: SpeakerGroups | None = None,
        speakers: SpeakerTable | None = None,
        synthetic: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.development = development
        self.groups = groups or SpeakerGroups()
        self.speakers = speakers
        self.synthetic = synthetic
        self.settings: VerificationSettings | None = None
        self._statistics: list[WeightStatistics] = []
        self._group_weights: dict[str, GroupWeights] = {}
        self._extracted: tuple[Sequence[Utterance], SpeakerEmbeddings] | None = None
        self._loaded = False

    # ---- training

    def on_fit_start(self) -> None:
        self.hparams.reweighting.prepare(self.device)
        self._check_recordings()
        super().on_fit_start()

    def _check_recordings(self) -> None:
        """Read what is embedded after an epoch, or after the last, while nothing is lost yet."""
        embedded = [*self.cohort]
        if self.development is not None:
            embedded += self.development.utterances
        check_recordings(
            embedded,
            sample_rate=self.hparams.sample_rate,
            num_workers=self.hparams.num_workers,
        )

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self._group_weights = {}
            if self.step == 0:  # an epoch that is resumed has begun before
                self.hparams.reweighting.start_epoch(epoch)

    def on_fit_batch_end(
        self, batch: Any, outputs: SpeakerBatch, loss: Any, should_step: bool
    ) -> None:
        reweighting = self.hparams.reweighting
        if reweighting.active and self.groups.columns:
            weights = self.groups.weights(outputs, reweighting.sample_weights(outputs))
            for column, sums in weights.items():
                self._group_weights[column] = self._group_weights.get(column, _NOBODY) + sums
        statistics = reweighting.update(outputs)
        if statistics is not None:
            self._statistics.append(statistics)
        super().on_fit_batch_end(batch, outputs, loss, should_step)

    def training_figures(self, *, end_of_epoch: bool) -> dict[str, Any]:
        """Entropy and spread of the sample weights; after an epoch the mean weight of groups."""
        if end_of_epoch:
            return {
                f"weight_{column}_{group or 'unknown'}": round(mean, 4)
                for column, sums in self._group_weights.items()
                for group, mean in sums.means.items()
            }
        recent, self._statistics = self._statistics, []
        if not recent:
            return {}
        return {
            "weight_entropy": float(np.mean([one.relative_entropy for one in recent])),
            "weight_spread": float(np.mean([one.spread for one in recent])),
        }

    # ---- validation and test

    def figures(self, results: Sequence[Any]) -> dict[str, float]:
        raise RuntimeError("trials are measured as a whole, not batch by batch")

    def write_results(self, results: Sequence[Any]) -> None:
        self.figures(results)

    def validate(self, valid_set: TrialSet, epoch: int, enable: bool) -> None:
        """EER and detection cost of development trials, by cosine."""
        embeddings = self.extract(valid_set.utterances)
        scores = score_trials(embeddings, valid_set.trials)
        self.log_validation(_rates(_scored("dev", valid_set.trials, scores)), epoch)

    def extract(self, utterances: Sequence[Utterance]) -> SpeakerEmbeddings:
        """Embeddings of recordings by the parameters of now, in eval mode."""
        self.modules.eval()
        return extract_embeddings(
            self.modules.speaker_encoder,
            utterances,
            sample_rate=self.hparams.sample_rate,
            batch_size=self.hparams.batch_size_valid,
            num_workers=self.hparams.num_workers,
            device=self.device,
        )

    def load_best(self) -> None:
        """Load the parameters with the lowest EER and fit the verification to them."""
        super().load_best()
        self._loaded, self._extracted = True, None
        if self.development is not None:
            self.settings = self._fit_verification(self.development)

    def test(self, name: str, test_set: TrialSet) -> None:
        """Measure a trial list and write its scores and figures."""
        self.test_name = name
        if not self._loaded:
            self.load_best()
        if self._extracted is None or self._extracted[0] is not test_set.utterances:
            self._extracted = (test_set.utterances, self.extract(test_set.utterances))
        embeddings, trials = self._extracted[1], test_set.trials
        cosine = _rates(_scored(name, trials, score_trials(embeddings, trials)))
        scored = _scored(name, trials, self._scores(embeddings, trials))
        figures = _rates(scored) | {f"{key}_cosine": value for key, value in cosine.items()}
        self.log_test(figures)
        if if_main_process():
            path = self.log.folder / "results.json"
            content = json.loads(path.read_text()) if path.exists() else {}
            content[name] = {**figures, **self._report(scored)}
            with replaced_atomically(path) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _scores(self, embeddings: SpeakerEmbeddings, trials: Sequence[Trial]) -> np.ndarray:
        if self.settings is None:
            return score_trials(embeddings, trials)
        return score_trials(
            embeddings, trials, cohort=self.settings.cohort, top_n=self.settings.top_n
        )

    def _fit_verification(self, development: TrialSet) -> VerificationSettings:
        """Cohort of training speakers; calibration and threshold from development trials."""
        h = self.hparams
        cohort, top_n = None, None
        if h.normalization_top_n is not None and self.cohort:
            speakers = [utterance.speaker for utterance in self.cohort]
            cohort = speaker_means(self.extract(self.cohort).values, speakers)
            top_n = min(h.normalization_top_n, len(cohort))
        trials = development.trials
        embeddings = self.extract(development.utterances)
        scored = _scored(
            "dev", trials, score_trials(embeddings, trials, cohort=cohort, top_n=top_n)
        )
        equal_error = equal_error_rate(scored.scores, scored.is_target)
        try:
            decision = Decision.fitted_on(scored, target_prior=h.target_prior)
        except ValueError as error:  # of a model that has hardly been trained
            logger.warning("no calibration; the threshold is that of equal errors: %s", error)
            decision = Decision.given(equal_error.threshold)
        return VerificationSettings(
            threshold=decision.threshold,
            target_prior=h.target_prior,
            calibration=decision.calibration,
            cohort=cohort,
            top_n=top_n,
            eer=equal_error.rate,
        )

    def _report(self, scored: ScoredTrials) -> dict[str, Any]:
        """Write the page of a list; its figures."""
        h, settings = self.hparams, self.settings
        decision = Decision.of_these(scored)
        if settings is not None:
            origin = f"fitted on development trials for a target prior of {h.target_prior:g}"
            decision = Decision(settings.threshold, origin, settings.calibration)
        result = write_verification_report(
            self.log.folder / "report" / scored.name,
            scored,
            decision,
            columns=self.columns_of(scored.speakers),
            settings=DrawSettings(target_prior=h.target_prior, num_samples=h.num_bootstrap_samples),
            synthetic=self.synthetic,
        )
        return verification_figures(result)

    def columns_of(self, speakers: Sequence[str]) -> dict[str, dict[str, str]]:
        """Groups of some speakers by column, as far as there is a table."""
        if self.speakers is None:
            return {}
        return {name: self.speakers.values(name, speakers) for name in self.hparams.group_columns}


_NOBODY = GroupWeights({}, {})


def _scored(name: str, trials: Sequence[Trial], scores: np.ndarray) -> ScoredTrials:
    return ScoredTrials(
        name,
        scores,
        np.array([trial.is_target for trial in trials]),
        enrol=[trial.enrol for trial in trials],
        test=[trial.test for trial in trials],
        enrol_speakers=[speaker_of(trial.enrol) for trial in trials],
        test_speakers=[speaker_of(trial.test) for trial in trials],
    )


def _rates(scored: ScoredTrials) -> dict[str, float]:
    curve = det_curve(scored.scores, scored.is_target)
    return {"eer": curve.equal_error_rate().rate, "min_dcf": curve.minimum_dcf().cost}
