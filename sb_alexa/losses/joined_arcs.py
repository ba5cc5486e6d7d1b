"""Arc log-probabilities of a lattice from the outputs of encoder and predictor, with any joiner."""

from __future__ import annotations

import math
from typing import TypedDict

import torch
from torch import Tensor

from sb_alexa.losses.checkpointed_cells import checkpointed_cell_log_probs
from sb_alexa.losses.checkpointed_joint import checkpointed_arc_log_probs
from sb_alexa.losses.checks import check_counts, check_targets
from sb_alexa.losses.joiner_protocol import JoinerLike, is_additive
from sb_alexa.losses.transducer_joint import joint_arc_log_probs

# Slices of this size run as fast as larger ones and stay in a CPU's cache; a GPU wants more work
# for each kernel.
_BUDGET_MIB_CPU = 6.0
_BUDGET_MIB_GPU = 512.0


class _ArcOptions(TypedDict):
    num_frames: list[int]
    num_labels: list[int]
    blank_index: int
    buffer_bytes: int


def check_join(
    encoder_out: Tensor,
    predictor_out: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    *,
    num_frames: Tensor,
    num_labels: Tensor,
    blank_index: int,
) -> tuple[list[int], list[int]]:
    """Refuse what does not fit together before anything is computed.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, C).
    predictor_out : Tensor
        (B, U + 1, C).
    joiner : JoinerLike
        Any.
    targets : Tensor
        (B, U) labels; the padding may hold anything.
    num_frames : Tensor
        (B,) integers.
    num_labels : Tensor
        (B,) integers.
    blank_index : int
        Position of the blank.

    Returns
    -------
    num_frames : list of int
        On the host.
    num_labels : list of int
        On the host.

    Raises
    ------
    ValueError
        If shapes do not fit, a length lies outside of its tensor, or a target is no label.

    Example
    -------
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> check_join(
    ...     torch.zeros(1, 2, 4),
    ...     torch.zeros(1, 2, 4),
    ...     Joiner(encoder_size=4, predictor_size=4, num_labels=5),
    ...     torch.tensor([[3]]),
    ...     num_frames=torch.tensor([2]),
    ...     num_labels=torch.tensor([1]),
    ...     blank_index=0,
    ... )
    ([2], [1])
    """
    batch, max_frames, _ = encoder_out.shape if encoder_out.dim() == 3 else (-1, -1, -1)
    max_labels = targets.shape[1] if targets.dim() == 2 and len(targets) == batch else -1
    if predictor_out.dim() != 3 or tuple(predictor_out.shape[:2]) != (batch, max_labels + 1):
        raise ValueError(
            "the transducer loss takes encoder_out (B, T, C), predictor_out (B, U + 1, C) and "
            f"targets (B, U), got {tuple(encoder_out.shape)}, {tuple(predictor_out.shape)} and "
            f"{tuple(targets.shape)}"
        )
    frames = check_counts("num_frames", num_frames, batch, 1, max_frames)
    labels = check_counts("num_labels", num_labels, batch, 0, max_labels)
    check_targets(targets, num_labels, joiner.num_labels, blank_index)
    return frames, labels


def joined_arc_log_probs(
    encoder_out: Tensor,
    predictor_out: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    *,
    num_frames: list[int],
    num_labels: list[int],
    blank_index: int,
    memory_budget_mib: float | None,
    is_kept: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Project both sides, join them slice by slice, and keep the log-probabilities of the arcs.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, C).
    predictor_out : Tensor
        (B, U + 1, C).
    joiner : JoinerLike
        An `sb_alexa.nn.additive_joint.AdditiveJoint` is differentiated without autograd, any other
        in checkpointed slices.
    targets : Tensor
        (B, U) int64 labels.
    num_frames : list of int
        From `check_join`.
    num_labels : list of int
        From `check_join`.
    blank_index : int
        Position of the blank.
    memory_budget_mib : float | None
        Size in MiB of the buffers for a slice; None takes 6 on a CPU, 512 on a GPU.
    is_kept : Tensor | None
        (B, T, U + 1) bool: the cells to join, none of them in the padding; the arcs of the others
        are impossible. None means all.

    Returns
    -------
    blank_logp : Tensor
        (B, T, U + 1) nats, float64.
    label_logp : Tensor
        (B, T, U) nats, float64.

    Example
    -------
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> blank_logp, label_logp = joined_arc_log_probs(
    ...     torch.zeros(1, 2, 4),
    ...     torch.zeros(1, 2, 4),
    ...     Joiner(encoder_size=4, predictor_size=4, num_labels=5),
    ...     torch.tensor([[3]]),
    ...     num_frames=[2],
    ...     num_labels=[1],
    ...     blank_index=0,
    ...     memory_budget_mib=None,
    ...     is_kept=torch.tensor([[[True, True], [False, True]]]),
    ... )
    >>> label_logp.isfinite().tolist()
    [[[True], [False]]]
    """
    sides = joiner.project_encoder(encoder_out), joiner.project_predictor(predictor_out)
    options: _ArcOptions = {
        "num_frames": num_frames,
        "num_labels": num_labels,
        "blank_index": blank_index,
        "buffer_bytes": _buffer_bytes(memory_budget_mib, encoder_out.device),
    }
    if is_additive(joiner):
        return joint_arc_log_probs(*sides, joiner, targets, **options, is_kept=is_kept)
    if is_kept is None:
        return checkpointed_arc_log_probs(*sides, joiner, targets, **options)
    return checkpointed_cell_log_probs(
        *sides,
        joiner,
        targets,
        is_kept,
        num_labels=num_labels,
        blank_index=blank_index,
        buffer_bytes=options["buffer_bytes"],
    )


def _buffer_bytes(memory_budget_mib: float | None, device: torch.device) -> int:
    if memory_budget_mib is None:
        memory_budget_mib = _BUDGET_MIB_CPU if device.type == "cpu" else _BUDGET_MIB_GPU
    if not 0 < memory_budget_mib < math.inf:
        raise ValueError(
            f"memory_budget_mib must be positive and finite, got {memory_budget_mib}; None "
            "chooses one"
        )
    return int(memory_budget_mib * 2**20)
