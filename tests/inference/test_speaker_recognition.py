"""A model of speakers: opened from its folder, comparing recordings as trials are scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub.errors import EntryNotFoundError

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.trial_lists import Trial
from sb_alexa.inference import model_interface
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.export import export_streaming_step
from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.inference.model_folder import (
    FILES,
    HYPERPARAMS,
    WEIGHTS,
    ModelFolderError,
    is_speaker_model,
    read_model_folder,
    write_model_folder,
)
from sb_alexa.inference.multitalker import MultiTalkerASR
from sb_alexa.inference.safe_yaml import UnsafeYamlError
from sb_alexa.inference.speaker_embeddings import extract_embeddings
from sb_alexa.inference.speaker_recognition import SpeakerRecognition
from sb_alexa.inference.trial_scoring import score_trials
from sb_alexa.inference.verification_settings import write_verification
from sb_alexa.metrics.score_calibration import Calibration
from tests.tiny_model import write_tiny_model, write_word_pieces
from tests.tiny_speaker_model import (
    SPEAKER_RECIPE,
    tiny_speaker_encoder,
    write_recordings,
    write_speaker_model,
)

CPU = {"device": "cpu"}
CALIBRATION = Calibration(scale=2.0, offset=-1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_speaker_model(tmp_path / "model")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    return write_recordings(tmp_path, {"a/s/1": 8000, "b/s/1": 7000})


def add_settings(folder: Path, **changes) -> torch.Tensor:
    cohort = torch.randn(10, 8)
    numbers = {"threshold": 0.5, "target_prior": 0.01, "top_n": 4, **changes}
    write_verification(folder, cohort=cohort, calibration=CALIBRATION, **numbers)
    return cohort


def test_a_folder_without_word_pieces(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert all(
        name.startswith("speaker_encoder.")
        for name in safetensors.torch.load_file(folder / WEIGHTS)
    )
    text = (folder / HYPERPARAMS).read_text()
    assert text.startswith("sample_rate: 16000\nspeaker_encoder: ") and "lr:" not in text
    model = read_model_folder(folder)
    assert is_speaker_model(model.hparams) and model.word_pieces is None
    expected = tiny_speaker_encoder().state_dict()
    for name, tensor in model.modules["speaker_encoder"].state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_a_resnet_can_be_opened(tmp_path: Path) -> None:
    start = SPEAKER_RECIPE.index("embedding_model: !new")
    recipe = (
        SPEAKER_RECIPE[:start]
        + """
embedding_model: !new:speechbrain.lobes.models.ResNet.ResNet
    input_size: !ref <n_mels>
    activation: !name:torch.nn.SiLU
    channels: [2, 2, 2, 2]
    block_sizes: [1, 1, 1, 1]
    lin_neurons: 4
"""
        + SPEAKER_RECIPE[SPEAKER_RECIPE.index("speaker_encoder:") :]
    )
    recognition = SpeakerRecognition.from_hparams(
        write_speaker_model(tmp_path / "model", recipe), run_opts=CPU
    )
    assert recognition.embed(torch.randn(8000)).shape == (4,)


def test_an_activation_that_does_harm_is_refused(folder: Path) -> None:
    path = folder / HYPERPARAMS
    path.write_text(
        path.read_text().replace("input_size:", "activation: !name:os.abort\n    input_size:")
    )
    with pytest.raises(UnsafeYamlError, match="!name:os.abort is not among the classes"):
        SpeakerRecognition.from_hparams(folder)


def test_word_pieces_where_they_belong(tmp_path: Path, folder: Path) -> None:
    model = read_model_folder(folder)
    parts = {"configuration": (folder / HYPERPARAMS).read_text(), "modules": model.modules}
    pieces = write_word_pieces(tmp_path / "w.model")
    with pytest.raises(ModelFolderError, match="a model of speakers .* has none"):
        write_model_folder(tmp_path / "new", **parts, word_pieces_path=pieces)
    words = read_model_folder(write_tiny_model(tmp_path / "words"))
    with pytest.raises(ModelFolderError, match="word_pieces_path is None: a recogniser has word"):
        write_model_folder(
            tmp_path / "new",
            configuration=(tmp_path / "words" / HYPERPARAMS).read_text(),
            modules=words.modules,
        )
    assert not (tmp_path / "new").exists()
    # A folder that held a recogniser before is none any more.
    write_model_folder(tmp_path / "words", **parts)
    assert read_model_folder(tmp_path / "words").word_pieces is None


def test_models_of_the_other_kind_are_refused(folder: Path, tmp_path: Path) -> None:
    for cls in (TransducerASR, MultiTalkerASR, GatedASR):
        with pytest.raises(ModelFolderError, match=r"SpeakerRecognition \(`sb-alexa verify`\)"):
            cls.from_hparams(folder)
    model = read_model_folder(folder)
    with pytest.raises(ValueError, match=r"no streaming step; .*sb-alexa verify"):
        export_streaming_step(model, tmp_path / "step.onnx")
    words = write_tiny_model(tmp_path / "words")
    with pytest.raises(ModelFolderError, match=r"TransducerASR \(`sb-alexa transcribe`\)"):
        SpeakerRecognition.from_hparams(words)


def test_cosines_without_settings(folder: Path, utterances: list[Utterance]) -> None:
    recognition = SpeakerRecognition.from_hparams(folder, run_opts=CPU)
    assert recognition.verification is None and recognition.sample_rate == 16000
    found = recognition.verify_files(utterances[0].path, utterances[1].path)
    assert -1 < found.cosine < 1 and found.score == found.cosine
    assert (found.log_likelihood_ratio, found.same_speaker, found.threshold) == (None,) * 3
    own = recognition.verify_files(utterances[0].path, utterances[0].path)
    assert own.cosine == pytest.approx(1.0, abs=1e-6)
    for threshold, same in ((found.score, True), (found.score + 1e-6, False)):
        decided = recognition.verify_files(
            utterances[0].path, utterances[1].path, threshold=threshold
        )
        assert (decided.same_speaker, decided.threshold) == (same, threshold)


def test_two_files_are_scored_as_a_trial_is(folder: Path, utterances: list[Utterance]) -> None:
    cohort = add_settings(folder)
    recognition = SpeakerRecognition.from_hparams(folder, run_opts=CPU)
    embeddings = extract_embeddings(
        recognition.mods["speaker_encoder"], utterances, sample_rate=recognition.sample_rate
    )
    trials = [Trial(False, "a/s/1", "b/s/1")]
    score = score_trials(embeddings, trials, cohort=cohort, top_n=4).item()
    found = recognition.verify_files(utterances[0].path, utterances[1].path)
    assert found.score == pytest.approx(score, abs=1e-4)
    assert found.cosine == pytest.approx(score_trials(embeddings, trials).item(), abs=1e-5)
    assert found.score != pytest.approx(found.cosine, abs=0.01)
    assert found.log_likelihood_ratio == pytest.approx(2.0 * found.score - 1.0)
    assert found.threshold == 0.5 and found.same_speaker == (found.score >= 0.5)
    back = recognition.verify_files(utterances[1].path, utterances[0].path)
    assert back.score == pytest.approx(found.score, abs=1e-5)
    low = recognition.verify_files(utterances[0].path, utterances[1].path, threshold=-99.0)
    assert low.same_speaker is True and low.threshold == -99.0


def test_a_batch_of_one_length(folder: Path) -> None:
    recognition = SpeakerRecognition.from_hparams(folder, run_opts=CPU)
    wavs = torch.randn(2, 6000)
    together = recognition(wavs)
    assert together.shape == (2, 8)
    torch.testing.assert_close(together[1], recognition.embed(wavs[1]), rtol=1e-4, atol=1e-5)


def test_the_beginning_of_a_long_recording(folder: Path) -> None:
    recognition = SpeakerRecognition.from_hparams(folder, run_opts=CPU)
    samples = torch.randn(8000)
    start = recognition.embed(samples, max_seconds=0.4)
    assert torch.equal(start, recognition.embed(samples[:6400]))
    assert not torch.allclose(start, recognition.embed(samples))


def test_recordings_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    recognition = SpeakerRecognition.from_hparams(folder, run_opts=CPU)
    (short,) = write_recordings(tmp_path, {"short": 500})
    with pytest.raises(AudioError, match=r"short\.wav: recordings of 500 samples give"):
        recognition.embed(short.path)
    with pytest.raises(AudioError, match=r"nowhere\.wav: missing"):
        recognition.embed(tmp_path / "nowhere.wav")
    for samples, match in (
        (torch.zeros(8000), "is silent"),
        (torch.tensor([]), "is empty"),
        (torch.tensor([0.1, float("inf")]).repeat(4000), "NaN or infinite"),
    ):
        with pytest.raises(AudioError, match=match):
            recognition.embed(samples)
    with pytest.raises(ValueError, match=r"of one channel, got torch\.float32 \(1, 8000\)"):
        recognition.embed(torch.randn(1, 8000))
    with pytest.raises(ValueError, match="divide 16-bit integers"):
        recognition.embed(torch.ones(8000, dtype=torch.int16))
    with pytest.raises(ValueError, match="max_seconds must be > 0"):
        recognition.embed(torch.randn(8000), max_seconds=0)


@pytest.mark.parametrize("with_settings", [True, False])
def test_a_model_of_the_hub(folder: Path, tmp_path: Path, monkeypatch, with_settings) -> None:
    """What the model does not have is done without; any other failure is one."""
    if with_settings:
        add_settings(folder)
    asked = []

    def fetch(filename: str, source: str, savedir: Path, fetch_config: object) -> Path:
        asked.append(filename)
        if not (folder / filename).is_file():
            raise ValueError("File not found on HF hub") from EntryNotFoundError.__new__(
                EntryNotFoundError
            )
        (savedir / filename).write_bytes((folder / filename).read_bytes())
        return savedir / filename

    monkeypatch.setattr(model_interface, "fetch", fetch)
    recognition = SpeakerRecognition.from_hparams("user/model", savedir=tmp_path, run_opts=CPU)
    assert (recognition.verification is not None) == with_settings
    assert sorted(asked) == ["cohort.safetensors", *sorted(FILES), "verification.json"]
    with pytest.raises(ModelFolderError, match="sb-alexa verify"):
        TransducerASR.from_hparams("user/model", savedir=tmp_path)

    def broken(filename: str, source: str, savedir: Path, fetch_config: object) -> Path:
        if filename == "cohort.safetensors":
            raise ConnectionError("no network")
        return fetch(filename, source, savedir, fetch_config)

    monkeypatch.setattr(model_interface, "fetch", broken)
    with pytest.raises(FileNotFoundError, match="no network"):
        SpeakerRecognition.from_hparams("user/model", savedir=tmp_path, run_opts=CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_equals_cpu(folder: Path) -> None:
    samples = torch.randn(16000)
    cpu, gpu = (
        SpeakerRecognition.from_hparams(folder, run_opts={"device": device}).embed(samples)
        for device in ("cpu", "cuda:0")
    )
    torch.testing.assert_close(cpu, gpu, rtol=1e-2, atol=1e-3)
