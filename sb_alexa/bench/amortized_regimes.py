"""The ways an encoder may run, and what is counted and measured in each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sb_alexa.bench.median import Median

# Of a frame of the paper's encoder.
_FRAME_MS = 30


@dataclass(frozen=True)
class Regime:
    """How an encoder is run.

    Arguments
    ---------
    name : str
        Of its figures.
    num_rows : int
        Streams or utterances side by side.
    step_frames : int
        Frames of a step; of an utterance offline.
    num_steps : int
        Steps that are timed together.
    is_offline : bool
        Whole utterances instead of streams.
    toggle_every_frames : int
        Frames that a decision holds.
    target_ratio : float | None
        Measured over counted reduction that is aimed at on a CPU.
    """

    name: str
    num_rows: int
    step_frames: int
    num_steps: int
    is_offline: bool = False
    toggle_every_frames: int = 1
    target_ratio: float | None = None

    @property
    def title(self) -> str:
        """Of its row.

        Example
        -------
        >>> Regime("streams", num_rows=32, step_frames=5, num_steps=26).title
        '32 streams, 150 ms'
        """
        if self.is_offline:
            return f"{self.num_rows} utterances of {self.step_frames * _FRAME_MS / 1000:g} s"
        streams = "one stream" if self.num_rows == 1 else f"{self.num_rows} streams"
        together = self.toggle_every_frames > 1
        chunkwise = f", toggles every {self.toggle_every_frames * _FRAME_MS} ms" if together else ""
        return f"{streams}, {self.step_frames * _FRAME_MS} ms{chunkwise}"

    def shortened(self) -> Regime:
        """For a look at whether everything works."""
        return replace(
            self,
            num_rows=min(self.num_rows, 4),
            step_frames=min(self.step_frames, 20),
            num_steps=min(self.num_steps, 3),
        )


# Offline, equal lengths: nobody gains by skipping padding.
REGIMES = (
    Regime("frame_by_frame", 1, step_frames=1, num_steps=60, target_ratio=0.7),
    Regime("offline", 16, step_frames=400, num_steps=1, is_offline=True, target_ratio=0.7),
    Regime("chunks", 1, step_frames=5, num_steps=40),
    Regime(
        "chunks_chunkwise",
        1,
        step_frames=5,
        num_steps=40,
        toggle_every_frames=5,
        target_ratio=0.6,
    ),
    # So many steps that both renew the storage of their caches in every turn.
    Regime("streams", 32, step_frames=5, num_steps=26, target_ratio=0.5),
    Regime("streams_chunkwise", 32, step_frames=5, num_steps=26, toggle_every_frames=5),
)
# A single stream leaves a GPU idle.
GPU_REGIMES = frozenset(regime.name for regime in REGIMES if regime.num_rows > 1)


@dataclass(frozen=True)
class RegimeResult:
    """What was measured in a regime.

    Arguments
    ---------
    regime : Regime
        Which.
    device : str
        Where.
    dense_ms, gated_ms : tuple of float
        Time of a step in each round.
    counted_reduction : float
        Multiply-adds saved in these steps, arbitrators included, in percent of the dense encoder's.
    dense_roofline_ms, gated_roofline_ms : float
        The least time of a step.
    """

    regime: Regime
    device: str
    dense_ms: tuple[float, ...]
    gated_ms: tuple[float, ...]
    counted_reduction: float
    dense_roofline_ms: float
    gated_roofline_ms: float

    @property
    def measured_reduction(self) -> Median:
        """Time saved, in percent of the dense encoder's in the same round."""
        pairs = zip(self.gated_ms, self.dense_ms, strict=True)
        return Median.of([100.0 * (1.0 - gated / dense) for gated, dense in pairs])

    @property
    def measured_over_counted(self) -> float:
        """How much of the counted saving is a saving of time."""
        return self.measured_reduction.median / self.counted_reduction

    @property
    def target_ratio(self) -> float | None:
        """What `measured_over_counted` should reach."""
        return self.regime.target_ratio if self.device == "cpu" else None

    @property
    def figures(self) -> dict[str, float]:
        """Flat figures with the regime's name, and before it ``gpu_`` on a GPU."""
        measured = self.measured_reduction
        figures = {
            "counted_reduction": self.counted_reduction,
            "measured_reduction": measured.median,
            "measured_reduction_low": measured.low,
            "measured_reduction_high": measured.high,
            "measured_over_counted": self.measured_over_counted,
            "dense_ms": Median.of(self.dense_ms).median,
            "ours_ms": Median.of(self.gated_ms).median,
            "dense_roofline_ms": self.dense_roofline_ms,
            "roofline_ms": self.gated_roofline_ms,
        }
        prefix = "" if self.device == "cpu" else "gpu_"
        return {f"{prefix}{self.regime.name}_{name}": value for name, value in figures.items()}


@dataclass(frozen=True)
class OperationCheck:
    """Executed multiply-adds beside those of the formula.

    Arguments
    ---------
    executed, formula : float
        Per frame.
    """

    executed: float
    formula: float

    @property
    def deviation_percent(self) -> float:
        """Executed beyond the formula, in percent."""
        return 100.0 * (self.executed / self.formula - 1.0)
