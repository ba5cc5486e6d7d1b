"""How the gates of an amortized encoder harden while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from sb_alexa.nn.gate_relaxation import GateRelaxation

# Share of the second phase. At its end the paper's temperature is a tenth, 88 % of the gates are
# within 0.1 of 0 or 1 even where the logit is 0, and the cost has long had its whole weight.
_SETTLED = 0.9


@dataclass(frozen=True)
class GatePhase:
    """What holds at one step.

    Arguments
    ---------
    relaxation : GateRelaxation
        How soft and how random gates are.
    cost_weight : float
        Weight of the compute cost beside the transducer loss, in nats per utterance.
    """

    relaxation: GateRelaxation
    cost_weight: float


@dataclass(frozen=True)
class TwoPhaseGateSchedule:
    """First soft gates without a cost, then a rising cost and gates that become samples of 0 or 1.

    In the second phase the temperature falls linearly from 1 to `final_temperature`, the noise
    rises linearly from 0 to `final_noise_scale`, and the weight of the compute cost rises from 0 to
    `cost_weight` within `ramp_steps`. The last `straight_through_steps` take the gates of
    evaluation, so that the model is trained as it will be used.

    Arguments
    ---------
    phase_one_steps : int
        Optimizer steps of the first phase; 0 starts with the second, which suits a pretrained
        model.
    num_steps : int
        Optimizer steps of the whole training.
    cost_weight : float
        beta, in nats per utterance for the whole cost of a dense encoder.
    ramp_steps : int | None
        Steps until beta is reached; None takes half of the second phase, or all of it before the
        straight-through steps where that is shorter.
    final_temperature : float
        tau at the end of the relaxation.
    final_noise_scale : float
        kappa at the end of the relaxation.
    straight_through_steps : int
        Steps at the end of the second phase with gates of 0 and 1, see `GateRelaxation`; 0 is the
        paper.
    frozen_steps : int
        Of the straight-through steps, the last ones that train everything but the gates.

    Raises
    ------
    ValueError
        If the first phase is longer than the training, or a number is out of range.

    Reference
    ---------
    Xie et al., Interspeech 2022, arXiv 2207.02393: 120 epochs and 80 epochs, tau from 1 to 1e-5,
    kappa from 0 to 1. The ramp of beta is described without its length.

    Example
    -------
    >>> schedule = TwoPhaseGateSchedule(phase_one_steps=100, num_steps=300, cost_weight=10.0)
    >>> schedule(100)
    GatePhase(relaxation=GateRelaxation(temperature=1.0, noise_scale=0.0, straight_through=False,
        frozen=False), cost_weight=0.0)
    >>> schedule(150).relaxation.noise_scale, schedule(150).cost_weight, schedule(250).cost_weight
    (0.25, 5.0, 10.0)
    """

    phase_one_steps: int
    num_steps: int
    cost_weight: float
    ramp_steps: int | None = None
    final_temperature: float = 1e-5
    final_noise_scale: float = 1.0
    straight_through_steps: int = 0
    frozen_steps: int = 0

    def __post_init__(self) -> None:
        if self.num_steps is None:
            raise ValueError(
                "gates harden over the steps of the training, and num_steps is null: set num_steps "
                "(and number_of_epochs to null: num_steps ends the training)"
            )
        if not 0 <= self.phase_one_steps <= self.num_steps or self.num_steps < 1:
            raise ValueError(
                f"the first phase of the gates takes phase_one_steps={self.phase_one_steps}, the "
                f"whole training num_steps={self.num_steps}: lower phase_one_steps to at most "
                "num_steps, or train longer"
            )
        if self.ramp_steps is not None and not 0 <= self.ramp_steps <= self.phase_two_steps:
            raise ValueError(
                f"ramp_steps={self.ramp_steps} must lie within the second phase of "
                f"{self.phase_two_steps} steps; lower it, or train longer"
            )
        if not 0 <= self.straight_through_steps <= self.phase_two_steps:
            raise ValueError(
                f"straight_through_steps={self.straight_through_steps} must lie within the second "
                f"phase of {self.phase_two_steps} steps; lower it, or train longer"
            )
        if not 0 <= self.frozen_steps <= self.straight_through_steps:
            raise ValueError(
                f"frozen_steps={self.frozen_steps} are some of the "
                f"straight_through_steps={self.straight_through_steps}: gates that stay as they "
                "are have to be those of evaluation"
            )
        if self.cost_weight < 0 or not 0 < self.final_temperature <= 1:
            raise ValueError(
                "cost_weight must be >= 0 and final_temperature within 0..1, not 0, got "
                f"{self.cost_weight} and {self.final_temperature}"
            )
        if self.final_noise_scale < 0:
            raise ValueError(
                f"final_noise_scale must be >= 0, got {self.final_noise_scale}; the paper takes 1, "
                "0 trains without noise"
            )

    @property
    def phase_two_steps(self) -> int:
        """Steps of the second phase."""
        return self.num_steps - self.phase_one_steps

    @property
    def relaxed_steps(self) -> int:
        """Steps of the second phase before the gates are those of evaluation."""
        return self.phase_two_steps - self.straight_through_steps

    def has_settled(self, step: int) -> bool:
        """Whether the gates after a step are nearly those of the last one.

        Evaluation takes gates of 0 and 1 at any time, but early in training they are nearly all
        on: the word error rate is that of a dense encoder, and a choice of checkpoints by it would
        take one from before the gates closed. They have settled in the last tenth of the second
        phase. Without a second phase nothing closes, and all steps count alike.

        Arguments
        ---------
        step : int
            Optimizer steps made.

        Example
        -------
        >>> schedule = TwoPhaseGateSchedule(phase_one_steps=100, num_steps=300, cost_weight=10.0)
        >>> schedule.has_settled(279), schedule.has_settled(280)
        (False, True)
        """
        if self.phase_two_steps == 0:
            return True
        return step >= self.phase_one_steps + _SETTLED * self.phase_two_steps

    def __call__(self, step: int) -> GatePhase:
        """What holds at an optimizer step, counted from 1."""
        into = step - self.phase_one_steps
        if into <= 0:
            return GatePhase(GateRelaxation(), 0.0)
        ramp_steps: float | None = self.ramp_steps
        if ramp_steps is None:
            ramp_steps = min(self.phase_two_steps / 2, self.relaxed_steps)
        weight = self.cost_weight * (min(1.0, into / ramp_steps) if ramp_steps else 1.0)
        if into > self.relaxed_steps:
            hard = self.straight_through_steps > 0
            frozen = self.frozen_steps > 0 and into > self.phase_two_steps - self.frozen_steps
            last = GateRelaxation(self.final_temperature, self.final_noise_scale, hard, frozen)
            return GatePhase(last, weight)
        progress = into / self.relaxed_steps
        temperature = 1.0 + progress * (self.final_temperature - 1.0)
        return GatePhase(GateRelaxation(temperature, progress * self.final_noise_scale), weight)
