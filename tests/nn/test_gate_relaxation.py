from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.gate_relaxation import GateRelaxation


def test_without_noise_at_temperature_one_it_is_the_probability() -> None:
    logits = torch.linspace(-5, 5, 11, dtype=torch.float64)
    gates = GateRelaxation(1.0, 0.0)(logits)
    assert torch.equal(gates.value, logits.sigmoid())
    assert torch.allclose(gates.log_value, gates.value.log(), atol=1e-12)


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.9])
def test_cold_gates_are_samples_of_zero_and_one(probability: float) -> None:
    logits = torch.full((200_000,), probability, dtype=torch.float64).logit()
    gates = GateRelaxation(1e-5, 1.0)(logits).value
    assert ((gates < 1e-6) | (gates > 1 - 1e-6)).double().mean() > 0.999
    deviation = (probability * (1 - probability) / len(gates)) ** 0.5
    assert gates.mean().item() == pytest.approx(probability, abs=4 * deviation)


def test_the_noise_is_a_difference_of_two_gumbel_variables() -> None:
    """Compared with draws of two: mean, variance (pi^2 / 3) and quantiles; its scale is kappa."""
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(2, 400_000, generator=generator, dtype=torch.float64)
    gumbel = -(-uniform.log()).log()
    expected = gumbel[0] - gumbel[1]
    logits = torch.full((400_000,), 0.7, dtype=torch.float64)
    for scale in (1.0, 0.3):
        noise = (GateRelaxation(2.0, scale)(logits).value.logit() * 2.0 - 0.7) / scale
        assert noise.mean().item() == pytest.approx(0.0, abs=0.015)
        assert noise.var().item() == pytest.approx(torch.pi**2 / 3, rel=0.02)
        at = torch.tensor([0.001, 0.05, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64)
        assert torch.allclose(noise.quantile(at), expected.quantile(at), atol=0.2, rtol=0.02)


def test_gradients_are_finite_where_gates_are_hard() -> None:
    logits = torch.tensor([-30.0, -1e-7, 0.0, 1e-7, 30.0], requires_grad=True)
    gates = GateRelaxation(1e-5, 0.0)(logits)
    assert gates.value[0] == 0.0 and gates.value[-1] == 1.0
    (gates.value.sum() + gates.log_value.sum()).backward()
    assert logits.grad is not None
    assert bool(gates.log_value.isfinite().all() & logits.grad.isfinite().all())
    assert logits.grad[2] > 1e4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    logits = torch.full((1000,), -20.0, dtype=dtype)
    for relaxation in (GateRelaxation(1e-5, 1.0), GateRelaxation(straight_through=True)):
        gates = relaxation(logits)
        assert gates.value.dtype == gates.log_value.dtype == torch.float32
        assert bool(gates.log_value.isfinite().all())


def test_straight_through_gates_are_those_of_evaluation_with_soft_gradients() -> None:
    logits = torch.tensor([-3.0, -0.1, 0.0, 0.1, 3.0], dtype=torch.float64, requires_grad=True)
    gates = GateRelaxation(temperature=1e-5, noise_scale=1.0, straight_through=True)(logits)
    assert gates.value.tolist() == [0, 0, 0, 1, 1]
    assert gates.log_value[3:].tolist() == [0, 0]
    assert (gates.log_value[:3] < -1000).all()
    (gradient,) = torch.autograd.grad(gates.value.sum(), logits, retain_graph=True)
    assert torch.allclose(gradient, logits.sigmoid() * (1 - logits.sigmoid()))
    (gradient,) = torch.autograd.grad(gates.log_value[3:].sum(), logits)
    assert torch.allclose(gradient[3:], 1 - logits[3:].sigmoid())


def test_frozen_gates_are_the_same_without_a_gradient() -> None:
    logits = torch.tensor([-3.0, -0.1, 0.1, 3.0], requires_grad=True)
    learning = GateRelaxation(straight_through=True)(logits)
    frozen = GateRelaxation(straight_through=True, frozen=True)(logits)
    assert torch.equal(frozen.value, learning.value)
    assert torch.equal(frozen.log_value, learning.log_value)
    assert learning.value.requires_grad and not frozen.value.requires_grad
    with pytest.raises(ValueError, match="set straight_through=True too"):
        GateRelaxation(frozen=True)


@pytest.mark.parametrize(
    ("temperature", "noise_scale"),
    [(0.0, 0.0), (-1.0, 0.0), (1.0, -0.1), (float("nan"), 0.0), (1.0, float("nan"))],
)
def test_numbers_out_of_range_are_refused(temperature: float, noise_scale: float) -> None:
    with pytest.raises(ValueError, match=f"got {temperature} and {noise_scale}; the paper ends"):
        GateRelaxation(temperature, noise_scale)
