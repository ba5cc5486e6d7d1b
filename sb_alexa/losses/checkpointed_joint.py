"""Arc log-probabilities of any joiner, slice by slice through autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from sb_alexa.losses.joiner_protocol import JoinerLike
from sb_alexa.losses.ready_logits import logits_arc_log_probs


def checkpointed_arc_log_probs(
    encoder_part: Tensor,
    predictor_part: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    *,
    num_frames: list[int],
    num_labels: list[int],
    blank_index: int,
    buffer_bytes: int,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the two arcs of every cell, for a joiner that can do anything.

    The slices run through the joiner again in the backward pass, with the same random numbers.

    Arguments
    ---------
    encoder_part : Tensor
        (B, T, J).
    predictor_part : Tensor
        (B, U + 1, J).
    joiner : JoinerLike
        Any module.
    targets : Tensor
        (B, U) labels.
    num_frames : list of int
        (B,).
    num_labels : list of int
        (B,).
    blank_index : int
        Position of the blank.
    buffer_bytes : int
        Size of a slice's activations, logits and their gradients; a slice has at least one frame.

    Returns
    -------
    blank_logp : Tensor
        (B, T, U + 1) nats, float64; 0 in the padding.
    label_logp : Tensor
        (B, T, U) nats, float64.
    """
    max_frames, max_labels = encoder_part.shape[1], targets.shape[1]
    cell_bytes = checkpointed_cell_bytes(encoder_part, joiner)
    blanks, emissions = [], []
    # unbind gathers the gradients of all rows in one tensor; indexing would make a padded tensor
    # for each row.
    rows = zip(
        encoder_part.unbind(0),
        predictor_part.unbind(0),
        targets,
        num_frames,
        num_labels,
        strict=True,
    )
    for frames, histories, row, t, u in rows:
        slices = frames[:t].split(max(1, buffer_bytes // (cell_bytes * (u + 1))))
        arcs = [
            checkpoint(
                _join, part, histories[: u + 1], joiner, row[:u], blank_index, use_reentrant=False
            )
            for part in slices
        ]
        padding = (0, max_labels - u, 0, max_frames - t)
        blanks.append(pad(torch.cat([blank for blank, _ in arcs]), padding))
        emissions.append(pad(torch.cat([label for _, label in arcs]), padding))
    return torch.stack(blanks), torch.stack(emissions)


def _join(
    frames: Tensor, histories: Tensor, joiner: JoinerLike, targets: Tensor, blank_index: int
) -> tuple[Tensor, Tensor]:
    """(t, u + 1) and (t, u) arc log-probabilities from (t, J) and (u + 1, J)."""
    logits = joiner(frames[:, None], histories[None])
    blank_logp, label_logp = logits_arc_log_probs(
        logits[None],
        targets[None],
        num_frames=[len(frames)],
        num_labels=[len(targets)],
        blank_index=blank_index,
    )
    return blank_logp[0], label_logp[0]


def checkpointed_cell_bytes(encoder_part: Tensor, joiner: JoinerLike) -> int:
    """Memory that a cell of a checkpointed slice takes: activation and logits with gradients.

    Arguments
    ---------
    encoder_part : Tensor
        (..., J).
    joiner : JoinerLike
        Any.

    Returns
    -------
    int
        Bytes.
    """
    itemsize = encoder_part.element_size()
    wide = 4 if itemsize < 4 else 0  # 16-bit logits have a float32 copy
    joint_bytes = 2 * encoder_part.shape[-1] * itemsize
    return joint_bytes + joiner.num_labels * (2 * itemsize + wide)
