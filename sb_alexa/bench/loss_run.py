"""Agreement, memory and time of transducer losses on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from sb_alexa.bench.extra_memory import MemoryUse, with_memory_use
from sb_alexa.bench.loss_cases import JointTensors, LossTensors
from sb_alexa.bench.loss_trained import share_of_cells_kept
from sb_alexa.bench.loss_variants import Comparison, Variant, exact
from sb_alexa.bench.turns import Ratio, time_in_turns

_VALUE_TOLERANCE = 1e-4


class LossMismatchError(ArithmeticError):
    """Two losses of the same tensors differ, so what they cost cannot be compared."""


@dataclass
class Measurement:
    """What one variant takes.

    Arguments
    ---------
    variant : Variant
        The variant.
    value : float
        Mean loss, nats per utterance.
    gradient_difference : float
        From the reference, see `gradient_difference`.
    memory : MemoryUse | None
        Of forward and backward; None where the system does not tell.
    cells_kept : float | None
        Share of the cells, padding not counted, that have a gradient; None for all.
    seconds : tuple of float
        Forward and backward, each round.
    """

    variant: Variant
    value: float
    gradient_difference: float
    memory: MemoryUse | None
    cells_kept: float | None = None
    seconds: tuple[float, ...] = ()

    @property
    def median_seconds(self) -> float:
        """Median time of a run."""
        return float(np.median(self.seconds))

    @property
    def extra_mib(self) -> float | None:
        """Memory beyond what was in use before."""
        return None if self.memory is None else self.memory.extra_mib

    def __str__(self) -> str:
        extra = "" if self.extra_mib is None else f", {self.extra_mib:.0f} MiB"
        return f"{self.variant.title}: {self.median_seconds:.3g} s{extra}"

    @property
    def figures(self) -> dict[str, float | None]:
        """Absolute figures."""
        name = self.variant.figure
        figures: dict[str, float | None] = {
            f"seconds_{name}": self.median_seconds,
            f"seconds_{name}_low": min(self.seconds),
            f"seconds_{name}_high": max(self.seconds),
            f"memory_mib_{name}": self.extra_mib,
            f"peak_mib_{name}": None if self.memory is None else self.memory.peak_mib,
            f"gradient_difference_{name}": self.gradient_difference,
        }
        if self.cells_kept is not None:
            figures[f"{name}_cells_kept"] = self.cells_kept
        return figures

    def time_ratio(self, other: Measurement) -> Ratio:
        """This time over another one."""
        return Ratio.of(self.seconds, other.seconds)

    def memory_ratio(self, other: Measurement) -> float | None:
        """This extra memory over another one."""
        return self.extra_mib / other.extra_mib if self.extra_mib and other.extra_mib else None


@dataclass
class ComparisonResult:
    """What was measured of the variants on the same tensors.

    Arguments
    ---------
    title : str
        What the tensors are.
    valid_share : float
        Cells that are no padding.
    measurements : list of Measurement
        One for each variant that ran, ours first.
    skipped : dict
        Title of a peer: why it did not run.
    others : dict
        Seconds of other computations that took turns with the variants, by name.
    """

    title: str
    valid_share: float
    measurements: list[Measurement]
    skipped: dict[str, str]
    others: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def ours(self) -> list[Measurement]:
        """Those of this package."""
        return [m for m in self.measurements if m.variant.peer is None]

    @property
    def peers(self) -> list[Measurement]:
        """The others."""
        return [m for m in self.measurements if m.variant.peer is not None]

    def peer(self, name: str) -> Measurement | None:
        """The measurement of one peer, None if it did not run."""
        return next((m for m in self.peers if m.variant.peer and m.variant.peer.name == name), None)

    def time_over(self, name: str) -> Ratio:
        """Time of the first variant over that of one of the others."""
        return Ratio.of(self.measurements[0].seconds, self.others[name])

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures."""
        figures: dict[str, float | None] = {}
        for measurement in self.measurements:
            figures |= measurement.figures
        for ours in self.ours:
            figures[f"valid_cells_{ours.variant.figure}"] = self.valid_share
            for theirs in self.peers:
                assert theirs.variant.peer is not None
                begin, end = ours.variant.ratio, theirs.variant.peer.name
                figures |= _interval(f"{begin}time_ratio_{end}", ours.time_ratio(theirs))
                figures[f"{begin}memory_ratio_{end}"] = ours.memory_ratio(theirs)
        for name, seconds in self.others.items():
            figures[f"seconds_{name}"] = float(np.median(seconds))
            figures |= _interval(f"time_over_{name}", self.time_over(name))
        return figures


def measure(
    comparison: Comparison,
    *,
    num_rounds: int,
    in_float64: bool,
) -> ComparisonResult:
    """Check that the losses agree and measure their memory, then their times in turns.

    A peer that raises in its first run is skipped.

    Arguments
    ---------
    comparison : Comparison
        The variants. Miniatures of them should have run before: code that is loaded counts as
        memory and time.
    num_rounds : int
        Timed runs of each variant.
    in_float64 : bool
        Whether ours in float64 is the reference of values and gradients; it takes the time of a few
        runs. The first variant is otherwise.

    Returns
    -------
    ComparisonResult
        All measurements.

    Raises
    ------
    LossMismatchError
        If a value differs from the reference by more than 1e-4 of it or of 1 nat.
    """
    tensors, others = comparison.tensors, comparison.others
    skipped = dict(comparison.skipped)
    num_steps = len(comparison.variants) + num_rounds * (len(comparison.variants) + len(others))
    measurements: list[Measurement] = []
    with tqdm(total=num_steps, desc=comparison.title, unit="run", disable=None, leave=False) as bar:
        reference = _float64_reference(tensors) if in_float64 else None
        for variant in comparison.variants:
            try:
                measurement, gradients = _first_run(variant, tensors, reference)
            except Exception as error:
                if variant.peer is None:
                    raise
                skipped[variant.title] = f"{type(error).__name__}: {error}".split("\n", 1)[0]
                tensors.take_gradients()
                continue
            finally:
                bar.update()
            if reference is None:
                reference = measurement.value, gradients
            _check_value(measurement, reference[0], f"{tensors.size}, {comparison.title}")
            measurements.append(measurement)
            del gradients
        del reference
        steps: dict[str, Callable[[], object]] = {
            m.variant.figure: partial(step, m.variant.loss, tensors) for m in measurements
        }
        seconds = time_in_turns({**steps, **others}, num_rounds, tensors.device, bar.update)
    tensors.take_gradients()
    for measurement in measurements:
        measurement.seconds = seconds[measurement.variant.figure]
    return ComparisonResult(
        comparison.title,
        tensors.num_cells / tensors.size.num_padded_cells,
        measurements,
        skipped,
        {name: seconds[name] for name in others},
    )


def load_kernels(comparison: Comparison) -> None:
    """Run all variants once: loading code must count neither as time nor as memory."""
    for variant in comparison.variants:
        try:
            step(variant.loss, comparison.tensors)
        except Exception:
            # A peer fails again when it is measured, where the reason is kept.
            if variant.peer is None:
                raise
    comparison.tensors.take_gradients()


def step(loss: Callable[[Any], Tensor], tensors: LossTensors) -> Tensor:
    """Forward and backward; the gradients stay in the leaves."""
    for leaf in tensors.leaves:
        leaf.grad = None
    value = loss(tensors)
    value.backward()
    return value.detach()


def gradient_difference(gradients: list[Tensor], reference: list[Tensor]) -> float:
    """Largest difference of a number from its reference, relative to the largest of its tensor.

    Example
    -------
    >>> import torch
    >>> gradient_difference([torch.tensor([1.0, 4.0])], [torch.tensor([0.0, 2.0])])
    1.0
    """
    return max(
        float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))
        for ours, theirs in zip(gradients, reference, strict=True)
    )


def _first_run(
    variant: Variant, tensors: LossTensors, reference: tuple[float, list[Tensor]] | None
) -> tuple[Measurement, list[Tensor]]:
    run = partial(step, variant.loss, tensors)
    value, memory = with_memory_use(run, tensors.device)
    gradients = tensors.take_gradients()
    difference = 0.0 if reference is None else gradient_difference(gradients, reference[1])
    cells_kept = None
    if variant.occupancy_floor > 0 and isinstance(tensors, JointTensors):
        cells_kept = share_of_cells_kept(tensors, variant.occupancy_floor)
    return Measurement(variant, float(value), difference, memory, cells_kept), gradients


def _interval(name: str, ratio: Ratio) -> dict[str, float]:
    return {name: ratio.median, f"{name}_low": ratio.low, f"{name}_high": ratio.high}


def _float64_reference(tensors: LossTensors) -> tuple[float, list[Tensor]]:
    tensors = tensors.double()
    return float(step(exact, tensors)), tensors.take_gradients()


def _check_value(measurement: Measurement, value: float, title: str) -> None:
    if not abs(measurement.value - value) <= _VALUE_TOLERANCE * max(1.0, abs(value)):
        raise LossMismatchError(
            f"{title}: the loss of {measurement.variant.title} is {measurement.value}, that of "
            f"ours {value}"
        )
