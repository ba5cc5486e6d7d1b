from __future__ import annotations

from typing import Any

import pytest
import torch
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig
from torch import Tensor

from sb_alexa.encoders.conformer import ConformerEncoder
from sb_alexa.streaming.state import cat, named_tensors, rows

SMALL: dict[str, Any] = {
    "input_size": 6,
    "d_model": 16,
    "nhead": 2,
    "num_layers": 3,
    "d_ffn": 24,
    "kernel_size": 7,
    "chunk_frames": 4,
    "left_context_chunks": 2,
}


def _encoder(**changes: Any) -> ConformerEncoder:
    torch.manual_seed(0)
    return ConformerEncoder(**{**SMALL, **changes}).eval()


def _stream(encoder: ConformerEncoder, x: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(x, (0, 0, 0, -x.shape[1] % encoder.chunk_frames))
    state, outputs = encoder.initial_state(x.shape[0]), []
    for chunk in padded.split(encoder.chunk_frames, dim=1):
        y, state = encoder.forward_chunk(chunk, state)
        outputs.append(y)
    return torch.cat(outputs, dim=1)[:, : x.shape[1]]


@pytest.mark.parametrize("attention_type", ["RoPEMHA", "RelPosMHAXL"])
@pytest.mark.parametrize("left_context_chunks", [0, 1, 2, 100])
def test_streaming_equals_the_masked_pass(attention_type: str, left_context_chunks: int) -> None:
    encoder = _encoder(attention_type=attention_type, left_context_chunks=left_context_chunks)
    x = torch.randn(2, 27, 6)
    with torch.no_grad():
        assert (_stream(encoder, x) - encoder(x)).abs().max() <= 1e-5


def test_rows_do_not_see_padding() -> None:
    encoder = _encoder()
    x, num_steps = torch.randn(3, 27, 6), torch.tensor([27, 9, 2])
    with torch.no_grad():
        batch = encoder(x, num_steps / 27)
        for row, length in enumerate(num_steps.tolist()):
            alone = encoder(x[row : row + 1, :length])
            assert (batch[row, :length] - alone[0]).abs().max() <= 1e-5
            assert not batch[row, length:].any()


def test_a_frame_sees_its_chunk_and_the_left_context() -> None:
    encoder = _encoder(num_layers=1, kernel_size=3)
    x = torch.randn(1, 24, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x)[0, 17, 0], x)
    seen = gradient[0].any(dim=1).nonzero().flatten().tolist()
    assert seen == list(range(8, 20))  # its chunk is 16..19, two chunks before it


def test_state_is_immutable_and_has_batch_first() -> None:
    encoder = _encoder()
    x = torch.randn(2, 8, 6)
    with torch.no_grad():
        _, state = encoder.forward_chunk(x[:, :4], encoder.initial_state(2))
        before = [tensor.clone() for _, tensor in named_tensors(state)]
        first, _ = encoder.forward_chunk(x[:, 4:], state)
        second, _ = encoder.forward_chunk(x[:, 4:], state)
        swapped, _ = encoder.forward_chunk(x[[1, 0], 4:], rows(state, torch.tensor([1, 0])))
        singles = cat([rows(state, torch.tensor([row])) for row in (0, 1)])
        joined, _ = encoder.forward_chunk(x[:, 4:], singles)
    assert torch.equal(first, second) and torch.equal(first, joined)
    assert torch.allclose(swapped[[1, 0]], first, atol=1e-6)
    assert all(
        torch.equal(tensor, old)
        for (_, tensor), old in zip(named_tensors(state), before, strict=True)
    )


def test_memory_is_bounded() -> None:
    encoder = _encoder()
    state, sizes = encoder.initial_state(1), []
    with torch.no_grad():
        for _ in range(8):
            _, state = encoder.forward_chunk(torch.randn(1, 4, 6), state)
            sizes.append(sum(t.untyped_storage().nbytes() for _, t in named_tensors(state)))
    assert sizes[-1] == sizes[3] == 3 * (8 + 3) * 16 * 4  # layers, frames, features, bytes


def test_speechbrain_methods() -> None:
    encoder = _encoder()
    x = torch.randn(1, 12, 6)
    with torch.no_grad():
        context = encoder.make_streaming_context(None)
        outputs = [encoder.forward_streaming(chunk, context) for chunk in x.split(4, dim=1)]
        assert torch.allclose(torch.cat(outputs, dim=1), encoder(x), atol=1e-5)
        assert encoder.finish(context.state).shape == (1, 0, 16)


def test_dynamic_chunk_training_takes_other_chunks() -> None:
    encoder = _encoder()
    x, lens = torch.randn(2, 12, 6), torch.tensor([1.0, 0.5])
    with torch.no_grad():
        own = encoder(x, lens)
        other = encoder(x, lens, dynchunktrain_config=DynChunkTrainConfig(6, 1))
        full = encoder(x, lens, dynchunktrain_config=DynChunkTrainConfig(100, 1))
        assert torch.allclose(full[0], encoder.transformer.encode(x[:1])[0], atol=1e-5)
    assert not torch.allclose(own, other) and not torch.allclose(other, full)
    assert not full[1, 6:].any()


def test_it_learns_with_lengths() -> None:
    encoder = _encoder().train()
    encoder(torch.randn(2, 11, 6), torch.tensor([1.0, 0.4])).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_default_size_is_that_of_the_paper() -> None:
    with torch.device("meta"):
        encoder = ConformerEncoder()
    count = sum(parameter.numel() for parameter in encoder.parameters())
    label_encoder_and_joint = 1.28e6 + 0.62e6 + 2.62e6
    assert count + label_encoder_and_joint == pytest.approx(29e6, rel=0.02)


def test_misuse_is_refused() -> None:
    encoder = _encoder()
    with pytest.raises(ValueError, match="chunks of 4 frames"):
        encoder.forward_chunk(torch.zeros(1, 3, 6), encoder.initial_state(1))
    with pytest.raises(ValueError, match="3 rows and a state of 1"):
        encoder.forward_chunk(torch.zeros(3, 4, 6), encoder.initial_state(1))
    with pytest.raises(ValueError, match=r"shape \(B, T, 6\), got \(1, 4, 5\)"):
        encoder(torch.zeros(1, 4, 5))
    with pytest.raises(ValueError, match="cannot stream an unlimited left context"):
        _encoder(left_context_chunks=-1)
    with pytest.raises(ValueError, match="must be RoPEMHA or RelPosMHAXL"):
        _encoder(attention_type="regularMHA")
    with pytest.raises(ValueError, match="nhead divide d_model"):
        _encoder(nhead=3)


def test_training_works_after_inference_in_the_same_process() -> None:
    encoder = ConformerEncoder(input_size=8, d_model=16, nhead=2, num_layers=1, d_ffn=16)
    x = torch.randn(1, 1777, 8)  # a length whose rotary table no other test has made
    with torch.inference_mode():
        encoder(x)
    encoder(x).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)
