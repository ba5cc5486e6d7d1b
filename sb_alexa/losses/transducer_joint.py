"""Joiner and arc log-probabilities in one, without the logits of the whole lattice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.losses.joint_activation import Activation
from sb_alexa.losses.second_derivative import without_second_derivative
from sb_alexa.losses.transducer_arcs import arc_log_probs, cell_labels, logits_gradient
from sb_alexa.nn.additive_joint import AdditiveJoint

# Below this share of cells with a gradient, the backward pass gathers them; above, the gaps cost
# less than gathering.
_GATHERED_SHARE = 0.8


def joint_arc_log_probs(
    encoder_part: Tensor,
    predictor_part: Tensor,
    joiner: AdditiveJoint,
    targets: Tensor,
    *,
    num_frames: list[int],
    num_labels: list[int],
    blank_index: int,
    buffer_bytes: int,
    is_kept: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the two arcs of every cell.

    Slices of cells run through the joiner in buffers of a fixed size, and again in the backward
    pass, where their gradients go at once to the inputs and weights. What is kept between the two
    is one number for each cell. Cells without a gradient are not computed again.

    Arguments
    ---------
    encoder_part : Tensor
        (B, T, J).
    predictor_part : Tensor
        (B, U + 1, J).
    joiner : AdditiveJoint
        One for which `sb_alexa.losses.joiner_protocol.is_additive` holds.
    targets : Tensor
        (B, U) labels; the padding may hold anything.
    num_frames : list of int
        (B,).
    num_labels : list of int
        (B,).
    blank_index : int
        Position of the blank.
    buffer_bytes : int
        Size of the buffers; a slice has at least one frame.
    is_kept : Tensor | None
        (B, T, U + 1) bool: the cells to compute; the arcs of the others have log-probability -inf.
        None means all.

    Returns
    -------
    blank_logp : Tensor
        (B, T, U + 1) nats, float64; 0 in the padding.
    label_logp : Tensor
        (B, T, U) nats, float64.
    """
    labels = cell_labels(targets, num_labels)  # (B, U + 1)
    plan = _Plan(tuple(num_frames), tuple(num_labels), blank_index, buffer_bytes)
    return _JointArcs.apply(
        encoder_part,
        predictor_part,
        joiner.output.weight,
        joiner.output.bias,
        labels,
        is_kept,
        Activation(joiner.activation),
        plan,
        _compute_dtype(encoder_part, predictor_part, joiner.output.weight),
    )


@dataclass(frozen=True)
class _Plan:
    """What does not change between the passes."""

    num_frames: tuple[int, ...]
    num_labels: tuple[int, ...]
    blank_index: int
    buffer_bytes: int

    def cells_per_slice(self, joint_size: int, num_outputs: int, itemsize: int) -> int:
        """How many cells fit into the buffers: activation, its gradient and logits."""
        wide = 4 if itemsize < 4 else 0  # 16-bit logits have a float32 copy
        return max(
            1, self.buffer_bytes // (2 * joint_size * itemsize + num_outputs * (itemsize + wide))
        )


class _Block:
    """Consecutive frames of one utterance with all of its histories."""

    def __init__(self, item: int, frames: slice, width: int) -> None:
        self.item, self.frames, self.width = item, frames, width
        self.size = (frames.stop - frames.start) * width

    def take(self, cells: Tensor) -> Tensor:
        """(N,) of a (B, T, U + 1) tensor."""
        return cells[self.item, self.frames, : self.width].reshape(-1)

    def take_labels(self, arcs: Tensor) -> Tensor:
        """(N,) of a (B, T, U) tensor of label arcs, 0 where a cell has none."""
        own = arcs[self.item, self.frames, : self.width - 1]
        return nn.functional.pad(own, (0, 1)).reshape(-1)

    def put(self, cells: Tensor, values: Tensor) -> None:
        """Write (N,) into a (B, T, U + 1) tensor."""
        cells[self.item, self.frames, : self.width] = values.view(-1, self.width)

    def labels(self, labels: Tensor) -> Tensor:
        """(N,) of (B, U + 1) labels."""
        row = labels[self.item, : self.width]
        return row.expand(self.frames.stop - self.frames.start, -1).reshape(-1)

    def add_sides(self, encoder: Tensor, predictor: Tensor, out: Tensor) -> None:
        """Sum of the two sides in every cell, (N, J)."""
        frames = encoder[self.item, self.frames, None]
        histories = predictor[self.item, None, : self.width]
        torch.add(frames, histories, out=out.view(-1, self.width, out.shape[-1]))

    def add_gradient(self, gradient: Tensor, encoder: Tensor, predictor: Tensor) -> None:
        """Hand (N, J) back to the two sides."""
        cells = gradient.view(-1, self.width, gradient.shape[-1])
        encoder[self.item, self.frames] += cells.sum(1, dtype=encoder.dtype)
        predictor[self.item, : self.width] += cells.sum(0, dtype=predictor.dtype)


class _Cells:
    """Any cells, as positions in the flattened lattice (B * T * (U + 1))."""

    def __init__(self, index: Tensor, frames: int, width: int) -> None:
        self.index = index
        self.frame = index // width
        self.label = index % width
        self.history = self.frame // frames * width + self.label
        self.size = len(index)

    def take(self, cells: Tensor) -> Tensor:
        """(N,) of a (B, T, U + 1) tensor."""
        return cells.reshape(-1)[self.index]

    def take_labels(self, arcs: Tensor) -> Tensor:
        """(N,) of a (B, T, U) tensor of label arcs, 0 where a cell has none."""
        num_labels = arcs.shape[2]
        if num_labels == 0:
            return arcs.new_zeros(self.size)
        item, frame = self.frame // arcs.shape[1], self.frame % arcs.shape[1]
        values = arcs[item, frame, self.label.clamp(max=num_labels - 1)]
        return values.masked_fill_(self.label == num_labels, 0)

    def put(self, cells: Tensor, values: Tensor) -> None:
        """Write (N,) into a contiguous (B, T, U + 1) tensor."""
        cells.view(-1)[self.index] = values

    def labels(self, labels: Tensor) -> Tensor:
        """(N,) of (B, U + 1) labels."""
        return labels.reshape(-1)[self.history]

    def add_sides(self, encoder: Tensor, predictor: Tensor, out: Tensor) -> None:
        """Sum of the two sides in every cell, (N, J)."""
        torch.index_select(encoder.flatten(0, 1), 0, self.frame, out=out)
        out += predictor.flatten(0, 1).index_select(0, self.history)

    def add_gradient(self, gradient: Tensor, encoder: Tensor, predictor: Tensor) -> None:
        """Hand (N, J) back to the two sides."""
        gradient = gradient.to(encoder.dtype)
        encoder.view(-1, encoder.shape[-1]).index_add_(0, self.frame, gradient)
        predictor.view(-1, predictor.shape[-1]).index_add_(0, self.history, gradient)


def _blocks(plan: _Plan, num_cells: int) -> Iterator[_Block]:
    for item, (frames, labels) in enumerate(zip(plan.num_frames, plan.num_labels, strict=True)):
        step = max(1, num_cells // (labels + 1))
        for start in range(0, frames, step):
            yield _Block(item, slice(start, min(start + step, frames)), labels + 1)


def _gathered(is_kept: Tensor, num_cells: int) -> Iterator[_Cells]:
    _, frames, width = is_kept.shape
    for index in is_kept.reshape(-1).nonzero()[:, 0].split(num_cells):
        yield _Cells(index, frames, width)


class _JointArcs(torch.autograd.Function):
    """Arc log-probabilities with analytic gradients, recomputed slice by slice."""

    @staticmethod
    def forward(
        ctx: Any,
        encoder: Tensor,
        predictor: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        is_kept: Tensor | None,
        activation: Activation,
        plan: _Plan,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        slices = _Slices(encoder, predictor, weight, bias, labels, activation, plan, dtype)
        shape = (*encoder.shape[:2], predictor.shape[1])
        outside = 0.0 if is_kept is None else -torch.inf
        blank_logp = encoder.new_full(shape, outside, dtype=torch.float64)
        label_logp = torch.full_like(blank_logp, outside)
        normaliser = torch.zeros_like(blank_logp)
        with torch.autocast(encoder.device.type, enabled=False):
            for cells in slices.blocks() if is_kept is None else slices.gathered(is_kept):
                logits = slices.join(cells)
                arcs = arc_log_probs(logits, cells.labels(labels), plan.blank_index, scratch=logits)
                for lattice, values in zip((normaliser, blank_logp, label_logp), arcs, strict=True):
                    cells.put(lattice, values)
        ctx.save_for_backward(encoder, predictor, weight, bias, labels, normaliser)
        ctx.activation, ctx.plan, ctx.dtype = activation, plan, dtype
        return blank_logp, label_logp[:, :, :-1]

    @staticmethod
    @without_second_derivative
    def backward(
        ctx: Any,
        saved: tuple[Tensor, ...],
        grad_blank: Tensor | None,
        grad_label: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        encoder, predictor, weight, bias, labels, normaliser = saved
        if grad_blank is None:
            grad_blank = torch.zeros_like(normaliser)
        if grad_label is None:
            grad_label = torch.zeros_like(normaliser[:, :, :-1])
        slices = _Slices(
            encoder, predictor, weight, bias, labels, ctx.activation, ctx.plan, ctx.dtype
        )
        gradients = _Gradients(encoder, predictor, weight, bias, ctx.needs_input_grad)
        has_gradient = grad_blank != 0
        has_gradient[:, :, :-1] |= grad_label != 0
        num_cells = sum(
            t * (u + 1) for t, u in zip(ctx.plan.num_frames, ctx.plan.num_labels, strict=True)
        )
        is_sparse = int(has_gradient.sum()) < _GATHERED_SHARE * num_cells
        with torch.autocast(encoder.device.type, enabled=False):
            for cells in slices.gathered(has_gradient) if is_sparse else slices.blocks():
                logits = slices.join(cells)
                logits_gradient(
                    logits,
                    cells.labels(labels),
                    ctx.plan.blank_index,
                    cells.take(normaliser),
                    cells.take(grad_blank),
                    cells.take_labels(grad_label),
                    out=logits,
                )
                gradients.add(cells, logits, slices)
        return (*gradients.results(), None, None, None, None, None)


class _Slices:
    """Runs slices of cells through the joiner, in buffers that are used again."""

    def __init__(
        self,
        encoder: Tensor,
        predictor: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        activation: Activation,
        plan: _Plan,
        dtype: torch.dtype,
    ) -> None:
        self.encoder, self.predictor = encoder.to(dtype), predictor.to(dtype)
        self.weight = weight.to(dtype)
        self.bias = None if bias is None else bias.to(dtype)
        self.activation, self.plan = activation, plan
        num_outputs, joint_size = weight.shape
        self.num_cells = plan.cells_per_slice(joint_size, num_outputs, dtype.itemsize)
        # A slice has at least one frame of an utterance.
        self._largest = max(
            (
                min(max(self.num_cells, labels + 1), frames * (labels + 1))
                for frames, labels in zip(plan.num_frames, plan.num_labels, strict=True)
            ),
            default=1,
        )
        self._joint_size, self._num_outputs = joint_size, num_outputs
        self._buffers: dict[str, Tensor] = {}

    def blocks(self) -> Iterator[_Block]:
        """All cells of all utterances."""
        return _blocks(self.plan, self.num_cells)

    def gathered(self, is_kept: Tensor) -> Iterator[_Cells]:
        """Some cells of (B, T, U + 1)."""
        return _gathered(is_kept, self._largest)

    def buffer(self, name: str, size: int, width: int) -> Tensor:
        """The first `size` rows of a buffer, which is made at its first use."""
        if name not in self._buffers:
            self._buffers[name] = self.weight.new_empty(self._largest, width)
        return self._buffers[name][:size]

    def join(self, cells: _Block | _Cells) -> Tensor:
        """(N, V) logits, valid until the next call."""
        self.hidden = self.buffer("hidden", cells.size, self._joint_size)
        cells.add_sides(self.encoder, self.predictor, self.hidden)
        self.activation.apply_(self.hidden)
        logits = self.buffer("logits", cells.size, self._num_outputs)
        if self.bias is None:
            return torch.mm(self.hidden, self.weight.t(), out=logits)
        return torch.addmm(self.bias, self.hidden, self.weight.t(), out=logits)

    def gradient_of_sum(self, grad_logits: Tensor) -> Tensor:
        """(N, J) gradient of the sum of the two sides in the cells last joined."""
        grad = self.buffer("gradient", len(grad_logits), self._joint_size)
        torch.mm(grad_logits, self.weight, out=grad)
        return self.activation.gradient_(grad, self.hidden)


class _Gradients:
    """The gradients of the inputs and weights, summed over slices in at least float32."""

    def __init__(
        self,
        encoder: Tensor,
        predictor: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        is_needed: tuple[bool, ...],
    ) -> None:
        self.inputs = (encoder, predictor, weight, bias)
        self.is_needed = is_needed
        self.sides = is_needed[0] or is_needed[1]

        def zeros(x: Tensor) -> Tensor:
            dtype = torch.promote_types(x.dtype, torch.float32)
            return torch.zeros(x.shape, dtype=dtype, device=x.device)

        self.encoder, self.predictor = zeros(encoder), zeros(predictor)
        self.weight = zeros(weight) if is_needed[2] else None
        # One long sum in float32 would lose three digits.
        self.bias = zeros(bias).double() if bias is not None and is_needed[3] else None

    def add(self, cells: _Block | _Cells, grad_logits: Tensor, slices: _Slices) -> None:
        """Add the gradients of a slice."""
        if self.bias is not None:
            self.bias += grad_logits.sum(0, dtype=self.weight_dtype)
        if self.weight is not None:
            if self.weight.dtype == grad_logits.dtype:
                self.weight.addmm_(grad_logits.t(), slices.hidden)
            else:
                self.weight += grad_logits.t() @ slices.hidden
        if self.sides:
            cells.add_gradient(slices.gradient_of_sum(grad_logits), self.encoder, self.predictor)

    @property
    def weight_dtype(self) -> torch.dtype:
        return self.encoder.dtype

    def results(self) -> tuple[Tensor | None, ...]:
        """One for each input, None where it is not needed."""
        sums = (self.encoder, self.predictor, self.weight, self.bias)
        return tuple(
            total.to(x.dtype) if total is not None and x is not None and needed else None
            for total, x, needed in zip(sums, self.inputs, self.is_needed[:4], strict=True)
        )


def _compute_dtype(encoder: Tensor, predictor: Tensor, weight: Tensor) -> torch.dtype:
    """The type of the joiner's products: autocast's where it is on, which leaves float64 alone."""
    dtype = torch.promote_types(torch.promote_types(encoder.dtype, predictor.dtype), weight.dtype)
    if dtype != torch.float64 and torch.is_autocast_enabled(encoder.device.type):
        return torch.get_autocast_dtype(encoder.device.type)
    return dtype
