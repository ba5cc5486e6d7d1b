"""Streaming sessions: any cutting gives the offline result, alone or in a batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.session import StreamingSession
from sb_alexa.streaming.state import named_tensors
from tests.streaming_helpers import Delayed, Recording, labels, offline, with_conformer
from tests.tiny_model import SAMPLES_PER_FRAME, noise, tiny_parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return tiny_parts(tmp_path_factory.mktemp("session") / "model")


def stream(session: StreamingSession, samples: Tensor, cuts: list[int]) -> list:
    updates = [session.push(piece) for piece in samples.tensor_split(cuts)]
    return [*updates, session.finish()]


CUTS = {
    "whole": lambda n: [],
    "one sample": lambda n: list(range(1, n)),
    "one hop": lambda n: list(range(480, n, 480)),
    "160 ms": lambda n: list(range(2560, n, 2560)),
    "ragged": lambda n: sorted(np.random.default_rng(5).integers(0, n, 40).tolist()),
}


@pytest.mark.parametrize("cutting", CUTS)
@pytest.mark.parametrize("num_samples", [1, 479, 960, 12001])
def test_any_cutting_gives_the_offline_result(parts, cutting, num_samples):
    samples = noise(num_samples)
    expected_frames, expected_labels = offline(parts, samples)
    recording = Recording(parts["encoder"])
    session = StreamingSession(**{**parts, "encoder": recording})
    updates = stream(session, samples, CUTS[cutting](num_samples))
    frames = torch.cat(recording.outputs, dim=1)[0]
    assert frames.shape == expected_frames.shape
    assert (frames - expected_frames).abs().max() <= 1e-5
    assert labels(updates) == expected_labels
    if num_samples == 12001:
        assert len(expected_labels) > 3, (
            "the model must say something for the test to mean anything"
        )


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(num_samples=st.integers(0, 30000), seed=st.integers(0, 10**6), data=st.data())
def test_any_cutting_at_all(parts, num_samples, seed, data):
    samples = noise(num_samples, seed)
    expected = offline(parts, samples)[1] if num_samples else ()
    cuts = sorted(data.draw(st.lists(st.integers(0, num_samples), max_size=60)))
    assert labels(stream(StreamingSession(**parts), samples, cuts)) == expected


def test_float64_model_takes_any_floating_point(parts):
    double = copy.deepcopy({key: parts[key] for key in ("features", "encoder", "search")})
    for key in ("features", "encoder"):
        double[key].double()
    double["search"].predictor.double()
    double["search"].joiner.double()
    samples = noise(9000).double()
    expected, _ = offline({**parts, **double}, samples)
    recording = Recording(double["encoder"])
    session = StreamingSession(**{**parts, **double, "encoder": recording})
    stream(session, samples, [1, 700, 701, 5000])
    assert (torch.cat(recording.outputs, dim=1)[0] - expected).abs().max() <= 1e-10


def test_numpy_and_half_precision_samples(parts):
    samples = noise(16000).half()
    expected = offline(parts, samples.float())[1]
    for pushed in (samples, samples.numpy(), samples.double().numpy()):
        session = StreamingSession(**parts)
        assert labels([session.push(pushed), session.finish()]) == expected


def test_a_long_push_equals_short_ones(parts):
    samples = noise(16000 * 5)
    session = StreamingSession(**parts)
    assert labels(stream(session, samples, [])) == offline(parts, samples)[1]


def test_times_words_and_text(parts):
    samples = noise(48000)
    with torch.no_grad():
        encoder_out = parts["encoder"](parts["features"](samples[None]))
        expected = parts["search"](encoder_out)[0]
    session = StreamingSession(**parts)
    updates = stream(session, samples, CUTS["160 ms"](48000))
    tokens = [token for update in updates for token in update.tokens]
    hop_s = SAMPLES_PER_FRAME / 16000
    assert [t.time_s for t in tokens] == pytest.approx([(f + 1) * hop_s for f in expected.frames])
    assert [t.confidence for t in tokens] == pytest.approx(expected.confidences, abs=1e-5)
    text = " ".join(parts["word_pieces"].decode(expected.tokens).split())
    assert updates[-1].text == text == session.text
    words = [word for update in updates for word in update.words]
    assert tuple(words) == session.words and len(words) > 1
    assert " ".join(word.word for word in words) == text
    for word in words:
        assert 0 <= word.start_s < word.end_s <= 3.0 + hop_s
        assert 0 < word.confidence <= 1


def test_an_update_is_causal(parts):
    """A token is known once its frame has been heard, and not reported before."""
    session = StreamingSession(**parts)
    for piece in noise(48000).split(1000):
        update = session.push(piece)
        heard_s = update.audio_s
        for token in update.tokens:
            assert heard_s - 1000 / 16000 - 1e-9 < token.time_s <= heard_s + 1e-9


def test_text_grows_only(parts):
    session = StreamingSession(**parts)
    before = ""
    for piece in noise(32000).split(500):
        text = session.push(piece).text
        assert text.startswith(before)
        before = text


def test_empty_stream_and_empty_push(parts):
    session = StreamingSession(**parts)
    update = session.push(torch.zeros(0))
    assert (update.text, update.tokens, update.audio_s, update.is_final) == ("", (), 0.0, False)
    update = session.finish()
    assert (update.text, update.words, update.is_final) == ("", (), True)


def test_nan_is_refused_by_place_and_the_session_goes_on(parts):
    samples = noise(16000)
    session = StreamingSession(**parts)
    first = session.push(samples[:8000])
    bad = samples[8000:].clone()
    bad[123] = float("nan")
    with pytest.raises(ValueError, match=r"sample 123 of this push is nan, at 0\.508 s"):
        session.push(bad)
    bad[123] = float("inf")
    with pytest.raises(ValueError, match="is inf"):
        session.push(bad)
    assert (
        labels([first, session.push(samples[8000:]), session.finish()])
        == offline(parts, samples)[1]
    )


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (torch.zeros(10, dtype=torch.int16), TypeError, "divide 16-bit integers by 32768"),
        (np.zeros(10, dtype=np.int16), TypeError, "divide 16-bit integers by 32768"),
        ([0.0, 1.0], TypeError, "got list"),
        (torch.zeros(2, 10), ValueError, r"got \(2, 10\); average the channels"),
        (torch.tensor(0.0), ValueError, r"shape \(N,\)"),
    ],
)
def test_wrong_samples(parts, samples, error, message):
    with pytest.raises(error, match=message):
        StreamingSession(**parts).push(samples)


def test_a_finished_session_says_what_to_do(parts):
    session = StreamingSession(**parts)
    session.finish()
    with pytest.raises(ValueError, match="open another one"):
        session.push(torch.zeros(10))
    with pytest.raises(ValueError, match="finished already"):
        session.finish()


def test_training_mode_is_refused(parts):
    encoder = copy.deepcopy(parts["encoder"]).train()
    with pytest.raises(ValueError, match=r"call \.eval\(\)"):
        StreamingSession(**{**parts, "encoder": encoder})


@pytest.mark.parametrize("num_samples", [100, 1920, 9000])
def test_conformer_streams_as_offline(parts, num_samples):
    conformer_parts = with_conformer(parts)
    samples = noise(num_samples)
    expected = offline(conformer_parts, samples)[1]
    assert expected, "the model must say something for the test to mean anything"
    for cutting in ("whole", "one hop", "ragged"):
        session = StreamingSession(**conformer_parts)
        assert labels(stream(session, samples, CUTS[cutting](num_samples))) == expected


def test_an_encoder_with_a_chunk_size_gets_exactly_that(parts):
    samples = noise(20000)
    recording = Recording(parts["encoder"], chunk_frames=8)
    session = StreamingSession(**{**parts, "encoder": recording})
    updates = stream(session, samples, CUTS["ragged"](20000))
    assert set(recording.num_frames_in) == {8}
    assert labels(updates) == offline(parts, samples)[1]


@pytest.mark.parametrize("num_samples", [0, 1, 960, 1000, 20000])
@pytest.mark.parametrize("chunk_frames", [None, 6])
def test_an_encoder_that_looks_ahead_loses_nothing(parts, num_samples, chunk_frames):
    samples = noise(num_samples)
    expected = offline(parts, samples)[1] if num_samples else ()
    delayed: StreamingModule = Delayed(parts["encoder"], delay=3)
    if chunk_frames is not None:
        delayed = Recording(delayed, chunk_frames)
    session = StreamingSession(**{**parts, "encoder": delayed})
    assert labels(stream(session, samples, CUTS["ragged"](num_samples + 1))) == expected


def test_a_front_end_that_looks_ahead_is_refused(parts):
    features = copy.deepcopy(parts["features"])
    features.geometry = FrameGeometry(hop=480, window=720, look_ahead=160)
    with pytest.raises(ValueError, match="frame causally"):
        StreamingSession(**{**parts, "features": features})


@pytest.mark.parametrize("minutes", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_stream(parts, minutes):
    """What a session holds after an hour is what it holds after a second."""
    session = StreamingSession(**parts)
    minute = torch.zeros(60 * 16000)

    def held_bytes() -> int:
        stored = session._stream._buffer.untyped_storage().nbytes()
        return stored + sum(
            tensor.untyped_storage().nbytes() for _, tensor in named_tensors(session._state)
        )

    session.push(noise(16000 + 77))
    before = held_bytes()
    for _ in range(minutes):
        session.push(minute)
    assert session.push(torch.zeros(0)).audio_s > 60 * minutes
    assert held_bytes() <= before + 4 * SAMPLES_PER_FRAME
