"""The measurements of `sb-alexa bench amortized`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from sb_alexa.bench.amortized_paper_size import PaperEncoders, check_operations, measure_regime
from sb_alexa.bench.amortized_regimes import (
    GPU_REGIMES,
    REGIMES,
    OperationCheck,
    Regime,
    RegimeResult,
)
from sb_alexa.bench.amortized_speech import TestSpeech
from sb_alexa.bench.amortized_sweep import (
    SweepPoint,
    ThresholdModel,
    measure_sweep,
    recognise_all,
)
from sb_alexa.bench.machine import MachineReport, MachineWatch
from sb_alexa.bench.roofline import Roofline, measure_roofline
from sb_alexa.inference.model_folder import Model
from sb_alexa.nn.transformer_shape import TransformerShape

# Defaults of the encoders, which are those of the paper.
PAPER_SIZES = {
    "input_size": 192,
    "d_model": 516,
    "nhead": 4,
    "num_layers": 12,
    "d_ffn": 1024,
    "output_size": 512,
}
# Where nothing is packed, the operations executed must agree with the formula so well.
EXACT_REGIME = "frame_by_frame"
OPERATIONS_TOLERANCE_PERCENT = 1.0


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Arguments
    ---------
    num_rounds : int
        Turns of everything that is timed.
    seconds : float
        Audio of one stream for each threshold and round.
    max_streams : int
        Largest batch of streams that is tried.
    regimes : tuple of Regime
        Of the paper-size encoder.
    roofline_seconds : float
        Duration of each of the two products that measure the machine.
    """

    num_rounds: int = 11
    seconds: float = 10.0
    max_streams: int = 256
    regimes: tuple[Regime, ...] = REGIMES
    roofline_seconds: float = 1.0

    def changed(self, **values: float | None) -> Effort:
        """With other values, where they are given."""
        given = {name: value for name, value in values.items() if value is not None}
        return replace(self, **given)  # type: ignore[arg-type]

    @classmethod
    def quick(cls) -> Effort:
        """For a look at whether everything works."""
        regimes = tuple(regime.shortened() for regime in REGIMES)
        return cls(2, 1.0, 2, regimes, roofline_seconds=0.05)


@dataclass(frozen=True)
class AmortizedResult:
    """Everything that was measured.

    Arguments
    ---------
    sweep : list of SweepPoint
        The trained model, by threshold.
    num_utterances, num_speakers : int
        Test speech.
    model_threshold : float
        At which the replayed gates were recorded.
    regimes : list of RegimeResult
        The paper-size encoder, on the CPU and then on the GPU.
    shape : TransformerShape
        Of the paper-size encoder.
    rooflines : dict
        By device.
    operations : dict
        Executed multiply-adds beside the counted ones, by regime.
    machine : MachineReport
        Whether the machine was idle.
    stand_in : bool
        Whether the gates of the paper-size encoder take the decisions of others, see
        `GateRecording.as_published`.
    """

    sweep: list[SweepPoint]
    num_utterances: int
    num_speakers: int
    model_threshold: float
    regimes: list[RegimeResult]
    shape: TransformerShape
    rooflines: dict[str, Roofline]
    operations: dict[str, OperationCheck]
    machine: MachineReport
    stand_in: bool = False

    @property
    def exact_operations(self) -> OperationCheck:
        """Frame by frame, where what is executed is what the formula counts."""
        return self.operations[EXACT_REGIME]

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures for the JSON file."""
        figures: dict[str, float | None] = {
            "test_words": self.sweep[0].recognition.total.words,
            "test_speakers": self.num_speakers,
            "model_threshold": self.model_threshold,
        }
        for point in self.sweep:
            figures.update(point.figures)
        for regime in self.regimes:
            figures.update(regime.figures)
        for device, roofline in self.rooflines.items():
            prefix = "" if device == "cpu" else "gpu_"
            figures[f"{prefix}bandwidth_gb_per_s"] = roofline.gigabytes_per_second
            figures[f"{prefix}peak_gmac_per_s"] = roofline.macs_per_second / 1e9
        for name, check in self.operations.items():
            figures[f"{name}_executed_macs_per_frame"] = check.executed
            figures[f"{name}_formula_macs_per_frame"] = check.formula
            figures[f"{name}_executed_beyond_formula_percent"] = check.deviation_percent
        figures["idle"] = int(not self.machine.problems)
        figures["load_average"] = self.machine.load_average
        figures["other_cores"] = self.machine.other_cores
        figures["calibration_ms_before"], figures["calibration_ms_after"] = (
            self.machine.calibration_ms
        )
        return figures


def measure(
    model: Model,
    speech: TestSpeech,
    thresholds: Sequence[float],
    effort: Effort,
    *,
    chunk_ms: float = 150.0,
    left_context_frames: int = 100,
    own_toggles: bool = False,
    device: str = "cpu",
) -> AmortizedResult:
    """Measure a trained model, and the paper-size encoder with its gates.

    Arguments
    ---------
    model : Model
        From `open_amortized_model`.
    speech : TestSpeech
        Test utterances.
    thresholds : sequence of float
        0 to 1.
    effort : Effort
        How much is measured.
    chunk_ms : float
        Audio of a step of the trained model's streams.
    left_context_frames : int
        Of the paper-size encoder.
    own_toggles : bool
        Give the paper-size encoder the toggles of the model also where they are not the paper's:
        where feed-forward modules have groups, or attention has no toggles.
    device : str
        A GPU to measure too, or ``cpu``.

    Returns
    -------
    AmortizedResult
        All figures.
    """
    watch = MachineWatch()
    encoder = model.hparams["encoder"]
    # The gates are recorded at the model's own threshold, in the sweep or not.
    models = [ThresholdModel(model, one) for one in dict.fromkeys([*thresholds, encoder.threshold])]
    recognitions, recordings = recognise_all(models, speech)
    recording = next(
        one for one, by in zip(recordings, models, strict=True) if by.threshold == encoder.threshold
    )
    groups, toggles = encoder.shape.feed_forward_groups, encoder.toggles
    stand_in = not own_toggles and (groups > 1 or toggles == "feed_forward")
    if stand_in:
        recording, groups, toggles = recording.as_published(toggles), 1, "query_key"
    number = len(set(thresholds))
    sweep = measure_sweep(
        models[:number],
        recognitions[:number],
        speech,
        chunk_ms=chunk_ms,
        seconds=effort.seconds,
        num_rounds=effort.num_rounds,
        max_streams=effort.max_streams,
    )
    shape = TransformerShape(
        **PAPER_SIZES,
        left_context_frames=left_context_frames,
        # Of other widths than the trained ones; `GateRecording.mapped` stretches their gates.
        feed_forward_groups=math.gcd(PAPER_SIZES["d_ffn"], groups),
    )
    rooflines, regimes = {}, []
    for place in dict.fromkeys(["cpu", device]):
        encoders = PaperEncoders(shape, encoder, recording, toggles=toggles, device=place)
        wanted = [one for one in effort.regimes if place == "cpu" or one.name in GPU_REGIMES]
        if place == "cpu":
            operations = {one.name: check_operations(one, encoders) for one in effort.regimes}
        num_weights = sum(parameter.numel() for parameter in encoders.dense.parameters())
        rooflines[place] = measure_roofline(num_weights, place, seconds=effort.roofline_seconds)
        regimes += _measure_regimes(wanted, encoders, rooflines[place], effort.num_rounds)
    return AmortizedResult(
        sweep,
        len(speech.utterances),
        len({one.speaker for one in speech.utterances}),
        encoder.threshold,
        regimes,
        shape,
        rooflines,
        operations,
        watch.report(),
        stand_in,
    )


def _measure_regimes(
    regimes: Sequence[Regime], encoders: PaperEncoders, roofline: Roofline, num_rounds: int
) -> list[RegimeResult]:
    bar = tqdm(total=2 * num_rounds * len(regimes), desc="Paper-size encoder", disable=None)
    results = []
    for regime in regimes:
        bar.set_postfix_str(f"{regime.title}, {encoders.device}")
        results.append(
            measure_regime(regime, encoders, roofline, num_rounds=num_rounds, progress=bar.update)
        )
    bar.close()
    return results
