"""Activations in place against the modules and autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sb_alexa.losses.joint_activation import Activation, is_altered

KNOWN = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky": nn.LeakyReLU,
    "leaky in place": lambda: nn.LeakyReLU(0.2, inplace=True),
    "leaky, flat": lambda: nn.LeakyReLU(0.0),
    "leaky, falling": lambda: nn.LeakyReLU(-0.5),
    "gelu": nn.GELU,
    "gelu of tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "silu in place": lambda: nn.SiLU(inplace=True),
    "elu": lambda: nn.ELU(0.7),
    "elu in place": lambda: nn.ELU(inplace=True),
    "softplus": lambda: nn.Softplus(beta=2, threshold=1),
    "mish": nn.Mish,
    "mish in place": lambda: nn.Mish(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(-0.3, 0.9, inplace=True),
    "softsign": nn.Softsign,
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_values_and_gradients_of_the_module(make: Callable[[], nn.Module]) -> None:
    x = torch.linspace(-3, 3, 41, dtype=torch.float64).view(1, 41).requires_grad_()
    upstream = torch.randn(1, 41, dtype=torch.float64)
    module = make()
    assert Activation.is_known(module)
    expected = module(x.clone())
    (gradient,) = torch.autograd.grad(expected, x, upstream)
    activation = Activation(module)
    for _ in range(2):  # the buffers of the next slice
        buffer = x.detach().clone()
        output = activation.apply_(buffer)
        assert output.data_ptr() == buffer.data_ptr()
        torch.testing.assert_close(output, expected.detach(), rtol=1e-15, atol=1e-15)
        of_output = upstream.clone()
        of_input = activation.gradient_(of_output, output)
        assert of_input.data_ptr() == of_output.data_ptr() and not of_input.requires_grad
        torch.testing.assert_close(of_input, gradient, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_sixteen_bits(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    x, upstream = torch.randn(2, 50).to(dtype), torch.randn(2, 50).to(dtype)
    activation = Activation(make())
    output = activation.apply_(x.clone())
    of_input = activation.gradient_(upstream.clone(), output)
    exact = Activation(make())
    exact_output = exact.apply_(x.double())
    exact_gradient = exact.gradient_(upstream.double(), exact_output)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(output.double(), exact_output, rtol=eps, atol=eps)
    torch.testing.assert_close(of_input.double(), exact_gradient, rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize(
    "module",
    [
        nn.PReLU(),  # a parameter
        nn.RReLU(),  # random
        nn.Dropout(),
        nn.Softmax(-1),  # not element by element
        nn.GLU(),
        nn.Sequential(nn.Tanh()),
        type("Tanh", (nn.Tanh,), {})(),  # may do anything
    ],
    ids=lambda module: type(module).__name__,
)
def test_others_are_not_known(module: nn.Module) -> None:
    assert not Activation.is_known(module)


@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_hooks_make_a_module_another(register: str) -> None:
    module = nn.Tanh()
    handle = getattr(module, register)(lambda *_: None)
    assert is_altered(module) and not Activation.is_known(module)
    handle.remove()
    assert not is_altered(module) and Activation.is_known(module)


def test_an_own_forward_makes_a_module_another() -> None:
    module = nn.Tanh()
    module.forward = torch.sin  # type: ignore[method-assign]
    assert is_altered(module) and not Activation.is_known(module)
