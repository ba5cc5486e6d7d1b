from __future__ import annotations

import torch

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.models import build_recogniser
from sb_alexa.bench.recogniser import Recogniser
from tests.bench.tiny_recogniser import build_tiny


def test_chunk_is_the_nearest_whole_number_of_frames() -> None:
    assert build_tiny(chunk_ms=150).chunk_samples == 2400
    assert build_tiny(chunk_ms=160).chunk_ms == 150
    assert build_tiny(chunk_ms=170).chunk_ms == 180
    assert build_tiny(chunk_ms=1).chunk_ms == 30


def test_steps_do_the_work_of_the_whole_utterance(tiny: Recogniser) -> None:
    """What is timed is recognition: tokens of all chunks are those of the offline pass."""
    audio = EndlessAudio.noise(40_000)
    state, num_tokens = tiny.initial_state(3), 0
    chunks = [audio.chunk(index, 3, tiny.chunk_samples) for index in range(40)]
    for chunk in chunks:
        step, state = tiny.step(chunk, state)
        num_tokens += step.num_tokens
        assert 0 < step.encoder_ms < step.total_ms
    with torch.no_grad():
        offline = tiny.search(tiny.encoder(tiny.features(torch.cat(chunks, dim=1))))
    # The hash that paces the joiner reads the last bits, which differ between batch shapes.
    assert abs(num_tokens - sum(map(len, offline))) <= 0.5 * num_tokens
    assert num_tokens > 20


def test_parameters_are_counted_once(tiny: Recogniser) -> None:
    parts = (tiny.features, tiny.encoder, tiny.search.predictor)
    expected = sum(parameter.numel() for part in parts for parameter in part.parameters())
    expected += 40 * 10 + 40  # output layer of the joiner
    assert tiny.num_parameters == expected


def test_dropout_is_off(tiny: Recogniser) -> None:
    assert not any(module.training for module in tiny.modules.modules())


def test_chunk_of_the_encoder_itself_comes_first() -> None:
    recogniser = build_recogniser("conformer", chunk_ms=600.0)
    assert recogniser.chunk_ms == recogniser.encoder.chunk_frames * recogniser.frame_ms == 150.0
    step, state = recogniser.step(torch.zeros(2, 2400), recogniser.initial_state(2))
    assert step.total_ms > 0


def test_every_channel_of_a_mixture_is_searched() -> None:
    one, two = (
        build_recogniser(f"LibriCSS/ASR/{name}", chunk_ms=150.0)
        for name in ("mini_single_channel", "mini")
    )
    assert (one.prefix, one.chunk_ms) == ("mini_single_channel_", 120.0)
    audio = EndlessAudio.noise(40_000)
    emitted = []
    for recogniser in (one, two):
        state, num_tokens = recogniser.initial_state(2), 0
        for index in range(20):
            step, state = recogniser.step(audio.chunk(index, 2, 1920), state)
            num_tokens += step.num_tokens
        emitted.append(num_tokens)
    assert 1.4 * emitted[0] < emitted[1] < 2.8 * emitted[0]
    assert two.num_parameters > one.num_parameters
