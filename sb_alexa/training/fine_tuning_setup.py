"""From the keys of a recipe to a fine-tuning: the Fisher information is estimated if missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch.distributed
from speechbrain.utils.distributed import if_main_process
from torch import nn
from torch.utils.data import Dataset

from sb_alexa.inference.model_folder import WEIGHTS
from sb_alexa.losses.elastic import ElasticPenalty
from sb_alexa.training.experiment import Experiment
from sb_alexa.training.fine_tuning import ElasticConsolidation, FineTuning
from sb_alexa.training.fisher import estimate_fisher, fisher_stamp
from sb_alexa.training.fisher_information import FisherInformation
from sb_alexa.training.processes import rank_and_size

logger = logging.getLogger(__name__)


def start_fine_tuning(
    experiment: Experiment,
    dataset: Dataset[Any],
    *,
    ids: Sequence[str],
    collate_fn: Callable[[list[Any]], Any],
    elastic: ElasticConsolidation | None,
    frozen_modules: Sequence[str],
    pretrained_folder: str | Path | None,
    folder: Path,
) -> FineTuning | None:
    """Let an experiment hold on to the weights it has now.

    Call it before `fit`, when the pretrained weights are in the modules and no checkpoint is. Only
    parameters that the pretrained model has are held.

    Arguments
    ---------
    experiment : Experiment
        Its `fine_tuning` is set.
    dataset : Dataset
        (N) items of all training data, for the Fisher information.
    ids : sequence of str
        (N) their names.
    collate_fn : Callable
        A list of one item -> batch.
    elastic : ElasticConsolidation | None
        The pull to the start.
    frozen_modules : sequence of str
        Names of modules that do not change, such as ``encoder`` or ``encoder.local_cnn``.
    pretrained_folder : str | Path | None
        The model folder that the weights came from.
    folder : Path
        The run's, for the partial sums of an interrupted estimation.

    Returns
    -------
    FineTuning | None
        None where nothing is held or nothing will be trained.

    Raises
    ------
    ValueError
        If there is no pretrained model, a module is unknown, nothing is left to train, or
        `fisher_file` belongs to other weights.
    TrainingStopped
        After a request to stop; a rerun goes on.
    """
    if (elastic is None and not frozen_modules) or experiment.test_only:
        return None
    if pretrained_folder is None:
        raise ValueError(
            "elastic and frozen_modules hold on to a trained model; name its folder in "
            "pretrained_folder"
        )
    frozen = [_module(experiment.modules, name) for name in frozen_modules]
    diagonal = None
    if elastic is not None and elastic.use_fisher and elastic.weight > 0:
        estimation = _Estimation(experiment, dataset, ids, collate_fn, folder)
        diagonal = _fisher(estimation, elastic, pretrained_folder).diagonal
    tuning = FineTuning(frozen=frozen)
    trained = {n: p for n, p in experiment.modules.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError(f"frozen_modules={list(frozen_modules)} leave nothing to train")
    if elastic is not None and elastic.weight > 0:
        known = _names_in(Path(pretrained_folder))
        start = {name: parameter for name, parameter in trained.items() if name in known}
        tuning.penalty = ElasticPenalty(start, diagonal, weight=elastic.weight, parts=elastic.parts)
    experiment.fine_tuning = tuning
    return tuning


class _Estimation:
    """How the Fisher information of an experiment is estimated, if it has to be."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset[Any],
        ids: Sequence[str],
        collate_fn: Callable[[list[Any]], Any],
        folder: Path,
    ) -> None:
        self.experiment, self.dataset, self.ids = experiment, dataset, ids
        self.collate_fn, self.folder = collate_fn, folder

    def run(self, num_utterances: int | None, names: set[str]) -> FisherInformation:
        experiment = self.experiment
        logger.info(
            "estimating the Fisher information of the weights that the training starts from"
        )
        return estimate_fisher(
            experiment,
            self.dataset,
            ids=self.ids,
            collate_fn=self.collate_fn,
            num_utterances=num_utterances,
            names=names,
            num_workers=getattr(experiment.hparams, "num_workers", 0),
            journal=self.folder / "fisher_journal",
            progress=not experiment.noprogressbar,
        )


def _fisher(
    estimation: _Estimation, elastic: ElasticConsolidation, pretrained_folder: str | Path
) -> FisherInformation:
    """Read, or estimate and write; the same on all processes."""
    experiment, number = estimation.experiment, elastic.fisher_utterances
    path = elastic.fisher_path(pretrained_folder)
    if experiment.debug:  # a look at the code, not at the model: never beside a real one
        number = min(number or experiment.debug_batches, experiment.debug_batches)
        path = estimation.folder / "fisher.safetensors"
    expected = fisher_stamp(experiment, estimation.ids, num_utterances=number)
    found = FisherInformation.load(path) if if_main_process() and path.is_file() else None
    if found is not None and found.stamp != expected:
        if elastic.fisher_file is None:
            logger.info("%s was estimated from other weights or utterances: it is replaced", path)
            found = None
        elif found.stamp.weights != expected.weights:
            raise ValueError(
                f"fisher_file={path} was estimated at other weights than those of "
                f"pretrained_folder={pretrained_folder}; leave fisher_file away and it is estimated"
            )
    found = _of_main_process(found)
    if found is None:
        found = estimation.run(number, _names_in(Path(pretrained_folder)))
        if if_main_process():
            found.save(path)
    logger.info(
        "Fisher information of %d utterances, %s:\n%s",
        found.stamp.num_utterances, path, found.table(),
    )  # fmt: skip
    return found


def _of_main_process(found: FisherInformation | None) -> FisherInformation | None:
    """What the main process has: the others may not see its disk."""
    if rank_and_size()[1] == 1:
        return found
    parts = [found]
    torch.distributed.broadcast_object_list(parts, src=0)
    return parts[0]


def _names_in(folder: Path) -> set[str]:
    with safetensors.safe_open(folder / WEIGHTS, framework="pt") as file:
        return set(file.keys())


def _module(modules: nn.Module, name: str) -> nn.Module:
    try:
        return modules.get_submodule(name)
    except AttributeError:
        there = ", ".join(dict(modules.named_children()))
        raise ValueError(
            f"frozen_modules: there is no module {name!r}; there are: {there}"
        ) from None
