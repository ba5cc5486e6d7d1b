from __future__ import annotations

import pytest
import torch

from sb_alexa.bench.audio import EndlessAudio


def test_chunks_continue_each_other_and_wrap() -> None:
    audio = EndlessAudio(torch.arange(10.0))
    streamed = torch.cat([audio.chunk(index, 1, 4)[0] for index in range(4)])
    assert streamed.tolist() == [k % 10 for k in range(16)]


def test_streams_hear_different_parts() -> None:
    chunks = EndlessAudio.noise().chunk(7, 40, 2400)
    assert chunks.shape == (40, 2400)
    assert len({tuple(row.tolist()) for row in chunks}) == 40


def test_noise_is_deterministic() -> None:
    assert torch.equal(EndlessAudio.noise(100).samples, EndlessAudio.noise(100).samples)


def test_empty_recording() -> None:
    with pytest.raises(ValueError, match="empty"):
        EndlessAudio(torch.zeros(0))
