"""Problems for the transducer loss, and their exact values and gradients in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sb_alexa.lengths import length_mask, relative_lengths
from sb_alexa.losses.transducer import transducer_loss, transducer_loss_from_logits
from sb_alexa.losses.transducer_reference import reference_transducer_loss
from sb_alexa.transducer.joiner import Joiner

Gradients = dict[str, Tensor]


@dataclass
class Problem:
    """A batch with a joiner and its two inputs, or with ready logits."""

    inputs: dict[str, Tensor]
    targets: Tensor
    num_frames: Tensor
    num_labels: Tensor
    joiner: Joiner | None = None
    blank_index: int = 0
    fastemit_lambda: float = 0.0
    label_penalty: Tensor | None = None
    # What changes nothing, or little: occupancy_floor and memory_budget_mib.
    options: dict[str, Any] = field(default_factory=dict)
    autocast: bool = False

    def loss(self, reduction: str = "none", **changed: Any) -> Tensor:
        shared = {
            "fastemit_lambda": self.fastemit_lambda,
            "label_penalty": self.label_penalty,
            "reduction": reduction,
        }
        lengths = {"num_frames": self.num_frames, "num_labels": self.num_labels}
        with torch.autocast("cpu", torch.bfloat16) if self.autocast else contextlib.nullcontext():
            if self.joiner is None:
                logits = self.inputs["logits"]
                lens = (
                    relative_lengths(self.num_frames, logits.shape[1]),
                    relative_lengths(self.num_labels, self.targets.shape[1]),
                )
                return transducer_loss_from_logits(
                    logits, self.targets, *lens, self.blank_index, **{**shared, **changed}
                )
            return transducer_loss(
                self.inputs["encoder_out"],
                self.inputs["predictor_out"],
                self.joiner,
                self.targets,
                **{
                    "blank_index": self.blank_index,
                    **lengths,
                    **shared,
                    **self.options,
                    **changed,
                },
            )

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.inputs.values())).dtype

    def leaves(self) -> dict[str, Tensor]:
        """Whatever may have a gradient."""
        return {**self.inputs, **dict(self.joiner.named_parameters() if self.joiner else ())}

    def gradients(self, loss: Tensor) -> Gradients:
        """Of all leaves that require one."""
        leaves = {name: x for name, x in self.leaves().items() if x.requires_grad}
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def weights(self, reduction: str) -> Tensor:
        """(B,) the weights that a reduction gives to the losses of the utterances."""
        batch = len(self.num_frames)
        total = {"sum": 1, "mean": batch, "token_mean": max(int(self.num_labels.sum()), 1)}
        return torch.full((batch,), 1 / total[reduction], dtype=torch.float64)

    def in_double(self) -> tuple[Joiner | None, dict[str, Tensor]]:
        """Joiner and inputs in float64, with zeros in the padding."""
        sizes = {"encoder_out": (1,), "predictor_out": (2,), "logits": (1, 2)}
        lengths = {1: self.num_frames.long(), 2: self.num_labels.long() + 1}
        inputs = {}
        for name, x in self.inputs.items():
            x = x.detach().double()
            for which in sizes[name]:
                dim = which if name == "logits" else 1
                shape = [len(x)] + [1] * (x.dim() - 1)
                shape[dim] = x.shape[dim]
                mask = length_mask(lengths[which], x.shape[dim]).view(shape)
                x = torch.where(mask, x, 0.0)
            inputs[name] = x.requires_grad_()
        joiner = None
        if self.joiner is not None:
            joiner = deepcopy(self.joiner).double().requires_grad_()
        return joiner, inputs


def dense_logits(joiner: Joiner | None, inputs: dict[str, Tensor]) -> Tensor:
    """(B, T, U + 1, V) at once."""
    if joiner is None:
        return inputs["logits"]
    encoder, predictor = inputs["encoder_out"], inputs["predictor_out"]
    return joiner(
        joiner.project_encoder(encoder)[:, :, None], joiner.project_predictor(predictor)[:, None]
    )


def arcs_of(logits: Tensor, targets: Tensor, blank_index: int) -> tuple[Tensor, Tensor]:
    """(T, U + 1) blank and (T, U) label log-probabilities of (T, U + 1, V) logits and (U,)."""
    is_empty = (logits == -torch.inf).all(-1, keepdim=True)
    log_probs = torch.where(is_empty, 0.0, logits).log_softmax(-1)
    log_probs = torch.where(is_empty, -torch.inf, log_probs)
    label = log_probs[:, : len(targets)].gather(
        -1, targets.long()[None, :, None].expand(len(logits), -1, 1)
    )
    return log_probs[..., blank_index], label[..., 0]


@torch.enable_grad()
def exact(problem: Problem, weights: Tensor) -> tuple[Tensor, Gradients]:
    """(B,) losses, and the gradients of their weighted sum, by the node-by-node reference."""
    joiner, inputs = problem.in_double()
    logits = dense_logits(joiner, inputs)
    losses: list[float] = []
    outputs: list[Tensor] = []
    grads: list[Tensor] = []
    for item, (t, u) in enumerate(
        zip(problem.num_frames.tolist(), problem.num_labels.tolist(), strict=True)
    ):
        arcs = arcs_of(logits[item, :t, : u + 1], problem.targets[item, :u], problem.blank_index)
        penalty = problem.label_penalty
        reference = reference_transducer_loss(
            arcs[0].tolist(),
            arcs[1].tolist(),
            fastemit_lambda=problem.fastemit_lambda,
            label_penalty=None if penalty is None else penalty[item, :t, :u].tolist(),
        )
        losses.append(reference.loss)
        outputs += arcs
        for arc, grad in zip(arcs, (reference.blank_grad, reference.label_grad), strict=True):
            grads.append(weights[item] * torch.tensor(grad, dtype=torch.float64).view_as(arc))
    leaves = {**inputs, **dict(joiner.named_parameters() if joiner else ())}
    results = torch.autograd.grad(outputs, list(leaves.values()), grads)
    return torch.tensor(losses, dtype=torch.float64), dict(zip(leaves, results, strict=True))


@torch.enable_grad()
def enumerated(problem: Problem, weights: Tensor) -> tuple[Tensor, Gradients]:
    """The same from the list of all alignments; autograd differentiates FastEmit's definition."""
    joiner, inputs = problem.in_double()
    logits = dense_logits(joiner, inputs)
    losses, objective = [], logits.new_zeros(())
    for item, (t, u) in enumerate(
        zip(problem.num_frames.tolist(), problem.num_labels.tolist(), strict=True)
    ):
        blank, label = arcs_of(
            logits[item, :t, : u + 1], problem.targets[item, :u], problem.blank_index
        )
        penalised = label
        if problem.label_penalty is not None:
            penalised = label + problem.label_penalty[item, :t, :u].double()
        scores, label_sums = [], []
        for alignment in alignments(t, u):
            emitted = [place for is_label, *place in alignment if is_label]
            blanks = [place for is_label, *place in alignment if not is_label]
            scores.append(
                torch.stack([blank[a, b] for a, b in blanks]).sum()
                + sum(penalised[a, b] for a, b in emitted)
            )
            label_sums.append(logits.new_zeros(()) + sum(label[a, b] for a, b in emitted))
        score = torch.stack(scores)
        # sum(stop_gradient(occupancy) * label_logp), over alignments instead of arcs
        share = score.softmax(0).detach()
        frozen = problem.fastemit_lambda * (share * torch.stack(label_sums)).sum()
        loss = -score.logsumexp(0)
        losses.append(loss.detach())
        objective = objective + weights[item] * (loss - frozen)
    leaves = {**inputs, **dict(joiner.named_parameters() if joiner else ())}
    results = torch.autograd.grad(objective, list(leaves.values()))
    return torch.stack(losses), dict(zip(leaves, results, strict=True))


def alignments(num_frames: int, num_labels: int) -> Iterator[list[tuple[bool, int, int]]]:
    """All ways through the lattice as lists of arcs (is a label, t, u)."""
    # A choice of places for the labels among all arcs but the last, which is a blank.
    for places in combinations(range(num_frames + num_labels - 1), num_labels):
        t = u = 0
        arcs = []
        for step in range(num_frames + num_labels):
            arcs.append((step in places, t, u))
            t, u = (t, u + 1) if step in places else (t + 1, u)
        yield arcs


def relative_errors(actual: Gradients, expected: Gradients) -> dict[str, float]:
    """Of each tensor: its largest absolute error, relative to its largest absolute value."""
    return {
        name: float(
            (gradient.double() - expected[name]).abs().max()
            / expected[name].abs().max().clamp(min=1e-300)
        )
        for name, gradient in actual.items()
    }
