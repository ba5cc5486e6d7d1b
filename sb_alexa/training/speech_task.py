"""Recognition of one talker at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from sb_alexa.corpora.librispeech import PreparedLibriSpeech
from sb_alexa.corpora.manifest import Utterance, read_manifest
from sb_alexa.training.batching import ShardedBatchSampler
from sb_alexa.training.dataio import SpeechBatch, SpeechDataset, speech_loader
from sb_alexa.training.processes import rank_and_size
from sb_alexa.training.recipe_task import batch_plan, required
from sb_alexa.training.recognition import RecognitionExperiment
from sb_alexa.training.recognition_task import RECOGNITION_KEYS, RecognitionTask

logger = logging.getLogger(__name__)


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
        self.known_keys = RECOGNITION_KEYS.union(known_keys)
        self._prepare = prepare

    def prepare(self, values: dict[str, Any]) -> PreparedLibriSpeech:
        return self._prepare(values)

    def speech(self, prepared: PreparedLibriSpeech) -> PreparedLibriSpeech:
        return prepared

    def train_loader(
        self, experiment: RecognitionExperiment, prepared: PreparedLibriSpeech
    ) -> DataLoader[SpeechBatch]:
        h = experiment.hparams
        utterances = read_manifest(required(prepared.train_csv), prepared.data_root)
        return _speech_loader(
            experiment,
            shorter_than(utterances, h.max_utterance_seconds),
            shuffle=True,
            batch_size=h.batch_size,
            max_batch_seconds=h.max_batch_seconds,
        )

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


def _evaluation_loader(
    experiment: RecognitionExperiment, csv: Path, prepared: PreparedLibriSpeech
) -> DataLoader[SpeechBatch]:
    return _speech_loader(
        experiment,
        read_manifest(csv, prepared.data_root),
        shuffle=False,
        batch_size=experiment.hparams.batch_size_valid,
    )


def _speech_loader(
    experiment: RecognitionExperiment,
    utterances: Sequence[Utterance],
    *,
    shuffle: bool,
    batch_size: int,
    max_batch_seconds: float | None = None,
) -> DataLoader[SpeechBatch]:
    h = experiment.hparams
    rank, size = rank_and_size()
    durations_s = tuple(utterance.duration_s for utterance in utterances)
    plan = batch_plan(
        durations_s,
        h.seed,
        shuffle=shuffle,
        batch_size=batch_size,
        max_batch_seconds=max_batch_seconds,
    )
    dataset = SpeechDataset(
        utterances,
        encode=experiment.word_pieces.encode,
        sample_rate=h.sample_rate,
        cache_audio=h.cache_audio and shuffle,
    )
    sampler = ShardedBatchSampler(plan, rank=rank, num_processes=size)
    return speech_loader(dataset, sampler, num_workers=h.num_workers)
