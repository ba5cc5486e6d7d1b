"""Evaluation mode of modules through which gradients flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


def evaluate_with_gradients(module: nn.Module) -> None:
    """Let a module compute what it computes in evaluation, and gradients through it.

    Dropout is off and BatchNorm keeps its statistics. Recurrent layers of torch stay in training
    mode, with their dropout set to 0: cuDNN refuses gradients through them in evaluation.

    Arguments
    ---------
    module : Module
        Changed in place.

    Example
    -------
    >>> model = nn.Sequential(nn.Dropout(0.5), nn.LSTM(2, 2, num_layers=2, dropout=0.5))
    >>> evaluate_with_gradients(model)
    >>> [part.training for part in model], model[1].dropout
    ([False, True], 0.0)
    """
    module.eval()
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            part.training = True
            part.dropout = 0.0


@contextmanager
def evaluating_with_gradients(modules: Iterable[nn.Module]) -> Iterator[None]:
    """`evaluate_with_gradients` for a while; modes, dropouts and buffers are restored at the end.

    Arguments
    ---------
    modules : iterable of Module
        Changed in place.

    Example
    -------
    >>> layer = nn.Dropout(0.5)
    >>> with evaluating_with_gradients([layer]):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modules = list(modules)
    parts = [part for module in modules for part in module.modules()]
    modes = [(part, part.training) for part in parts]
    dropouts = [(part, part.dropout) for part in parts if isinstance(part, nn.RNNBase)]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers()]
    for module in modules:
        evaluate_with_gradients(module)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
        for layer, dropout in dropouts:
            layer.dropout = dropout
        for buffer, value in buffers:  # a loss may count its batches
            buffer.copy_(value)
