"""What every recipe that recognises speech does beside the science: log, validate, test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.training.experiment import Experiment
from sb_alexa.training.processes import gather_lists
from sb_alexa.training.run_log import RunLog


class LoggedExperiment(Experiment):
    """An experiment whose validation and test collect results and measure an error rate.

    Each process evaluates its share and appends to `results`; they are put together at the end.

    Arguments
    ---------
    word_pieces : WordPieces
        Labels <-> text.
    log : RunLog
        Receives training loss, validation and test results.
    **kwargs : object
        See `Experiment`.
    """

    log_interval_steps = 10

    def __init__(self, *, word_pieces: WordPieces, log: RunLog, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word_pieces = word_pieces
        self.log = log
        self.results: list[Any] = []
        self.valid_wer: float | None = None
        self.test_name = "test"
        self.dropped_ctc_terms = 0
        self._logged = (0.0, 0)

    @abstractmethod
    def figures(self, results: Sequence[Any]) -> dict[str, float]:
        """The figures of an evaluation, `loss` and `wer` among them."""

    @abstractmethod
    def write_results(self, results: Sequence[Any]) -> None:
        """Files of a tested split; called on the main process."""

    def is_candidate(self) -> bool:
        """Whether the parameters of now may be chosen for the test by their WER."""
        return True

    def progress(self) -> dict[str, str]:
        """Loss of the epoch, last validation WER, learning rate."""
        shown = super().progress()
        if self.valid_wer is not None:
            shown["valid_wer"] = f"{self.valid_wer:.1f}%"
        if self.hparams.num_steps:
            shown["step"] = f"{self.optimizer_step}/{self.hparams.num_steps}"
        return shown

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.log.forget_after(self.optimizer_step)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        self.results = []
        if stage == sb.Stage.TRAIN:
            self.dropped_ctc_terms = 0
            self._logged = (self.loss_sum, self.loss_count)

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Any, should_step: bool) -> None:
        if should_step and self.optimizer_step % self.log_interval_steps == 0:
            loss_sum, count = self.loss_sum - self._logged[0], self.loss_count - self._logged[1]
            self._logged = (self.loss_sum, self.loss_count)
            if count:
                self.log.write(self._event("train", loss=loss_sum / count))

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            event = self._event("train", loss=self.average_loss, end_of_epoch=True)
            dropped = sum(gather_lists([self.dropped_ctc_terms]))
            if dropped:
                event["dropped_ctc_terms"] = dropped
            self.log.write(event)
            return
        results = gather_lists(self.results)
        figures = self.figures(results)
        if stage == sb.Stage.VALID:
            self.valid_wer = figures["wer"]
            self.log.write(self._event("valid", **figures))
            # Without the key, a checkpoint is kept while it is new, and never chosen for the test.
            self.save_epoch(epoch, **({"WER": figures["wer"]} if self.is_candidate() else {}))
            return
        self.log.forget_test(self.test_name)
        self.log.write(self._event("test", split=self.test_name, **figures))
        if if_main_process():
            self.write_results(results)
        self.on_split_tested(figures)

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
