"""Gradients against enumeration and the float64 reference.

All errors are relative: the largest absolute error of a tensor over its largest absolute value.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.bench.aligned_transducer import aligned_batch, train_aligned_transducer
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor
from tests.losses.exact_transducer import (
    Problem,
    dense_logits,
    enumerated,
    exact,
    relative_errors,
)


class Gated(Joiner):
    """No sum of two sides, so that it runs through autograd."""

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        gate = torch.sigmoid(encoder_part * predictor_part)
        return self.output(self.activation(encoder_part + gate * predictor_part))


# One path of the code each.
KINDS = ["joint", "projected", "generic", "logits"]
VOCABULARY, FEATURES = 8, 96
TrainedTransducer = tuple[LSTMPredictor, Joiner]


@pytest.fixture(scope="module")
def trained() -> TrainedTransducer:
    return train_aligned_transducer(vocabulary_size=VOCABULARY, joint_size=FEATURES)


def random_problem(
    kind: str,
    num_frames: list[int],
    num_labels: list[int],
    *,
    dtype: torch.dtype = torch.float64,
    num_outputs: int = 7,
    joint_size: int = 6,
    blank_index: int = 0,
    penalised: bool = True,
    fastemit_lambda: float = 0.3,
    scale: float = 1.0,
    activation: type[nn.Module] = nn.Tanh,
) -> Problem:
    """`scale` multiplies the logits: a large one makes nearly all occupancies vanish."""
    batch, frames, labels = len(num_frames), max(num_frames), max(num_labels)
    # Labels 0..V-2, moved past the blank.
    targets = torch.randint(0, num_outputs - 1, (batch, labels))
    targets += targets >= blank_index
    joiner = None
    if kind == "logits":
        shapes: dict[str, tuple[int, ...]] = {"logits": (batch, frames, labels + 1, num_outputs)}
    else:
        shapes = {
            "encoder_out": (batch, frames, joint_size),
            "predictor_out": (batch, labels + 1, joint_size),
        }
        joiner = (Gated if kind == "generic" else Joiner)(
            encoder_size=joint_size,
            predictor_size=joint_size,
            num_labels=num_outputs,
            joint_size=joint_size + 3 if kind == "projected" else None,
            activation=activation,
        ).to(dtype)
        with torch.no_grad():
            joiner.output.weight.mul_(3 * scale)
    inputs = {name: torch.randn(shape, dtype=dtype) for name, shape in shapes.items()}
    if joiner is None:
        inputs["logits"].mul_(scale)
    return Problem(
        inputs={name: x.requires_grad_() for name, x in inputs.items()},
        targets=targets,
        num_frames=torch.tensor(num_frames),
        num_labels=torch.tensor(num_labels),
        joiner=joiner,
        blank_index=blank_index,
        fastemit_lambda=fastemit_lambda,
        label_penalty=torch.randn(batch, frames, labels) if penalised else None,
    )


def share_of_cells_in_use(problem: Problem) -> float:
    """Share of the cells in which the joiner's output has a gradient above 1e-6."""
    joiner, inputs = problem.in_double()
    logits = dense_logits(joiner, inputs).detach().requires_grad_()
    ready = replace(problem, inputs={"logits": logits}, joiner=None)
    (gradient,) = torch.autograd.grad(ready.loss("sum"), logits)
    num_cells = int((problem.num_frames * (problem.num_labels + 1)).sum())
    return int((gradient.abs().amax(-1) > 1e-6).sum()) / num_cells


def worst_error(problem: Problem, weights: Tensor | None = None) -> float:
    """Over all gradients, next to the node-by-node reference."""
    if weights is None:
        weights = torch.rand(len(problem.num_frames), dtype=torch.float64) + 0.5
    _, expected = exact(problem, weights)
    loss = problem.loss()
    actual = problem.gradients((loss * weights).sum())
    assert set(actual) == set(expected)
    return max(relative_errors(actual, expected).values())


@pytest.mark.parametrize("blank_index", [0, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_all_alignments_of_tiny_lattices(kind: str, blank_index: int) -> None:
    problem = random_problem(kind, [3, 1, 4, 2, 1], [2, 3, 0, 3, 0], blank_index=blank_index)
    weights = torch.tensor([1.0, -0.5, 2.0, 0.25, 3.0], dtype=torch.float64)
    expected_losses, expected = enumerated(problem, weights)
    losses = problem.loss()
    torch.testing.assert_close(losses, expected_losses, rtol=1e-12, atol=1e-12)
    actual = problem.gradients((losses * weights).sum())
    errors = relative_errors(actual, expected)
    assert max(errors.values()) < 1e-10, errors
    # The reference that the larger problems are compared with has to pass, too.
    reference_losses, reference = exact(problem, weights)
    torch.testing.assert_close(reference_losses, expected_losses, rtol=1e-12, atol=1e-12)
    assert max(relative_errors(reference, expected).values()) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_random_lattices(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    lengths = [40, 23, 40, 9, 1], [15, 15, 0, 12, 7]
    for fastemit_lambda, penalised in ((0.3, True), (0.0, False)):
        problem = random_problem(
            kind,
            *lengths,
            dtype=dtype,
            num_outputs=50,
            joint_size=32,
            fastemit_lambda=fastemit_lambda,
            penalised=penalised,
        )
        assert worst_error(problem) < tolerance


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-10), (torch.float32, 5e-4)])
def test_lattices_with_few_alignments_left(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    problem = random_problem(
        kind, [60, 47], [12, 8], dtype=dtype, num_outputs=30, joint_size=16, scale=8.0
    )
    assert share_of_cells_in_use(problem) < 0.3
    assert worst_error(problem) < tolerance


@pytest.mark.parametrize("fastemit_lambda", [0.0, 0.1])
def test_trained_transducer(trained: TrainedTransducer, fastemit_lambda: float) -> None:
    predictor, joiner = trained
    batch = aligned_batch(
        batch_size=3,
        num_frames=100,
        num_labels=20,
        vocabulary_size=VOCABULARY,
        feature_size=FEATURES,
        seed=5,
        min_length_share=0.5,
    )
    with torch.no_grad():
        histories = predictor.all_histories(batch.targets)
    problem = Problem(
        inputs={
            "encoder_out": batch.encoder_out.requires_grad_(),
            "predictor_out": histories.requires_grad_(),
        },
        targets=batch.targets,
        num_frames=batch.num_frames,
        num_labels=batch.num_labels,
        joiner=joiner,
        fastemit_lambda=fastemit_lambda,
        label_penalty=-0.01 * torch.rand(3, 100, 20),
    )
    assert share_of_cells_in_use(problem) < 0.3
    assert worst_error(problem) < 5e-4


@pytest.mark.parametrize(
    "activation",
    [nn.Sigmoid, nn.ReLU, nn.LeakyReLU, nn.Identity, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.Mish]
    + [nn.Hardtanh, nn.Softsign, nn.PReLU, nn.Hardswish],
)
def test_activations(activation: type[nn.Module]) -> None:
    problem = random_problem("projected", [9, 4], [3, 3], activation=activation)
    problem.options = {"memory_budget_mib": 1e-3}
    assert worst_error(problem) < 1e-10


@pytest.mark.parametrize("has_bias", [True, False])
def test_output_without_bias(has_bias: bool) -> None:
    problem = random_problem("joint", [9, 4], [3, 3])
    assert problem.joiner is not None
    problem.joiner.output = nn.Linear(6, 7, bias=has_bias).double()
    assert worst_error(problem) < 1e-10
    assert ("output.bias" in problem.leaves()) == has_bias


@pytest.mark.parametrize("kind", ["joint", "logits"])
def test_huge_logits_keep_their_digits(kind: str) -> None:
    problem = random_problem(kind, [8, 5], [3, 2], dtype=torch.float32, num_outputs=5)
    weights = torch.tensor([0.25, 1e-3], dtype=torch.float64)
    with torch.no_grad():
        if problem.joiner is None:
            # A constant in all logits changes nothing; 2^13 leaves ten bits after the point.
            problem.inputs["logits"].copy_((problem.inputs["logits"] * 1024).round() / 1024)
            losses, expected = exact(problem, weights)
            problem.inputs["logits"].add_(2.0**13)
        else:
            losses, expected = exact(problem, weights)
            problem.joiner.output.bias.add_(1e3)
    tolerance = 1e-6 if kind == "logits" else 1e-3
    ours = problem.loss()
    torch.testing.assert_close(ours.double(), losses, rtol=tolerance, atol=0)
    errors = relative_errors(problem.gradients((ours * weights).sum()), expected)
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equal_logits_are_a_uniform_distribution_at_any_height(dtype: torch.dtype) -> None:
    problem = random_problem("logits", [3], [1], dtype=dtype, penalised=False, fastemit_lambda=0)
    weights = torch.tensor([0.25], dtype=torch.float64)
    for height in (0.0, 300.0, -1e6, 1e30, -1e30):
        with torch.no_grad():
            problem.inputs["logits"].fill_(height)
        losses, expected = exact(problem, weights)
        ours = problem.loss()
        torch.testing.assert_close(ours.double(), losses, rtol=1e-6, atol=0)
        errors = relative_errors(problem.gradients((ours * weights).sum()), expected)
        assert errors["logits"] < (1e-2 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("dtype,tolerance", [(torch.bfloat16, 4e-3), (torch.float16, 1e-3)])
def test_ready_logits_of_16_bits_lose_only_their_own_rounding(
    dtype: torch.dtype, tolerance: float
) -> None:
    problem = random_problem("logits", [30, 11], [9, 12], dtype=dtype, num_outputs=20)
    assert worst_error(problem) < tolerance
