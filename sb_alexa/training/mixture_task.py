"""Recognition of overlapping talkers: trained on mixtures made on the fly, tested on meetings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from sb_alexa.corpora.alignments import AlignmentFolder
from sb_alexa.corpora.libricss import PreparedLibriCSS
from sb_alexa.corpora.librispeech import PreparedLibriSpeech
from sb_alexa.corpora.manifest import read_manifest
from sb_alexa.corpora.mixture_manifest import read_mixture_manifest
from sb_alexa.corpora.mixture_series import MixtureSeries
from sb_alexa.corpora.room_responses import RoomFolder
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.model_configuration import MODEL_KEYS
from sb_alexa.metrics.multitalker_error_rate import require_meeteval
from sb_alexa.training.batching import ShardedBatchSampler
from sb_alexa.training.mixture_batch import MixtureBatch
from sb_alexa.training.mixture_dataio import (
    MixtureBatchSampler,
    MixtureDataset,
    RecordedMixtureDataset,
    mixture_loader,
)
from sb_alexa.training.multitalker_recognition import MultiTalkerExperiment
from sb_alexa.training.processes import rank_and_size
from sb_alexa.training.recipe_task import batch_plan, required
from sb_alexa.training.recognition_task import RECOGNITION_KEYS, RecognitionTask
from sb_alexa.training.speech_task import shorter_than

KEYS = frozenset(
    {
        "libricss_folder", "libricss_audio", "turn_tokens", "num_channels", "mixture_settings",
        "mixtures_per_epoch", "room_folder", "trim_turns", "test_sessions", "log_mel", "normalize",
    }
)  # fmt: skip


@dataclass(frozen=True)
class PreparedMixtures:
    """What a multi-talker recipe reads.

    Arguments
    ---------
    sources : PreparedLibriSpeech
        Utterances to mix.
    meetings : PreparedLibriCSS | None
        Sessions to validate and test on; None trains only.
    """

    sources: PreparedLibriSpeech
    meetings: PreparedLibriCSS | None


class MixtureTask(RecognitionTask[PreparedMixtures]):
    """See `RecognitionTask`.

    Arguments
    ---------
    experiment_class : type
        A `MultiTalkerExperiment` with `compute_forward` and `compute_objectives`.
    prepare : Callable
        Plain values of the YAML -> prepared corpora.
    known_keys : iterable of str
        YAML keys that the recipe's own code reads.
    """

    model_keys = (*MODEL_KEYS, "turn_tokens")

    def __init__(
        self,
        *,
        experiment_class: type[MultiTalkerExperiment],
        prepare: Callable[[dict[str, Any]], PreparedMixtures],
        known_keys: Iterable[str] = (),
    ) -> None:
        self.experiment_class = experiment_class
        self.known_keys = RECOGNITION_KEYS | KEYS.union(known_keys)
        self._prepare = prepare

    def prepare(self, values: dict[str, Any]) -> PreparedMixtures:
        if values["libricss_folder"] is not None:
            require_meeteval()
        return self._prepare(values)

    def speech(self, prepared: PreparedMixtures) -> PreparedLibriSpeech:
        return prepared.sources

    def label_keys(self, word_pieces: WordPieces) -> dict[str, Any]:
        # Turn tokens follow the word pieces, of which the text may allow fewer than asked for.
        return {"num_word_pieces": word_pieces.num_labels - 1}

    def train_loader(
        self, experiment: MultiTalkerExperiment, prepared: PreparedMixtures
    ) -> DataLoader[MixtureBatch]:
        h = experiment.hparams
        sources = prepared.sources
        utterances = read_manifest(required(sources.train_csv), sources.data_root)
        longest = h.max_utterance_seconds or h.mixture_settings.max_duration_s
        series = MixtureSeries(
            shorter_than(utterances, min(longest, h.mixture_settings.max_duration_s)),
            num_mixtures=h.mixtures_per_epoch,
            settings=h.mixture_settings,
            seed=h.seed,
        )
        alignments = Path(sources.data_root, "alignments")
        dataset = MixtureDataset(
            series,
            tokens=h.turn_tokens,
            encode=experiment.word_pieces.encode,
            num_channels=h.num_channels,
            rooms=None if h.room_folder is None else RoomFolder(h.room_folder),
            word_times=AlignmentFolder(alignments) if alignments.is_dir() else None,
            trim_turns=h.trim_turns,
            sample_rate=h.sample_rate,
            cache_audio=h.cache_audio,
        )
        plan = batch_plan(
            series,
            h.seed,
            shuffle=True,
            batch_size=h.batch_size,
            max_batch_seconds=h.max_batch_seconds,
        )
        rank, size = rank_and_size()
        sampler = MixtureBatchSampler(plan, rank=rank, num_processes=size)
        return mixture_loader(dataset, sampler, num_workers=h.num_workers)

    def valid_set(
        self, experiment: MultiTalkerExperiment, prepared: PreparedMixtures
    ) -> DataLoader[MixtureBatch] | None:
        meetings = prepared.meetings
        return None if meetings is None else _recorded(experiment, meetings, meetings.dev_groups)

    def test_sets(
        self, experiment: MultiTalkerExperiment, prepared: PreparedMixtures
    ) -> dict[str, DataLoader[MixtureBatch]]:
        meetings = prepared.meetings
        if meetings is None:
            return {}
        manifests = {"groups": meetings.test_groups}
        if experiment.hparams.test_sessions:
            manifests["sessions"] = meetings.test_sessions
        return {name: _recorded(experiment, meetings, path) for name, path in manifests.items()}


def _recorded(
    experiment: MultiTalkerExperiment, meetings: PreparedLibriCSS, manifest: Path
) -> DataLoader[MixtureBatch]:
    h = experiment.hparams
    dataset = RecordedMixtureDataset(
        read_mixture_manifest(manifest, meetings.data_root),
        tokens=h.turn_tokens,
        encode=experiment.word_pieces.encode,
        num_channels=h.num_channels,
        sample_rate=h.sample_rate,
        allow_collisions=True,  # scored like all others; their loss is not computed
    )
    plan = batch_plan(dataset.durations_s, h.seed, shuffle=False, batch_size=h.batch_size_valid)
    rank, size = rank_and_size()
    sampler = ShardedBatchSampler(plan, rank=rank, num_processes=size)
    return mixture_loader(dataset, sampler, num_workers=h.num_workers)
