"""The two phases in which gates harden."""

from __future__ import annotations

from typing import Any

import pytest

from sb_alexa.nn.gate_relaxation import GateRelaxation
from sb_alexa.training.gate_schedule import GatePhase, TwoPhaseGateSchedule


def schedule(**changes: Any) -> TwoPhaseGateSchedule:
    settings = {"phase_one_steps": 60, "num_steps": 100, "cost_weight": 8.0, **changes}
    return TwoPhaseGateSchedule(**settings)


def test_the_first_phase_is_soft_and_free() -> None:
    for step in (1, 30, 60):
        assert schedule()(step) == GatePhase(GateRelaxation(1.0, 0.0), 0.0)


def test_the_second_phase_ends_with_samples_at_full_cost() -> None:
    phases = [schedule()(step) for step in range(60, 101)]
    temperatures = [phase.relaxation.temperature for phase in phases]
    noises = [phase.relaxation.noise_scale for phase in phases]
    weights = [phase.cost_weight for phase in phases]
    assert temperatures == sorted(temperatures, reverse=True) and noises == sorted(noises)
    assert temperatures[-1] == pytest.approx(1e-5) and noises[-1] == 1.0
    # The cost has its whole weight after half of the phase.
    assert weights[19] < 8.0 and weights[20:] == [8.0] * 21
    assert weights[10] == pytest.approx(4.0)
    assert schedule()(1000).relaxation.temperature == pytest.approx(1e-5)
    assert schedule()(1000).relaxation.noise_scale == 1.0


def test_the_last_steps_take_the_gates_of_evaluation() -> None:
    one = schedule(straight_through_steps=20, final_temperature=0.2)
    relaxations = [one(step).relaxation for step in range(61, 101)]
    assert [relaxation.straight_through for relaxation in relaxations] == [False] * 20 + [True] * 20
    # The relaxation has come to its end before.
    assert relaxations[19].temperature == pytest.approx(0.2)
    assert relaxations[19].noise_scale == 1.0
    assert relaxations[9].temperature == pytest.approx(0.6)


def test_the_ramp_of_the_cost_has_a_length_of_its_own() -> None:
    assert schedule(ramp_steps=0)(61).cost_weight == 8.0
    assert schedule(ramp_steps=40)(80).cost_weight == pytest.approx(4.0)


def test_the_cost_has_risen_before_gates_are_hard() -> None:
    """The model adapts to hard gates that no longer close."""
    one = schedule(straight_through_steps=30)
    assert one(65).cost_weight == pytest.approx(4.0)
    assert one(70).cost_weight == 8.0


def test_gates_can_be_frozen_while_they_are_hard() -> None:
    one = schedule(straight_through_steps=20, frozen_steps=15)
    assert [one(step).relaxation.frozen for step in range(61, 101)] == [False] * 25 + [True] * 15
    assert one(81).relaxation.straight_through and one(100).relaxation.straight_through
    with pytest.raises(
        ValueError, match="frozen_steps=21 are some of the straight_through_steps=2"
    ):
        schedule(straight_through_steps=20, frozen_steps=21)


def test_noise_can_be_left_away() -> None:
    one = schedule(final_noise_scale=0.0, straight_through_steps=20)
    assert {one(step).relaxation.noise_scale for step in range(101)} == {0.0}
    assert schedule(final_noise_scale=0.5)(80).relaxation.noise_scale == pytest.approx(0.25)


@pytest.mark.parametrize(("phase_one", "first"), [(60, 96), (0, 90), (99, 100), (100, 0)])
def test_gates_settle_in_the_last_tenth_of_the_second_phase(phase_one: int, first: int) -> None:
    settled = [schedule(phase_one_steps=phase_one).has_settled(step) for step in range(101)]
    assert settled == [step >= first for step in range(101)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase_one_steps": 101}, "phase_one_steps=101.*num_steps=100: lower phase_one_steps"),
        ({"phase_one_steps": -1}, "phase_one_steps=-1"),
        ({"num_steps": None}, "num_steps is null: set num_steps"),
        ({"straight_through_steps": 41}, "straight_through_steps=41 must lie within the second"),
        ({"ramp_steps": 41}, "ramp_steps=41 must lie within the second phase of 40 steps"),
        ({"cost_weight": -1.0}, "cost_weight must be >= 0"),
        ({"final_noise_scale": -0.1}, "final_noise_scale must be >= 0, got -0.1"),
        ({"final_temperature": 0.0}, "final_temperature within 0..1"),
    ],
)
def test_an_impossible_schedule_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule(**changes)
