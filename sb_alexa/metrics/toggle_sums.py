"""How many toggles of a batch are on; the one place where gates become numbers.

The metrics and the compute-cost loss both build on these sums, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sb_alexa.lengths import length_mask
from sb_alexa.losses.checks import check_counts
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


@dataclass(frozen=True)
class ToggleSums:
    """Toggles that are on in each utterance of a batch, summed over frames, blocks and heads.

    Arguments
    ---------
    frames : Tensor
        (B,) int64 frames.
    feed_forward : Tensor
        (B,) feed-forward toggles. This and what follows is int64 and exact for bool gates, float64
        and differentiable for others.
    query : Tensor
        (B,) query toggles.
    key : Tensor
        (B,) key toggles.
    pairs : Tensor
        (B,) pairs of a query and a key of the same head that are both on, the key at the query's
        frame or inside the left context.
    """

    frames: Tensor
    feed_forward: Tensor
    query: Tensor
    key: Tensor
    pairs: Tensor


def sum_toggles(shape: TransformerShape, gates: Gates, num_frames: Tensor) -> ToggleSums:
    """Sum the toggles of a batch; linear in T, whatever the left context.

    Arguments
    ---------
    shape : TransformerShape
        Blocks, heads and left context of the encoder that made the gates.
    gates : Gates
        Bool, or numbers between 0 and 1 that are taken as probabilities: expected sums.
    num_frames : Tensor
        (B,) integers in 0..T; what lies behind has no influence and gets no gradient.

    Returns
    -------
    ToggleSums
        The sums of each utterance.

    Raises
    ------
    ValueError
        If the gates have other blocks or heads than the encoder, or a number of frames does not fit
        them.

    Example
    -------
    >>> from dataclasses import replace
    >>> shape = TransformerShape(
    ...     input_size=4, d_model=4, nhead=1, num_layers=1, d_ffn=8, output_size=4
    ... )
    >>> heads = torch.tensor([True, False, True]).view(1, 3, 1, 1)
    >>> gates = Gates(heads, heads, heads)
    >>> sum_toggles(shape, gates, torch.tensor([3])).pairs
    tensor([3])
    >>> near = replace(shape, left_context_frames=1)
    >>> sum_toggles(near, gates, torch.tensor([3])).pairs
    tensor([2])
    """
    given = (gates.num_blocks, gates.nhead, gates.feed_forward_groups)
    expected = (shape.num_layers, shape.nhead, shape.feed_forward_groups)
    if given != expected:
        raise ValueError(
            "gates of {} blocks with {} heads and {} feed-forward groups were given for an encoder "
            "of {} blocks with {} and {}; take the shape of the encoder that made the gates".format(
                *given, *expected
            )
        )
    exists = existing_frames(gates, num_frames)
    query, key = without_padding(gates.query, exists), without_padding(gates.key, exists)
    return ToggleSums(
        frames=num_frames.to(query.device, torch.long),
        feed_forward=without_padding(gates.feed_forward, exists).sum((1, 2, 3)),
        query=query.sum((1, 2, 3)),
        key=key.sum((1, 2, 3)),
        pairs=(query * sum_left(key, shape.left_context_frames)).sum((1, 2, 3)),
    )


def sum_all_on(shape: TransformerShape, num_frames: Tensor) -> ToggleSums:
    """Sum the toggles where every one of them is on, without writing them down.

    Arguments
    ---------
    shape : TransformerShape
        Blocks, heads and left context.
    num_frames : Tensor
        (B,) integers.

    Returns
    -------
    ToggleSums
        The sums of each utterance, int64.

    Example
    -------
    >>> shape = TransformerShape(
    ...     input_size=4, d_model=4, nhead=2, num_layers=3, d_ffn=8, output_size=4
    ... )
    >>> sum_all_on(shape, torch.tensor([4])).pairs  # 3 blocks x 2 heads x (1 + 2 + 3 + 4)
    tensor([60])
    """
    frames = num_frames.long()
    heads = shape.num_layers * shape.nhead
    # A query sees one key more than the one before it, until the window is full.
    growing = frames
    if shape.left_context_frames is not None:
        growing = frames.clamp(max=shape.left_context_frames + 1)
    visible = growing * (growing + 1) // 2 + (frames - growing) * growing
    return ToggleSums(
        frames=frames,
        feed_forward=frames * (shape.num_layers * shape.feed_forward_groups),
        query=frames * heads,
        key=frames * heads,
        pairs=visible * heads,
    )


def existing_frames(gates: Gates, num_frames: Tensor) -> Tensor:
    """Mark the frames of the gates that are no padding.

    Arguments
    ---------
    gates : Gates
        Gates of B utterances, padded to T frames.
    num_frames : Tensor
        (B,) integers in 0..T.

    Returns
    -------
    Tensor
        (B, T) bool, where the gates are.

    Raises
    ------
    ValueError
        If a number of frames does not fit the gates.
    """
    check_counts("num_frames", num_frames, gates.feed_forward.shape[0], 0, gates.num_frames)
    return length_mask(num_frames.to(gates.feed_forward.device), gates.num_frames)


def without_padding(gate: Tensor, exists: Tensor) -> Tensor:
    """Make the gates of one kind summable, with zeros in the padding.

    Arguments
    ---------
    gate : Tensor
        (B, T, ...) bool or numbers.
    exists : Tensor
        (B, T) bool, from `existing_frames`.

    Returns
    -------
    Tensor
        (B, T, ...) int64 for bool gates, else float64: sums of hours of audio stay exact, and
        differences of cumulative sums do not cancel as they do in float32.

    Example
    -------
    >>> gate = torch.tensor([[0.5, float("nan")]])
    >>> without_padding(gate, torch.tensor([[True, False]]))
    tensor([[0.5000, 0.0000]], dtype=torch.float64)
    """
    summable = gate.to(torch.float64 if gate.is_floating_point() else torch.long)
    return summable.masked_fill(~exists.view(*exists.shape, *[1] * (gate.dim() - 2)), 0)


def sum_left(key: Tensor, left_context_frames: int | None) -> Tensor:
    """Sum the keys that a query at each frame sees.

    Arguments
    ---------
    key : Tensor
        (B, T, ...) int64 or float64, zeros in the padding.
    left_context_frames : int | None
        Frames before its own that a query sees; None for all.

    Returns
    -------
    Tensor
        (B, T, ...) sums.

    Example
    -------
    >>> sum_left(torch.tensor([[1, 0, 1, 1]]), left_context_frames=1)
    tensor([[1, 1, 1, 2]])
    """
    until = key.cumsum(1)
    if left_context_frames is None or left_context_frames + 1 >= key.shape[1]:
        return until
    window = left_context_frames + 1
    return torch.cat([until[:, :window], until[:, window:] - until[:, :-window]], dim=1)
