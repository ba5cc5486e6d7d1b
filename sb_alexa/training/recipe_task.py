"""What a recipe has to bring: its data, its labels, its model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader

from sb_alexa.corpora.librispeech import PreparedLibriSpeech
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.model_configuration import MODEL_KEYS
from sb_alexa.training.batching import BatchPlan, EpochDurations
from sb_alexa.training.experiment import Experiment
from sb_alexa.training.processes import rank_and_size

P = TypeVar("P")


class RecipeTask(ABC, Generic[P]):
    """What distinguishes one kind of recognition from another: its data, its labels, its model.

    Attributes
    ----------
    experiment_class : type
        The science: an `Experiment` with `compute_forward` and `compute_objectives`.
    known_keys : frozenset of str
        YAML keys that the recipe's own code reads.
    model_keys : tuple of str
        Top-level keys of the YAML that a model folder holds.
    """

    experiment_class: type[Experiment]
    known_keys: frozenset[str] = frozenset()
    model_keys: tuple[str, ...] = MODEL_KEYS

    @abstractmethod
    def prepare(self, values: dict[str, Any]) -> P:
        """Plain values of the YAML to a prepared corpus; called on the main process first."""

    @abstractmethod
    def speech(self, prepared: P) -> PreparedLibriSpeech:
        """The utterances that word pieces and feature statistics come from."""

    def label_keys(self, word_pieces: WordPieces) -> dict[str, Any]:
        """What the word pieces decide about the YAML."""
        return {"num_labels": word_pieces.num_labels}

    @abstractmethod
    def train_loader(self, experiment: Any, prepared: P) -> DataLoader[Any]:
        """Batches of training, over a `ShardedBatchSampler`."""

    @abstractmethod
    def valid_loader(self, experiment: Any, prepared: P) -> DataLoader[Any] | None:
        """Batches of validation, if there is any."""

    @abstractmethod
    def test_loaders(self, experiment: Any, prepared: P) -> dict[str, DataLoader[Any]]:
        """Batches of each test set, by its name."""


def batch_plan(
    durations_s: tuple[float, ...] | EpochDurations,
    seed: int,
    *,
    shuffle: bool,
    batch_size: int,
    max_batch_seconds: float | None = None,
) -> BatchPlan:
    """The global plan for limits that are those of one process; validation does not shuffle."""
    size = rank_and_size()[1]
    return BatchPlan(
        durations_s=durations_s,
        batch_size=batch_size * size,
        max_batch_seconds=None if max_batch_seconds is None else max_batch_seconds * size,
        num_processes=size if shuffle else 1,
        seed=seed,
        shuffle=shuffle,
    )


def required(path: Path | None) -> Path:
    """What the preparation wrote for training splits."""
    if path is None:
        raise ValueError("the recipe needs training splits; name at least one in train_splits")
    return path
