"""The cohort of a speaker beside every frame."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.cohort_input import CohortInput
from sb_alexa.nn.frame_stacking import FrameStacking
from sb_alexa.streaming.sequential import StreamingSequential


def test_telling_afterwards_equals_knowing_from_the_start() -> None:
    cohort_input = CohortInput(num_features=4).eval()
    chain = StreamingSequential(cohort_input, FrameStacking(num_features=6, num_frames=3))
    x, cohorts = torch.randn(3, 9, 4), torch.tensor([0, 1, 1])
    told = cohort_input.tell(chain(x), cohorts)
    state = (cohort_input.state_of(cohorts), *chain.initial_state(3)[1:])
    known, _ = chain.forward_chunk(x, state)
    assert torch.equal(told, known)
    assert not torch.equal(told, chain(x)), "unknown is something else"


def test_in_training_some_stay_unknown() -> None:
    cohort_input = CohortInput(num_features=1, unknown_rate=0.25)
    cohorts = torch.arange(4000) % 2
    told = cohort_input.tell(torch.zeros(4000, 2, 3), cohorts)
    known = told[:, :, 1:].sum(dim=2)
    assert torch.equal(known[:, 0], known[:, 1]), "an utterance is known as a whole or not at all"
    assert 1 - known[:, 0].mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(told[known[:, 0] == 1, 0, 2].long(), cohorts[known[:, 0] == 1])
    in_evaluation = cohort_input.eval().tell(torch.zeros(4000, 2, 3), cohorts)
    assert in_evaluation[:, :, 1:].sum(dim=2).eq(1).all()


def test_precision_and_gradients_are_those_of_the_features() -> None:
    features = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    told = CohortInput(num_features=1).eval().tell(features, torch.tensor([0, 1]))
    told.sum().backward()
    assert told.dtype == torch.float64 and features.grad is not None
    assert features.grad[0, 0].tolist() == [1, 0, 0, 1, 0, 0]


def test_wrong_use_is_named() -> None:
    module = CohortInput(num_features=2)
    with pytest.raises(ValueError, match="width 6 are no stack of frames of 4"):
        module.tell(torch.zeros(1, 2, 6), torch.tensor([0]))
    for cohorts in ([2], [-1]):
        with pytest.raises(ValueError, match=r"numbers in 0..1, got"):
            module.tell(torch.zeros(1, 2, 4), torch.tensor(cohorts))
    with pytest.raises(ValueError, match="num_cohorts >= 2"):
        CohortInput(num_features=2, num_cohorts=1)
    with pytest.raises(ValueError, match="unknown_rate must lie"):
        CohortInput(num_features=2, unknown_rate=1.0)
