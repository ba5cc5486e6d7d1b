"""What a recipe has to bring: its data, what the data decide, its model, its tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader

from sb_alexa.training.batching import BatchPlan, EpochDurations
from sb_alexa.training.logged_experiment import LoggedExperiment
from sb_alexa.training.processes import rank_and_size

P = TypeVar("P")


class RecipeTask(ABC, Generic[P]):
    """What distinguishes one kind of learning from another.

    Attributes
    ----------
    experiment_class : type
        The science: a `LoggedExperiment` with `compute_forward` and `compute_objectives`.
    known_keys : frozenset of str
        YAML keys that the task and the recipe's own code read.
    model_keys : tuple of str
        Top-level keys of the YAML that a model folder holds.
    opens_with : str
        The command that opens the model, with `{folder}` in it.
    """

    experiment_class: type[LoggedExperiment]
    known_keys: frozenset[str] = frozenset()
    model_keys: tuple[str, ...]
    opens_with: str

    @abstractmethod
    def prepare(self, values: dict[str, Any]) -> P:
        """Plain values of the YAML to a prepared corpus; called on the main process first."""

    @abstractmethod
    def decided_keys(self, prepared: P) -> dict[str, Any]:
        """Values of the YAML that the data decide, such as the number of labels."""

    def before_training(self, prepared: P, hparams: dict[str, Any], folder: Path) -> None:
        """Called with the objects of the YAML and the output folder, before weights are loaded."""

    def experiment_arguments(self, prepared: P, hparams: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the experiment beside those of `LoggedExperiment`."""
        return {}

    def recoverables(self, hparams: dict[str, Any]) -> dict[str, Any]:
        """Objects that checkpoints hold beside the modules, by name."""
        return {}

    def before_fit(self, experiment: Any, prepared: P) -> None:
        """Called with the weights that training starts from, before a checkpoint is loaded."""

    @abstractmethod
    def train_loader(self, experiment: Any, prepared: P) -> DataLoader[Any]:
        """Batches of training, over a `ShardedBatchSampler`."""

    @abstractmethod
    def valid_set(self, experiment: Any, prepared: P) -> Any:
        """What the experiment's `validate` takes, such as a loader; None without validation."""

    @abstractmethod
    def test_sets(self, experiment: Any, prepared: P) -> dict[str, Any]:
        """What the experiment's `test` takes for each test set, by its name."""

    @abstractmethod
    def write_model(self, folder: Path, configuration: str, experiment: Any, prepared: P) -> None:
        """Write the files of the model folder; called on the main process after the tests."""


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


def required(path: Path | None, key: str = "train_splits") -> Path:
    """What the preparation wrote for training."""
    if path is None:
        raise ValueError(f"the recipe needs training data; name at least one part in {key}")
    return path
