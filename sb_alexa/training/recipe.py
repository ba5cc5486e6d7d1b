"""The course of a recipe: prepare, train, test, leave a folder that opens."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from speechbrain.utils.distributed import ddp_init_group, if_main_process, run_on_main
from speechbrain.utils.epoch_loop import EpochCounter

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.inference.model_configuration import model_configuration
from sb_alexa.training.checkpointing import AtomicCheckpointer
from sb_alexa.training.configuration import TRAINING_KEYS, Configuration
from sb_alexa.training.interruption import TrainingStopped
from sb_alexa.training.learning_curves import plot_learning_curves
from sb_alexa.training.pretrained import load_pretrained
from sb_alexa.training.processes import leave_group
from sb_alexa.training.recipe_task import P, RecipeTask
from sb_alexa.training.run_log import RunLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecipeResult:
    """What a finished recipe leaves.

    Arguments
    ---------
    output_folder : Path
        Logs, results and the model folder's files.
    experiment : LoggedExperiment
        With the tested parameters.
    """

    output_folder: Path
    experiment: Any


def run_recipe(argv: list[str], task: RecipeTask[P]) -> RecipeResult:
    """Run a recipe from its command line.

    A rerun of the same command resumes: what is prepared stays, training goes on from the last
    checkpoint.

    Arguments
    ---------
    argv : list of str
        ``recipe.yaml [--key=value ...] [SpeechBrain's run options]``.
    task : RecipeTask
        What is to be learned from what.

    Returns
    -------
    RecipeResult
        The output folder and the experiment.

    Raises
    ------
    ConfigurationError
        If the YAML is wrong, before anything is prepared.
    TrainingStopped
        After a request to stop; rerun to resume.
    """
    configuration = Configuration.from_arguments(argv)
    configuration.check_keys({*TRAINING_KEYS, *task.known_keys})
    values = configuration.values()
    ddp_init_group(configuration.run_options)  # does nothing without torchrun
    folder = prepared_in = Path(values["output_folder"])
    if configuration.run_options.debug:  # never over the logs and the model of a real run
        folder = folder / "debug"
        run_on_main(shutil.rmtree, args=[folder], kwargs={"ignore_errors": True})
    _open_run_folder(folder, configuration)
    run_on_main(task.prepare, args=[values])
    prepared = task.prepare(values)  # the other processes read what the main one wrote
    configuration = configuration.with_overrides(task.decided_keys(prepared))
    # Before hours of training: a configuration that could not be opened again is refused here.
    model_yaml = model_configuration(configuration.resolved_text(), keys=task.model_keys)
    hparams = configuration.build()
    task.before_training(prepared, hparams, prepared_in)
    if hparams["pretrained_folder"] is not None:
        load_pretrained(hparams["modules"], hparams["pretrained_folder"])
    experiment = _experiment(task, prepared, configuration, hparams, folder)
    try:
        task.before_fit(experiment, prepared)
        _train(experiment, task, prepared)
    except TrainingStopped as stopped:
        logger.info("%s", stopped)
        raise
    _test(experiment, task, prepared)
    if if_main_process():
        task.write_model(folder, model_yaml, experiment, prepared)
        if plot_learning_curves(folder, metric=experiment.metric) is None:
            logger.info("no learning curves: matplotlib is missing (pip install 'sb-alexa[plots]')")
        command = task.opens_with.format(folder=folder)
        logger.info("finished; the model opens with: %s", command)
    leave_group()
    return RecipeResult(folder, experiment)


def _open_run_folder(folder: Path, configuration: Configuration) -> None:
    """Logs and the training YAML go to ``<folder>/run``; the folder becomes the model folder."""
    sb.create_experiment_directory(
        str(folder / "run"), log_config=_log_config(configuration), save_env_desc=True
    )
    if if_main_process():
        with replaced_atomically(folder / "run" / "train.yaml") as temporary:
            temporary.write_text(configuration.resolved_text(), encoding="utf-8")


def _log_config(configuration: Configuration) -> str:
    from speechbrain.core import DEFAULT_LOG_CONFIG

    return configuration.run_options.log_config or DEFAULT_LOG_CONFIG


def _experiment(
    task: RecipeTask[P],
    prepared: P,
    configuration: Configuration,
    hparams: dict[str, Any],
    folder: Path,
) -> Any:
    limit = hparams["number_of_epochs"]
    if limit is None and hparams["num_steps"] is None:
        raise ValueError("set number_of_epochs or num_steps: training needs an end")
    for name in ("avg_checkpoints", "valid_interval_epochs", "batch_size", "batch_size_valid"):
        if hparams.get(name, 1) < 1:
            raise ValueError(f"{name} must be >= 1, got {hparams[name]}")
    # SpeechBrain's debugging would save to a temporary folder, another one in each process.
    hparams["debug_persistently"] = True
    hparams["epoch_counter"] = EpochCounter(limit=limit or 10**9)
    checkpointer = AtomicCheckpointer(
        str(folder / "save"),
        {
            "model": torch.nn.ModuleDict(hparams["modules"]),
            "counter": hparams["epoch_counter"],
            **task.recoverables(hparams),
        },
    )
    return task.experiment_class(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=configuration.run_options,
        checkpointer=checkpointer,
        log=RunLog(folder, tensorboard=hparams["tensorboard"]),
        **task.experiment_arguments(prepared, hparams),
    )


def _train(experiment: Any, task: RecipeTask[P], prepared: P) -> None:
    train = task.train_loader(experiment, prepared)
    experiment.train_sampler = train.batch_sampler
    valid = task.valid_set(experiment, prepared)
    started = time.time()
    experiment.fit(experiment.hparams.epoch_counter, train, valid)
    logger.info("training took %.1f minutes in this run", (time.time() - started) / 60)


def _test(experiment: Any, task: RecipeTask[P], prepared: P) -> None:
    test_sets = task.test_sets(experiment, prepared)
    if not test_sets:
        experiment.load_best()  # the model folder gets the best parameters
    for name, test_set in test_sets.items():
        experiment.test(name, test_set)
