"""Joiners that are no plain sum: subclasses, hooks, dropout, unknown activations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.losses.joiner_protocol import is_additive
from sb_alexa.transducer.joiner import Joiner
from tests.losses.exact_transducer import Problem, exact, relative_errors

B, T, U, V, C = 3, 7, 4, 6, 5


def joiner_of(activation: Callable[[], nn.Module] = nn.Tanh, kind: type = Joiner) -> Joiner:
    return kind(encoder_size=C, predictor_size=C, num_labels=V, activation=activation).double()


def problem_of(joiner: Joiner) -> Problem:
    return Problem(
        inputs={
            "encoder_out": torch.randn(B, T, C, dtype=torch.float64, requires_grad=True),
            "predictor_out": torch.randn(B, U + 1, C, dtype=torch.float64, requires_grad=True),
        },
        targets=torch.randint(1, V, (B, U)),
        num_frames=torch.tensor([7, 3, 5]),
        num_labels=torch.tensor([2, 4, 0]),
        joiner=joiner,
        fastemit_lambda=0.1,
    )


class Product(Joiner):
    """The two sides multiplied."""

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        return self.output(self.activation(encoder_part * predictor_part))


class Bilinear(nn.Module):
    """Shares no code with `Joiner`."""

    num_labels = V

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Parameter(torch.randn(C, V, C))

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        return encoder_out

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        return predictor_out

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        return torch.einsum("...i,ivj,...j->...v", encoder_part, self.core, predictor_part)


def with_scaling_hook(part: str) -> Joiner:
    """A hook changes what a part computes."""
    joiner = joiner_of()
    module = joiner.get_submodule(part)
    module.register_forward_hook(lambda module, inputs, output: 1.5 * output)
    return joiner


def with_own_forward() -> Joiner:
    joiner = joiner_of()
    joiner.activation.forward = torch.sin  # type: ignore[method-assign]
    return joiner


def with_normalised_weight() -> Joiner:
    joiner = joiner_of()
    nn.utils.parametrizations.weight_norm(joiner.output)
    return joiner


def with_deep_output() -> Joiner:
    joiner = joiner_of()
    joiner.output = nn.Sequential(nn.Linear(C, C), nn.ReLU(), nn.Linear(C, V)).double()  # type: ignore[assignment]
    return joiner


OTHERS = {
    "product": lambda: joiner_of(kind=Product),
    "bilinear": lambda: Bilinear().double(),
    "parameter": lambda: joiner_of(nn.PReLU),
    "several": lambda: joiner_of(lambda: nn.Sequential(nn.LayerNorm(C), nn.Tanh())),
    "hook of joiner": lambda: with_scaling_hook(""),
    "hook of activation": lambda: with_scaling_hook("activation"),
    "hook of output": lambda: with_scaling_hook("output"),
    "own forward": with_own_forward,
    "weight norm": with_normalised_weight,
    "deep output": with_deep_output,
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("budget_mib", [None, 1e-3, 1e-9])
def test_values_and_gradients(make: Callable[[], Joiner], budget_mib: float | None) -> None:
    joiner = make()
    assert not is_additive(joiner)
    problem = problem_of(joiner)
    problem.options = {"memory_budget_mib": budget_mib}
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    losses, expected = exact(problem, weights)
    ours = problem.loss()
    torch.testing.assert_close(ours, losses, rtol=1e-12, atol=1e-12)
    errors = relative_errors(problem.gradients(ours @ weights), expected)
    assert max(errors.values()) < 1e-10, errors


@pytest.mark.parametrize("part", ["", "activation", "output"])
@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_are_called(part: str, kind: str) -> None:
    joiner = joiner_of()
    calls = []
    getattr(joiner.get_submodule(part), kind)(lambda *_: calls.append(part))
    problem_of(joiner).loss("sum").backward()
    assert len(calls) == B  # one slice for each utterance


def test_every_joiner_of_the_package_needs_no_autograd() -> None:
    for size in (None, 3):
        for activation in (nn.Tanh, nn.ReLU, nn.GELU):
            joiner = Joiner(
                encoder_size=C,
                predictor_size=C,
                num_labels=V,
                joint_size=size,
                activation=activation,
            )
            assert is_additive(joiner)
    assert is_additive(
        type("Renamed", (Joiner,), {})(encoder_size=C, predictor_size=C, num_labels=V)
    )


@pytest.mark.parametrize("budget_mib", [None, 1e-9])
def test_dropout_is_the_same_in_both_passes(budget_mib: float | None) -> None:
    joiner = joiner_of(lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.4)))
    problem = problem_of(joiner)
    problem.fastemit_lambda = 0.0
    problem.options = {"memory_budget_mib": budget_mib}

    def loss() -> Tensor:
        torch.manual_seed(7)
        return problem.loss("sum")

    first = loss()
    torch.manual_seed(8)
    assert not torch.equal(problem.loss("sum"), first)  # dropout does drop
    torch.manual_seed(9)
    state = torch.get_rng_state()
    gradients = problem.gradients(first)
    assert torch.equal(torch.get_rng_state(), state)
    step = 1e-6
    for name, leaf in problem.leaves().items():
        direction = torch.randn_like(leaf)
        with torch.no_grad():
            leaf.add_(direction, alpha=step)
            above = loss()
            leaf.sub_(direction, alpha=2 * step)
            below = loss()
            leaf.add_(direction, alpha=step)
        slope = float((above - below) / (2 * step))
        assert float((gradients[name] * direction).sum()) == pytest.approx(slope, rel=1e-6), name


def test_slices_are_joined_twice_at_most_and_padding_never() -> None:
    cells = []

    class Counting(Product):
        def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
            logits = super().forward(encoder_part, predictor_part)
            cells.append(logits.numel() // V)
            return logits

    problem = problem_of(joiner_of(kind=Counting))
    valid = int((problem.num_frames * (problem.num_labels + 1)).sum())
    problem.options = {"memory_budget_mib": 1e-3}
    loss = problem.loss("sum")
    assert sum(cells) == valid and len(cells) > B
    loss.backward()
    assert sum(cells) == 2 * valid
    # 1048 bytes, 16 J + 8 V = 128 for a cell; a frame of the second utterance has five.
    assert max(cells) <= 8


def test_under_autocast_the_recomputation_rounds_the_same() -> None:
    problem = problem_of(joiner_of(kind=Product).float())
    problem.inputs = {
        name: x.detach().float().requires_grad_() for name, x in problem.inputs.items()
    }
    problem.autocast = True
    losses, expected = exact(problem, torch.ones(B, dtype=torch.float64))
    ours = problem.loss()
    torch.testing.assert_close(ours.double(), losses, rtol=2e-2, atol=0)
    errors = relative_errors(problem.gradients(ours.sum()), expected)
    assert max(errors.values()) < 5e-2, errors
