"""Arc log-probabilities of some cells of the lattice, for any joiner, through autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sb_alexa.losses.checkpointed_joint import checkpointed_cell_bytes
from sb_alexa.losses.joiner_protocol import JoinerLike
from sb_alexa.losses.transducer_arcs import cell_labels


def checkpointed_cell_log_probs(
    encoder_part: Tensor,
    predictor_part: Tensor,
    joiner: JoinerLike,
    targets: Tensor,
    is_kept: Tensor,
    *,
    num_labels: list[int],
    blank_index: int,
    buffer_bytes: int,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the two arcs of the cells that are kept; the others have no arcs.

    The joiner sees pairs of a frame and a history, (N, J) each, a slice at a time, and again in the
    backward pass, with the same random numbers.

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
    is_kept : Tensor
        (B, T, U + 1) bool.
    num_labels : list of int
        (B,).
    blank_index : int
        Position of the blank.
    buffer_bytes : int
        Size of a slice's activations and logits; a slice has at least one cell.

    Returns
    -------
    blank_logp : Tensor
        (B, T, U + 1) nats, float64, -inf where not kept.
    label_logp : Tensor
        (B, T, U) nats, float64.

    Example
    -------
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> blank_logp, label_logp = checkpointed_cell_log_probs(
    ...     torch.zeros(1, 1, 4),
    ...     torch.zeros(1, 2, 4),
    ...     Joiner(encoder_size=4, predictor_size=4, num_labels=5),
    ...     torch.tensor([[3]]),
    ...     torch.tensor([[[True, False]]]),
    ...     num_labels=[1],
    ...     blank_index=0,
    ...     buffer_bytes=1,
    ... )
    >>> blank_logp.isfinite().tolist()
    [[[True, False]]]
    """
    _, num_frames, width = is_kept.shape
    labels = cell_labels(targets, num_labels).reshape(-1)
    cells = is_kept.reshape(-1).nonzero()[:, 0]
    cell_bytes = checkpointed_cell_bytes(encoder_part, joiner)
    arcs = []
    for part in cells.split(max(1, buffer_bytes // cell_bytes)):
        frame = part // width
        history = frame // num_frames * width + part % width
        args = encoder_part, predictor_part, joiner, labels, blank_index, frame, history
        arcs.append(checkpoint(_join, *args, use_reentrant=False))
    nothing = encoder_part.new_full((is_kept.numel(),), -torch.inf, dtype=torch.float64)
    blank_logp, label_logp = (
        nothing.index_put((cells,), torch.cat(values)).view_as(is_kept)
        for values in zip(*arcs, strict=True)
    )
    return blank_logp, label_logp[:, :, :-1]


def _join(
    encoder_part: Tensor,
    predictor_part: Tensor,
    joiner: JoinerLike,
    labels: Tensor,
    blank_index: int,
    frame: Tensor,
    history: Tensor,
) -> tuple[Tensor, Tensor]:
    """(N,) log-probabilities of blank and label of the cells (frame, history)."""
    logits = joiner(
        encoder_part.flatten(0, 1).index_select(0, frame),
        predictor_part.flatten(0, 1).index_select(0, history),
    )
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    # In float64 from here on: the difference of two numbers near 10 loses a digit of float32.
    normaliser = logits.logsumexp(-1).double()
    label = labels[history]
    label_logit = logits.gather(1, label.clamp(min=0)[:, None])[:, 0]
    label_logp = (label_logit.double() - normaliser).masked_fill(label < 0, -torch.inf)
    return logits[:, blank_index].double() - normaliser, label_logp
