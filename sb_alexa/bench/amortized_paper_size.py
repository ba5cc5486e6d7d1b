"""The paper-size encoder with replayed gates beside the dense one: times and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sb_alexa.bench.amortized_regimes import OperationCheck, Regime, RegimeResult
from sb_alexa.bench.amortized_replay import GateRecording, build_dense, build_replaying
from sb_alexa.bench.operations import count_macs
from sb_alexa.bench.roofline import Roofline
from sb_alexa.bench.turns import time_in_turns
from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import CausalTransformer
from sb_alexa.metrics.compute import dense_macs, gated_macs
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


class PaperEncoders:
    """The dense encoder and those with replayed gates, all with random weights.

    Arguments
    ---------
    shape : TransformerShape
        Their sizes, with a bounded left context.
    model : AmortizedTransformerEncoder
        The trained encoder that the gates are from.
    recording : GateRecording
        Its gates.
    toggles : str | None
        What they toggle; None takes what the trained ones do.
    device : str
        Where to compute.
    """

    def __init__(
        self,
        shape: TransformerShape,
        model: AmortizedTransformerEncoder,
        recording: GateRecording,
        *,
        toggles: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.shape = shape
        self.toggles = toggles or model.toggles
        self.device = device
        self.dense = build_dense(shape).to(device)
        self._model = model
        self._recording = recording

    def gated(self, regime: Regime) -> AmortizedTransformerEncoder:
        """The encoder of a regime."""
        return build_replaying(
            self.shape,
            self._model,
            self._recording,
            toggles=self.toggles,
            toggle_every_frames=regime.toggle_every_frames,
            num_rows=regime.num_rows,
        ).to(self.device)


class _Runner:
    """Goes on with the same streams, or over the same utterances, from call to call."""

    def __init__(self, encoder: CausalTransformer[Any], regime: Regime, device: str) -> None:
        self.encoder = encoder
        self.regime = regime
        generator = torch.Generator().manual_seed(0)
        shape = (regime.num_rows, regime.step_frames, encoder.shape.input_size)
        self.x = torch.randn(shape, generator=generator).to(device)
        self.state: Any = None if regime.is_offline else encoder.initial_state(regime.num_rows)

    @torch.inference_mode()
    def run(self, num_steps: int) -> None:
        for _ in range(num_steps):
            if self.regime.is_offline:
                self.encoder.forward_counted(self.x)
            else:
                self.state = self.encoder.forward_chunk(self.x, self.state)[1]


def measure_regime(
    regime: Regime,
    encoders: PaperEncoders,
    roofline: Roofline,
    *,
    num_rounds: int,
    progress: Callable[[], object] = lambda: None,
) -> RegimeResult:
    """Let both encoders take turns, and count what the gates switched off meanwhile.

    Arguments
    ---------
    regime : Regime
        How they run.
    encoders : PaperEncoders
        The two.
    roofline : Roofline
        Of the device.
    num_rounds : int
        Turns of each.
    progress : Callable
        Called after each turn.

    Returns
    -------
    RegimeResult
        Times and counts of the same steps.
    """
    gated_encoder = encoders.gated(regime)
    gated = _Runner(gated_encoder, regime, encoders.device)
    dense = _Runner(encoders.dense, regime, encoders.device)
    warm_steps = _warm_steps(regime, encoders.shape)
    for runner in (gated, dense):
        runner.run(warm_steps)
    seconds = time_in_turns(
        {
            "gated": lambda: gated.run(regime.num_steps),
            "dense": lambda: dense.run(regime.num_steps),
        },
        num_rounds,
        encoders.device,
        progress,
    )
    # Offline, every round goes over the same utterances from their start.
    steps = 1 if regime.is_offline else num_rounds * regime.num_steps
    skipped_steps = 0 if regime.is_offline else warm_steps
    gates = _gates(gated_encoder, regime, skipped_steps + steps, encoders.device)
    skipped_frames = skipped_steps * regime.step_frames
    gated_count, dense_count = _macs_after(gated_encoder.shape, gates, skipped_frames)
    weights = needed_weights(gated_encoder.shape, gates, regime.step_frames, skipped_frames)
    all_on = Gates(
        *(torch.ones_like(part) for part in (gates.feed_forward, gates.query, gates.key))
    )
    dense_weights = needed_weights(encoders.shape, all_on, regime.step_frames, skipped_frames)
    return RegimeResult(
        regime,
        encoders.device,
        tuple(1000.0 * one / regime.num_steps for one in seconds["dense"]),
        tuple(1000.0 * one / regime.num_steps for one in seconds["gated"]),
        100.0 * (1.0 - gated_count / dense_count),
        roofline.time_ms(dense_weights, dense_count / steps),
        roofline.time_ms(weights, gated_count / steps),
    )


def check_operations(regime: Regime, encoders: PaperEncoders) -> OperationCheck:
    """Count what the encoder with gates executes in a turn, and compare with the formula.

    Arguments
    ---------
    regime : Regime
        How it runs.
    encoders : PaperEncoders
        Of which the one with gates is run.

    Returns
    -------
    OperationCheck
        Both counts.
    """
    encoder = encoders.gated(regime)
    runner = _Runner(encoder, regime, encoders.device)
    warm_steps = 0 if regime.is_offline else _warm_steps(regime, encoders.shape)
    runner.run(warm_steps)
    executed = count_macs(lambda: runner.run(regime.num_steps))
    gates = _gates(encoder, regime, warm_steps + regime.num_steps, encoders.device)
    formula = _macs_after(encoder.shape, gates, warm_steps * regime.step_frames)[0]
    frames = regime.num_steps * regime.step_frames * regime.num_rows
    return OperationCheck(executed / frames, formula / frames)


def needed_weights(
    shape: TransformerShape, gates: Gates, step_frames: int, skipped_frames: int = 0
) -> float:
    """Weights that a step has to read: those of the modules that any of its frames needs.

    Arguments
    ---------
    shape : TransformerShape
        Of the encoder.
    gates : Gates
        (B, T, ...) of all rows that are stepped together.
    step_frames : int
        Frames of a step.
    skipped_frames : int
        Frames at the beginning that are left out.

    Returns
    -------
    float
        Mean over the steps.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=3, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=5
    ... )
    >>> one = torch.tensor([True, False, False, False]).view(1, 4, 1, 1)
    >>> needed_weights(shape, Gates(one, one, one), 2)
    96.0
    """

    def steps(gate: Tensor) -> Tensor:
        of_steps = gate[:, skipped_frames:].unflatten(1, (-1, step_frames))
        return of_steps.any(dim=2).any(dim=0)  # (steps, N, G or H)

    feed_forward, query, key = steps(gates.feed_forward), steps(gates.query), steps(gates.key)
    heads = query.sum() + key.sum()
    gated = (
        2 * shape.d_model * shape.head_size * heads
        + 2 * shape.d_model * shape.group_size * feed_forward.sum()
    )
    # An arbitrator does one multiply-add with each of its weights per frame.
    always = shape.d_model * (shape.input_size + shape.output_size) + shape.arbitrator_macs
    return always + gated.item() / len(feed_forward)


def _warm_steps(regime: Regime, shape: TransformerShape) -> int:
    """Until the left context is full, for attention costs less before."""
    if regime.is_offline:
        return 1
    return -(-(shape.left_context_frames or 0) // regime.step_frames) + 1


@torch.inference_mode()
def _gates(
    encoder: AmortizedTransformerEncoder, regime: Regime, num_steps: int, device: str
) -> Gates:
    """The gates of so many steps from the start of the streams; a replay asks for no input."""
    frames = num_steps * regime.step_frames
    x = torch.zeros(regime.num_rows, frames, encoder.shape.input_size, device=device)
    gates = encoder.forward_with_gates(x)[1]
    return Gates(gates.feed_forward.cpu(), gates.query.cpu(), gates.key.cpu())


def _macs_after(shape: TransformerShape, gates: Gates, skipped_frames: int) -> tuple[float, float]:
    """Multiply-adds with gates and dense, of all frames but the first."""
    rows, frames = gates.feed_forward.shape[:2]
    counts = []
    for num_frames in (torch.full((rows,), frames), torch.full((rows,), skipped_frames)):
        gated = gated_macs(shape, gates, num_frames).total
        counts.append((gated, dense_macs(shape, num_frames).total))
    (gated, dense), (gated_before, dense_before) = counts
    return gated - gated_before, dense - dense_before
