from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sb_alexa.nn.causal_attention import alibi_slopes, causal_attention

BATCH, NHEAD, SIZE = 2, 3, 5


def tensors(frames: int, seed: int = 0) -> list[Tensor]:
    """Query, key and value in float64, (B, H, T, C)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, BATCH, NHEAD, frames, SIZE)
    return list(torch.randn(shape, generator=generator, dtype=torch.float64))


def plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slopes: Tensor,
    left_context_frames: int | None = None,
    key_bias: Tensor | None = None,
) -> Tensor:
    """The definition: a matrix of scores and biases, and a softmax."""
    frames = query.shape[2]
    distance = torch.arange(frames)[:, None] - torch.arange(frames)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    scores = scores - slopes[:, None, None] * distance
    if key_bias is not None:
        scores = scores + key_bias[:, :, None]
    reach = frames if left_context_frames is None else left_context_frames
    visible = (distance >= 0) & (distance <= reach)
    return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1) @ value


@pytest.mark.parametrize("with_bias", [False, True], ids=["bare", "key_bias"])
@pytest.mark.parametrize("left_context_frames", [None, 0, 1, 4, 19, 20, 21, 50])
@pytest.mark.parametrize("frames", [1, 5, 20, 21])
def test_it_is_the_softmax_of_scores_and_biases(
    frames: int, left_context_frames: int | None, with_bias: bool
) -> None:
    query, key, value = tensors(frames)
    slopes = alibi_slopes(NHEAD)
    key_bias = 3 * torch.randn(BATCH, NHEAD, frames).double() if with_bias else None
    y = causal_attention(
        query, key, value, slopes, left_context_frames=left_context_frames, key_bias=key_bias
    )
    expected = plain(query, key, value, slopes, left_context_frames, key_bias)
    assert torch.allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("left_context_frames", [None, 0, 2])
def test_gradients(left_context_frames: int | None) -> None:
    inputs = [part.requires_grad_() for part in tensors(7)]
    inputs.append(torch.randn(BATCH, NHEAD, 7).double().requires_grad_())

    def attend(query: Tensor, key: Tensor, value: Tensor, key_bias: Tensor) -> Tensor:
        return causal_attention(
            query,
            key,
            value,
            alibi_slopes(NHEAD),
            left_context_frames=left_context_frames,
            key_bias=key_bias,
        )

    assert torch.autograd.gradcheck(attend, inputs, fast_mode=True)


@pytest.mark.parametrize("left_context_frames", [None, 900])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_long_utterances_keep_their_precision(
    precision: torch.dtype, left_context_frames: int | None
) -> None:
    """Position biases reach thousands, of which bfloat16 alone would keep multiples of eight: the
    frames around a query would all seem equally far away."""
    frames = 10_000
    query, key = torch.randn(2, 1, 2, frames, 8, dtype=precision)
    # The value is the place, so that the output is the mean place that is looked at.
    place = (torch.arange(frames) % 64).to(precision)
    value = place[:, None].expand(1, 2, frames, 8)
    slopes = torch.tensor([0.25, 0.5], dtype=torch.float64)
    y = causal_attention(query, key, value, slopes, left_context_frames=left_context_frames)
    exact = causal_attention(
        query.double(),
        key.double(),
        value.double(),
        slopes,
        left_context_frames=left_context_frames,
    )
    tolerance = 0.01 if precision == torch.float32 else 0.5
    assert (y.double() - exact).abs().max() < tolerance


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_the_logarithm_of_a_closed_gate_is_no_infinity(precision: torch.dtype) -> None:
    query, key, value = (part.to(precision).requires_grad_() for part in tensors(6))
    key_bias = torch.tensor([-3e6, 0.0, 0.0, -3e6, -1e5, 0.0]).expand(BATCH, NHEAD, 6)
    y = causal_attention(query, key, value, alibi_slopes(NHEAD), key_bias=key_bias)
    y.float().sum().backward()
    assert bool(y.isfinite().all())
    for part in (query, key, value):
        assert part.grad is not None and bool(part.grad.isfinite().all())
    # Frame 2 sees frames 1 and 2 only, frame 4 the same two.
    assert not torch.autograd.grad(_frame(query, key, value, key_bias, 2), value)[0][:, :, 0].any()
    seen = torch.autograd.grad(_frame(query, key, value, key_bias, 4), value)[0].abs().sum(dim=-1)
    assert (seen[0, 0] > 0).tolist() == [False, True, True, False, False, False]


def _frame(query: Tensor, key: Tensor, value: Tensor, key_bias: Tensor, number: int) -> Tensor:
    y = causal_attention(query, key, value, alibi_slopes(NHEAD), key_bias=key_bias)
    return y[0, 0, number].float().sum()


def test_slopes_halve_over_the_heads() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert torch.allclose(
        alibi_slopes(3)[1:] / alibi_slopes(3)[:-1], torch.tensor(2 ** (-8 / 3)).double()
    )


@pytest.mark.parametrize(("frames", "left_context_frames"), [(8_000, None), (20_000, 100)])
def test_no_matrix_of_all_pairs_is_made(frames: int, left_context_frames: int | None) -> None:
    """It would take 256 MB or 1.6 GB."""
    query, key, value = torch.randn(3, 1, 1, frames, 8)
    with (
        torch.profiler.profile(profile_memory=True, acc_events=True) as profile,
        torch.no_grad(),
    ):
        causal_attention(
            query, key, value, alibi_slopes(1), left_context_frames=left_context_frames
        )
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert 0 < largest < 50e6
