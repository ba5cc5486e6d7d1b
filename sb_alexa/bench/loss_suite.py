"""All measurements of `sb-alexa bench loss`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from sb_alexa.bench.loss_cases import LossSize, logits_tensors, random_tensors
from sb_alexa.bench.loss_run import ComparisonResult, load_kernels, measure
from sb_alexa.bench.loss_sweep import MemoryGrowth, SweepPoint, measure_growth, sweep
from sb_alexa.bench.loss_trained import trained_tensors
from sb_alexa.bench.loss_variants import (
    Comparison,
    full_length_comparison,
    logits_comparison,
    random_comparison,
    trained_comparison,
)
from sb_alexa.bench.machine import MachineReport, MachineWatch
from sb_alexa.bench.matrix_products import MatrixProducts

MATRIX_PRODUCTS = "matrix_products"


def random_weights(size: LossSize, *, seed: int, device: str) -> Comparison:
    """Random weights and lengths, with the bare matrix products."""
    tensors = random_tensors(size, seed=seed, device=device)
    comparison = random_comparison(tensors)
    comparison.others[MATRIX_PRODUCTS] = MatrixProducts(
        num_cells=tensors.num_cells,
        joint_size=size.joint_size,
        vocabulary_size=size.vocabulary_size,
        device=device,
    )
    return comparison


def full_length(size: LossSize, *, seed: int, device: str) -> Comparison:
    """Random weights, no padding."""
    tensors = random_tensors(size, min_length_share=1.0, seed=seed, device=device)
    return full_length_comparison(tensors)


def trained_model(size: LossSize, *, seed: int, device: str) -> Comparison:
    """A model that has learned to align, random lengths."""
    _say(f"training a model to align, V {size.vocabulary_size}")
    return trained_comparison(trained_tensors(size, seed=seed, device=device))


def ready_logits(size: LossSize, *, seed: int, device: str) -> Comparison:
    """The loss alone, random lengths."""
    return logits_comparison(logits_tensors(random_tensors(size, seed=seed, device=device)))


@dataclass(frozen=True)
class LossCase:
    """A size and what is measured with it.

    Arguments
    ---------
    name : str
        ``small`` or ``large``.
    size : LossSize
        The batch.
    num_rounds : int
        Timed runs of each variant.
    comparisons : tuple of Callable
        Make comparisons of that size.
    is_detailed : bool
        Whether gradients are compared with float64, and the growth of memory is measured.
    """

    name: str
    size: LossSize
    num_rounds: int
    comparisons: tuple[Callable[..., Comparison], ...]
    is_detailed: bool = False

    @property
    def prefix(self) -> str:
        """What the names of its figures begin with."""
        return "" if self.name == "small" else f"{self.name}_"


_ALL = (random_weights, full_length, trained_model, ready_logits)
CASES = {
    "cpu": (
        LossCase("small", LossSize(8, 200, 40, 500), 5, _ALL, is_detailed=True),
        LossCase("large", LossSize(16, 400, 80, 1000), 2, (random_weights,)),
    ),
    "cuda": (
        LossCase("small", LossSize(16, 400, 100, 2500), 10, _ALL, is_detailed=True),
        LossCase("large", LossSize(32, 1000, 200, 4097), 5, (random_weights,)),
    ),
}


@dataclass
class CaseResult:
    """What was measured with one size.

    Arguments
    ---------
    case : LossCase
        The case.
    comparisons : list of ComparisonResult
        In the order of the case.
    growth : MemoryGrowth | None
        How memory grows with V and T.
    """

    case: LossCase
    comparisons: list[ComparisonResult] = field(default_factory=list)
    growth: MemoryGrowth | None = None

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures with the prefix of the case."""
        figures: dict[str, float | None] = {}
        for comparison in self.comparisons:
            figures |= comparison.figures
        if self.growth is not None:
            figures |= self.growth.figures
        return {self.case.prefix + name: value for name, value in figures.items()}


@dataclass
class LossResult:
    """Everything that was measured.

    Arguments
    ---------
    device : str
        Where.
    cases : list of CaseResult
        In the order of the sizes.
    sweep : list of SweepPoint
        Empty if it was left out.
    machine : MachineReport
        Whether the machine was idle.
    """

    device: str
    cases: list[CaseResult]
    sweep: list[SweepPoint]
    machine: MachineReport

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the figures are not to be trusted; a GPU does not mind other work on the CPU."""
        return self.machine.problems if self.device == "cpu" else ()

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures for the JSON file."""
        figures: dict[str, float | None] = {}
        for case in self.cases:
            figures |= case.figures
        for point in self.sweep:
            figures |= point.figures
        figures["idle"] = int(not self.problems)
        figures["load_average"] = self.machine.load_average
        figures["other_cores"] = self.machine.other_cores
        figures["calibration_ms_before"], figures["calibration_ms_after"] = (
            self.machine.calibration_ms
        )
        return figures


def measure_all(
    cases: Sequence[LossCase],
    *,
    device: str,
    seed: int,
    sweep_sizes: Sequence[tuple[str, LossSize]],
    sweep_rounds: int,
) -> LossResult:
    """Measure the cases, then the sweep.

    Arguments
    ---------
    cases : sequence of LossCase
        The cases.
    device : str
        Where.
    seed : int
        Of lengths, values, weights and the training.
    sweep_sizes : sequence of (str, LossSize)
        See `sweep`.
    sweep_rounds : int
        Timed runs of each variant of the sweep.

    Returns
    -------
    LossResult
        All figures.
    """
    watch = MachineWatch()
    results = [_measure_case(case, device, seed) for case in cases]
    points = sweep(sweep_sizes, device=device, seed=seed, num_rounds=sweep_rounds)
    return LossResult(device, results, points, watch.report())


def _measure_case(case: LossCase, device: str, seed: int) -> CaseResult:
    result = CaseResult(case)
    _say(f"{case.name} case: {case.size}")
    miniature = random_tensors(case.size.miniature(), seed=seed, device=device)
    load_kernels(random_comparison(miniature))
    load_kernels(logits_comparison(logits_tensors(miniature)))
    for build in case.comparisons:
        comparison = build(case.size, seed=seed, device=device)
        measured = measure(comparison, num_rounds=case.num_rounds, in_float64=case.is_detailed)
        result.comparisons.append(measured)
        for peer, reason in measured.skipped.items():
            _say(f"{measured.title}, without {peer}: {reason}")
        for measurement in measured.measurements:
            _say(f"{measured.title}, {measurement}")
    if case.is_detailed:
        result.growth = measure_growth(case.size, device=device, seed=seed)
    return result


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
