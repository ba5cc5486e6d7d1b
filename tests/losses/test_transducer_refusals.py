"""What the transducer loss refuses, and that it names it."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.losses.transducer import transducer_lattice_loss, transducer_loss_from_logits
from tests.losses.test_transducer import NUM_FRAMES, NUM_LABELS, VOCABULARY, Model, ready_logits


@pytest.mark.parametrize("path", ["joint", "generic", "logits"])
def test_second_derivatives_are_refused(path: str) -> None:
    model = Model(joint_size=3)
    if path == "generic":
        model.joiner.activation.register_forward_hook(lambda *_: None)
    loss = model.loss_from_logits() if path == "logits" else model.loss()
    (plain,) = torch.autograd.grad(loss, model.encoder_out, retain_graph=True)
    (gradient,) = torch.autograd.grad(loss, model.encoder_out, create_graph=True)
    assert torch.equal(gradient, plain)  # which is fine, as long as nobody differentiates it
    with pytest.raises(RuntimeError, match="transducer loss cannot be differentiated twice"):
        torch.autograd.grad(gradient.square().sum(), model.encoder_out, retain_graph=True)
    with pytest.raises(RuntimeError, match="transducer loss cannot be differentiated twice"):
        gradient.square().sum().backward()


def test_second_derivatives_of_the_lattice_are_refused() -> None:
    blank = torch.randn(1, 3, 3, requires_grad=True)
    label = torch.randn(1, 3, 2, requires_grad=True)
    loss = transducer_lattice_loss(blank, label, torch.tensor([3]), torch.tensor([2]))
    gradients = torch.autograd.grad(loss.sum(), (blank, label), create_graph=True)
    for gradient in gradients:
        with pytest.raises(RuntimeError, match="transducer loss cannot be differentiated twice"):
            torch.autograd.grad(gradient.sum(), (blank, label), retain_graph=True)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"num_frames": torch.tensor([12, 0, 5, 9])}, "num_frames of item 1 is 0"),
        ({"num_frames": torch.tensor([12, 1, 5, 13])}, "num_frames of item 3 is 13"),
        ({"num_labels": torch.tensor([8, 3, 0, 7])}, "num_labels of item 0 is 8"),
        ({"num_labels": torch.tensor([7, 3, 0])}, "num_labels must hold"),
        ({"blank_index": 4}, "target 2 of item 1 is 4, expected a label in 0..8 other"),
        ({"blank_index": -1}, "blank_index must be in 0..8, got -1"),
        ({"blank_index": 9}, "blank_index must be in 0..8, got 9"),
        ({"num_frames": torch.tensor([12.0, 1, 5, 9])}, "num_frames must hold .* integers"),
        ({"num_frames": torch.ones(4, dtype=torch.bool)}, "num_frames must hold .* integers"),
        ({"memory_budget_mib": 0}, "memory_budget_mib must be positive and finite, got 0"),
        ({"memory_budget_mib": -1.0}, "memory_budget_mib must be positive and finite, got -1.0"),
        ({"memory_budget_mib": float("nan")}, "memory_budget_mib must .* got nan; None chooses"),
        ({"memory_budget_mib": float("inf")}, "memory_budget_mib must .* got inf; None chooses"),
        ({"occupancy_floor": 1.0}, "occupancy_floor must be in .* got 1.0"),
        ({"label_penalty": torch.zeros(4, 12, 8)}, "label_penalty must have the shape of"),
    ],
)
def test_wrong_lengths_and_targets_are_named(options: dict, message: str) -> None:
    model = Model()
    model.targets = torch.full((4, 7), 3)
    model.targets[1, 2] = 4
    with pytest.raises(ValueError, match=message):
        model.loss(**options)


def test_wrong_shapes_are_named() -> None:
    model = Model()
    model.targets = model.targets[:, :6]
    with pytest.raises(ValueError, match=r"predictor_out \(B, U \+ 1, C\) and targets"):
        model.loss()
    logits, targets = ready_logits()
    with pytest.raises(ValueError, match=r"targets \(B, U\), got \(4, 12, 8, 9\) and \(4, 8\)"):
        transducer_loss_from_logits(logits, torch.ones(4, 8), NUM_FRAMES / 12, NUM_LABELS / 8, 0)


@pytest.mark.parametrize(
    "name,shape",
    [
        ("encoder_out", (4, 12)),
        ("encoder_out", (3, 12, 6)),
        ("predictor_out", (4, 8)),
        ("predictor_out", (4, 7, 6)),
        ("targets", (4,)),
        ("targets", (1, 7)),
    ],
)
def test_a_wrong_shape_is_shown(name: str, shape: tuple[int, ...]) -> None:
    model = Model()
    setattr(model, name, torch.zeros(shape, dtype=torch.long if name == "targets" else None))
    with pytest.raises(ValueError, match=r"takes encoder_out \(B, T, C\), predictor_out"):
        model.loss()


def test_targets_that_are_no_integers_are_refused() -> None:
    model = Model()
    model.targets = model.targets + 0.5
    with pytest.raises(ValueError, match="targets must hold integers, got torch.float32"):
        model.loss()
    with pytest.raises(ValueError, match="targets must hold integers, got torch.float32"):
        model.loss_from_logits()


@pytest.mark.parametrize(
    "lens,message",
    [
        ({"input_lens": torch.tensor([1.0, 0.0, 0.5, 0.5])}, "relative lengths must lie in"),
        ({"input_lens": torch.tensor([1.0, 1.5, 0.5, 0.5])}, "relative lengths must lie in"),
        ({"input_lens": torch.tensor([1.0, 0.01, 0.5, 0.5])}, "num_frames of item 1 is 0"),
        ({"target_lens": torch.tensor([1.0, 0.5, -0.5, 0.5])}, "relative lengths must lie in"),
        ({"target_lens": torch.tensor([1.0, torch.nan, 0.5, 0.5])}, "relative lengths must lie in"),
        ({"input_lens": torch.ones(3)}, "num_frames must hold"),
    ],
)
def test_wrong_relative_lengths_are_named(lens: dict, message: str) -> None:
    logits, targets = ready_logits()
    lengths = {"input_lens": NUM_FRAMES / 12, "target_lens": NUM_LABELS / 7, **lens}
    with pytest.raises(ValueError, match=message):
        transducer_loss_from_logits(logits, targets, **lengths, blank_index=0)


def test_target_beyond_the_outputs_is_named() -> None:
    model = Model()
    model.targets[0, 6] = VOCABULARY
    with pytest.raises(ValueError, match="target 6 of item 0 is 9, expected a label in 0..8"):
        model.loss()
