"""Backward above an occupancy floor: the same gradient to that tolerance, fewer cells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sb_alexa.losses import transducer_joint
from sb_alexa.losses.transducer import transducer_lattice_loss
from sb_alexa.transducer.joiner import Joiner
from tests.losses.exact_transducer import Problem

NUM_FRAMES, NUM_LABELS = torch.tensor([50, 31, 50]), torch.tensor([12, 12, 5])


def confident_problem(dtype: torch.dtype = torch.float64) -> Problem:
    """Most cells are all but impossible."""
    joiner = Joiner(encoder_size=8, predictor_size=8, num_labels=10).to(dtype)
    with torch.no_grad():
        joiner.output.weight.mul_(8)
    return Problem(
        inputs={
            "encoder_out": torch.randn(3, 50, 8, dtype=dtype, requires_grad=True),
            "predictor_out": torch.randn(3, 13, 8, dtype=dtype, requires_grad=True),
        },
        targets=torch.randint(1, 10, (3, 12)),
        num_frames=NUM_FRAMES,
        num_labels=NUM_LABELS,
        joiner=joiner,
    )


def occupancies(problem: Problem) -> Tensor:
    """(B, T, U + 1) share of the alignments that pass through a cell."""
    logits = problem.joiner(  # type: ignore[misc]
        problem.inputs["encoder_out"][:, :, None], problem.inputs["predictor_out"][:, None]
    )
    log_probs = logits.detach().log_softmax(-1)
    index = problem.targets[:, None, :, None].expand(3, 50, 12, 1)
    arcs = log_probs[..., 0].clone(), log_probs[:, :, :12].gather(-1, index)[..., 0]
    for arc in arcs:
        arc.requires_grad_()
    loss = transducer_lattice_loss(*arcs, NUM_FRAMES, NUM_LABELS)
    blank, label = torch.autograd.grad(-loss.sum(), arcs)
    blank[:, :, :-1] += label
    return blank


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cells whose logits are made in the backward pass, slice by slice."""
    sizes = []
    plain = transducer_joint.logits_gradient

    def counting(logits: Tensor, *others: Tensor, **options: Tensor) -> Tensor:
        sizes.append(len(logits))
        return plain(logits, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(transducer_joint, "logits_gradient", counting)
    return sizes


@pytest.mark.parametrize("floor", [1e-9, 1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("budget_mib", [None, 1e-2])
def test_only_cells_above_the_floor_are_joined_again(
    joined: list[int], floor: float, budget_mib: float | None
) -> None:
    problem = confident_problem()
    share = occupancies(problem)
    num_cells = int((NUM_FRAMES * (NUM_LABELS + 1)).sum())
    kept = int((share >= floor).sum())
    assert 0 < kept < 0.7 * num_cells
    problem.loss("sum", occupancy_floor=floor, memory_budget_mib=budget_mib).backward()
    assert sum(joined) == kept


def test_vanished_cells_are_not_joined_at_floor_zero_either(joined: list[int]) -> None:
    problem = confident_problem()
    with torch.no_grad():
        problem.joiner.output.weight.mul_(30)  # type: ignore[union-attr]
    kept = int((occupancies(problem) > 0).sum())
    problem.loss("sum").backward()
    assert sum(joined) == kept < 0.7 * int((NUM_FRAMES * (NUM_LABELS + 1)).sum())


def test_all_cells_of_a_random_model_are_joined_in_blocks(joined: list[int]) -> None:
    problem = confident_problem()
    with torch.no_grad():
        problem.joiner.output.weight.mul_(0.01)  # type: ignore[union-attr]
    problem.loss("sum").backward()
    assert sum(joined) == int((NUM_FRAMES * (NUM_LABELS + 1)).sum())


@pytest.mark.parametrize("floor", [1e-9, 1e-6, 1e-3, 0.1])
def test_value_is_exact_and_gradient_off_by_what_was_dropped(floor: float) -> None:
    problem = confident_problem()
    exact = problem.loss("sum")
    gradients = problem.gradients(exact)
    floored = problem.loss("sum", occupancy_floor=floor)
    assert torch.equal(floored, exact)
    share = occupancies(problem)
    dropped = float(share[share < floor].sum())
    assert 0 < dropped <= floor * int((share < floor).sum())
    # A logit's gradient is below its cell's occupancy in size, and so are those it is handed to,
    # times weights below `largest` and tanh below 1.
    largest = float(problem.joiner.output.weight.detach().abs().max())  # type: ignore[union-attr]
    errors = {
        name: float((gradient - gradients[name]).abs().max())
        for name, gradient in problem.gradients(floored).items()
    }
    assert max(errors["output.weight"], errors["output.bias"]) <= dropped + 1e-13
    assert max(errors["encoder_out"], errors["predictor_out"]) <= 2 * largest * dropped + 1e-13
    assert max(errors.values()) > 0


def test_no_floor_is_exactly_the_default() -> None:
    problem = confident_problem()
    gradients = problem.gradients(problem.loss("sum"))
    for name, gradient in problem.gradients(problem.loss("sum", occupancy_floor=0.0)).items():
        assert torch.equal(gradient, gradients[name]), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gathered_cells_give_the_gradients_of_blocks(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = confident_problem(dtype)
    results = []
    for share in (0.0, 1.1):
        monkeypatch.setattr(transducer_joint, "_GATHERED_SHARE", share)
        results.append(problem.gradients(problem.loss("sum", memory_budget_mib=1e-2)))
    for name, gradient in results[0].items():
        tolerance = 50 * torch.finfo(dtype).eps * float(gradient.abs().max())
        torch.testing.assert_close(results[1][name], gradient, rtol=0, atol=tolerance)


@pytest.mark.parametrize("floor", [-1e-6, 1.0, float("nan"), float("inf")])
def test_bad_floors_are_refused(floor: float) -> None:
    with pytest.raises(ValueError, match=r"occupancy_floor must be in \[0, 1\), got .*; try 1e-6"):
        confident_problem().loss(occupancy_floor=floor)
