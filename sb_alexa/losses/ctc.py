"""CTC loss that drops the utterances it cannot align."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from sb_alexa.lengths import length_mask
from sb_alexa.losses.checks import check_counts, check_targets


def ctc_loss_with_skips(
    log_probs: Tensor,
    targets: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    blank_index: int = 0,
) -> tuple[Tensor, Tensor]:
    """CTC loss of each utterance, 0 where there are fewer frames than CTC needs.

    CTC needs a frame for each label and one more between equal neighbours. A transducer does not,
    so such an utterance stays in a joint training and only its CTC term is left out.

    Arguments
    ---------
    log_probs : Tensor
        (B, T, V) log-probabilities (nats), normalised over V.
    targets : Tensor
        (B, U) labels, no blanks; the padding may hold anything.
    num_frames : Tensor
        (B,) integers in 0..T.
    num_labels : Tensor
        (B,) integers in 0..U.
    blank_index : int
        Position of the blank among the V outputs.

    Returns
    -------
    loss : Tensor
        (B,) nats per utterance, 0 with gradient 0 where impossible; float32 (float64 for float64
        input).
    is_possible : Tensor
        (B,) bool, to count what was dropped and to average over the rest.

    Raises
    ------
    ValueError
        If shapes do not fit, or naming the item whose length or target is out of range.

    Reference
    ---------
    Graves et al. 2006, "Connectionist temporal classification" (ICML).

    Example
    -------
    >>> log_probs = torch.full((2, 2, 4), 0.25).log()
    >>> targets = torch.tensor([[3, 0], [3, 3]])
    >>> loss, is_possible = ctc_loss_with_skips(
    ...     log_probs, targets, torch.tensor([2, 2]), torch.tensor([1, 2])
    ... )
    >>> loss.exp()  # 3 of 16 paths give the label 3; "3 3" would need a third frame
    tensor([5.3333, 1.0000])
    >>> is_possible
    tensor([ True, False])
    """
    batch, max_frames, num_outputs = log_probs.shape
    if targets.dim() != 2 or len(targets) != batch:
        raise ValueError(f"targets must have shape ({batch}, U), got {tuple(targets.shape)}")
    check_counts("num_frames", num_frames, batch, 0, max_frames)
    check_counts("num_labels", num_labels, batch, 0, targets.shape[1])
    check_targets(targets, num_labels, num_outputs, blank_index)
    device = log_probs.device
    # 64-bit lengths and targets on the device select torch's own kernel: cuDNN's takes other types
    # and places, and refuses frames beyond the shortest utterance.
    targets = targets.to(device, torch.long)
    num_frames, num_labels = num_frames.to(device).long(), num_labels.to(device).long()
    is_target = length_mask(num_labels, targets.shape[1])
    is_repeat = (targets[:, 1:] == targets[:, :-1]) & is_target[:, 1:]
    is_possible = num_labels + is_repeat.sum(1) <= num_frames
    kept = is_possible.nonzero()[:, 0]
    dtype = torch.promote_types(log_probs.dtype, torch.float32)
    loss = log_probs.new_zeros(batch, dtype=dtype)
    if len(kept) == 0 or max_frames == 0:
        # Still part of the graph, so that every process of a distributed run has gradients.
        return loss + log_probs[:, :0].sum().to(dtype), is_possible
    of_kept = ctc_loss(
        log_probs[kept].to(dtype).transpose(0, 1),
        targets[kept].masked_fill(~is_target[kept], 0),
        num_frames[kept],
        num_labels[kept],
        blank=blank_index,
        reduction="none",
        zero_infinity=True,
    )
    return loss.index_add(0, kept, of_kept), is_possible
