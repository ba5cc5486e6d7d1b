"""The transducer loss in two passes: a cheap joiner finds the cells the real one is run for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sb_alexa.losses.joined_arcs import check_join, joined_arc_log_probs
from sb_alexa.losses.joiner_protocol import JoinerLike
from sb_alexa.losses.pruning_windows import pruning_windows, window_cells
from sb_alexa.losses.reductions import check_reduction, loss_dtype, reduce_losses
from sb_alexa.losses.sum_arcs import sum_arc_log_probs
from sb_alexa.losses.transducer_lattice import transducer_lattice_loss

# Weight of the pruned loss at the first step of the warm-up, when its windows are still arbitrary.
_FIRST_PRUNED_SCALE = 0.1


class _Plan(TypedDict):
    num_frames: list[int]
    num_labels: list[int]
    blank_index: int


class PrunedTransducerLoss(nn.Module):
    """Transducer loss over the alignments that a cheap first pass finds likely.

    The first pass has a joiner of its own: two linear maps to the vocabulary, whose outputs are
    added. Its loss is exact and part of the result; its occupancies choose for each frame a window
    of `pruning_range` histories. The second pass runs the real joiner for the cells in the windows
    only, at most ``pruning_range * T`` for an utterance, and sums over the alignments in them. That
    sum is never more than the sum over all alignments, so the pruned loss is never below
    `sb_alexa.losses.transducer.transducer_loss`, and equal to it if the windows contain all.

    It takes the place of `transducer_loss` in a recipe; as it has parameters, it also belongs to
    the modules that are trained. Search does not need it.

    Compared with the exact loss: the joiner's time, forward and backward, shrinks by the share of
    cells in the windows, about ``pruning_range / U``. The first pass costs T * U * V
    multiplications in float64, each three times, besides the linear maps; its logits and their
    gradients take (B, T, V) and (B, U + 1, V), the exponentials of one utterance at a time the same
    in float64. Numbers for each of the (B, T, U + 1) cells are held as in the exact loss.
    An occupancy floor saves only in the backward pass, but needs no second joiner; it may be
    combined with pruning.

    Arguments
    ---------
    encoder_size : int
        Features of an encoder frame.
    predictor_size : int
        Features of a predictor output.
    num_labels : int
        V, blank included.
    pruning_range : int
        S, histories in a window. Utterances with more than T * (S - 1) labels get larger ones.
    simple_loss_scale : float
        Weight of the first pass's loss; the pruned loss has weight 1.
    warmup_batches : int
        As many training batches go by until the weights are reached, from 1 for the first pass and
        0.1 for the second. A process counts its own, in a buffer that is saved with the parameters.
    blank_index : int
        Position of the blank in the logits.
    fastemit_lambda : float
        See `transducer_lattice_loss`; for both passes.
    occupancy_floor : float
        See `transducer_lattice_loss`; for the second pass.
    memory_budget_mib : float | None
        See `transducer_loss`; for the second pass.

    Shape
    -----
    encoder_out : (B, T, encoder_size)
    predictor_out : (B, U + 1, predictor_size), after 0..U labels
    joiner : the model's, with the same V
    targets : (B, U) labels, no blanks; the padding may hold anything
    num_frames : (B,) integers in 1..T
    num_labels : (B,) integers in 0..U
    label_penalty : (B, T, U) nats or None, see `transducer_lattice_loss`; for both passes
    reduction : str, see `transducer_loss`
    output : scalar or (B,), ``simple_loss_scale * simple + pruned`` in nats, float32 (float64 for
        float64 input)

    Raises
    ------
    ValueError
        If an argument is out of range, and as `transducer_loss`. A joiner that makes every
        alignment in the windows impossible is no error: the utterance's loss is then +inf.

    Reference
    ---------
    Kuang et al. 2022, arXiv 2206.13236. Deviations: the first pass is not smoothed with
    predictor-only and encoder-only probabilities; see `sb_alexa.losses.pruning_windows` for those
    of the windows. The weights of the warm-up are those of the authors' recipes (icefall).

    Example
    -------
    >>> from sb_alexa.losses.transducer import transducer_loss
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> _ = torch.manual_seed(0)
    >>> sizes = {"encoder_size": 4, "predictor_size": 4, "num_labels": 5}
    >>> joiner, pruned_loss = Joiner(**sizes), PrunedTransducerLoss(**sizes, pruning_range=2)
    >>> batch = torch.randn(1, 6, 4), torch.randn(1, 4, 4), joiner, torch.tensor([[3, 1, 2]])
    >>> lengths = {"num_frames": torch.tensor([6]), "num_labels": torch.tensor([3])}
    >>> simple, pruned = pruned_loss.passes(*batch, **lengths)
    >>> bool(pruned >= transducer_loss(*batch, **lengths))
    True
    >>> bool(pruned_loss(*batch, **lengths) == 0.5 * simple + pruned)
    True
    """

    num_batches_seen: Tensor

    def __init__(
        self,
        *,
        encoder_size: int,
        predictor_size: int,
        num_labels: int,
        pruning_range: int = 5,
        simple_loss_scale: float = 0.5,
        warmup_batches: int = 0,
        blank_index: int = 0,
        fastemit_lambda: float = 0.0,
        occupancy_floor: float = 0.0,
        memory_budget_mib: float | None = None,
    ) -> None:
        super().__init__()
        if min(encoder_size, predictor_size) < 1 or num_labels < 2:
            raise ValueError(
                "a pruned loss needs positive sizes and num_labels >= 2 (blank included), got "
                f"encoder_size={encoder_size}, predictor_size={predictor_size}, "
                f"num_labels={num_labels}"
            )
        if pruning_range < 2:
            raise ValueError(
                f"pruning_range must be >= 2, got {pruning_range}; with fewer no label can be "
                "emitted, 5 is usual"
            )
        if simple_loss_scale <= 0:
            raise ValueError(
                f"simple_loss_scale must be > 0, got {simple_loss_scale}; without it the first "
                "pass would never learn where the windows belong"
            )
        if warmup_batches < 0:
            raise ValueError(f"warmup_batches must be >= 0, got {warmup_batches}")
        self.num_labels, self.pruning_range = num_labels, pruning_range
        self.simple_loss_scale, self.warmup_batches = simple_loss_scale, warmup_batches
        self.blank_index, self.fastemit_lambda = blank_index, fastemit_lambda
        self.occupancy_floor, self.memory_budget_mib = occupancy_floor, memory_budget_mib
        self.frame_output = nn.Linear(encoder_size, num_labels)
        # One bias is enough for the sum.
        self.history_output = nn.Linear(predictor_size, num_labels, bias=False)
        self.register_buffer("num_batches_seen", torch.zeros((), dtype=torch.long))

    def forward(
        self,
        encoder_out: Tensor,
        predictor_out: Tensor,
        joiner: JoinerLike,
        targets: Tensor,
        *,
        num_frames: Tensor,
        num_labels: Tensor,
        label_penalty: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        check_reduction(reduction)
        simple, pruned = self.passes(
            encoder_out,
            predictor_out,
            joiner,
            targets,
            num_frames=num_frames,
            num_labels=num_labels,
            label_penalty=label_penalty,
        )
        simple_scale, pruned_scale = self._scales()
        losses = simple_scale * simple + pruned_scale * pruned
        return reduce_losses(losses, num_labels, reduction)

    def passes(
        self,
        encoder_out: Tensor,
        predictor_out: Tensor,
        joiner: JoinerLike,
        targets: Tensor,
        *,
        num_frames: Tensor,
        num_labels: Tensor,
        label_penalty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The losses of both passes, for example to log them.

        Arguments
        ---------
        encoder_out, predictor_out, joiner, targets, num_frames, num_labels, label_penalty
            As in a call.

        Returns
        -------
        simple : Tensor
            (B,) nats per utterance, not weighted.
        pruned : Tensor
            (B,) nats per utterance.
        """
        if joiner.num_labels != self.num_labels:
            raise ValueError(
                f"the joiner has num_labels={joiner.num_labels}, the pruned loss "
                f"{self.num_labels}; construct both with the same"
            )
        frames, labels = check_join(
            encoder_out,
            predictor_out,
            joiner,
            targets,
            num_frames=num_frames,
            num_labels=num_labels,
            blank_index=self.blank_index,
        )
        device = encoder_out.device
        targets = targets.to(device, torch.long)
        num_frames, num_labels = num_frames.to(device), num_labels.to(device)
        lattice_loss = partial(
            transducer_lattice_loss,
            num_frames=num_frames,
            num_labels=num_labels,
            fastemit_lambda=self.fastemit_lambda,
            label_penalty=label_penalty,
        )
        plan: _Plan = {"num_frames": frames, "num_labels": labels, "blank_index": self.blank_index}
        arcs = sum_arc_log_probs(
            self.frame_output(encoder_out), self.history_output(predictor_out), targets, **plan
        )
        simple, grad_blank, grad_label = _with_gradients(lattice_loss, *arcs)
        occupancies = -grad_blank, -grad_label / (1.0 + self.fastemit_lambda)
        start, size = pruning_windows(*occupancies, num_frames, num_labels, self.pruning_range)
        joined = joined_arc_log_probs(
            encoder_out,
            predictor_out,
            joiner,
            targets,
            **plan,
            memory_budget_mib=self.memory_budget_mib,
            is_kept=window_cells(start, size, num_frames, predictor_out.shape[1]),
        )
        pruned = lattice_loss(*joined, occupancy_floor=self.occupancy_floor)
        dtype = loss_dtype(encoder_out)
        return simple.to(dtype), pruned.to(dtype)

    def _scales(self) -> tuple[float, float]:
        """Weights of the two passes; counts the batch if it is one of the warm-up."""
        if not self.training or not self.warmup_batches:
            return self.simple_loss_scale, 1.0
        share = min(1.0, self.num_batches_seen.item() / self.warmup_batches)
        if share < 1.0:
            self.num_batches_seen += 1
        simple_scale = 1.0 + share * (self.simple_loss_scale - 1.0)
        return simple_scale, _FIRST_PRUNED_SCALE + share * (1.0 - _FIRST_PRUNED_SCALE)


def _with_gradients(
    lattice_loss: Callable[[Tensor, Tensor], Tensor], blank_logp: Tensor, label_logp: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The losses, and their gradients at once: the windows need them before the backward pass."""
    with torch.enable_grad():
        arcs = blank_logp.detach().requires_grad_(), label_logp.detach().requires_grad_()
        losses = lattice_loss(*arcs)
        gradients = torch.autograd.grad(losses.sum(), arcs)
    return (_Evaluated.apply(blank_logp, label_logp, losses.detach(), *gradients), *gradients)


class _Evaluated(torch.autograd.Function):
    """Losses whose gradients are known."""

    @staticmethod
    def forward(
        ctx: Any,
        blank_logp: Tensor,
        label_logp: Tensor,
        losses: Tensor,
        grad_blank: Tensor,
        grad_label: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(grad_blank, grad_label)
        return losses.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_blank, grad_label = ctx.saved_tensors
        scale = grad[:, None, None]
        return scale * grad_blank, scale * grad_label, None, None, None
