"""The transducer (RNN-T) loss: from a joiner, from ready logits, and on the bare lattice."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.lengths import absolute_lengths
from sb_alexa.losses.checks import check_counts, check_targets
from sb_alexa.losses.joined_arcs import check_join, joined_arc_log_probs
from sb_alexa.losses.joiner_protocol import JoinerLike
from sb_alexa.losses.ready_logits import logits_arc_log_probs
from sb_alexa.losses.reductions import check_reduction, loss_dtype, reduce_losses
from sb_alexa.losses.transducer_lattice import transducer_lattice_loss

__all__ = ["transducer_lattice_loss", "transducer_loss", "transducer_loss_from_logits"]


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
    occupancy_floor: float = 0.0,
    memory_budget_mib: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Transducer loss of a batch, joined slice by slice.

    The logits of the whole batch never exist at once: slices of T run through the joiner one at a
    time and again in the backward pass, where each slice's gradient goes at once to the weights and
    to the outputs of encoder and predictor. Padded cells are never joined, cells without a gradient
    not a second time. Memory grows with B * T * U, not with V.

    That holds for an `sb_alexa.nn.additive_joint.AdditiveJoint`, which every
    `sb_alexa.transducer.joiner.Joiner` is: ``output(activation(encoder_part + predictor_part))``
    with an activation of torch without parameters. Any other joiner, one with hooks included, runs
    through autograd in checkpointed slices.

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
    occupancy_floor : float
        See `transducer_lattice_loss`; 0 is exact, 1e-6 saves most of the backward pass of a model
        that has learned to align.
    memory_budget_mib : float | None
        Size in MiB of the buffers for a slice (activations, their gradient, logits); a slice has at
        least one frame. None takes 6 on a CPU, 512 on a GPU.
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
    check_reduction(reduction)
    frames, labels = check_join(
        encoder_out,
        predictor_out,
        joiner,
        targets,
        num_frames=num_frames,
        num_labels=num_labels,
        blank_index=blank_index,
    )
    blank_logp, label_logp = joined_arc_log_probs(
        encoder_out,
        predictor_out,
        joiner,
        targets.to(encoder_out.device, torch.long),
        num_frames=frames,
        num_labels=labels,
        blank_index=blank_index,
        memory_budget_mib=memory_budget_mib,
    )
    losses = transducer_lattice_loss(
        blank_logp,
        label_logp,
        num_frames,
        num_labels,
        fastemit_lambda=fastemit_lambda,
        label_penalty=label_penalty,
        occupancy_floor=occupancy_floor,
    )
    return reduce_losses(losses, num_labels, reduction).to(loss_dtype(encoder_out))


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
    check_reduction(reduction)
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
    blank_logp, label_logp = logits_arc_log_probs(
        logits,
        targets.to(logits.device, torch.long),
        num_frames=frames,
        num_labels=labels,
        blank_index=blank_index,
    )
    losses = transducer_lattice_loss(
        blank_logp,
        label_logp,
        num_frames,
        num_labels,
        fastemit_lambda=fastemit_lambda,
        label_penalty=label_penalty,
    )
    return reduce_losses(losses, num_labels, reduction).to(loss_dtype(logits))
