"""The least time that a computation takes on this machine: weights to read, operations to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sb_alexa.bench.turns import timed

_MEASURED_SECONDS = 1.0
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Roofline:
    """What a machine reads and computes at best.

    Arguments
    ---------
    weights_per_second : float
        Float32 numbers of a matrix that a product with a vector gets through.
    macs_per_second : float
        Multiply-adds of a product of two large matrices.

    Example
    -------
    >>> machine = Roofline(weights_per_second=1e9, macs_per_second=4e9)
    >>> machine.time_ms(num_weights=1e6, num_macs=1e6), machine.time_ms(1e6, 8e6)
    (1.0, 2.0)
    """

    weights_per_second: float
    macs_per_second: float

    def time_ms(self, num_weights: float, num_macs: float) -> float:
        """The least time of a step, as if reading and computing ran side by side.

        Arguments
        ---------
        num_weights : float
            Float32 weights that the step needs, each read once.
        num_macs : float
            Its multiply-adds.

        Returns
        -------
        float
            Milliseconds.
        """
        reading_s = num_weights / self.weights_per_second
        return 1000.0 * max(reading_s, num_macs / self.macs_per_second)

    @property
    def gigabytes_per_second(self) -> float:
        """Bandwidth at which weights are read, in 10^9 bytes a second."""
        return _FLOAT32_BYTES * self.weights_per_second / 1e9


def measure_roofline(
    num_weights: int, device: str = "cpu", *, seconds: float = _MEASURED_SECONDS
) -> Roofline:
    """Measure the machine with a matrix-vector product and a product of square matrices.

    Arguments
    ---------
    num_weights : int
        Entries of the matrix that is read: as many as the model has, so that they lie where the
        model's weights lie, in a cache or beyond it.
    device : str
        Where to compute.
    seconds : float
        Repetitions of each product go on for so long.

    Returns
    -------
    Roofline
        From the fastest runs.
    """
    columns = 1024
    weights = torch.full((max(1, num_weights // columns), columns), 0.01, device=device)
    vector = torch.ones(columns, device=device)
    square = torch.full((1024 if device == "cpu" else 8192,) * 2, 0.01, device=device)
    reading_s = _fastest(lambda: torch.mv(weights, vector), device, seconds)
    computing_s = _fastest(lambda: torch.mm(square, square), device, seconds)
    return Roofline(weights.numel() / reading_s, len(square) ** 3 / computing_s)


def _fastest(function: Callable[[], object], device: str, seconds: float) -> float:
    """Seconds of the fastest of many runs."""
    timed(function, device)  # the first run loads kernels
    best, spent = float("inf"), 0.0
    while spent < seconds:
        one = timed(function, device)
        best, spent = min(best, one), spent + one
    return best
