"""Channels that know of each other."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.encoders.rnn import LSTMEncoder
from sb_alexa.encoders.separation import SeparationEncoder


def lstm(input_size: int = 8, hidden_size: int = 8) -> LSTMEncoder:
    return LSTMEncoder(
        input_size=input_size, num_layers=1, hidden_size=hidden_size, projection_size=None
    )


def encoder(num_channels: int = 3, *, chained: bool) -> SeparationEncoder:
    torch.manual_seed(0)
    separation = [lstm() for _ in range(num_channels)]
    made = SeparationEncoder(
        mixture=lstm(6), separation=separation, recognition=lstm(), chained=chained
    )
    return made.double().eval()


def test_a_new_chain_changes_nothing() -> None:
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    assert torch.equal(encoder(chained=True)(x), encoder(chained=False)(x))


def test_a_chain_reaches_later_channels_only_and_streams() -> None:
    one, x = encoder(chained=True), torch.randn(2, 9, 6, dtype=torch.float64)
    before = one(x)
    torch.nn.init.normal_(one.links[0].weight)  # from the first channel to the second
    after = one(x)
    assert torch.equal(after[:, :, 0], before[:, :, 0])
    for channel in (1, 2):  # the third sees the first through the second, once linked to it
        changed = not torch.equal(after[:, :, channel], before[:, :, channel])
        assert changed == (channel == 1)
    torch.nn.init.normal_(one.links[1].weight)
    whole, state, parts = one(x), one.initial_state(2), []
    assert not torch.equal(whole[:, :, 2], after[:, :, 2])
    for chunk in x.split((4, 1, 4), dim=1):
        y, state = one.forward_chunk(chunk, state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-12)


def test_a_chain_starts_from_a_model_with_one_channel() -> None:
    single, both = encoder(1, chained=True), encoder(2, chained=True)
    adapted = both.adapted_weights(single.state_dict())
    missing = both.load_state_dict(adapted, strict=False).missing_keys
    assert missing == ["links.0.weight"]
    x = torch.randn(1, 5, 6, dtype=torch.float64)
    assert torch.allclose(both(x)[:, :, 1], single(x)[:, :, 0], atol=1e-12)


def test_a_chain_needs_frames_of_one_width() -> None:
    with pytest.raises(ValueError, match="8 features in and 10 out"):
        SeparationEncoder(
            mixture=lstm(6),
            separation=[lstm(8, 10), lstm(8, 10)],
            recognition=lstm(10),
            chained=True,
        )
