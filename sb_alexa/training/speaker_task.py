"""Speaker verification: batches of N speakers x M utterances, tested on trial lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from sb_alexa.corpora.manifest import Utterance, read_manifest
from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.synthetic_folder import STAMP
from sb_alexa.corpora.trial_lists import read_trials
from sb_alexa.corpora.voxceleb import PreparedVoxCeleb
from sb_alexa.inference.model_configuration import SPEAKER_KEYS
from sb_alexa.inference.model_folder import write_model_folder
from sb_alexa.inference.verification_settings import write_verification
from sb_alexa.training.batching import derive_seed
from sb_alexa.training.processes import rank_and_size
from sb_alexa.training.recipe_task import RecipeTask, required
from sb_alexa.training.speaker_batching import SpeakerBatchPlan
from sb_alexa.training.speaker_dataio import (
    SpeakerBatchSampler,
    SpeakerDataset,
    SpeakerSpeechBatch,
    speaker_loader,
)
from sb_alexa.training.verification_experiment import (
    SpeakerGroups,
    TrialSet,
    VerificationExperiment,
)

KEYS = frozenset(
    {
        "train_subsets", "test_lists", "metadata_files", "num_dev_speakers",
        "num_dev_utterances_per_speaker", "num_dev_trials_per_speaker", "num_speakers",
        "speakers_per_batch", "utterances_per_speaker", "max_utterances_per_speaker",
        "crop_seconds", "augment", "reweighting", "batch_size_valid", "target_prior",
        "normalization_top_n", "cohort_utterances_per_speaker", "group_columns",
        "num_bootstrap_samples",
    }
)  # fmt: skip


class SpeakerTask(RecipeTask[PreparedVoxCeleb]):
    """Speakers of a corpus laid out like VoxCeleb.

    Arguments
    ---------
    experiment_class : type
        A `VerificationExperiment` with `compute_forward` and `compute_objectives`.
    prepare : Callable
        Plain values of the YAML -> prepared corpus.
    known_keys : iterable of str
        YAML keys that the recipe's own code reads.
    """

    model_keys = SPEAKER_KEYS
    opens_with = "sb-alexa verify {folder} one.wav other.wav"

    def __init__(
        self,
        *,
        experiment_class: type[VerificationExperiment],
        prepare: Callable[[dict[str, Any]], PreparedVoxCeleb],
        known_keys: Iterable[str] = (),
    ) -> None:
        self.experiment_class = experiment_class
        self.known_keys = KEYS.union(known_keys)
        self._prepare = prepare

    def prepare(self, values: dict[str, Any]) -> PreparedVoxCeleb:
        return self._prepare(values)

    def decided_keys(self, prepared: PreparedVoxCeleb) -> dict[str, Any]:
        required(prepared.train_csv, "train_subsets")
        return {"num_speakers": prepared.counts["train"].num_speakers}

    def experiment_arguments(
        self, prepared: PreparedVoxCeleb, hparams: dict[str, Any]
    ) -> dict[str, Any]:
        utterances = _training_utterances(prepared)
        number = hparams["cohort_utterances_per_speaker"]
        return {
            "cohort": some_of_each_speaker(utterances, number, seed=hparams["seed"]),
            "development": _development(prepared),
            "groups": _groups(prepared, hparams["group_columns"]),
            "speakers": read_speaker_table(prepared.speakers_csv),
            "synthetic": (prepared.data_root / STAMP).is_file(),
        }

    def recoverables(self, hparams: dict[str, Any]) -> dict[str, Any]:
        return {"reweighting": hparams["reweighting"]}

    def train_loader(
        self, experiment: VerificationExperiment, prepared: PreparedVoxCeleb
    ) -> DataLoader[SpeakerSpeechBatch]:
        h = experiment.hparams
        rank, size = rank_and_size()
        utterances = _training_utterances(prepared)
        plan = SpeakerBatchPlan(
            speakers=tuple(utterance.speaker for utterance in utterances),
            num_speakers=h.speakers_per_batch * size,
            utterances_per_speaker=h.utterances_per_speaker,
            max_utterances_per_speaker=h.max_utterances_per_speaker,
            num_processes=size,
            seed=h.seed,
        )
        dataset = SpeakerDataset(
            utterances,
            speaker_numbers=speaker_numbers(utterances),
            crop_seconds=h.crop_seconds,
            sample_rate=h.sample_rate,
            seed=h.seed,
            cache_audio=h.cache_audio,
        )
        sampler = SpeakerBatchSampler(plan, rank=rank, num_processes=size)
        return speaker_loader(dataset, sampler, num_workers=h.num_workers)

    def valid_set(
        self, experiment: VerificationExperiment, prepared: PreparedVoxCeleb
    ) -> TrialSet | None:
        return experiment.development

    def test_sets(
        self, experiment: VerificationExperiment, prepared: PreparedVoxCeleb
    ) -> dict[str, TrialSet]:
        if prepared.test_csv is None:
            return {}
        utterances = read_manifest(prepared.test_csv, prepared.data_root)
        return {
            name: TrialSet(read_trials(path), utterances)
            for name, path in prepared.test_trials.items()
        }

    def write_model(
        self,
        folder: Path,
        configuration: str,
        experiment: VerificationExperiment,
        prepared: PreparedVoxCeleb,
    ) -> None:
        modules = {k: m for k, m in experiment.raw_modules.items() if k in self.model_keys}
        write_model_folder(folder, configuration=configuration, modules=modules)
        if experiment.settings is not None:
            write_verification(folder, **vars(experiment.settings))


def speaker_numbers(utterances: Iterable[Utterance]) -> dict[str, int]:
    """Numbers of training speakers, from 0 in alphabetical order.

    Arguments
    ---------
    utterances : iterable of Utterance
        All that is trained on.
    """
    speakers = sorted({utterance.speaker for utterance in utterances})
    return {speaker: number for number, speaker in enumerate(speakers)}


def some_of_each_speaker(
    utterances: Sequence[Utterance], number: int, *, seed: int
) -> list[Utterance]:
    """At most `number` utterances of every speaker, chosen by the seed.

    Arguments
    ---------
    utterances : sequence of Utterance
        In a fixed order.
    number : int
        0 for none.
    seed : int
        The same one gives the same choice.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    generator = np.random.default_rng(derive_seed(seed, 0))
    return [
        said[index]
        for _, said in sorted(by_speaker.items())
        for index in sorted(generator.permutation(len(said))[:number])
    ]


def _training_utterances(prepared: PreparedVoxCeleb) -> list[Utterance]:
    return read_manifest(required(prepared.train_csv, "train_subsets"), prepared.data_root)


def _development(prepared: PreparedVoxCeleb) -> TrialSet | None:
    if prepared.dev_csv is None or prepared.dev_trials is None:
        return None
    utterances = read_manifest(prepared.dev_csv, prepared.data_root)
    return TrialSet(read_trials(prepared.dev_trials), utterances)


def _groups(prepared: PreparedVoxCeleb, columns: Sequence[str]) -> SpeakerGroups:
    numbers = speaker_numbers(_training_utterances(prepared))
    table = read_speaker_table(prepared.speakers_csv)
    found = {column: table.values(column, numbers) for column in columns}
    return SpeakerGroups(
        {
            column: {numbers[speaker]: group for speaker, group in of.items()}
            for column, of in found.items()
        }
    )
