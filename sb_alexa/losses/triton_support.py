"""Whether Triton's kernels can run, and its import where it may be missing."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


@cache
def has_triton() -> bool:
    """Whether Triton is installed; PyTorch for Linux and CUDA brings it along.

    The first call imports it.
    """
    try:
        import_module("triton.language")
    except ImportError:
        return False
    return True


def use_triton(tensor: Tensor) -> bool:
    """Whether a computation on this tensor runs in Triton's kernels.

    On a GPU it does, unless Triton is missing or fails there: it needs compute capability 7 and a C
    compiler, which slim container images lack. A warning then says so, once.

    Arguments
    ---------
    tensor : Tensor
        On any device.

    Returns
    -------
    bool

    Example
    -------
    >>> use_triton(torch.zeros(1))
    False
    """
    return tensor.is_cuda and has_triton() and _kernels_run_on(tensor.device)


@cache
def _kernels_run_on(device: torch.device) -> bool:
    """Try the smallest lattice."""
    # The kernels' modules import this one.
    from sb_alexa.losses.transducer_lattice_triton import lattice_forward

    certain = torch.zeros(1, 1, 1, device=device)
    lengths = torch.ones(1, dtype=torch.long, device=device)
    try:
        lattice_forward(certain, certain[:, :, :0], lengths, torch.zeros_like(lengths))
    except Exception as error:  # of any part of a compiler, a driver or a linker
        warnings.warn(
            f"the transducer loss runs without its kernels, and slowly, on {device}: Triton fails "
            f"with {type(error).__name__}: {error}",
            stacklevel=3,
        )
        return False
    return True


def import_triton() -> tuple[Any, Any]:
    """The modules `triton` and `triton.language`, for the modules that hold kernels.

    Without Triton they can still be imported: their kernels are then plain functions that nobody
    calls.
    """
    if has_triton():
        return import_module("triton"), import_module("triton.language")
    return SimpleNamespace(jit=lambda *function, **_: function[0] if function else _unchanged), None


def _unchanged(function: Any) -> Any:
    return function
