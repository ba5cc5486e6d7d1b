"""Sessions of several talkers: any cutting gives the offline result on every channel."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sb_alexa.inference.model_folder import read_model_folder
from sb_alexa.inference.turn_session import TurnSession
from sb_alexa.inference.turn_transcription import TurnUpdate, events_in_order
from sb_alexa.multitalker.turn_events import TurnEnded, TurnEvent, TurnStarted, WordSpoken
from sb_alexa.multitalker.turn_tracker import TurnTracker
from sb_alexa.streaming.state import named_tensors
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.channel_search import ChannelSearch
from tests.streaming_helpers import Delayed, Recording
from tests.tiny_model import noise
from tests.tiny_multitalker import SAMPLES_PER_FRAME, write_multitalker_model

SECONDS_PER_FRAME = SAMPLES_PER_FRAME / 16000


def double_parts(folder: Path) -> dict[str, Any]:
    model = read_model_folder(folder)
    for module in model.modules.values():
        module.double()
    return {
        "features": model.hparams["features"],
        "encoder": model.hparams["encoder"],
        "search": model.hparams["search"],
        "word_pieces": model.word_pieces,
        "tokens": model.hparams["turn_tokens"],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multitalker_model(tmp_path_factory.mktemp("turns") / "model")


@pytest.fixture(scope="module", params=["greedy", "beam"])
def parts(request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    parts = double_parts(folder)
    if request.param == "beam":
        greedy = parts["search"].search
        with torch.no_grad():
            greedy.joiner.output.weight.mul_(6.0)  # unsure of every label, silence would win
        beam = BeamSearch(
            predictor=greedy.predictor, joiner=greedy.joiner, beam_size=3, max_symbols_per_frame=3
        )
        parts["search"] = ChannelSearch(search=beam, num_channels=2)
    return parts


def offline(parts: dict[str, Any], samples: torch.Tensor) -> tuple[torch.Tensor, list[TurnEvent]]:
    """Frames (T, N, C), and the events of every channel, decoded as if it were alone."""
    with torch.no_grad():
        encoder_out = parts["encoder"](parts["features"](samples[None]))
        events: list[TurnEvent] = []
        for channel in range(encoder_out.shape[2]):
            found = parts["search"].search(encoder_out[:, :, channel].contiguous())[0]
            tracker = TurnTracker(
                parts["word_pieces"],
                parts["tokens"],
                channel=channel,
                seconds_per_frame=SECONDS_PER_FRAME,
            )
            events += tracker.push(found) + tracker.finish(len(samples) / 16000)
    return encoder_out[0], events


def stream(session: TurnSession, samples: torch.Tensor, cuts: list[int]) -> list[TurnUpdate]:
    updates = [session.push(piece) for piece in samples.tensor_split(cuts)]
    return [*updates, session.finish()]


def channel(events: list[TurnEvent], number: int) -> list[dict[str, Any]]:
    return [event.as_dict() for event in events if event.channel == number]


def all_events(updates: list[TurnUpdate]) -> list[TurnEvent]:
    return [event for update in updates for event in update.events]


CUTS = {
    "whole": lambda n: [],
    "one frame": lambda n: list(range(480, n, 480)),
    "160 ms": lambda n: list(range(2560, n, 2560)),
    "ragged": lambda n: sorted(np.random.default_rng(5).integers(0, n, 40).tolist()),
}


@pytest.mark.parametrize("cutting", CUTS)
@pytest.mark.parametrize("num_samples", [1, 479, 960, 24001])
def test_any_cutting_gives_the_offline_result_on_every_channel(
    parts: dict[str, Any], cutting: str, num_samples: int
) -> None:
    samples = noise(num_samples).double()
    expected_frames, expected = offline(parts, samples)
    recording = Recording(parts["encoder"])
    session = TurnSession(**{**parts, "encoder": recording})
    updates = stream(session, samples, CUTS[cutting](num_samples))
    frames = torch.cat(recording.outputs, dim=1)[0]
    assert frames.shape == expected_frames.shape
    assert (frames - expected_frames).abs().max() <= 1e-10
    events = all_events(updates)
    for number in range(2):
        assert channel(events, number) == channel(expected, number)
    if num_samples == 24001:
        assert len([event for event in expected if isinstance(event, WordSpoken)]) > 3
        started = [event.channel for event in expected if isinstance(event, TurnStarted)]
        assert set(started) == {0, 1}, "both channels say something"


def test_one_sample_at_a_time(parts: dict[str, Any]) -> None:
    samples = noise(3001).double()
    events = all_events(stream(TurnSession(**parts), samples, list(range(1, 3001))))
    assert [e.as_dict() for e in events_in_order(events)] == [
        e.as_dict() for e in events_in_order(offline(parts, samples)[1])
    ]


def test_events_of_an_update_are_in_order_and_causal(parts: dict[str, Any]) -> None:
    session = TurnSession(**parts)
    for piece in noise(24000).double().split(3000):
        update = session.push(piece)
        assert update.events == events_in_order(update.events)
        assert not update.is_final
        for event in update.events:
            end_s = event.end_s if isinstance(event, WordSpoken) else event.time_s
            assert end_s <= update.audio_s + 1e-9, "nothing is reported before it was heard"
    last = session.finish()
    assert last.is_final and last.audio_s == 1.5
    assert {type(event) for event in last.events} >= {TurnEnded}, "what is open ends"


@pytest.mark.parametrize("num_samples", [1, 960, 9000])
def test_an_encoder_that_looks_ahead_loses_nothing(folder: Path, num_samples: int) -> None:
    parts = double_parts(folder)
    samples = noise(num_samples).double()
    delayed = DelayedChannels(parts["encoder"], delay=3)
    updates = stream(TurnSession(**{**parts, "encoder": delayed}), samples, [num_samples // 2])
    expected = offline(parts, samples)[1]
    assert expected, "the model must say something for the test to mean anything"
    for number in range(2):
        assert channel(all_events(updates), number) == channel(expected, number)


class DelayedChannels(Delayed):
    """`Delayed` for an encoder with two output channels."""

    def initial_state(self, batch_size: int) -> Any:
        inner, first = super().initial_state(batch_size)
        return inner, first.double()[:, :, None].expand(-1, -1, 2, -1)


def test_empty_stream(parts: dict[str, Any]) -> None:
    session = TurnSession(**parts)
    assert session.push(torch.zeros(0)) == TurnUpdate((), 0.0)
    assert session.finish() == TurnUpdate((), 0.0, is_final=True)
    with pytest.raises(ValueError, match="finished already"):
        session.finish()
    with pytest.raises(ValueError, match="open another one"):
        session.push(torch.zeros(10))


def test_a_refused_push_changes_nothing(parts: dict[str, Any]) -> None:
    samples = noise(9000).double()
    session = TurnSession(**parts)
    first = session.push(samples[:4000])
    bad = samples[4000:].clone()
    bad[500] = float("nan")
    with pytest.raises(ValueError, match=r"sample 500 of this push is nan, at 0\.281 s"):
        session.push(bad)
    events = all_events([first, session.push(samples[4000:]), session.finish()])
    assert channel(events, 1) == channel(offline(parts, samples)[1], 1)


def test_memory_does_not_grow_with_a_turn_that_never_ends(folder: Path) -> None:
    """Words come and go for minutes within one turn; what the session holds stays as it is."""
    parts = double_parts(folder)
    bias, pieces = parts["search"].search.joiner.output.bias, parts["word_pieces"]
    with torch.no_grad():
        for label in range(1, len(bias)):
            # No turn token, and no piece that goes on with a word.
            if label in parts["tokens"].labels or not pieces.piece(label).startswith("\u2581"):
                bias[label] = -100.0
    session = TurnSession(**parts)
    held_bytes, num_words = [], 0
    for second in range(90):
        update = session.push(noise(16000 + second, seed=second % 7).double())
        num_words += len(update.events)
        assert not any(isinstance(event, TurnEnded) for event in update.events)
        tensors = [session._stream._buffer, *(t for _, t in named_tensors(session._state))]
        stored = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
        held_bytes.append(stored + len(pickle.dumps(session._transcript)))
    assert num_words > 1000
    # The buffer holds less than a frame, and each channel may hold an unfinished word.
    assert max(held_bytes) - min(held_bytes) < 8 * SAMPLES_PER_FRAME + 1000
    ended = [event for event in session.finish().events if isinstance(event, TurnEnded)]
    assert sorted(event.channel for event in ended) == [0, 1]


def test_training_mode_is_refused(folder: Path) -> None:
    parts = double_parts(folder)
    parts["encoder"].train()
    with pytest.raises(ValueError, match=r"call \.eval\(\)"):
        TurnSession(**parts)
