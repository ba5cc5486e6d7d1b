"""Augmentation for speaker embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import Tensor

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.training.speaker_augmenter import SpeakerAugmenter

RATE = 16_000
NOTHING = {
    "reverberation_probability": 0.0,
    "noise_probability": 0.0,
    "drop_frequency_probability": 0.0,
    "drop_chunk_probability": 0.0,
}


def make(**changes: Any) -> SpeakerAugmenter:
    """An augmenter that does what is asked for and nothing else."""
    return SpeakerAugmenter(**{**NOTHING, **changes})


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path.parent


def power_db(wavs: Tensor) -> Tensor:
    return 10 * wavs.square().mean(dim=1).log10()


def test_without_any_step_nothing_changes() -> None:
    wavs = torch.randn(3, 4000)
    assert torch.equal(make()(wavs), wavs)


def test_rooms_convolve_without_delay_wrapping_or_change_of_power(tmp_path: Path) -> None:
    response = np.zeros(700)
    response[[50, 250]] = (0.8, -0.4)  # a reflection 200 samples after the direct sound
    folder = write(tmp_path / "hall.wav", response)
    wavs = torch.randn(4, 4001)
    before = wavs.clone()
    heard = make(room_folder=folder, reverberation_probability=1.0)(wavs)
    assert torch.equal(wavs, before), "the input was changed"
    expected = wavs.clone()
    expected[:, 200:] -= 0.5 * wavs[:, :-200]
    scale = (wavs.square().mean(1) / expected.square().mean(1)).sqrt()
    assert torch.allclose(heard, expected * scale[:, None], atol=1e-5)
    # A recording shorter than the response.
    short = make(room_folder=folder, reverberation_probability=1.0)(wavs[:, :100])
    assert torch.allclose(short, wavs[:, :100], atol=1e-5)


def test_all_rooms_are_used(tmp_path: Path) -> None:
    for delay in (1, 2, 3):
        response = np.zeros(10)
        response[0], response[delay] = 0.8, 0.7
        write(tmp_path / f"{delay}.wav", response)
    click = torch.zeros(60, 100)
    click[:, 0] = 1.0
    heard = make(room_folder=tmp_path, reverberation_probability=1.0)(click)
    assert set((heard[:, 1:].argmax(dim=1) + 1).tolist()) == {1, 2, 3}


@pytest.mark.parametrize("rate", [RATE, 8000])
def test_noise_of_a_folder_is_mixed_at_the_wanted_snr(tmp_path: Path, rate: int) -> None:
    rng = np.random.default_rng(0)
    write(tmp_path / "deep" / "long.wav", 0.01 * rng.standard_normal(3 * rate), rate)
    write(tmp_path / "short.flac.wav", 0.3 * rng.standard_normal(rate // 10), rate)
    wavs = torch.randn(40, 8000)
    augmenter = make(noise_folder=tmp_path, noise_probability=1.0, noise_snr_db=[3, 9])
    noise = augmenter(wavs) - wavs
    snr_db = power_db(wavs) - power_db(noise)
    assert 3 - 1e-3 < snr_db.min() < 4 and 8 < snr_db.max() < 9 + 1e-3
    assert len(augmenter.noises or ()) == 2
    repeats = (noise[:, :1600] - noise[:, 1600:3200]).abs().amax(dim=1) < 1e-2
    assert 5 < repeats.sum() < 35, "both the file that is too short and the other one are drawn"


def test_silence_in_speech_or_noise_stays_silence(tmp_path: Path) -> None:
    folder = write(tmp_path / "n" / "silent.wav", np.zeros(RATE))
    wavs = torch.cat([torch.zeros(1, 4000), torch.randn(1, 4000)])
    assert torch.equal(make(noise_folder=folder, noise_probability=1.0)(wavs), wavs)
    quiet = make(noise_probability=1.0)(wavs)
    assert quiet[0].abs().max() < 1e-10 and torch.isfinite(quiet).all()


def test_synthetic_noise_has_many_colours() -> None:
    wavs = torch.randn(30, 8000)
    noise = make(noise_probability=1.0, noise_snr_db=(0.0, 0.0))(wavs) - wavs
    assert torch.allclose(power_db(noise), power_db(wavs), atol=1e-3)
    power = torch.fft.rfft(noise).abs().square()
    slope_db = 10 * (power[:, 100:400].mean(1) / power[:, 1600:4000].mean(1)).log10()
    assert slope_db.min() < 5 and slope_db.max() > 12


def test_every_step_befalls_its_share_of_the_recordings() -> None:
    wavs = torch.randn(400, 3000)
    for name in ("noise", "drop_frequency", "drop_chunk"):
        augmenter = make(**{f"{name}_probability": 0.3})
        changed = (augmenter(wavs) != wavs).any(dim=1).float().mean()
        assert 0.2 < changed < 0.4, name


def test_stretches_and_bands_are_lost() -> None:
    wavs = torch.randn(6, RATE)
    silent = make(drop_chunk_probability=1.0)(wavs) == 0
    assert (silent.sum(dim=1) >= 960).all() and (silent.sum(dim=1) <= 3 * 2080).all()
    thinner = make(drop_frequency_probability=1.0)(wavs)
    loss = torch.fft.rfft(thinner).abs().square() / torch.fft.rfft(wavs).abs().square()
    assert loss[0].unfold(0, 80, 80).mean(dim=1).min() < 0.05
    assert thinner.shape == wavs.shape


def test_steps_of_ones_own_are_taken() -> None:
    augmenter = make(
        drop_frequency_probability=1.0, drop_frequency=lambda wavs: wavs + 1,
        drop_chunk_probability=1.0, drop_chunk=lambda wavs, lens: wavs * 2 * lens[:, None],
    )  # fmt: skip
    assert torch.equal(augmenter(torch.zeros(2, 5)), torch.full((2, 5), 2.0))


def test_random_numbers_come_from_torch_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        write(tmp_path / "rooms" / f"{number}.wav", rng.standard_normal(200))
        write(tmp_path / "noise" / f"{number}.wav", rng.standard_normal(4000))
    folders: dict[str, Any] = {
        "room_folder": tmp_path / "rooms",
        "noise_folder": tmp_path / "noise",
    }
    wavs = torch.randn(8, 3000)
    used, fresh = SpeakerAugmenter(**folders), SpeakerAugmenter(**folders)
    used(wavs)
    heard = []
    for augmenter in (used, fresh):
        torch.manual_seed(7)
        heard.append(augmenter(wavs))
    assert torch.equal(*heard)
    assert not torch.equal(used(wavs), heard[0])


def test_autocast_changes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "hall.wav", np.array([1.0, 0.5, 0.25]))
    augmenter = make(room_folder=folder, **dict.fromkeys(NOTHING, 1.0))
    wavs = torch.randn(2, 3000)
    torch.manual_seed(1)
    expected = augmenter(wavs)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmenter(wavs), expected)


def test_it_is_made_from_yaml() -> None:
    text = """
augmenter: !new:sb_alexa.training.speaker_augmenter.SpeakerAugmenter
    room_folder: null
    noise_folder: null
    noise_snr_db: [5, 20]
    drop_chunk_probability: 0.1
    drop_frequency: !new:speechbrain.augment.time_domain.DropFreq
        drop_freq_count_high: 1
"""
    augmenter = load_hyperpyyaml(text)["augmenter"]
    assert augmenter.noise_snr_db == (5.0, 20.0)
    assert augmenter(torch.randn(4, 2000)).shape == (4, 2000)


def test_arguments_are_checked(tmp_path: Path) -> None:
    for name in NOTHING:
        with pytest.raises(ValueError, match=f"{name}=1.5 must lie in 0 to 1"):
            make(**{name: 1.5})
    for wrong in ((10, 5), (5,), (0, float("nan"))):
        with pytest.raises(ValueError, match="must be two numbers, the lowest SNR first"):
            make(noise_snr_db=wrong)
    with pytest.raises(CorpusError, match="holds no noise: expected WAV or FLAC"):
        make(noise_folder=tmp_path)
    with pytest.raises(CorpusError, match="holds no impulse responses"):
        make(room_folder=tmp_path)
    (tmp_path / "broken.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        make(noise_folder=tmp_path, noise_probability=1.0)(torch.randn(1, 100))
