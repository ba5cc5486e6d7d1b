"""Random shapes, values, types and options of the transducer loss against float64.

A seed stands for one problem; `make test` runs the first 500, `make fuzz` ten thousand. To see one
again: ``check(seed)``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.transducer.joiner import Joiner
from tests.losses.exact_transducer import Gradients, Problem, dense_logits, exact

BLOCK = 50
SMOOTH: list[Callable[[], nn.Module]] = [
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.Identity,
    partial(nn.SiLU, inplace=True),
    nn.Softplus,
]
KINKED: list[Callable[[], nn.Module]] = [nn.ReLU, partial(nn.LeakyReLU, 0.1), nn.Hardtanh, nn.PReLU]
REDUCTIONS = ["none", "sum", "mean", "token_mean"]


class Generic(Joiner):
    """Not the sum of two sides."""

    def forward(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        return self.output(self.activation(encoder_part + 0.5 * encoder_part * predictor_part))


def draw_lengths(rng: random.Random) -> tuple[list[int], list[int], int, int]:
    """Lengths of the utterances, T and U, at times larger than the longest one."""
    batch = rng.choice([1, 1, 2, 3, 4])
    most_frames, most_labels = rng.choice([1, 1, 2, 4, 14]), rng.choice([0, 1, 2, 5, 9])
    frames = [rng.randint(1, most_frames) for _ in range(batch)]
    labels = [rng.randint(0, most_labels) for _ in range(batch)]
    return (
        frames,
        labels,
        max(frames) + rng.choice([0, 0, 2]),
        max(labels) + rng.choice([0, 0, 1]),
    )


def draw_problem(seed: int) -> Problem:
    """Everything but the reduction."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    frames, labels, max_frames, max_labels = draw_lengths(rng)
    batch, num_outputs, size = len(frames), rng.randint(2, 12), rng.randint(1, 6)
    dtype = rng.choice([torch.float64, torch.float64, torch.float32, torch.bfloat16, torch.float16])
    autocast = dtype in (torch.float32, torch.float64) and rng.random() < 0.2
    is_coarse = autocast or dtype.itemsize < 4
    blank_index = rng.randrange(num_outputs)
    kind = rng.choice(["joint", "joint", "generic", "logits"])
    joiner = None
    if kind == "logits":
        inputs = {"logits": torch.randn(batch, max_frames, max_labels + 1, num_outputs)}
    else:
        joiner = (Generic if kind == "generic" else Joiner)(
            encoder_size=size,
            predictor_size=size,
            num_labels=num_outputs,
            joint_size=rng.choice([None, 3]),
            # A kink turns rounding into another gradient.
            activation=rng.choice(SMOOTH if is_coarse else SMOOTH + KINKED),
        ).to(dtype)
        inputs = {
            "encoder_out": torch.randn(batch, max_frames, size),
            "predictor_out": torch.randn(batch, max_labels + 1, size),
        }
    problem = Problem(
        inputs={name: x.to(dtype) for name, x in inputs.items()},
        targets=torch.randint(0, num_outputs - 1, (batch, max_labels)),
        num_frames=torch.tensor(frames, dtype=rng.choice([torch.long, torch.int32, torch.int8])),
        num_labels=torch.tensor(labels, dtype=rng.choice([torch.long, torch.int32])),
        joiner=joiner,
        blank_index=blank_index,
        fastemit_lambda=rng.choice([0.0, 0.0, 0.01, 0.5]),
        label_penalty=rng.choice([None, -torch.rand(batch, max_frames, max_labels)]),
        autocast=autocast,
    )
    problem.targets += problem.targets >= blank_index
    problem.targets = problem.targets.to(rng.choice([torch.long, torch.int32]))
    if joiner is not None:
        problem.options = {
            "occupancy_floor": rng.choice([0.0, 0.0, 1e-6, 1e-2]),
            "memory_budget_mib": rng.choice([None, 1e-9, 1e-4, 1e-3]),
        }
    with torch.no_grad():
        make_extreme(rng, problem)
        spoil_padding(rng, problem)
    make_views(rng, problem)
    return problem


def make_extreme(rng: random.Random, problem: Problem) -> None:
    """Huge logits, forbidden outputs, impossible cells."""
    logits = problem.inputs.get("logits")
    dtype = problem.dtype
    heights = [1.0] * 4 + [10.0, 100.0, 1e4]
    height = rng.choice(heights if dtype == torch.float16 else [*heights, 1e30])
    forbidden = [i for i in range(num_outputs_of(problem)) if rng.random() < 0.15]
    if logits is not None:
        logits.mul_(height)
        logits[..., forbidden] = -torch.inf
        if rng.random() < 0.1:
            logits[:, rng.randrange(logits.shape[1]), rng.randrange(logits.shape[2])] = -torch.inf
        return
    assert problem.joiner is not None and problem.joiner.output.bias is not None
    if rng.random() < 0.5:
        problem.joiner.output.bias.mul_(height)
    else:
        problem.joiner.output.weight.mul_(min(height, 1e3))
    if rng.random() < 0.5:
        problem.joiner.output.bias[forbidden] = -torch.inf


def num_outputs_of(problem: Problem) -> int:
    """V, blank included."""
    joiner = problem.joiner
    return problem.inputs["logits"].shape[-1] if joiner is None else joiner.num_labels


def spoil_padding(rng: random.Random, problem: Problem) -> None:
    """NaN and targets out of range where nothing is to be looked at."""
    # A projection's weights do see the padding.
    joiner = problem.joiner
    is_seen = joiner is not None and isinstance(joiner.encoder_projection, nn.Linear)
    for item, (t, u) in enumerate(zip(problem.num_frames, problem.num_labels, strict=True)):
        problem.targets[item, u:] = rng.choice([-100, 2**31 - 1, -(2**31), problem.blank_index])
        if problem.label_penalty is not None:
            problem.label_penalty[item, t:] = torch.nan
            problem.label_penalty[item, :, u:] = torch.inf
        if is_seen:
            continue
        for name, x in problem.inputs.items():
            x[item, u + 1 if name == "predictor_out" else t :] = torch.nan
            if name == "logits":
                x[item, :, u + 1 :] = torch.nan


def make_views(rng: random.Random, problem: Problem) -> None:
    """Odd strides, and only some gradients asked for."""
    for name, x in problem.inputs.items():
        if rng.random() < 0.3:
            x = x.transpose(0, -1).contiguous().transpose(0, -1)
        elif rng.random() < 0.2:
            x = x.repeat_interleave(2, 1)[:, ::2]
        problem.inputs[name] = x.requires_grad_()
    leaves = list(problem.leaves().values())
    if rng.random() < 0.3:
        for x in leaves:
            x.requires_grad_(rng.random() < 0.4)
        rng.choice(leaves).requires_grad_()


def largest(tensors: Iterable[Tensor]) -> float:
    """Largest finite absolute value."""
    sizes = [x.detach().double().abs() for x in tensors]
    return max(float(x.masked_fill(x == torch.inf, 0).max()) for x in sizes if x.numel())


@dataclass
class Tolerance:
    """How far rounding may move the results.

    It moves every logit of a joiner, these the score of an alignment; by as many nats the losses
    may move, and by the same share the occupancies, which all gradients are proportional to.
    """

    loss: float  # nats
    share: float  # of the gradients
    total: float  # the gradients of all arcs together are not larger
    smallest: float  # what underflows in all cells together
    factors: dict[str, float]  # for each leaf: how much a gradient by a logit may grow

    @classmethod
    def of(cls, problem: Problem, weights: Tensor) -> Tolerance:
        joiner, inputs = problem.in_double()
        num_frames, num_labels = problem.num_frames.long(), problem.num_labels.long()
        arcs = int((num_frames + num_labels).max())
        dtype = problem.dtype
        wide = torch.finfo(torch.promote_types(dtype, torch.float32)).eps
        with torch.no_grad():
            height = largest([dense_logits(joiner, inputs)])
            factors = dict.fromkeys(problem.leaves(), 1.0)
            # Ready logits are taken as they are, whatever their type.
            of_logit = 8 * wide
            if joiner is not None:
                sides = 1 + sum(
                    largest([x])
                    for x in (
                        joiner.project_encoder(inputs["encoder_out"]),
                        joiner.project_predictor(inputs["predictor_out"]),
                    )
                )
                weight = max(1.0, largest([joiner.output.weight]))
                is_low = problem.autocast and dtype == torch.float32
                eps = torch.finfo(torch.bfloat16 if is_low else dtype).eps
                of_logit += eps * (height + weight * sides)
                factors = dict.fromkeys(factors, weight * sides * (1 + largest(inputs.values())))
                factors |= {"output.bias": 1.0, "output.weight": sides}
        of_loss = arcs * of_logit + 1e-15 * arcs * arcs * height
        cells = int((num_frames * (num_labels + 1)).sum())
        dropped = float(problem.options.get("occupancy_floor", 0.0)) * cells
        info = torch.finfo(dtype)
        return cls(
            loss=of_loss,
            share=of_loss + 4 * info.eps + dropped,
            total=2
            * (1 + problem.fastemit_lambda)
            * float((weights.abs() * (num_frames + num_labels)).sum()),
            smallest=cells * info.tiny * info.eps,
            factors=factors,
        )


def check(seed: int) -> None:
    """One problem; an AssertionError, or any other, is a defect."""
    problem = draw_problem(seed)
    rng = random.Random(seed + 1)
    reduction = rng.choice(REDUCTIONS)
    if rng.random() < 0.15:
        check_refusal(rng, problem)
    if reduction == "none":
        weights = torch.randn(len(problem.num_frames), dtype=torch.float64)
        weights[rng.randrange(len(weights))] *= rng.choice([0.0, 1.0, 1e-6])
    else:
        weights = problem.weights(reduction)
    losses, gradients = exact(problem, weights)
    ours = problem.loss(reduction)
    expected = losses if reduction == "none" else (losses * weights).sum()
    tolerance = Tolerance.of(problem, weights)
    assert ours.dtype == (torch.float64 if problem.dtype == torch.float64 else torch.float32)
    assert not ours.isnan().any()
    torch.testing.assert_close(
        ours.double(),
        expected,
        rtol=torch.finfo(ours.dtype).eps * 4,
        atol=tolerance.loss * (len(losses) if reduction == "sum" else 1),
    )
    if not ours.requires_grad:
        return
    actual = problem.gradients(ours @ weights.to(ours.dtype) if reduction == "none" else ours)
    check_gradients(problem, actual, gradients, tolerance)


def check_gradients(
    problem: Problem, actual: Gradients, expected: Gradients, tolerance: Tolerance
) -> None:
    for name, gradient in actual.items():
        assert gradient.dtype == problem.leaves()[name].dtype
        assert gradient.isfinite().all(), name
        scale = tolerance.total * tolerance.factors[name]
        smallest = tolerance.smallest * tolerance.factors[name]
        assert gradient.abs().max() <= 1.1 * scale + smallest, name
        # Huge numbers in a coarse type leave no digits to compare.
        if tolerance.share < 0.3:
            error = float((gradient.double() - expected[name]).abs().max())
            assert error <= tolerance.share * scale + smallest, (name, error, tolerance)


def check_refusal(rng: random.Random, problem: Problem) -> None:
    """An argument out of range is named, with the item."""
    item, shape = rng.randrange(len(problem.num_frames)), problem.targets.shape
    max_frames = next(iter(problem.inputs.values())).shape[1]
    num_frames, num_labels = problem.num_frames.clone(), problem.num_labels.clone()
    target = problem.targets.clone()
    wrong: list[tuple[dict[str, Any], str]] = [({"reduction": "avg"}, "unknown reduction 'avg'")]
    if problem.joiner is not None:
        num_frames[item] = rng.choice([0, -1, max_frames + 1])
        num_labels[item] = rng.choice([-1, shape[1] + 1])
        wrong += [
            ({"num_frames": num_frames}, f"num_frames of item {item} is {num_frames[item]}"),
            ({"num_labels": num_labels}, f"num_labels of item {item} is {num_labels[item]}"),
            ({"occupancy_floor": rng.choice([-1e-9, 1.0, math.nan])}, "occupancy_floor must be"),
            ({"memory_budget_mib": rng.choice([0.0, -1.0, math.nan, math.inf])}, "memory_budget"),
            ({"blank_index": rng.choice([-1, problem.joiner.num_labels])}, "blank_index must be"),
        ]
        if problem.num_labels[item] > 0:
            place = rng.randrange(int(problem.num_labels[item]))
            target[item, place] = rng.choice(
                [problem.blank_index, -1, problem.joiner.num_labels, 2**31 - 1]
            )
            message = f"target {place} of item {item} is {target[item, place]}"
            with pytest.raises(ValueError, match=message):
                replace(problem, targets=target).loss()
    changed, message = rng.choice(wrong)
    with pytest.raises(ValueError, match=message):
        problem.loss(**{"reduction": "sum", **changed})


@pytest.mark.parametrize("block", range(500 // BLOCK))
def test_problems(block: int) -> None:
    check_block(block)


@pytest.mark.fuzz
@pytest.mark.parametrize("block", range(10_000 // BLOCK))
def test_many_problems(block: int) -> None:
    check_block(block)


def check_block(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        try:
            check(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
