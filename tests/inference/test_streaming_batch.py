"""Many live streams in one step: the labels of each are those of a session of its own."""

from __future__ import annotations

import numpy as np
import pytest

from sb_alexa.inference.streaming_batch import StreamingBatch
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.session import StreamingSession
from sb_alexa.transducer.beam import BeamSearch
from tests.streaming_helpers import Delayed, Recording, labels, offline, with_conformer
from tests.tiny_model import noise, tiny_parts


@pytest.fixture(scope="module", params=["greedy", "beam"])
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    parts = tiny_parts(tmp_path_factory.mktemp("batch") / "model")
    if request.param == "beam":
        greedy = parts["search"]
        parts["search"] = BeamSearch(
            predictor=greedy.predictor, joiner=greedy.joiner, beam_size=3, max_symbols_per_frame=3
        )
    return parts


def run_to_end(batch: StreamingBatch, streams: list[int]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list] = {stream: [] for stream in streams}
    for stream in streams:
        batch.finish(stream)
    while batch.num_streams:
        for stream, update in batch.step().items():
            found[stream].append(update)
    return {stream: labels(updates) for stream, updates in found.items()}


def test_a_batch_of_live_streams_equals_sessions(parts):
    """Streams come and go at different times with different amounts of audio."""
    lengths = [30000, 0, 2399, 16000, 24001, 999]
    recordings = [noise(length, seed) for seed, length in enumerate(lengths)]
    starts = [0, 0, 3, 1, 2, 7]
    batch = StreamingBatch(**parts, chunk_ms=150)
    assert batch.chunk_samples == 2880, "whole frames of 960 samples that cover 150 ms"
    random = np.random.default_rng(0)
    position = [0] * len(recordings)
    numbers: dict[int, int] = {}
    found: dict[int, list] = {}
    tick = 0
    while batch.num_streams or tick <= max(starts):
        for k, recording in enumerate(recordings):
            if tick == starts[k]:
                numbers[k] = batch.add()
                found[numbers[k]] = []
            elif tick > starts[k] and position[k] <= len(recording):
                size = int(random.integers(0, 6000))
                batch.push(numbers[k], recording[position[k] : position[k] + size])
                position[k] += size
                if position[k] > len(recording):
                    batch.finish(numbers[k])
        for number, update in batch.step().items():
            found[number].append(update)
        tick += 1
    for k, recording in enumerate(recordings):
        session = StreamingSession(**parts)
        expected = [session.push(recording), session.finish()]
        assert labels(found[numbers[k]]) == labels(expected)
        assert found[numbers[k]][-1].text == session.text
        assert found[numbers[k]][-1].is_final
        assert found[numbers[k]][-1].audio_s == len(recording) / 16000
        times = [token.time_s for update in found[numbers[k]] for token in update.tokens]
        assert times == [token.time_s for update in expected for token in update.tokens]


def test_a_batch_advances_only_streams_with_a_whole_chunk(parts):
    batch = StreamingBatch(**parts, chunk_ms=60)
    full, short = batch.add(), batch.add()
    batch.push(full, noise(2000))
    batch.push(short, noise(959))
    assert list(batch.step()) == [full]
    batch.push(short, noise(1))
    assert set(batch.step()) == {full, short}
    assert batch.step() == {}


def test_removing_a_stream_leaves_the_others_alone(parts):
    samples = noise(16000)
    batch = StreamingBatch(**parts)
    first, second, third = batch.add(), batch.add(), batch.add()
    for stream in (first, second, third):
        batch.push(stream, samples[:9000])
    found = list(batch.step()[third].tokens)
    batch.remove(second)
    with pytest.raises(ValueError, match="no stream"):
        batch.push(second, samples)
    batch.push(third, samples[9000:])
    batch.push(first, samples[9000:])
    rest = run_to_end(batch, [first, third])
    assert tuple(t.label for t in found) + rest[third] == offline(parts, samples)[1]


def test_a_batch_refuses_a_chunk_without_length(parts):
    with pytest.raises(ValueError, match="chunk_ms must be > 0"):
        StreamingBatch(**parts, chunk_ms=0)


@pytest.mark.parametrize("num_samples", [0, 1, 960, 20000])
@pytest.mark.parametrize("chunk_frames", [None, 6])
def test_an_encoder_that_looks_ahead_loses_nothing(parts, num_samples, chunk_frames):
    samples = noise(num_samples)
    delayed: StreamingModule = Delayed(parts["encoder"], delay=3)
    if chunk_frames is not None:
        delayed = Recording(delayed, chunk_frames)
    batch = StreamingBatch(**{**parts, "encoder": delayed}, chunk_ms=120)
    other, stream = batch.add(), batch.add()
    batch.push(other, noise(5000, seed=3))
    batch.push(stream, samples)
    expected = offline(parts, samples)[1] if num_samples else ()
    assert run_to_end(batch, [other, stream])[stream] == expected


def test_conformer_streams_of_different_ages(parts):
    conformer_parts = with_conformer(parts)
    recordings = [noise(60000), noise(9000, 1), noise(8000, 2)]
    batch = StreamingBatch(**conformer_parts, chunk_ms=120)
    found: dict[int, list] = {}
    for recording in recordings:
        number = batch.add()
        found[number] = []
        batch.push(number, recording)
        batch.finish(number)
        for stream_number, update in batch.step().items():
            found[stream_number].append(update)
    while batch.num_streams:
        for stream_number, update in batch.step().items():
            found[stream_number].append(update)
    for number, recording in enumerate(recordings):
        assert labels(found[number]) == offline(conformer_parts, recording)[1]
