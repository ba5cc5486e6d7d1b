"""Recognition experiments whose encoder may have arbitrators."""

from __future__ import annotations

import logging
import math
from typing import Any

import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process
from torch import Tensor

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import CausalTransformer, TransformerEncoder
from sb_alexa.losses.unexplained_variance import unexplained_variance
from sb_alexa.metrics.gate_statistics import GateCounts, count_all_on, count_gates
from sb_alexa.nn.gates import Gates
from sb_alexa.training.batching import ShardedBatchSampler
from sb_alexa.training.gate_schedule import TwoPhaseGateSchedule
from sb_alexa.training.recognition import RecognitionExperiment

logger = logging.getLogger(__name__)

# A test whose share of compute is further away from the target is reported.
_TARGET_TOLERANCE = 0.02


class GatedRecognitionExperiment(RecognitionExperiment):
    """A recognition experiment with what an encoder with arbitrators needs beside the others.

    Gates are soft and random in training, by `hparams.gate_schedule`, and 0 or 1 in evaluation;
    `hparams.compute_cost` is their price. Both are None for an encoder without arbitrators. The
    recipe's `compute_forward` calls `encode`, its `compute_objectives` adds `compute_cost` and
    `distillation` in training and hands the `gate_counts` of an evaluation to `record`.

    With a `hparams.distillation_weight`, the encoder that the training starts from, every gate on,
    is kept as a teacher: what the gates change at its output is a loss.

    Arguments
    ---------
    **kwargs : object
        See `RecognitionExperiment`; `modules` holds the encoder by this name.

    Raises
    ------
    ValueError
        If arbitrators and schedule do not go together or no gates can meet the target; when
        training begins, if it would not end with the schedule.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_gates()
        self.teacher = self._teacher()
        self._since_logged: dict[str, list[Tensor]] = {}

    def encode(
        self, features: Tensor, num_frames: Tensor, stage: sb.Stage
    ) -> tuple[Tensor, Gates | None]:
        """Encode a batch.

        Arguments
        ---------
        features : Tensor
            (B, T, F).
        num_frames : Tensor
            (B,) valid frames.
        stage : Stage
            Decides what gates are.

        Returns
        -------
        Tensor
            (B, T', C).
        Gates | None
            Floats in training, bool in evaluation.
        """
        encoder, schedule = self.modules.encoder, self.hparams.gate_schedule
        if schedule is None:
            return encoder.forward_counted(features, num_frames), None
        if stage != sb.Stage.TRAIN:
            return encoder.forward_with_gates(features, num_frames)
        relaxation = schedule(self.optimizer_step + 1).relaxation  # of the step about to be made
        return encoder.forward_relaxed(features, num_frames, relaxation)

    def compute_cost(self, gates: Gates, num_frames: Tensor) -> Tensor:
        """Nats per utterance: the weight of the schedule times the share of the dense encoder."""
        weight = self.hparams.gate_schedule(self.optimizer_step + 1).cost_weight
        cost = self.hparams.compute_cost(gates, num_frames, self.modules.encoder.shape)
        self._since_logged.setdefault("compute", []).append(cost.share.detach())
        return weight * cost.loss

    def distillation(self, features: Tensor, num_frames: Tensor, encoder_out: Tensor) -> Tensor:
        """Nats per utterance: the weight times the share of the teacher's output that is missed.

        Arguments
        ---------
        features : Tensor
            (B, T, F) what the encoder heard.
        num_frames : Tensor
            (B,) valid frames.
        encoder_out : Tensor
            (B, T, C) what it made of them.

        Returns
        -------
        Tensor
            Scalar; 0 without a teacher.
        """
        if self.teacher is None:
            return encoder_out.new_zeros(())
        with torch.no_grad():
            target = self.teacher.forward_counted(features, num_frames)
        missed = unexplained_variance(encoder_out, target, num_frames)
        self._since_logged.setdefault("missed", []).append(missed.detach())
        return self.hparams.distillation_weight * missed

    def gate_counts(self, gates: Gates | None, num_frames: Tensor) -> list[GateCounts] | None:
        """What each utterance cost; None for an encoder that is no Transformer."""
        encoder = self.modules.encoder
        if gates is not None:
            return count_gates(encoder.shape, gates, num_frames)
        if isinstance(encoder, CausalTransformer):
            return count_all_on(encoder.shape, num_frames)
        return None

    def training_figures(self, *, end_of_epoch: bool) -> dict[str, Any]:
        """Between two logged steps, of this process: mean share of compute, and of what a teacher
        said that was missed."""
        figures = super().training_figures(end_of_epoch=end_of_epoch)
        if not end_of_epoch:
            for name, values in self._since_logged.items():
                figures[name] = round(torch.stack(values).mean().item(), 4)
            self._since_logged = {}
        return figures

    def is_candidate(self) -> bool:
        """Before gates have settled, their WER is that of a nearly dense encoder."""
        schedule = self.hparams.gate_schedule
        settled = schedule is None or schedule.has_settled(self.optimizer_step)
        return settled and super().is_candidate()

    def on_fit_start(self) -> None:
        schedule = self.hparams.gate_schedule
        if schedule is not None and not self.debug:
            self._check_end(schedule)
        super().on_fit_start()

    def on_split_tested(self, figures: dict[str, float]) -> None:
        super().on_split_tested(figures)
        cost = self.hparams.compute_cost
        target = None if cost is None else cost.target_compute
        if target is None or not if_main_process():
            return
        if abs(figures["compute"] - target) > _TARGET_TOLERANCE:
            logger.warning(
                "target_compute=%g was not met: on %s the encoder computes %.3f of the dense one; "
                "raise cost_weight or train the second phase longer (without training: another "
                "threshold)",
                target, self.test_name, figures["compute"],
            )  # fmt: skip

    def _check_gates(self) -> None:
        encoder = self.modules.encoder
        schedule, cost = self.hparams.gate_schedule, self.hparams.compute_cost
        has_arbitrators = isinstance(encoder, AmortizedTransformerEncoder)
        if {schedule is not None, cost is not None} != {has_arbitrators}:
            raise ValueError(
                f"the encoder is a {type(encoder).__name__}, gate_schedule={schedule} and "
                f"compute_cost={cost}: an encoder with arbitrators needs both to learn, any other "
                "encoder takes null for both; hparams/encoders/amortized.yaml has what goes "
                "together"
            )
        if has_arbitrators:
            cost.check(encoder.shape, toggles=encoder.toggles)

    def _teacher(self) -> TransformerEncoder | None:
        weight, encoder = self.hparams.distillation_weight, self.modules.encoder
        if not weight >= 0:
            raise ValueError(f"distillation_weight must be >= 0, got {weight}; 0 has no teacher")
        if weight == 0:
            return None
        if not isinstance(encoder, AmortizedTransformerEncoder):
            raise ValueError(
                f"distillation_weight={weight} teaches an encoder with gates what it computes "
                f"with all of them on, and this one is a {type(encoder).__name__}; set it to 0"
            )
        if self.hparams.pretrained_folder is None:
            raise ValueError(
                f"distillation_weight={weight} needs a trained teacher: name the output folder of "
                "a finished run of the same sizes in pretrained_folder, or set it to 0"
            )
        # Not among the modules: it is neither trained nor saved. A resumed training loads
        # pretrained_folder before its own checkpoint, so it finds the same teacher.
        return encoder.without_gates().eval().requires_grad_(False)

    def _check_end(self, schedule: TwoPhaseGateSchedule) -> None:
        steps = self._planned_steps()
        if steps != schedule.num_steps:
            raise ValueError(
                f"gates harden over {schedule.num_steps} steps, but this training makes {steps} "
                f"(number_of_epochs={self.hparams.number_of_epochs}, "
                f"num_steps={self.hparams.num_steps}): let num_steps alone end both, with "
                "number_of_epochs=null and the same num_steps in gate_schedule"
            )

    def _planned_steps(self) -> int:
        """Optimizer steps of the whole training, those before a resumption included."""
        limit, num_epochs = self.hparams.num_steps, self.hparams.number_of_epochs
        if num_epochs is None:
            return limit
        sampler, steps = self.train_sampler, 0
        assert isinstance(sampler, ShardedBatchSampler)
        for epoch in range(1, num_epochs + 1):
            num_batches = len(sampler.plan.batches(epoch))
            steps += math.ceil(num_batches / self.grad_accumulation_factor)
            if limit is not None and steps >= limit:
                return limit
        return steps
