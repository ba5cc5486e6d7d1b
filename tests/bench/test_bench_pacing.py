from __future__ import annotations

import pytest
import torch

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.pacing import PacedJoiner
from sb_alexa.bench.timing import time_chunks
from sb_alexa.transducer.joiner import Joiner
from tests.bench.tiny_recogniser import build_tiny


@pytest.mark.parametrize("tokens_per_frame", [0.05, 0.1, 0.5])
def test_probability_does_not_depend_on_the_history(tokens_per_frame: float) -> None:
    joiner = Joiner(encoder_size=16, predictor_size=16, num_labels=9)
    paced = PacedJoiner(joiner, tokens_per_frame=tokens_per_frame)
    frames, histories = torch.randn(4000, 1, 16), torch.randn(1, 5, 16)
    emitted = (paced(frames, histories).argmax(-1) != 0).double().mean(0)
    expected = torch.full((5,), tokens_per_frame, dtype=torch.float64)
    torch.testing.assert_close(emitted, expected, atol=0.03, rtol=0.0)


def test_the_joiner_decides_which_label() -> None:
    joiner = Joiner(encoder_size=6, predictor_size=6, num_labels=9)
    frames, history = torch.randn(500, 6), torch.randn(6)
    labels = PacedJoiner(joiner, tokens_per_frame=0.5)(frames, history).argmax(-1)
    own = joiner(frames, history)[:, 1:].argmax(-1) + 1
    emitted = labels != 0
    assert 150 < int(emitted.sum()) < 350
    assert torch.equal(labels[emitted], own[emitted])


@pytest.mark.parametrize("tokens_per_second", [2.0, 6.0])
def test_rate_of_a_long_stream(tokens_per_second: float) -> None:
    """The rate neither dies out nor saturates: what comes out in the last 20 s of a minute."""
    recogniser = build_tiny(tokens_per_second=tokens_per_second)
    audio, state = EndlessAudio.noise(), recogniser.initial_state(8)
    for third in range(3):
        times, state = time_chunks(
            recogniser, audio, state, num_streams=8, num_chunks=133, first_chunk=133 * third
        )
    assert times.tokens_per_second == pytest.approx(tokens_per_second, rel=0.15)


def test_rate_must_be_a_probability() -> None:
    joiner = Joiner(encoder_size=2, predictor_size=2, num_labels=3)
    for rate in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"between 0 and 1, got {rate}"):
            PacedJoiner(joiner, tokens_per_frame=rate)
