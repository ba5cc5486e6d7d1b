"""Gradients that are computed without autograd, and have none themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import torch
from torch import Tensor

_Backward: TypeAlias = Callable[..., tuple[Tensor | None, ...]]


def without_second_derivative(backward: _Backward) -> _Backward:
    """Make the backward pass of a custom function an end for autograd.

    `torch.autograd.function.once_differentiable` looks at the incoming gradient only. That of a
    loss is a constant, and with ``create_graph=True`` the second derivative would silently lack
    whatever lies between the function's inputs and its gradient.

    Arguments
    ---------
    backward : Callable
        Of a `torch.autograd.Function`, with the saved tensors, among them the inputs that the
        gradient depends on, between context and incoming gradients.

    Returns
    -------
    Callable
        The static method. Under ``create_graph=True`` its results raise a RuntimeError if they are
        differentiated.

    Example
    -------
    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     @without_second_derivative
    ...     def backward(ctx, saved, grad):
    ...         return (2 * saved[0] * grad,)
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (gradient,) = torch.autograd.grad(Square.apply(x), x, create_graph=True)
    >>> gradient.item()
    6.0
    >>> gradient.backward()
    Traceback (most recent call last):
    RuntimeError: the transducer loss cannot be differentiated twice: ...
    """

    @wraps(backward)
    def wrapped(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # torch's checkpoints hand them out only once
        with torch.no_grad():
            gradients = backward(ctx, saved, *grad_outputs)
        if not torch.is_grad_enabled():
            return gradients
        # What the gradient depends on, so that autograd finds the way to it.
        origins = [x for x in (*saved, *grad_outputs) if x is not None]
        return tuple(None if x is None else _End.apply(x, *origins) for x in gradients)

    return wrapped


class _End(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *origins: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            "the transducer loss cannot be differentiated twice: its gradient is computed without "
            "autograd; leave out create_graph, or detach the gradient"
        )
