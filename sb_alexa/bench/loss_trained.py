"""Tensors of `sb-alexa bench loss` from a model that has learned to align."""

from __future__ import annotations

import torch
from torch import Tensor

from sb_alexa.bench.aligned_transducer import aligned_batch, train_aligned_transducer
from sb_alexa.bench.loss_cases import MIN_LENGTH_SHARE, JointTensors, LossSize
from sb_alexa.losses.transducer import transducer_lattice_loss


def trained_tensors(
    size: LossSize, *, seed: int = 0, device: str = "cpu", num_steps: int | None = None
) -> JointTensors:
    """Train a predictor and a joiner on a synthetic task and give them an unseen batch.

    Arguments
    ---------
    size : LossSize
        Size with padding.
    seed : int
        The same seed gives the same tensors.
    device : str
        Where to put them; the training runs on the CPU.
    num_steps : int | None
        See `train_aligned_transducer`.

    Returns
    -------
    JointTensors
        Leaves that record gradients.
    """
    predictor, joiner = train_aligned_transducer(
        vocabulary_size=size.vocabulary_size,
        joint_size=size.joint_size,
        seed=seed,
        num_steps=num_steps,
    )
    batch = aligned_batch(
        batch_size=size.batch_size,
        num_frames=size.num_frames,
        num_labels=size.num_labels,
        vocabulary_size=size.vocabulary_size,
        feature_size=size.joint_size,
        seed=seed + 2,  # the training has used the two before
        min_length_share=MIN_LENGTH_SHARE,
    )
    with torch.no_grad():
        histories = predictor.all_histories(batch.targets)
    return JointTensors(
        targets=batch.targets.to(device),
        num_frames=batch.num_frames.to(device),
        num_labels=batch.num_labels.to(device),
        encoder_out=batch.encoder_out.to(device).requires_grad_(),
        predictor_out=histories.to(device).requires_grad_(),
        joiner=joiner.to(device),
    )


def share_of_cells_kept(tensors: JointTensors, occupancy_floor: float) -> float:
    """Share of the cells, padding not counted, that have a gradient above the floor.

    Arguments
    ---------
    tensors : JointTensors
        The batch.
    occupancy_floor : float
        See `transducer_lattice_loss`.

    Returns
    -------
    float
        Between 0 and 1.

    Example
    -------
    >>> from sb_alexa.bench.loss_cases import random_tensors
    >>> tensors = random_tensors(LossSize(2, 6, 3, 5, joint_size=4))
    >>> share_of_cells_kept(tensors, 0.0) > share_of_cells_kept(tensors, 0.1) > 0.0
    True
    """
    num_kept = 0
    for item in range(len(tensors.targets)):
        blank_logp, label_logp = _arcs(tensors, item)
        loss = transducer_lattice_loss(
            blank_logp,
            label_logp,
            tensors.num_frames[item, None],
            tensors.num_labels[item, None],
            occupancy_floor=occupancy_floor,
        )
        of_blank, of_label = torch.autograd.grad(loss.sum(), [blank_logp, label_logp])
        is_kept = of_blank != 0
        is_kept[:, :, :-1] |= of_label != 0
        num_kept += int(is_kept.sum())
    return num_kept / tensors.num_cells


def _arcs(tensors: JointTensors, item: int) -> tuple[Tensor, Tensor]:
    """(1, t, u + 1) and (1, t, u) arc log-probabilities of one utterance, as leaves."""
    frames, labels = int(tensors.num_frames[item]), int(tensors.num_labels[item])
    joiner = tensors.joiner
    with torch.no_grad():
        encoder_part = joiner.project_encoder(tensors.encoder_out[item, :frames, None])
        predictor_part = joiner.project_predictor(tensors.predictor_out[item, None, : labels + 1])
        log_probs = joiner(encoder_part, predictor_part).log_softmax(-1)
        targets = tensors.targets[item, :labels].expand(frames, labels)
        label_logp = log_probs[:, :labels].gather(-1, targets[..., None])[..., 0]
        blank_logp = log_probs[..., 0].clone()
    return blank_logp[None].requires_grad_(), label_logp[None].requires_grad_()
