"""Experiments with arbitrators: what is checked before, during and after a training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from speechbrain import Stage
from torch import nn

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import TransformerEncoder
from sb_alexa.losses.compute_cost import ComputeCostLoss
from sb_alexa.losses.unexplained_variance import unexplained_variance
from sb_alexa.nn.feed_forward_arbitrator import FeedForwardArbitrator
from sb_alexa.training.batching import BatchPlan, ShardedBatchSampler
from sb_alexa.training.gate_schedule import TwoPhaseGateSchedule
from sb_alexa.training.gated_recognition import GatedRecognitionExperiment
from sb_alexa.training.run_log import RunLog

SIZES = {
    "input_size": 6, "d_model": 8, "nhead": 2, "num_layers": 2, "d_ffn": 16, "output_size": 5,
    "left_context_frames": 4,
}  # fmt: skip


def gated_encoder(toggles: str = "query_key") -> AmortizedTransformerEncoder:
    torch.manual_seed(0)
    arbitrator = FeedForwardArbitrator(input_size=8, num_blocks=2, nhead=2, hidden_size=2, bias=0.0)
    return AmortizedTransformerEncoder(**SIZES, arbitrators=[arbitrator], toggles=toggles)


def experiment(
    folder: Path,
    encoder: nn.Module | None = None,
    run_opts: dict[str, Any] | None = None,
    **changes: Any,
) -> GatedRecognitionExperiment:
    hparams = {
        "seed": 1, "lr_schedule": lambda step: 0.01, "num_steps": 10, "number_of_epochs": None,
        "gate_schedule": TwoPhaseGateSchedule(phase_one_steps=0, num_steps=10, cost_weight=2.0),
        "compute_cost": ComputeCostLoss(), "distillation_weight": 0.0, "pretrained_folder": None,
        **changes,
    }  # fmt: skip
    made = GatedRecognitionExperiment(
        modules={"encoder": encoder or gated_encoder()},
        opt_class=torch.optim.Adam,
        hparams=hparams,
        run_opts={"device": "cpu", "noprogressbar": True, **(run_opts or {})},
        word_pieces=None,  # type: ignore[arg-type]
        log=RunLog(folder),
    )
    plan = BatchPlan(durations_s=(1.0,) * 10, batch_size=2)  # 5 batches in an epoch
    made.train_sampler = ShardedBatchSampler(plan)
    return made


def test_gates_are_soft_in_training_and_hard_in_evaluation(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    features, num_frames = torch.randn(2, 7, 6), torch.tensor([7, 4])
    y, soft = one.encode(features, num_frames, Stage.TRAIN)
    assert soft is not None and soft.key.requires_grad and y.shape == (2, 7, 5)
    assert ((soft.query > 0) & (soft.query < 1)).any()
    one.compute_cost(soft, num_frames).backward()
    assert one.modules.encoder.arbitrators[0].toggles.weight.grad.abs().sum() > 0
    one.modules.eval()
    _, hard = one.encode(features, num_frames, Stage.VALID)
    assert hard is not None and hard.query.dtype == torch.bool
    counts = one.gate_counts(hard, num_frames)
    assert counts is not None and [count.gated.frames for count in counts] == [7, 4]


def test_the_cost_has_the_weight_of_the_coming_step(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    num_frames = torch.tensor([7])
    _, gates = one.encode(torch.randn(1, 7, 6), num_frames, Stage.TRAIN)
    assert gates is not None
    share = ComputeCostLoss()(gates, num_frames, one.modules.encoder.shape).share
    for step, weight in ((0, 0.4), (4, 2.0)):  # a ramp over the first 5 of 10 steps
        one.optimizer_step = step
        torch.testing.assert_close(one.compute_cost(gates, num_frames), weight * share)


def test_an_encoder_without_arbitrators_needs_nothing(tmp_path: Path) -> None:
    encoder = TransformerEncoder(**SIZES)
    one = experiment(tmp_path, encoder, gate_schedule=None, compute_cost=None, number_of_epochs=1)
    y, gates = one.encode(torch.randn(1, 7, 6), torch.tensor([7]), Stage.TRAIN)
    assert y.shape == (1, 7, 5) and gates is None
    counts = one.gate_counts(gates, torch.tensor([7, 0]))
    assert counts is not None and counts[0].compute_share == 1.0 and counts[0].frames == 7
    one.modules.encoder = torch.nn.Identity()
    assert one.gate_counts(gates, torch.tensor([7])) is None
    one.modules.encoder = encoder
    assert one.is_candidate()
    one.on_fit_start()


@pytest.mark.parametrize(
    ("dense", "changes"),
    [
        (True, {}),
        (False, {"gate_schedule": None, "compute_cost": None}),
        (False, {"gate_schedule": None}),
        (False, {"compute_cost": None}),
    ],
)
def test_arbitrators_schedule_and_cost_go_together(
    tmp_path: Path, dense: bool, changes: dict[str, Any]
) -> None:
    name = "TransformerEncoder" if dense else "AmortizedTransformerEncoder"
    with pytest.raises(ValueError, match=rf"the encoder is a {name}, gate_schedule=.*needs both"):
        experiment(tmp_path, TransformerEncoder(**SIZES) if dense else None, **changes)


def test_a_target_that_no_gates_can_meet_is_refused_before_training(tmp_path: Path) -> None:
    cost = ComputeCostLoss(target_compute=0.2)
    experiment(tmp_path, gated_encoder(), compute_cost=cost)
    # Keys that are always on cost more than that.
    with pytest.raises(ValueError, match="target_compute=0.2 cannot be met.*toggles='query'"):
        experiment(tmp_path, gated_encoder("query"), compute_cost=cost)


@pytest.mark.parametrize(
    ("steps", "epochs", "accumulation", "made"),
    [
        (10, 1, 1, 5),  # epochs end earlier
        (None, 3, 1, 15),  # and later
        (10, 3, 2, 9),  # 3 steps in an epoch of 5 batches
        (12, None, 1, 12),  # a schedule of its own
    ],
)
def test_a_schedule_that_does_not_end_with_the_training_is_refused(
    tmp_path: Path, steps: int | None, epochs: int | None, accumulation: int, made: int
) -> None:
    options = {"grad_accumulation_factor": accumulation}
    one = experiment(tmp_path, run_opts=options, num_steps=steps, number_of_epochs=epochs)
    message = f"over 10 steps, but this training makes {made} .*number_of_epochs=null"
    with pytest.raises(ValueError, match=message):
        one.on_fit_start()


@pytest.mark.parametrize(
    ("steps", "epochs", "debug"),
    [(10, None, False), (10, 2, False), (10, 7, False), (None, 2, False), (10, 1, True)],
)
def test_a_schedule_that_ends_with_the_training_is_accepted(
    tmp_path: Path, steps: int | None, epochs: int | None, debug: bool
) -> None:
    one = experiment(tmp_path, run_opts={"debug": debug}, num_steps=steps, number_of_epochs=epochs)
    one.on_fit_start()
    assert one.optimizer_step == 0


def test_parameters_are_candidates_for_the_test_once_gates_have_settled(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    found = []
    for one.optimizer_step in range(11):
        found.append(one.is_candidate())
    assert found == [False] * 9 + [True] * 2


@pytest.mark.parametrize(("compute", "warned"), [(0.41, False), (0.43, True), (0.37, True)])
def test_a_missed_target_is_reported_with_both_shares(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, compute: float, warned: bool
) -> None:
    one = experiment(tmp_path, compute_cost=ComputeCostLoss(target_compute=0.4))
    one.test_name = "test-clean"
    with caplog.at_level(logging.WARNING):
        one.on_split_tested({"compute": compute, "wer": 5.0})
    assert ("target_compute=0.4" in caplog.text) == warned
    assert (f"test-clean the encoder computes {compute:.3f}" in caplog.text) == warned


def test_without_a_target_nothing_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        experiment(tmp_path).on_split_tested({"compute": 0.9, "wer": 5.0})
    assert not caplog.text


def test_what_gates_change_of_the_pretrained_encoder_is_a_loss(tmp_path: Path) -> None:
    one = experiment(tmp_path, distillation_weight=3.0, pretrained_folder="earlier")
    features, num_frames = torch.randn(2, 7, 6), torch.tensor([7, 4])
    encoder = one.modules.encoder.eval()
    encoder.threshold = 0.0  # every gate on, as the teacher
    same, _ = encoder.forward_with_gates(features, num_frames)
    assert one.distillation(features, num_frames, same).item() < 1e-10
    y, _ = one.encode(features, num_frames, Stage.TRAIN)
    loss = one.distillation(features, num_frames, y)
    missed = unexplained_variance(y, same, num_frames)
    assert loss.item() == pytest.approx(3.0 * missed.item())
    assert loss.item() > 0.01
    loss.backward()
    assert encoder.arbitrators[0].toggles.weight.grad.abs().sum() > 0
    # The teacher stays as it was, whatever becomes of the encoder, and is not saved with it.
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert one.distillation(features, num_frames, same).item() < 1e-10
    assert not any("teacher" in name for name in one.modules.state_dict())


def test_without_a_weight_there_is_no_teacher(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    assert one.teacher is None
    assert one.distillation(torch.randn(1, 7, 6), torch.tensor([7]), torch.randn(1, 7, 5)) == 0


@pytest.mark.parametrize(
    ("dense", "changes", "words"),
    [
        (False, {"distillation_weight": -1.0}, "must be >= 0, got -1.0"),
        (False, {"distillation_weight": 1.0}, "needs a trained teacher: name the output folder"),
        (
            True,
            {"distillation_weight": 1.0, "gate_schedule": None, "compute_cost": None},
            "this one is a TransformerEncoder; set it to 0",
        ),
    ],
)
def test_distillation_that_cannot_be(
    tmp_path: Path, dense: bool, changes: dict[str, Any], words: str
) -> None:
    encoder = TransformerEncoder(**SIZES) if dense else gated_encoder()
    with pytest.raises(ValueError, match=words):
        experiment(tmp_path, encoder, **changes)
