"""Datasets, batches and waveform augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.time_domain import SpeedPerturb
from torch import Tensor, nn

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.training.dataio import SpeechBatch, SpeechDataset, collate


def write(
    folder: Path, name: str, seconds: float, rate: int = 16000, channels: int = 1
) -> Utterance:
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(folder / f"{name}.wav", np.stack([wave] * channels, 1), rate)
    return Utterance(name, seconds, str(folder / f"{name}.wav"), "s", "ab" if name == "a" else "c")


def encode(text: str) -> list[int]:
    return [ord(letter) - 96 for letter in text]


def make_batch(folder: Path) -> SpeechBatch:
    dataset = SpeechDataset([write(folder, "a", 0.5), write(folder, "b", 0.3)], encode=encode)
    return collate([dataset[0], dataset[1]])


def test_a_batch_is_padded_with_zeros_and_knows_its_lengths(tmp_path: Path) -> None:
    batch = make_batch(tmp_path)
    assert batch.num_samples.tolist() == [8000, 4800] and batch.wavs.shape == (2, 8000)
    assert batch.labels.tolist() == [[1, 2], [3, 0]] and batch.num_labels.tolist() == [2, 1]
    assert batch.wavs[1, 4800:].abs().max() == 0
    assert batch.wav_lens.tolist() == pytest.approx([1.0, 0.6])
    assert batch.seconds == pytest.approx(0.8)


def test_other_rates_and_channels_give_the_same_sound(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    plain = SpeechDataset([write(tmp_path, "a", 0.5)], encode=encode)[0][1]
    other = SpeechDataset([write(tmp_path / "x", "a", 0.5, 44100, 2)], encode=encode)[0][1]
    assert len(other) == len(plain)
    assert (other - plain)[200:-200].abs().max() < 2e-3


def test_cached_audio_is_the_audio(tmp_path: Path) -> None:
    utterance = write(tmp_path, "a", 0.5)
    dataset = SpeechDataset([utterance], encode=encode, cache_audio=True)
    first = dataset[0][1]
    Path(utterance.path).unlink()
    assert torch.equal(first, dataset[0][1])


class Speedy(nn.Module):
    """An augmentation that shortens every waveform by a tenth."""

    def forward(self, waveforms: Tensor) -> Tensor:
        return waveforms[:, : waveforms.shape[1] * 9 // 10]


def test_labels_follow_the_audio_through_an_augmenter(tmp_path: Path) -> None:
    batch = make_batch(tmp_path)
    augmenter = Augmenter(
        parallel_augment=True, concat_original=True, min_augmentations=1, max_augmentations=1,
        repeat_augment=1, shuffle_augmentations=False, augmentations=[Speedy()],
    )  # fmt: skip
    augmented = batch.augmented(augmenter)
    assert len(augmented) == 4 and augmented.wavs.shape[0] == 4
    assert [utterance.id for utterance in augmented.utterances] == ["a", "b", "a", "b"]
    assert augmented.labels.tolist() == [[1, 2], [3, 0], [1, 2], [3, 0]]
    assert augmented.num_labels.tolist() == [2, 1, 2, 1]
    assert augmented.num_samples.tolist() == [8000, 4800, 7200, 4320]


def test_speed_perturbation_changes_lengths_with_the_audio(tmp_path: Path) -> None:
    batch = make_batch(tmp_path)
    augmenter = Augmenter(augmentations=[SpeedPerturb(orig_freq=16000, speeds=[80])])
    augmented = batch.augmented(augmenter)
    ratio = augmented.num_samples / batch.num_samples
    assert ratio.tolist() == pytest.approx([1.25, 1.25], rel=0.01)
