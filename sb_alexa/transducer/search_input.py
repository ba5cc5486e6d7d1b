"""The check of what every search is given."""

from __future__ import annotations

from torch import Tensor

from sb_alexa.losses.checks import check_counts


def frames_to_search(
    name: str, encoder_out: Tensor, num_streams: int, num_frames: Tensor | None
) -> list[int]:
    """How many frames of a chunk each stream has.

    Arguments
    ---------
    name : str
        The search, for the message.
    encoder_out : Tensor
        (B, T, C).
    num_streams : int
        Rows of the search's state.
    num_frames : Tensor | None
        (B,) integers in 0..T; None means all.

    Returns
    -------
    list of int
        (B,).

    Raises
    ------
    ValueError
        If shapes do not fit, or naming the row whose number is out of range.

    Example
    -------
    >>> import torch
    >>> frames_to_search("GreedySearch", torch.zeros(2, 5, 8), 2, None)
    [5, 5]
    >>> frames_to_search("GreedySearch", torch.zeros(5, 8), 2, None)
    Traceback (most recent call last):
    ValueError: GreedySearch takes encoder frames (B, T, C) for the 2 rows of its state, got (5, 8)
    """
    if encoder_out.dim() != 3 or len(encoder_out) != num_streams:
        raise ValueError(
            f"{name} takes encoder frames (B, T, C) for the {num_streams} rows of its state, got "
            f"{tuple(encoder_out.shape)}"
        )
    batch, chunk_frames, _ = encoder_out.shape
    if num_frames is None:
        return [chunk_frames] * batch
    return check_counts("num_frames", num_frames, batch, 0, chunk_frames)
