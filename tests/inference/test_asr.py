"""The interface of a trained model: offline, streaming, batched, and with bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.inference import model_interface, transducer_interface
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.model_folder import ModelFolderError, read_model_folder
from sb_alexa.inference.safe_yaml import UnsafeYamlError
from tests.tiny_model import noise, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("asr") / "model")


@pytest.fixture(scope="module")
def asr(folder: Path) -> TransducerASR:
    return TransducerASR.from_hparams(source=folder, run_opts={"device": "cpu"})


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(40000).numpy(), 16000, subtype="FLOAT")
    return path


def padded(recordings: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    wavs = torch.nn.utils.rnn.pad_sequence(recordings, batch_first=True)
    lens = torch.tensor([len(one) / wavs.shape[1] for one in recordings])
    return wavs, lens


def test_modules_are_frozen_and_in_eval_mode(asr: TransducerASR) -> None:
    assert not any(module.training for module in asr.mods.values())
    assert not any(parameter.requires_grad for parameter in asr.parameters())
    assert set(asr.mods) == {"features", "encoder", "predictor", "joiner", "ctc_head"}
    assert asr.hparams.sample_rate == asr.sample_rate == 16000


def test_batch_result_does_not_depend_on_padding_or_company(asr: TransducerASR) -> None:
    recordings = [noise(n, seed) for seed, n in enumerate((30000, 9001, 22222, 400))]
    wavs, lens = padded(recordings)
    texts, tokens = asr.transcribe_batch(wavs, lens)
    assert sum(map(len, tokens)) > 10
    longer = torch.cat([wavs, torch.rand(4, 8000)], dim=1)
    assert asr.transcribe_batch(longer, lens * wavs.shape[1] / longer.shape[1]) == (texts, tokens)
    for row, recording in enumerate(recordings):
        alone = asr.transcribe_batch(recording[None], torch.ones(1))
        assert alone == ([texts[row]], [tokens[row]])
    assert asr(wavs, lens) == (texts, tokens), "forward is transcribe_batch, as in SpeechBrain"


def test_encode_batch(asr: TransducerASR) -> None:
    recordings = [noise(30000), noise(9001, 1)]
    wavs, lens = padded(recordings)
    encoder_out = asr.encode_batch(wavs, lens)
    assert encoder_out.shape == (2, 32, 10) and not encoder_out.requires_grad
    alone = asr.encode_batch(recordings[1][None], torch.ones(1))
    assert (encoder_out[1, :10] - alone[0]).abs().max() <= 1e-5
    assert encoder_out[1, 10:].abs().max() == 0


def test_file_offline_and_streaming_agree(asr: TransducerASR, wav: Path) -> None:
    text = asr.transcribe_file(wav)
    assert text == asr.transcribe_batch(noise(40000)[None], torch.ones(1))[0][0] != ""
    for chunk_ms in (10, 160, 10000):
        updates = list(asr.transcribe_file_streaming(wav, chunk_ms=chunk_ms))
        assert updates[-1].text == text and updates[-1].is_final
        assert len(updates) == -(-2500 // chunk_ms) + 1
        assert [u.is_final for u in updates[:-1]] == [False] * (len(updates) - 1)


def test_recognize_gives_the_times_of_a_session(asr: TransducerASR) -> None:
    samples = noise(40000)
    whole = asr.recognize(samples)
    session = asr.streaming_session()
    first, last = session.push(samples), session.finish()
    assert whole.text == last.text and whole.audio_s == last.audio_s == 2.5
    tokens = first.tokens + last.tokens
    assert [(t.label, t.time_s) for t in whole.tokens] == [(t.label, t.time_s) for t in tokens]
    assert [w.as_dict() for w in whole.words] == [w.as_dict() for w in session.words]


def test_long_recordings_are_recognised_in_pieces(
    asr: TransducerASR, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise(40000)
    whole = asr.recognize(samples)
    monkeypatch.setattr(transducer_interface, "_LONGEST_WHOLE_S", 1.0)
    pieces = asr.recognize(samples)
    assert (pieces.text, len(pieces.words)) == (whole.text, len(whole.words))
    assert [t.label for t in pieces.tokens] == [t.label for t in whole.tokens]


def test_streaming_batch(asr: TransducerASR) -> None:
    batch = asr.streaming_batch(chunk_ms=60)
    stream = batch.add()
    batch.push(stream, noise(16000))
    batch.finish(stream)
    text = ""
    while batch.num_streams:
        text = batch.step()[stream].text
    assert text == asr.recognize(noise(16000)).text


def test_other_rates_and_channels_are_converted(asr: TransducerASR, tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    stereo = np.stack([noise(44100).numpy(), np.zeros(44100, np.float32)], axis=1)
    soundfile.write(path, stereo, 44100)
    samples = asr.load_audio(path)
    assert samples.shape == (16000,)
    assert list(asr.transcribe_file_streaming(path))[-1].text == asr.transcribe_file(path)


def test_overrides_reach_the_search(folder: Path) -> None:
    asr = TransducerASR.from_hparams(folder, overrides={"search": {"max_symbols_per_frame": 1}})
    frames = [token.time_s for token in asr.recognize(noise(40000)).tokens]
    assert len(frames) == len(set(frames)) > 0


def test_bad_batches(asr: TransducerASR) -> None:
    wavs = noise(1000)[None].repeat(2, 1)
    for lens in (torch.ones(3), torch.ones(2, 1)):
        with pytest.raises(ValueError, match="relative length for each of the 2"):
            asr.transcribe_batch(wavs, lens)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        asr.transcribe_batch(wavs, torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="average the channels"):
        asr.transcribe_batch(wavs[..., None], torch.ones(2))
    with pytest.raises(ValueError, match="divide 16-bit integers"):
        asr.transcribe_batch((wavs * 1000).short(), torch.ones(2))
    wavs[1, 77] = float("nan")
    with pytest.raises(ValueError, match="sample 77 of recording 1 of the batch is nan"):
        asr.transcribe_batch(wavs, torch.ones(2))


def test_sources_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for source in (tmp_path / "nowhere", "nowhere", file, "results/a/b", "../model"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            TransducerASR.from_hparams(source)

    def no_network(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(model_interface, "fetch", no_network)
    with pytest.raises(FileNotFoundError, match="user/model, and no such model .* no network"):
        TransducerASR.from_hparams("user/model")


def test_a_model_of_the_hub_is_checked_as_any_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def fetch(filename: str, source: str, savedir: Path, fetch_config: object) -> Path:
        fetched.append((filename, source))
        (savedir / filename).write_bytes((folder / filename).read_bytes())
        return savedir / filename

    monkeypatch.setattr(model_interface, "fetch", fetch)
    asr = TransducerASR.from_hparams("user/model", savedir=tmp_path, run_opts={"device": "cpu"})
    assert asr.recognize(noise(16000)).audio_s == 1.0
    assert {source for _, source in fetched} == {"user/model"} and len(fetched) == 3
    with pytest.raises(UnsafeYamlError):
        TransducerASR.from_hparams("user/model", tmp_path, overrides="search: !apply:f []")


def test_a_model_without_search_is_refused(folder: Path) -> None:
    model = read_model_folder(folder)
    del model.hparams["search"], model.modules["encoder"]
    with pytest.raises(ModelFolderError, match="the model has no search, encoder"):
        TransducerASR.from_model(model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_equals_cpu(folder: Path, asr: TransducerASR) -> None:
    samples = noise(40000)
    gpu = TransducerASR.from_hparams(folder, run_opts={"device": "cuda:0"})
    assert gpu.recognize(samples).text == asr.recognize(samples).text
    session = gpu.streaming_session()
    session.push(samples)
    assert session.finish().text == asr.recognize(samples).text


def test_beam_search_offline_equals_streaming_and_favours_phrases(folder: Path) -> None:
    asr = TransducerASR.from_hparams(source=folder, run_opts={"device": "cpu"})
    greedy = asr.recognize(noise(40000)).text
    asr.use_beam_search(4, max_symbols_per_frame=3)
    found = asr.recognize(noise(40000)).text
    session = asr.streaming_session()
    for samples in noise(40000).split(3333):
        session.push(samples)
    assert session.finish().text == found and found != greedy
    asr.use_beam_search(4, max_symbols_per_frame=3, phrases=["TEA FOR TWO"], phrase_boost=6.0)
    favoured = asr.recognize(noise(40000)).text
    assert favoured.count("TEA FOR TWO") > found.count("TEA FOR TWO")


@pytest.mark.parametrize("phrase", ["tea", ""])
def test_a_phrase_the_model_cannot_write_is_named(folder: Path, phrase: str) -> None:
    asr = TransducerASR.from_hparams(source=folder, run_opts={"device": "cpu"})
    with pytest.raises(ValueError, match=f"the phrase '{phrase}' cannot be written"):
        asr.use_beam_search(4, phrases=[phrase])
