"""The transducer (RNN-T) loss: from a joiner, from ready logits, and on the bare lattice."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from sb_alexa.lengths import absolute_lengths
from sb_alexa.losses.checks import check_counts, check_targets
from sb_alexa.losses.transducer_lattice import transducer_lattice_loss

__all__ = ["transducer_lattice_loss", "transducer_loss", "transducer_loss_from_logits"]

# Numbers in the activations and logits of one slice: 16 MiB of float32 stay in a CPU's cache, a GPU
# wants more work for each kernel.
_SLICE_ELEMENTS_CPU = 1 << 22
_SLICE_ELEMENTS_GPU = 1 << 26
# Up to here (256 MiB of float32) all slices are kept for the backward pass; beyond, they are
# recomputed there.
_KEPT_ELEMENTS = 1 << 26


class JoinerLike(Protocol):
    """What `transducer_loss` asks of a joiner; `sb_alexa.transducer.joiner.Joiner` is one."""

    @property
    def num_labels(self) -> int: ...

    def project_encoder(self, encoder_out: Tensor) -> Tensor: ...

    def project_predictor(self, predictor_out: Tensor) -> Tensor: ...

    def __call__(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor: ...


def transducer_loss(
    encoder_out: Tensor,
    predictor_out: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    *,
    num_frames: Tensor,
    num_labels: Tensor,
    blank_index: int = 0,
    fastemit_lambda: float = 0.0,
    label_penalty: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Transducer loss of a batch, joined slice by slice.

    Padded cells are never joined, and the logits of the whole batch never exist at once: slices of
    T run through the joiner one at a time and, in large batches, again in the backward pass instead
    of being kept.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, C).
    predictor_out : Tensor
        (B, U + 1, C), the predictor's output after 0..U labels (`Predictor.all_histories`).
    joiner : Joiner
        Gives (..., V) logits for the projected outputs of encoder and predictor, with broadcasting.
    targets : Tensor
        (B, U) labels, no blanks; the padding may hold anything.
    num_frames : Tensor
        (B,) integers in 1..T.
    num_labels : Tensor
        (B,) integers in 0..U.
    blank_index : int
        Position of the blank in the logits.
    fastemit_lambda : float
        See `transducer_lattice_loss`.
    label_penalty : Tensor | None
        (B, T, U) nats, see `transducer_lattice_loss`.
    reduction : str
        "none": (B,) nats per utterance; "sum": nats of the batch; "mean" or "batchmean": nats per
        utterance, averaged over the batch; "token_mean": nats per label, the sum over the batch
        divided by its number of labels.

    Returns
    -------
    Tensor
        The loss, float32 (float64 for float64 input); its gradient is that of the reduced value.

    Raises
    ------
    ValueError
        If shapes do not fit, a length lies outside of its tensor, a target is no label, or the
        reduction is unknown.

    Example
    -------
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> joiner = Joiner(encoder_size=4, predictor_size=4, num_labels=5)
    >>> _ = torch.nn.init.zeros_(joiner.output.weight), torch.nn.init.zeros_(joiner.output.bias)
    >>> loss = transducer_loss(
    ...     torch.ones(1, 2, 4),
    ...     torch.ones(1, 2, 4),
    ...     joiner,
    ...     torch.tensor([[3]]),
    ...     num_frames=torch.tensor([2]),
    ...     num_labels=torch.tensor([1]),
    ... )
    >>> loss.exp().item()  # two alignments of three arcs of probability 1/5
    62.5000...
    """
    _check_reduction(reduction)
    batch, max_frames = encoder_out.shape[:2]
    max_labels = targets.shape[1]
    if encoder_out.dim() != 3 or tuple(predictor_out.shape[:2]) != (batch, max_labels + 1):
        raise ValueError(
            "transducer_loss takes encoder_out (B, T, C), predictor_out (B, U + 1, C) and targets "
            f"(B, U), got {tuple(encoder_out.shape)}, {tuple(predictor_out.shape)} and "
            f"{tuple(targets.shape)}"
        )
    frames = check_counts("num_frames", num_frames, batch, 1, max_frames)
    labels = check_counts("num_labels", num_labels, batch, 0, max_labels)
    check_targets(targets, num_labels, joiner.num_labels, blank_index)
    targets = targets.to(encoder_out.device, torch.long)
    encoder_part = joiner.project_encoder(encoder_out)
    predictor_part = joiner.project_predictor(predictor_out)
    width = encoder_part.shape[-1] + joiner.num_labels
    num_cells = sum(t * (u + 1) for t, u in zip(frames, labels, strict=True))
    recompute = torch.is_grad_enabled() and num_cells * width > _KEPT_ELEMENTS
    blanks, emissions = [], []
    # unbind gathers the gradients of all rows in one tensor; indexing would make a padded tensor
    # for each row.
    rows = zip(
        encoder_part.unbind(0), predictor_part.unbind(0), targets, frames, labels, strict=True
    )
    for encoder_row, predictor_row, row, t, u in rows:
        blank_logp, label_logp = _join_utterance(
            encoder_row[:t], predictor_row[: u + 1], joiner, row[:u], blank_index, width, recompute
        )
        padding = (0, max_labels - u, 0, max_frames - t)
        blanks.append(pad(blank_logp, padding))
        emissions.append(pad(label_logp, padding))
    losses = transducer_lattice_loss(
        torch.stack(blanks),
        torch.stack(emissions),
        num_frames,
        num_labels,
        fastemit_lambda=fastemit_lambda,
        label_penalty=label_penalty,
    )
    return _reduce(losses, num_labels, reduction)


def transducer_loss_from_logits(
    logits: Tensor,
    targets: Tensor,
    input_lens: Tensor,
    target_lens: Tensor,
    blank_index: int,
    reduction: str = "mean",
    *,
    fastemit_lambda: float = 0.0,
    label_penalty: Tensor | None = None,
) -> Tensor:
    """Transducer loss of ready logits, with the arguments of SpeechBrain's `transducer_loss`.

    Unlike SpeechBrain's, it runs on CPU and GPU, and its gradient belongs to its value: nats per
    utterance, not divided by the number of frames.

    Arguments
    ---------
    logits : Tensor
        (B, T, U + 1, V), not normalised. What lies in the padding has no influence.
    targets : Tensor
        (B, U) labels, no blanks.
    input_lens : Tensor
        (B,) relative lengths in (0, 1] of the T frames.
    target_lens : Tensor
        (B,) relative lengths in [0, 1] of the U labels.
    blank_index : int
        Position of the blank in the logits.
    reduction : str
        See `transducer_loss`.
    fastemit_lambda : float
        See `transducer_lattice_loss`.
    label_penalty : Tensor | None
        (B, T, U) nats, see `transducer_lattice_loss`.

    Returns
    -------
    Tensor
        The loss, float32 (float64 for float64 input).

    Raises
    ------
    ValueError
        As `transducer_loss`.

    Example
    -------
    >>> loss = transducer_loss_from_logits(
    ...     torch.zeros(1, 2, 2, 5),
    ...     torch.tensor([[3]]),
    ...     torch.tensor([1.0]),
    ...     torch.tensor([1.0]),
    ...     blank_index=0,
    ... )
    >>> loss.exp()
    tensor(62.5000)
    """
    _check_reduction(reduction)
    if logits.dim() != 4 or tuple(targets.shape) != (logits.shape[0], logits.shape[2] - 1):
        raise ValueError(
            "transducer_loss_from_logits takes logits (B, T, U + 1, V) and targets (B, U), got "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    batch, max_frames, _, num_outputs = logits.shape
    num_frames = absolute_lengths(input_lens, max_frames)
    is_empty = target_lens == 0
    num_labels = absolute_lengths(target_lens.masked_fill(is_empty, 1.0), targets.shape[1])
    num_labels = num_labels.masked_fill(is_empty, 0)
    frames = check_counts("num_frames", num_frames, batch, 1, max_frames)
    labels = check_counts("num_labels", num_labels, batch, 0, targets.shape[1])
    check_targets(targets, num_labels, num_outputs, blank_index)
    blank_logp, label_logp = _ArcLogProbs.apply(
        logits, targets.to(logits.device, torch.long), frames, labels, blank_index
    )
    losses = transducer_lattice_loss(
        blank_logp,
        label_logp,
        num_frames,
        num_labels,
        fastemit_lambda=fastemit_lambda,
        label_penalty=label_penalty,
    )
    return _reduce(losses, num_labels, reduction)


def _check_reduction(reduction: str) -> None:
    """Refuse an unknown reduction before anything is computed."""
    known = ("none", "sum", "mean", "batchmean", "token_mean")
    if reduction not in known:
        raise ValueError(f"unknown reduction {reduction!r}, expected one of {', '.join(known)}")


def _reduce(losses: Tensor, num_labels: Tensor, reduction: str) -> Tensor:
    """Reduce (B,) nats as `transducer_loss` describes.

    Example
    -------
    >>> losses, num_labels = torch.tensor([3.0, 9.0]), torch.tensor([1, 3])
    >>> [_reduce(losses, num_labels, how).item() for how in ("sum", "mean", "token_mean")]
    [12.0, 6.0, 3.0]
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "token_mean":
        return losses.sum() / num_labels.sum().clamp(min=1).to(losses.device)
    return losses.mean()


def _join_utterance(
    encoder_part: Tensor,
    predictor_part: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    blank_index: int,
    width: int,
    recompute: bool,
) -> tuple[Tensor, Tensor]:
    """(t, u + 1) and (t, u) arc log-probabilities from (t, J) and (u + 1, J) projections."""

    def join(frames: Tensor, histories: Tensor) -> tuple[Tensor, Tensor]:
        logits = joiner(frames[:, None], histories[None])
        lengths = [len(frames)], [len(targets)]
        arcs = _ArcLogProbs.apply(logits[None], targets[None], *lengths, blank_index)
        return arcs[0][0], arcs[1][0]

    on_cpu = encoder_part.device.type == "cpu"
    elements = _SLICE_ELEMENTS_CPU if on_cpu else _SLICE_ELEMENTS_GPU
    slices = encoder_part.split(max(1, elements // (width * len(predictor_part))))
    if recompute:
        arcs = [checkpoint(join, part, predictor_part, use_reentrant=False) for part in slices]
    else:
        arcs = [join(part, predictor_part) for part in slices]
    return torch.cat([blank for blank, _ in arcs]), torch.cat([label for _, label in arcs])


class _ArcLogProbs(torch.autograd.Function):
    """Log-probabilities of blank and next label; beside the logits it keeps a number per cell."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        targets: Tensor,
        frames: list[int],
        labels: list[int],
        blank_index: int,
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        normaliser = logits.new_zeros(logits.shape[:3], dtype=dtype)
        blank_logp = torch.zeros_like(normaliser)
        label_logp = torch.zeros_like(normaliser[:, :, 1:])
        for item, (t, u) in enumerate(zip(frames, labels, strict=True)):
            cells = logits[item, :t, : u + 1].to(dtype)
            total = cells.logsumexp(-1)
            normaliser[item, :t, : u + 1] = total
            blank_logp[item, :t, : u + 1] = cells[..., blank_index] - total
            chosen = cells[:, :u].gather(-1, targets[item, :u].expand(t, u)[..., None])
            label_logp[item, :t, :u] = chosen[..., 0] - total[:, :u]
        ctx.save_for_backward(logits, targets, normaliser)
        ctx.frames, ctx.labels, ctx.blank_index = frames, labels, blank_index
        return blank_logp, label_logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_blank: Tensor, grad_label: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, normaliser = ctx.saved_tensors
        grad = torch.zeros_like(logits)
        for item, (t, u) in enumerate(zip(ctx.frames, ctx.labels, strict=True)):
            of_blank, of_label = grad_blank[item, :t, : u + 1], grad_label[item, :t, :u]
            total = of_blank.clone()
            total[:, :u] += of_label
            cells = (logits[item, :t, : u + 1] - normaliser[item, :t, : u + 1, None]).exp_()
            cells.mul_(-total[..., None])
            cells[..., ctx.blank_index] += of_blank
            index = targets[item, :u].expand(t, u)[..., None]
            cells[:, :u].scatter_add_(-1, index, of_label[..., None])
            grad[item, :t, : u + 1] = cells
        return grad, None, None, None, None
