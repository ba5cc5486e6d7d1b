"""The interface of a model for several talkers: opening, offline, streaming, batched."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from sb_alexa.inference import transducer_interface
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.export import export_streaming_step
from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.inference.model_configuration import MODEL_KEYS
from sb_alexa.inference.model_folder import (
    HYPERPARAMS,
    ModelFolderError,
    is_multitalker,
    read_model_folder,
)
from sb_alexa.inference.multitalker import MultiTalkerASR
from sb_alexa.inference.turn_transcription import TurnUpdate, events_in_order
from sb_alexa.multitalker.turn_events import turns_from_events
from tests.tiny_model import noise, write_tiny_model
from tests.tiny_multitalker import RECIPE, multitalker_recipe, write_multitalker_model

CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multitalker_model(tmp_path_factory.mktemp("multitalker") / "model")


@pytest.fixture(scope="module")
def asr(folder: Path) -> MultiTalkerASR:
    return MultiTalkerASR.from_hparams(source=folder, run_opts=CPU)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(24000).numpy(), 16000, subtype="FLOAT")
    return path


def dicts(*updates: TurnUpdate) -> list[dict]:
    events = [event for update in updates for event in update.events]
    return [event.as_dict() for event in events_in_order(events)]


def test_the_folder_opens_with_its_turn_tokens(asr: MultiTalkerASR) -> None:
    assert (asr.num_channels, asr.sample_rate) == (2, 16000)
    assert asr.hparams.turn_tokens.start == 17
    assert set(asr.mods) == {"features", "encoder", "predictor", "joiner", "ctc_head"}
    assert not any(module.training for module in asr.mods.values())


def test_a_file_offline_and_streaming(asr: MultiTalkerASR, wav: Path) -> None:
    turns = asr.transcribe_file(wav)
    assert {turn.speaker for turn in turns} == {"channel 1", "channel 2"}
    assert [turn.start_s for turn in turns] == sorted(turn.start_s for turn in turns)
    assert max(turn.end_s for turn in turns) == 1.5
    assert any(turn.text for turn in turns)
    for turn in turns:
        assert " ".join(word.text for word in turn.words) == turn.text
    for chunk_ms in (10, 160, 10000):
        updates = list(asr.transcribe_file_streaming(wav, chunk_ms=chunk_ms))
        assert [update.is_final for update in updates] == [False] * (len(updates) - 1) + [True]
        assert dicts(*updates) == dicts(asr.recognize(noise(24000)))
        events = [event for update in updates for event in update.events]
        assert turns_from_events(events) == turns


def test_long_recordings_are_recognised_in_pieces(
    asr: MultiTalkerASR, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asr.recognize(noise(24000))
    monkeypatch.setattr(transducer_interface, "_LONGEST_WHOLE_S", 1.0)
    pieces = asr.recognize(noise(24000))
    assert dicts(pieces) == dicts(whole) and pieces.events == events_in_order(pieces.events)
    assert (pieces.audio_s, pieces.is_final) == (whole.audio_s, whole.is_final) == (1.5, True)


def test_batch_result_does_not_depend_on_padding_or_company(asr: MultiTalkerASR) -> None:
    recordings = [noise(n, seed) for seed, n in enumerate((20000, 9001, 400))]
    wavs = torch.nn.utils.rnn.pad_sequence(recordings, batch_first=True)
    lens = torch.tensor([len(one) / wavs.shape[1] for one in recordings])
    found = asr.transcribe_batch(wavs, lens)
    assert len(found[0]) > 3 and found == asr(wavs, lens)
    for turns, recording in zip(found, recordings, strict=True):
        assert turns == turns_from_events(asr.recognize(recording).events)
    assert asr.encode_batch(wavs, lens).shape == (3, 42, 2, 12)
    with pytest.raises(ValueError, match="relative length for each of the 3"):
        asr.transcribe_batch(wavs, lens[:2])


def test_beam_search_offline_equals_streaming(folder: Path) -> None:
    asr = MultiTalkerASR.from_hparams(source=folder, run_opts=CPU)
    greedy = dicts(asr.recognize(noise(16000)))
    asr.use_beam_search(3, max_symbols_per_frame=3)
    found = dicts(asr.recognize(noise(16000)))
    session = asr.turn_session()
    updates = [*map(session.push, noise(16000).split(3333)), session.finish()]
    assert dicts(*updates) == found != greedy
    asr.use_beam_search(3, max_symbols_per_frame=3, phrases=["TEA FOR TWO"], phrase_boost=6.0)
    texts = [turn.text for turn in turns_from_events(asr.recognize(noise(16000)).events)]
    assert "TEA FOR TWO" in " ".join(texts)
    with pytest.raises(ValueError, match="the phrase 'tea' cannot be written"):
        asr.use_beam_search(3, phrases=["tea"])


def test_overrides_reach_the_search_of_the_channels(folder: Path) -> None:
    overrides = {"search": {"search": {"max_symbols_per_frame": 1}}}
    asr = MultiTalkerASR.from_hparams(folder, overrides=overrides, run_opts=CPU)
    assert asr.hparams.search.search.max_symbols_per_frame == 1


def test_a_model_with_a_single_channel(tmp_path: Path) -> None:
    """The baseline: one channel says all turns, one after another."""
    folder = write_multitalker_model(tmp_path / "model", multitalker_recipe(num_channels=1))
    asr = MultiTalkerASR.from_hparams(folder, run_opts=CPU)
    assert {event["channel"] for event in dicts(asr.recognize(noise(16000)))} == {0}


def test_each_kind_of_model_names_the_class_that_opens_it(folder: Path, tmp_path: Path) -> None:
    single = write_tiny_model(tmp_path / "single")
    assert is_multitalker(read_model_folder(folder).hparams)
    assert not is_multitalker(read_model_folder(single).hparams)
    for cls in (TransducerASR, GatedASR):
        with pytest.raises(ModelFolderError, match=r"sb_alexa\.inference\.multitalker\.MultiTa"):
            cls.from_hparams(folder)
    with pytest.raises(ModelFolderError, match=r"sb_alexa\.inference\.asr\.TransducerASR"):
        MultiTalkerASR.from_hparams(single)


def test_a_model_of_several_talkers_is_not_exported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="separates talkers on several channels"):
        export_streaming_step(read_model_folder(folder), tmp_path / "step.onnx")
    assert not list(tmp_path.iterdir())


def test_parts_that_do_not_belong_together(folder: Path, tmp_path: Path) -> None:
    model = read_model_folder(folder)
    del model.hparams["turn_tokens"]
    with pytest.raises(ModelFolderError, match="the model has no turn_tokens"):
        MultiTalkerASR.from_model(model)
    with pytest.raises(ModelFolderError, match=r"num_channels=2 and ChannelSearch with num_cha"):
        MultiTalkerASR.from_hparams(folder, overrides={"search": {"num_channels": 1}})
    model = read_model_folder(write_tiny_model(tmp_path / "single"))
    model.hparams["turn_tokens"] = None
    with pytest.raises(ModelFolderError, match=r"ConvRNNTEncoder with num_channels=None and Gree"):
        MultiTalkerASR.from_model(model)


def test_labels_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"turn_tokens follow 15 word pieces .* has 16; "):
        read_model_folder(folder, {"turn_tokens": {"num_word_pieces": 15}})
    without_room = RECIPE.replace("<num_word_pieces> + 3", "<num_word_pieces> + 1")
    with pytest.raises(ModelFolderError, match=r"the joiner has 17 labels .* 19, blank and turn"):
        write_multitalker_model(tmp_path / "model", without_room)
    with pytest.raises(ModelFolderError, match=r"the joiner has 19 labels .* 17, blank included"):
        write_tiny_model(tmp_path / "model", RECIPE, keys=MODEL_KEYS)


def test_styles_of_tokens_share_the_weights(folder: Path) -> None:
    """A model of one style opens with the tokens of another: the labels are set aside in all."""
    asr = MultiTalkerASR.from_hparams(
        folder, overrides={"turn_tokens": {"style": "change"}}, run_opts=CPU
    )
    assert asr.hparams.turn_tokens.change == 17
    assert len(dicts(asr.recognize(noise(16000)))) > 4
    assert "style: start_end" in (folder / HYPERPARAMS).read_text()
