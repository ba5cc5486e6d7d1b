"""SpeechBrain's Brain with exact resumption, exact data parallelism and batches that can fail."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import speechbrain as sb
import torch
from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.checkpoints import (
    average_checkpoints,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from sb_alexa.training.batching import ShardedBatchSampler, derive_seed
from sb_alexa.training.checkpointing import AtomicCheckpointer, load_strictly
from sb_alexa.training.dataio import SpeechBatch
from sb_alexa.training.fine_tuning import FineTuning
from sb_alexa.training.interruption import StopRequest, TrainingStopped
from sb_alexa.training.processes import (
    StepStatus,
    agree_on_step,
    broadcast_parameters,
    gather_lists,
    rank_and_size,
    sum_gradients,
)

logger = logging.getLogger(__name__)

# Run options of SpeechBrain that would silently do nothing here, or break the model folder.
_UNSUPPORTED_OPTIONS = (
    "compile", "compile_module_keys", "jit", "jit_module_keys", "data_parallel_backend",
    "profile_training",
)  # fmt: skip


class NonFiniteError(RuntimeError):
    """Too many batches of an epoch had a NaN or infinite loss or gradient."""


@register_checkpoint_hooks
class Experiment(sb.Brain):
    """A Brain whose training does not depend on how it was run.

    What differs from `speechbrain.core.Brain`:

    * A gradient is that of the mean over all utterances of the global batch: processes,
      accumulation and unequal batches change nothing. `compute_objectives` returns the mean over
      the utterances it was given.
    * Before every batch the random generators are set from (seed, epoch, batch, rank), so a run
      that was killed and resumed ends with the same bits.
    * A batch with a non-finite loss or gradient is never applied: all processes skip it together,
      it is reported, and statistics it left in normalisation layers are taken back.
    * The learning rate is a function of the optimizer step (`hparams.lr_schedule`).
    * Modules are not wrapped: their methods stay available on many processes.
    * SIGINT and SIGTERM end training after the current step with a checkpoint.

    Arguments
    ---------
    modules : dict
        Modules by name.
    opt_class : Callable
        Parameters -> optimizer.
    hparams : dict
        Must hold `seed` and `lr_schedule`; may hold `num_steps`, `number_of_epochs` and
        `avg_checkpoints`.
    run_opts : RunOptions
        SpeechBrain's run options.
    checkpointer : AtomicCheckpointer | None
        Saves and restores; the recoverable `model` is averaged for testing.
    """

    step: int  # batches of the epoch so far, made by SpeechBrain
    best_key = "WER"  # the figure of a checkpoint that is lowest for the best one

    def __init__(
        self,
        *,
        modules: dict[str, nn.Module],
        opt_class: Callable[..., torch.optim.Optimizer],
        hparams: dict[str, Any],
        run_opts: Any = None,
        checkpointer: AtomicCheckpointer | None = None,
    ) -> None:
        hparams = dict(hparams)
        options = RunOptions.from_dictionary(run_opts) if isinstance(run_opts, dict) else run_opts
        _refuse_unsupported(options)
        if hparams.get("precision", "auto") == "auto":
            device = getattr(options, "device", None) or infer_device()
            hparams["precision"] = "bf16" if "cuda" in device else "fp32"
        if hparams.get("num_steps") is not None:
            hparams["optimizer_step_limit"] = hparams["num_steps"]
        super().__init__(modules, opt_class, hparams, options, checkpointer)
        self.rank, self.num_processes = rank_and_size()
        self.epoch = 1
        self.loss_sum, self.loss_count = 0.0, 0
        self.pending_count = 0
        self.last_step_applied = True
        self.seconds_training = 0.0
        self.stop = StopRequest()
        self.fine_tuning: FineTuning | None = None
        self._valid_set: Any = None

    # ---- the loop over one epoch

    def fit(
        self,
        epoch_counter: Iterable[int],
        train_set: DataLoader[SpeechBatch],
        valid_set: Any = None,
        **kwargs: Any,
    ) -> None:
        """See `speechbrain.core.Brain.fit`; raises TrainingStopped after a request to stop."""
        # SpeechBrain would make a loader of whatever it is given to validate on.
        self._valid_set = valid_set
        with StopRequest() as self.stop:
            super().fit(self._epochs_left(epoch_counter), train_set, **kwargs)

    def _epochs_left(self, epoch_counter: Iterable[int]) -> Iterator[int]:
        """The epochs to do: an interrupted one (`step` > 0), then those before the last step."""
        epochs = iter(epoch_counter)
        while self.step > 0 or not self._optimizer_step_limit_exceeded:
            try:
                yield next(epochs)
            except StopIteration:
                return

    def _fit_train(self, train_set: DataLoader[SpeechBatch], epoch: int, enable: bool) -> None:
        self.epoch = epoch
        if self.step == 0:
            self.nonfinite_count = 0
            self.loss_sum, self.loss_count = 0.0, 0
        self.on_stage_start(sb.Stage.TRAIN, epoch)
        self.modules.train()
        if self.fine_tuning is not None:
            self.fine_tuning.keep_frozen()
        self.zero_grad(set_to_none=True)
        sampler = train_set.batch_sampler
        if not isinstance(sampler, ShardedBatchSampler):
            raise ValueError(
                "training needs a loader over a ShardedBatchSampler, such as speech_loader makes"
            )
        sampler.set_epoch(epoch)
        sampler.first_batch = self.step
        num_batches = len(sampler)
        last_checkpoint, steps_since = time.time(), 0
        with tqdm(
            initial=self.step, total=num_batches, disable=not enable, dynamic_ncols=True
        ) as bar:
            bar.set_description(f"epoch {epoch}")
            for batch in train_set:
                if self._optimizer_step_limit_exceeded:
                    break
                begun = time.time()
                self.step += 1
                steps_since += 1
                status = self._fit_one(batch, last=self.step == num_batches)
                self.seconds_training += time.time() - begun
                bar.update()
                bar.set_postfix(self.progress())
                if self.debug and self.step == self.debug_batches:
                    break
                whole = self.pending_count == 0  # a checkpoint holds no gradients
                if status.stop and whole:
                    self._stop()
                whole = whole and self.step < num_batches
                if whole and self._should_save_intra_epoch_ckpt(last_checkpoint, steps_since):
                    self._save_intra_epoch_ckpt()
                    last_checkpoint, steps_since = time.time(), 0
        self.zero_grad(set_to_none=True)
        self.pending_count = 0
        self.on_stage_end(sb.Stage.TRAIN, self.average_loss, epoch)
        self.avg_train_loss = 0.0
        self.step = 0

    def _fit_valid(self, valid_set: Any, epoch: int, enable: bool) -> None:
        interval = getattr(self.hparams, "valid_interval_epochs", 1)
        last = self._optimizer_step_limit_exceeded or epoch == getattr(
            self.hparams, "number_of_epochs", None
        )
        if not (last or self.debug or epoch % interval == 0):
            return
        if self._valid_set is None:
            self.save_epoch(epoch)
        else:
            self.validate(self._valid_set, epoch, enable)
        # A request that came too late for the last step; the checkpoint is fresh.
        if any(gather_lists([self.stop.requested])):
            raise TrainingStopped(_hint(self.optimizer_step))

    def validate(self, valid_set: Any, epoch: int, enable: bool) -> None:
        """Measure the parameters of now and save them; by default batch by batch.

        Arguments
        ---------
        valid_set : object
            What `fit` was given.
        epoch : int
            Epoch number.
        enable : bool
            Whether to show progress.
        """
        super()._fit_valid(valid_set, epoch, enable)

    def save_epoch(self, epoch: int | None, **figures: float) -> None:
        """Save a checkpoint at the end of an epoch; the newest and the best ones are kept.

        Arguments
        ---------
        epoch : int | None
            Epoch number.
        **figures : float
            Kept with the checkpoint; the lowest `best_key` is the best.
        """
        if self.checkpointer is not None:
            self.checkpointer.save_and_keep_only(
                meta={"epoch": epoch, **figures},
                min_keys=[self.best_key],
                num_to_keep=getattr(self.hparams, "avg_checkpoints", 1),
            )

    @property
    def average_loss(self) -> float:
        """Mean loss of the epoch so far, over the utterances of all processes."""
        return self.loss_sum / max(self.loss_count, 1)

    def progress(self) -> dict[str, str]:
        """What the progress bar shows."""
        return {"loss": f"{self.average_loss:.2f}"}

    def _stop(self) -> None:
        if self.checkpointer is not None:
            self._save_intra_epoch_ckpt()
        raise TrainingStopped(_hint(self.optimizer_step))

    # ---- one batch

    def fit_batch(self, batch: SpeechBatch) -> Tensor:
        """Process one batch; see the class for what differs from SpeechBrain."""
        self._fit_one(batch, last=False)
        return torch.tensor(self.average_loss)

    def _fit_one(self, batch: SpeechBatch, *, last: bool) -> StepStatus:
        seed_everything(derive_seed(self.hparams.seed, self.epoch, self.step, self.rank))
        should_step = last or self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        batch = batch.to(self.device)
        statistics = self._running_statistics()
        with self.training_ctx:
            outputs = self.compute_forward(batch, sb.Stage.TRAIN)
            loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
        status = agree_on_step(loss, len(batch), self.stop.requested)
        if status.finite:
            self.scaler.scale(self._regularized(loss) * len(batch)).backward()
            self.pending_count += status.count
            self.loss_sum += status.loss_sum
            self.loss_count += status.count
        else:
            self._restore_statistics(statistics)
            self._report_nonfinite("loss", batch)
        if should_step and self.pending_count:
            self.optimizers_step()
            if not self.last_step_applied:
                self._restore_statistics(statistics)
                self._report_nonfinite("gradient", batch)
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return status

    def _regularized(self, loss: Tensor) -> Tensor:
        """What is descended; the loss that is logged is the one without a penalty."""
        return (
            loss if self.fine_tuning is None else self.fine_tuning.regularized(loss, self.modules)
        )

    def optimizers_step(self) -> None:
        """Average, clip and apply the gradients; all processes drop a non-finite one together."""
        parameters = list(self.modules.parameters())
        sum_gradients(parameters)
        self.scaler.unscale_(self.optimizer)
        present = [p for p in parameters if p.grad is not None]
        torch._foreach_div_([p.grad for p in present], float(self.pending_count))
        limit = self.max_grad_norm if self.max_grad_norm > 0 else float("inf")
        norm = nn.utils.clip_grad_norm_(present, limit)
        self.last_step_applied = bool(torch.isfinite(norm))
        if self.last_step_applied or self.scaler.is_enabled():
            rate = self.hparams.lr_schedule(self.optimizer_step + 1)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.scaler.step(self.optimizer)  # a scaler leaves out a non-finite step by itself
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.pending_count = 0
        self.optimizer_step += self.last_step_applied

    def _running_statistics(self) -> list[tuple[Tensor, Tensor]]:
        """Copies of the buffers a forward pass may change: those a checkpoint would save."""
        saved = set(self.modules.state_dict().keys())
        return [(b, b.clone()) for name, b in self.modules.named_buffers() if name in saved]

    @staticmethod
    def _restore_statistics(statistics: list[tuple[Tensor, Tensor]]) -> None:
        for buffer, value in statistics:
            buffer.copy_(value)

    def _report_nonfinite(self, what: str, batch: SpeechBatch) -> None:
        self.nonfinite_count += 1
        names = ", ".join(utterance.id for utterance in batch.utterances[:8])
        logger.warning(
            "Skipped batch %d of epoch %d: its %s is not finite (%d so far in this epoch). "
            "Utterances here: %s",
            self.step, self.epoch, what, self.nonfinite_count, names,
        )  # fmt: skip
        if self.nonfinite_count > self.nonfinite_patience:
            raise NonFiniteError(
                f"{self.nonfinite_count} batches of epoch {self.epoch} had a non-finite loss or "
                f"gradient, more than nonfinite_patience={self.nonfinite_patience}; the parameters "
                "are still finite: lower the learning rate, or look at the utterances named above"
            )

    # ---- processes, checkpoints, evaluation

    def _wrap_distributed(self) -> None:
        broadcast_parameters(self.modules)

    def on_evaluate_start(self, max_key: str | None = None, min_key: str | None = None) -> None:
        """Load the average of the best checkpoints; all of them stay on disk.

        Where no checkpoint has the key (there was no validation), the newest ones are averaged.
        """
        if self.checkpointer is None:
            return
        number = getattr(self.hparams, "avg_checkpoints", 1)
        find = partial(self.checkpointer.find_checkpoints, max_num_checkpoints=number)
        checkpoints = (
            find(max_key=max_key, min_key=min_key)
            or find(ckpt_predicate=lambda one: INTRA_EPOCH_CKPT_FLAG not in one.meta)
            or find()
        )
        if not checkpoints:
            raise FileNotFoundError(
                f"there is no checkpoint in {self.checkpointer.checkpoints_dir}; train first"
            )
        model = self.checkpointer.recoverables["model"]
        load_strictly(model, checkpoints[0].paramfiles["model"])
        if len(checkpoints) > 1:
            model.load_state_dict(average_checkpoints(checkpoints, "model"), strict=True)
        if self.optimizer_step == 0:  # no training before: schedules and logs go by the last step
            self._recover(self.checkpointer.find_checkpoint().paramfiles["brain"], True)
            self.step = 0

    @mark_as_saver
    def _save(self, path: str | Path) -> None:
        content = {
            "step": self.step,
            "epoch": self.epoch,
            "optimizer_step": self.optimizer_step,
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
            "nonfinite_count": getattr(self, "nonfinite_count", 0),
            "seconds_training": self.seconds_training,
            "plan": self._plan_fingerprint(),
        }
        Path(path).write_text(json.dumps(content))

    @mark_as_loader
    def _recover(self, path: str | Path, end_of_epoch: bool) -> None:
        content = json.loads(Path(path).read_text())
        if content["step"] and content["plan"] != self._plan_fingerprint():
            logger.warning(
                "The training set or the batch sizes changed since the checkpoint: "
                "the interrupted epoch starts anew."
            )
            content.update(step=0, loss_sum=0.0, loss_count=0)
        self.step, self.epoch = content["step"], content["epoch"]
        self.optimizer_step = content["optimizer_step"]
        self.loss_sum, self.loss_count = content["loss_sum"], content["loss_count"]
        self.nonfinite_count = content["nonfinite_count"]
        self.seconds_training = content["seconds_training"]

    def _plan_fingerprint(self) -> str:
        sampler = self.train_sampler
        return sampler.plan.fingerprint() if isinstance(sampler, ShardedBatchSampler) else ""


def _refuse_unsupported(options: RunOptions | None) -> None:
    for name in _UNSUPPORTED_OPTIONS:
        if options is not None and name in options.overridden_args and options[name]:
            raise ValueError(
                f"--{name} is not supported by this training loop, which calls modules by methods "
                "of their own; leave it out (many GPUs: torchrun)"
            )


def _hint(step: int) -> str:
    return f"stopped after step {step}; run the same command to resume"


def seed_everything(seed: int) -> None:
    """Set the generators of torch (all devices), numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
