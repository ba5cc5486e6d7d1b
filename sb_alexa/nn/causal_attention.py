"""Causal attention with linear position biases over a whole utterance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def alibi_slopes(nhead: int) -> Tensor:
    """How fast each head's attention falls with the distance, in nats per frame.

    Arguments
    ---------
    nhead : int
        Heads, H.

    Returns
    -------
    Tensor
        (H,) float64: 2^(-8 h / H) for h = 1 .. H.

    Reference
    ---------
    Press et al., "Train short, test long: attention with linear biases", ICLR 2022, arXiv
    2108.12409. For H that is no power of two the paper interpolates; the formula is used as it is.

    Example
    -------
    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    return 2.0 ** (-8.0 * torch.arange(1, nhead + 1, dtype=torch.float64) / nhead)


def causal_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slopes: Tensor,
    *,
    left_context_frames: int | None = None,
    key_bias: Tensor | None = None,
) -> Tensor:
    """Let every frame attend to itself and to frames before it.

    The position bias ``-slope (t - j)`` differs from ``slope j`` by a number that is the same for
    all keys of a query, which softmax ignores. ``slope j`` goes with the key: it becomes one more
    feature of it, beside a 1 in the query. So no matrix of biases is needed, and PyTorch's fused
    kernel runs with its own causal mask, also where the bias has a gradient.

    Arguments
    ---------
    query, key, value : Tensor
        (B, H, T, C).
    slopes : Tensor
        (H,), see `alibi_slopes`.
    left_context_frames : int | None
        Frames before its own that a frame sees; None for all.
    key_bias : Tensor | None
        (B, H, T) added to the scores of a key: the logarithm of a relaxed gate.

    Returns
    -------
    Tensor
        (B, H, T, C).

    Example
    -------
    >>> x = torch.randn(1, 2, 5, 8)
    >>> y = causal_attention(x, x, x, alibi_slopes(2))
    >>> torch.allclose(y[:, :, 0], x[:, :, 0], atol=1e-6)
    True
    """
    frames = query.shape[2]
    if left_context_frames is None or frames <= left_context_frames + 1:
        return _attend(query, key, value, slopes, key_bias, mask=None)
    return _in_blocks(query, key, value, slopes, key_bias, left_context_frames)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slopes: Tensor,
    key_bias: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    """One call of the fused kernel; without a mask it is causal."""
    size, keys = query.shape[-1], key.shape[2]
    # Around the middle the numbers are smallest, and so is their rounding.
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    positions = torch.arange(keys, device=key.device, dtype=wide) - keys // 2
    bias = slopes.to(key.device, wide)[:, None] * positions  # (H, K)
    bias = bias if key_bias is None else bias + key_bias.to(wide)
    parts = _bias_features(bias.expand(key.shape[:3]), key.dtype)  # (B, H, K, 1 or 3)
    ones = query.new_ones(*query.shape[:3], parts.shape[-1])
    # Kernels are made for sizes that are multiples of eight.
    padding = -(size + parts.shape[-1]) % 8
    query = F.pad(torch.cat([query * size**-0.5, ones], dim=-1), (0, padding))
    key = F.pad(torch.cat([key, parts], dim=-1), (0, padding))
    value = F.pad(value, (0, query.shape[-1] - size))
    y = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=1.0
    )
    return y[..., :size]


def _bias_features(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias as features whose sum it is: bfloat16 needs three to keep its 24 bits."""
    if bias.dtype == dtype:
        return bias[..., None]
    # Float16 ends at 65504, and the logarithm of a hard gate lies far below: infinities become NaN.
    parts, rest = [], bias.clamp_min(torch.finfo(dtype).min / 2)
    for _ in range(3):
        part = rest.to(dtype)
        parts.append(part)
        rest = rest - part.to(bias.dtype)
    return torch.stack(parts, dim=-1)


def _in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slopes: Tensor,
    key_bias: Tensor | None,
    left_context_frames: int,
) -> Tensor:
    """Blocks of as many frames as the left context has; each sees itself and the one before it."""
    batch, nhead, frames, _ = query.shape
    size = max(left_context_frames, 1)
    num_blocks = -(-frames // size)

    def blocks(x: Tensor) -> Tensor:  # (B, H, T, ...) -> (B, blocks, H, size, ...)
        x = torch.cat([x, x.new_zeros(batch, nhead, num_blocks * size - frames, *x.shape[3:])], 2)
        return x.unflatten(2, (num_blocks, size)).transpose(1, 2)

    def with_previous(x: Tensor) -> Tensor:  # -> (B, blocks, H, 2 size, ...)
        x = blocks(x)
        return torch.cat([torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1), x], dim=3)

    i = torch.arange(size, device=query.device)[:, None]
    j = torch.arange(2 * size, device=query.device) - size
    mask = (j <= i) & (j >= i - left_context_frames)  # (size, 2 size)
    # Before the first block there is nothing.
    first = torch.arange(num_blocks, device=query.device)[:, None, None] == 0
    mask = mask & ~(first & (j < 0))  # (blocks, size, 2 size)
    y = _attend(
        blocks(query).flatten(0, 1),
        with_previous(key).flatten(0, 1),
        with_previous(value).flatten(0, 1),
        slopes,
        None if key_bias is None else with_previous(key_bias).flatten(0, 1),
        mask.repeat(batch, 1, 1)[:, None],
    )
    return y.unflatten(0, (batch, num_blocks)).transpose(1, 2).flatten(2, 3)[:, :, :frames]
