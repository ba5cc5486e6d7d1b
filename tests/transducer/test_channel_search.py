"""Each channel of a mixture is decoded as a stream of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sb_alexa.streaming.state import cat, rows
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.channel_search import ChannelHypotheses, ChannelSearch
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

NUM_FRAMES = torch.tensor([17, 9, 0])


def one_channel_search(beam_size: int) -> Any:
    torch.manual_seed(0)
    predictor = LSTMPredictor(num_labels=6, embedding_size=5, hidden_size=7, output_size=4)
    parts = {
        "predictor": predictor.double().eval(),
        "joiner": Joiner(encoder_size=4, predictor_size=4, num_labels=6).double().eval(),
    }
    return GreedySearch(**parts) if beam_size == 1 else BeamSearch(**parts, beam_size=beam_size)


@pytest.fixture(params=[1, 3], ids=["greedy", "beam"])
def search(request: pytest.FixtureRequest) -> Any:
    return one_channel_search(request.param)


def mixture(channels: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return 3 * torch.randn(3, 17, channels, 4, dtype=torch.float64)


def labels(found: ChannelHypotheses) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(one.tokens, one.frames) for one in found.channels]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_are_decoded_as_if_alone(search: Any, channels: int) -> None:
    x = mixture(channels)
    found = ChannelSearch(search=search, num_channels=channels)(x, NUM_FRAMES)
    for channel in range(channels):
        alone = search(x[:, :, channel].contiguous(), NUM_FRAMES)
        for row in range(3):
            assert found[row].channels[channel].tokens == alone[row].tokens
            assert found[row].channels[channel].frames == alone[row].frames
    assert any(len(one) for one in found[0].channels)  # there is something to compare


@pytest.mark.parametrize("sizes", [[17], [1] * 17, [5, 0, 7, 5]])
def test_chunks_give_the_result_of_the_whole(search: Any, sizes: list[int]) -> None:
    channel_search = ChannelSearch(search=search, num_channels=2)
    x = mixture()
    state, total = channel_search.initial_state(3), [ChannelHypotheses((Hypothesis(),) * 2)] * 3
    first = 0
    for size in sizes:
        left = (NUM_FRAMES - first).clamp(0, size)
        found, state = channel_search.forward_chunk(x[:, first : first + size], state, left)
        total = [one + new for one, new in zip(total, found, strict=True)]
        first += size
    total = [one + rest for one, rest in zip(total, channel_search.finish(state), strict=True)]
    whole = channel_search(x, NUM_FRAMES)
    assert [labels(one) for one in total] == [labels(one) for one in whole]


def test_rows_of_the_state_are_streams(search: Any) -> None:
    channel_search = ChannelSearch(search=search, num_channels=2)
    x = mixture()
    _, state = channel_search.forward_chunk(x[:, :8], channel_search.initial_state(3))
    expected, _ = channel_search.forward_chunk(x[:, 8:], state)
    order = torch.tensor([2, 0])
    found, _ = channel_search.forward_chunk(x[order, 8:], rows(state, order))
    assert [labels(one) for one in found] == [labels(expected[2]), labels(expected[0])]
    apart = [rows(state, torch.tensor([row])) for row in range(3)]
    again, _ = channel_search.forward_chunk(x[:, 8:], cat(apart))
    assert [labels(one) for one in again] == [labels(one) for one in expected]


def test_another_number_of_channels_is_refused(search: Any) -> None:
    channel_search = ChannelSearch(search=search, num_channels=2)
    with pytest.raises(ValueError, match=r"N=2 channels, got \(3, 17, 3, 4\)"):
        channel_search(mixture(3))
    with pytest.raises(ValueError, match="num_channels must be >= 1, got 0"):
        ChannelSearch(search=search, num_channels=0)
