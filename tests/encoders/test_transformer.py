from __future__ import annotations

import pytest
import torch

from sb_alexa.encoders.amortized_reference import masked_forward
from sb_alexa.encoders.transformer import SPARE_SLOTS, TransformerEncoder
from sb_alexa.nn.gates import Gates
from sb_alexa.streaming.state import cat, rows
from tests.encoders.tiny_transformers import (
    NHEAD,
    NUM_LAYERS,
    SIZES,
    assert_close,
    dense,
    features,
)
from tests.streaming_case import stream


@pytest.mark.parametrize("left_context_frames", [None, 0, 1, 6, 39, 40, 200])
def test_whole_utterances_equal_the_plain_formula(left_context_frames: int | None) -> None:
    encoder, x = dense(left_context_frames), features(2, 40)
    on = torch.ones(2, 40, NUM_LAYERS, NHEAD, dtype=torch.bool)
    with torch.no_grad():
        expected = masked_forward(encoder, x, Gates(on[..., :1], on, on))
        assert_close(encoder(x), expected)


@pytest.mark.parametrize("chunks", [(1,), (2, 5, 3), (SPARE_SLOTS + 20, 1)])
@pytest.mark.parametrize("left_context_frames", [0, 1, 6, 300])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_stream_equals_the_whole(
    batch: int, left_context_frames: int, chunks: tuple[int, ...]
) -> None:
    encoder, x = dense(left_context_frames), features(batch, 3 * SPARE_SLOTS)
    with torch.no_grad():
        y, _ = stream(encoder, x, chunks)
        assert_close(y, encoder(x))


def test_streams_of_different_ages_stand_in_one_batch() -> None:
    encoder, x = dense(5), features(3, 2 * SPARE_SLOTS)
    ages = (0, 3, SPARE_SLOTS + 1)
    with torch.no_grad():
        whole = encoder(x)
        alone = [stream(encoder, x[row : row + 1, :age], (4,))[1] for row, age in enumerate(ages)]
        late = torch.stack([x[row, age : age + 30] for row, age in enumerate(ages)])
        y, state = stream(encoder, late[:, :20], (3,), cat(alone))
        order = torch.tensor([2, 0, 1])
        after, _ = stream(encoder, late[order, 20:], (1,), rows(state, order))
    for row, age in enumerate(ages):
        assert_close(y[row], whole[row, age : age + 20])
        assert_close(after[order.tolist().index(row)], whole[row, age + 20 : age + 30])


def test_padding_reaches_nothing() -> None:
    encoder, x = dense(None), features(3, 30)
    lengths = torch.tensor([30, 1, 17])
    loud = x.masked_fill(torch.arange(30)[None, :, None] >= lengths[:, None, None], torch.nan)
    with torch.no_grad():
        y = encoder.forward_counted(loud, lengths)
        for row, length in enumerate(lengths):
            assert_close(y[row : row + 1, :length], encoder(x[row : row + 1, :length]))
            assert not y[row, length:].any()


def test_a_bounded_context_is_seen_and_no_more() -> None:
    """Of one block, output 20 changes with frames 15 to 20 and with no other."""
    encoder = TransformerEncoder(**{**SIZES, "num_layers": 1}, left_context_frames=5).eval()
    x = torch.randn(1, 25, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x)[:, 20].square().sum(), x)
    assert gradient[0].any(dim=1).nonzero().flatten().tolist() == list(range(15, 21))


def test_an_unlimited_context_cannot_be_streamed() -> None:
    unlimited = dense(None)
    with pytest.raises(ValueError, match="left_context_frames=None.*left_context_frames=100"):
        unlimited.initial_state(1)
    bounded = dense(100, seed=1)
    bounded.load_state_dict(unlimited.state_dict())
    x = features(1, 101)
    with torch.no_grad():
        assert_close(stream(bounded, x, (10,))[0], unlimited(x))


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="nhead=5 and d_model=516; take nhead=4 or 6"):
        TransformerEncoder(nhead=5)
    with pytest.raises(ValueError, match="left_context_frames must be >= 0.*got -1"):
        TransformerEncoder(left_context_frames=-1)
    with pytest.raises(ValueError, match="num_layers must be >= 1, got 0"):
        TransformerEncoder(num_layers=0)


def test_dropout_works_in_training_only() -> None:
    encoder, x = dense(5), features(1, 9)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))
