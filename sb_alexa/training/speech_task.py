"""Recognition of one talker at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from sb_alexa.corpora.librispeech import PreparedLibriSpeech
from sb_alexa.corpora.manifest import Utterance, read_manifest
from sb_alexa.training.batching import BatchPlan, GlobalPlan, ShardedBatchSampler
from sb_alexa.training.cohort_plan import CohortSampling
from sb_alexa.training.cohort_speakers import read_cohort_speakers
from sb_alexa.training.dataio import SpeechBatch, SpeechDataset, collate, speech_loader
from sb_alexa.training.fine_tuning_setup import start_fine_tuning
from sb_alexa.training.processes import rank_and_size
from sb_alexa.training.recipe_task import batch_plan, required
from sb_alexa.training.recognition import RecognitionExperiment
from sb_alexa.training.recognition_task import RECOGNITION_KEYS, RecognitionTask

logger = logging.getLogger(__name__)

COHORT_KEYS = frozenset(
    {
        "cohort_speakers", "cohort_names", "cohort_sampling", "cohort_in_evaluation", "elastic",
        "frozen_modules",
    }
)  # fmt: skip


class SpeechTask(RecognitionTask[PreparedLibriSpeech]):
    """One talker at a time: utterances of a corpus laid out like LibriSpeech.

    Arguments
    ---------
    experiment_class, known_keys
        See `RecognitionTask`.
    prepare : Callable
        Plain values of the YAML -> prepared corpus.
    """

    def __init__(
        self,
        *,
        experiment_class: type[RecognitionExperiment],
        prepare: Callable[[dict[str, Any]], PreparedLibriSpeech],
        known_keys: Iterable[str] = (),
    ) -> None:
        self.experiment_class = experiment_class
        self.known_keys = RECOGNITION_KEYS.union(COHORT_KEYS, known_keys)
        self._prepare = prepare

    def prepare(self, values: dict[str, Any]) -> PreparedLibriSpeech:
        return self._prepare(values)

    def speech(self, prepared: PreparedLibriSpeech) -> PreparedLibriSpeech:
        return prepared

    def experiment_arguments(
        self, prepared: PreparedLibriSpeech, hparams: dict[str, Any]
    ) -> dict[str, Any]:
        speakers = None
        if hparams["cohort_speakers"] is not None:
            speakers = read_cohort_speakers(
                hparams["cohort_speakers"],
                hparams["cohort_names"],
                speakers_csv=prepared.speakers_csv,
            )
        elif hparams["cohort_sampling"] is not None:
            raise ValueError(
                "cohort_sampling favours a cohort of speakers; name them in cohort_speakers"
            )
        return {**super().experiment_arguments(prepared, hparams), "cohort_speakers": speakers}

    def before_fit(self, experiment: RecognitionExperiment, prepared: PreparedLibriSpeech) -> None:
        h = experiment.hparams
        if h.elastic is None and not h.frozen_modules:
            return
        self._check_labels(h.pretrained_folder, prepared)
        utterances = _train_utterances(experiment, prepared)
        start_fine_tuning(
            experiment,
            _dataset(experiment, utterances),
            ids=[utterance.id for utterance in utterances],
            collate_fn=collate,
            elastic=h.elastic,
            frozen_modules=h.frozen_modules,
            pretrained_folder=h.pretrained_folder,
            folder=experiment.log.folder,
        )

    def _check_labels(
        self, pretrained_folder: str | Path | None, prepared: PreparedLibriSpeech
    ) -> None:
        """The labels of a model that is held must mean what they meant when it was trained."""
        if not self.has_same_labels(pretrained_folder, prepared):
            raise ValueError(
                f"the word pieces of pretrained_folder={pretrained_folder} are not those of this "
                "training, so its labels mean something else; prepare the same train_splits with "
                "the same num_word_pieces, and choose the cohort by cohort_speakers"
            )

    def train_loader(
        self, experiment: RecognitionExperiment, prepared: PreparedLibriSpeech
    ) -> DataLoader[SpeechBatch]:
        h = experiment.hparams
        utterances = _train_utterances(experiment, prepared)
        plan = batch_plan(
            tuple(utterance.duration_s for utterance in utterances),
            h.seed,
            shuffle=True,
            batch_size=h.batch_size,
            max_batch_seconds=h.max_batch_seconds,
        )
        dataset = _dataset(experiment, utterances, cached=h.cache_audio)
        return _loader(experiment, dataset, _favouring(experiment, plan, utterances))

    def valid_set(
        self, experiment: RecognitionExperiment, prepared: PreparedLibriSpeech
    ) -> DataLoader[SpeechBatch] | None:
        if prepared.dev_csv is None:
            return None
        return _evaluation_loader(experiment, prepared.dev_csv, prepared)

    def test_sets(
        self, experiment: RecognitionExperiment, prepared: PreparedLibriSpeech
    ) -> dict[str, DataLoader[SpeechBatch]]:
        return {
            name: _evaluation_loader(experiment, csv, prepared)
            for name, csv in prepared.test_csv.items()
        }


def shorter_than(utterances: list[Utterance], seconds: float | None) -> list[Utterance]:
    """Leave out utterances that are too long, and say how many."""
    if seconds is None:
        return utterances
    kept = [utterance for utterance in utterances if utterance.duration_s <= seconds]
    if len(kept) < len(utterances):
        logger.info(
            "%d of %d training utterances are longer than max_utterance_seconds=%g: left out",
            len(utterances) - len(kept), len(utterances), seconds,
        )  # fmt: skip
    return kept


def _train_utterances(
    experiment: RecognitionExperiment, prepared: PreparedLibriSpeech
) -> list[Utterance]:
    utterances = read_manifest(required(prepared.train_csv), prepared.data_root)
    return shorter_than(utterances, experiment.hparams.max_utterance_seconds)


def _favouring(
    experiment: RecognitionExperiment, plan: BatchPlan, utterances: Sequence[Utterance]
) -> GlobalPlan:
    """The plan in which the cohort comes as often as `cohort_sampling` wants it."""
    sampling: CohortSampling | None = experiment.hparams.cohort_sampling
    if sampling is None:
        return plan
    members = experiment.cohort_speakers
    assert members is not None, "experiment_arguments reads them"
    in_cohort = [utterance.speaker in members for utterance in utterances]
    speakers = {utterance.speaker for utterance in utterances}
    logger.info(
        "the cohort has %d of %d training utterances and %d of %d speakers",
        sum(in_cohort), len(in_cohort), len(speakers & set(members)), len(speakers),
    )  # fmt: skip
    return sampling.plan(plan, in_cohort)


def _evaluation_loader(
    experiment: RecognitionExperiment, csv: Path, prepared: PreparedLibriSpeech
) -> DataLoader[SpeechBatch]:
    utterances = read_manifest(csv, prepared.data_root)
    plan = batch_plan(
        tuple(utterance.duration_s for utterance in utterances),
        experiment.hparams.seed,
        shuffle=False,
        batch_size=experiment.hparams.batch_size_valid,
    )
    return _loader(experiment, _dataset(experiment, utterances), plan)


def _dataset(
    experiment: RecognitionExperiment, utterances: Sequence[Utterance], *, cached: bool = False
) -> SpeechDataset:
    return SpeechDataset(
        utterances,
        encode=experiment.word_pieces.encode,
        sample_rate=experiment.hparams.sample_rate,
        cache_audio=cached,
    )


def _loader(
    experiment: RecognitionExperiment, dataset: SpeechDataset, plan: GlobalPlan
) -> DataLoader[SpeechBatch]:
    rank, size = rank_and_size()
    sampler = ShardedBatchSampler(plan, rank=rank, num_processes=size)
    return speech_loader(dataset, sampler, num_workers=experiment.hparams.num_workers)
