"""What every recipe does beside the science: log, validate, test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from sb_alexa.training.experiment import Experiment
from sb_alexa.training.processes import gather_lists
from sb_alexa.training.run_log import RunLog


class LoggedExperiment(Experiment):
    """An experiment whose validation and test collect results and measure an error rate.

    Each process evaluates its share and appends to `results`; they are put together at the end.

    Arguments
    ---------
    log : RunLog
        Receives training loss, validation and test results.
    **kwargs : object
        See `Experiment`.
    """

    log_interval_steps = 10
    metric = "wer"  # the error rate among the figures of an evaluation, in percent

    def __init__(self, *, log: RunLog, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log = log
        self.results: list[Any] = []
        self.valid_error: float | None = None
        self.test_name = "test"
        self._logged = (0.0, 0)

    @abstractmethod
    def figures(self, results: Sequence[Any]) -> dict[str, float]:
        """The figures of an evaluation, `metric` among them."""

    @abstractmethod
    def write_results(self, results: Sequence[Any]) -> None:
        """Files of a tested split; called on the main process."""

    def is_candidate(self) -> bool:
        """Whether the parameters of now may be chosen for the test by their error rate."""
        return True

    def progress(self) -> dict[str, str]:
        """Loss of the epoch, last error rate of validation, steps."""
        shown = super().progress()
        if self.valid_error is not None:
            shown[f"valid_{self.metric}"] = f"{self.valid_error:.1f}%"
        if self.hparams.num_steps:
            shown["step"] = f"{self.optimizer_step}/{self.hparams.num_steps}"
        return shown

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.log.forget_after(self.optimizer_step)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        self.results = []
        if stage == sb.Stage.TRAIN:
            self._logged = (self.loss_sum, self.loss_count)

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Any, should_step: bool) -> None:
        if should_step and self.optimizer_step % self.log_interval_steps == 0:
            loss_sum, count = self.loss_sum - self._logged[0], self.loss_count - self._logged[1]
            self._logged = (self.loss_sum, self.loss_count)
            if count:
                figures = self.training_figures(end_of_epoch=False)
                self.log.write(self._event("train", loss=loss_sum / count, **figures))

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            figures = self.training_figures(end_of_epoch=True)
            event = self._event("train", loss=self.average_loss, end_of_epoch=True, **figures)
            self.log.write(event)
            return
        results = gather_lists(self.results)
        figures = self.figures(results)
        if stage == sb.Stage.VALID:
            self.log_validation(figures, epoch)
            return
        self.log_test(figures)
        if if_main_process():
            self.write_results(results)
        self.on_split_tested(figures)

    def training_figures(self, *, end_of_epoch: bool) -> dict[str, Any]:
        """What the log tells of training beside the loss; the same on every process."""
        return {} if self.fine_tuning is None else dict(self.fine_tuning.figures())

    def log_validation(self, figures: dict[str, float], epoch: int | None) -> None:
        """Write the figures of a validation and save a checkpoint with its error rate."""
        self.valid_error = figures[self.metric]
        self.log.write(self._event("valid", **figures))
        # Without the key, a checkpoint is kept while it is new, and never chosen for the test.
        candidate = {self.best_key: figures[self.metric]} if self.is_candidate() else {}
        self.save_epoch(epoch, **candidate)

    def log_test(self, figures: dict[str, float]) -> None:
        """Write the figures of the test set `test_name`, in place of older ones."""
        self.log.forget_test(self.test_name)
        self.log.write(self._event("test", split=self.test_name, **figures))

    def load_best(self) -> None:
        """Load the parameters that tests use, see `on_evaluate_start`."""
        self.on_evaluate_start(min_key=self.best_key)

    def test(self, name: str, test_set: Any) -> None:
        """Measure the best parameters on a test set; by default batch by batch.

        Arguments
        ---------
        name : str
            Of the test set.
        test_set : object
            What the task made for it, such as a loader.
        """
        self.test_name = name
        self.evaluate(test_set, min_key=self.best_key)

    def on_split_tested(self, figures: dict[str, float]) -> None:
        """Called after the test of a split, with its figures; does nothing."""

    def _event(self, name: str, **figures: Any) -> dict[str, Any]:
        return {
            "event": name,
            "step": self.optimizer_step,
            "epoch": self.epoch,
            "seconds": round(self.seconds_training, 3),
            **figures,
        }
