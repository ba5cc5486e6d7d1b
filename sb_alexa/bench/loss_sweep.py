"""Time and memory of the transducer loss against T and V."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tqdm import tqdm

from sb_alexa.bench.extra_memory import with_memory_use
from sb_alexa.bench.loss_cases import LossSize, random_tensors
from sb_alexa.bench.loss_run import ComparisonResult, load_kernels, measure, step
from sb_alexa.bench.loss_variants import exact, random_comparison

GROWTH_FACTOR = 4
_BASE = LossSize(2, 100, 20, 500)
_FRAMES = (50, 100, 200, 400)
_VOCABULARIES = (250, 500, 1000, 2000, 4000)


@dataclass(frozen=True)
class SweepPoint:
    """What was measured with one size.

    Arguments
    ---------
    axis : str
        ``t`` or ``v``, what varies.
    size : LossSize
        The batch.
    result : ComparisonResult
        All variants.
    """

    axis: str
    size: LossSize
    result: ComparisonResult

    @property
    def position(self) -> int:
        """T or V."""
        return self.size.num_frames if self.axis == "t" else self.size.vocabulary_size

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures with T or V in their names."""
        figures: dict[str, float | None] = {}
        for measurement in self.result.measurements:
            name = f"sweep_{self.axis}_{self.position}_{{}}_{measurement.variant.figure}"
            figures[name.format("seconds")] = measurement.median_seconds
            figures[name.format("memory_mib")] = measurement.extra_mib
        return figures


@dataclass(frozen=True)
class MemoryGrowth:
    """Extra memory of the exact loss at one size, and with V or T four times as large.

    Arguments
    ---------
    base_mib, vocabulary_mib, frames_mib : float | None
        MiB; None where the system does not tell.

    Example
    -------
    >>> MemoryGrowth(20.0, 22.0, 50.0).figures["memory_growth_vocabulary_4x"]
    1.1
    """

    base_mib: float | None
    vocabulary_mib: float | None
    frames_mib: float | None

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures."""
        return {
            f"memory_mib_vocabulary_{GROWTH_FACTOR}x": self.vocabulary_mib,
            f"memory_mib_frames_{GROWTH_FACTOR}x": self.frames_mib,
            f"memory_growth_vocabulary_{GROWTH_FACTOR}x": self._growth(self.vocabulary_mib),
            f"memory_growth_frames_{GROWTH_FACTOR}x": self._growth(self.frames_mib),
        }

    def _growth(self, mib: float | None) -> float | None:
        return mib / self.base_mib if mib and self.base_mib else None


def sweep_sizes() -> list[tuple[str, LossSize]]:
    """Axis and size of each point: T with U = T / 5, and V.

    Example
    -------
    >>> axis, size = sweep_sizes()[0]
    >>> axis, str(size)
    ('t', 'B 2, T 50, U 10, V 500')
    """
    by_frames = [replace(_BASE, num_frames=t, num_labels=t // 5) for t in _FRAMES]
    by_vocabulary = [replace(_BASE, vocabulary_size=v) for v in _VOCABULARIES]
    return [("t", size) for size in by_frames] + [("v", size) for size in by_vocabulary]


def sweep(
    sizes: Sequence[tuple[str, LossSize]], *, device: str, seed: int, num_rounds: int
) -> list[SweepPoint]:
    """Measure all variants on random weights at each size.

    Arguments
    ---------
    sizes : sequence of (str, LossSize)
        What varies, ``t`` or ``v``, and the size.
    device : str
        Where.
    seed : int
        Of lengths, values and weights.
    num_rounds : int
        Timed runs of each variant.

    Returns
    -------
    list of SweepPoint
        One for each size.
    """
    points = []
    for axis, size in tqdm(sizes, desc="Sweep of T and V", unit="size", disable=None):
        _load_kernels(size, device, seed)
        comparison = random_comparison(random_tensors(size, seed=seed, device=device))
        result = measure(comparison, num_rounds=num_rounds, in_float64=False)
        points.append(SweepPoint(axis, size, result))
    return points


def measure_growth(size: LossSize, *, device: str, seed: int) -> MemoryGrowth:
    """Measure the memory of the exact loss at a size, with four times V, and with four times T.

    Arguments
    ---------
    size : LossSize
        The base.
    device : str
        Where.
    seed : int
        Of lengths, values and weights.

    Returns
    -------
    MemoryGrowth
        The three.
    """
    wide = replace(size, vocabulary_size=GROWTH_FACTOR * size.vocabulary_size)
    long = replace(size, num_frames=GROWTH_FACTOR * size.num_frames)
    return MemoryGrowth(*(_exact_mib(each, device, seed) for each in (size, wide, long)))


def _exact_mib(size: LossSize, device: str, seed: int) -> float | None:
    _load_kernels(size, device, seed)
    tensors = random_tensors(size, seed=seed, device=device)
    use = with_memory_use(partial(step, exact, tensors), device)[1]
    return None if use is None else use.extra_mib


def _load_kernels(size: LossSize, device: str, seed: int) -> None:
    load_kernels(random_comparison(random_tensors(size.miniature(), seed=seed, device=device)))
