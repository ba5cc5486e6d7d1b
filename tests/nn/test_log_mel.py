"""Log-mel features against torchaudio's, and their grid."""

from __future__ import annotations

import pytest
import torch
import torchaudio

from sb_alexa.nn.log_mel import ENERGY_FLOOR, LogMel


def test_equals_torchaudio_on_the_causal_grid() -> None:
    wav = 0.1 * torch.randn(2, 16000)
    reference = torchaudio.transforms.MelSpectrogram(
        16000, n_fft=512, win_length=400, hop_length=160, f_min=20.0, n_mels=64, center=False,
        window_fn=lambda size: torch.hamming_window(size, periodic=False),
        mel_scale="htk", norm=None,
    )  # fmt: skip
    # torchaudio centres the window of 400 in the transform of 512: 56 samples on either side.
    padded = torch.nn.functional.pad(wav, (240 + 56, 56))
    expected = reference(padded).clamp_min(ENERGY_FLOOR).log().transpose(1, 2)[:, :100]
    assert (LogMel()(wav) - expected).abs().max() < 1e-4


def test_a_frame_needs_no_sample_after_its_hop() -> None:
    wav = torch.randn(1, 1600, requires_grad=True)
    LogMel()(wav)[0, 4].sum().backward()
    touched = wav.grad[0].nonzero().flatten()
    assert (touched.min(), touched.max()) == (5 * 160 - 400, 5 * 160 - 1)


def test_silence_and_quiet_speech_do_not_depend_on_loud_speech_nearby() -> None:
    quiet = 1e-3 * torch.randn(1, 4000)
    loud = torch.cat([quiet, torch.randn(1, 4000)], dim=1)
    assert torch.equal(LogMel()(quiet), LogMel()(loud)[:, :25])


def test_autocast_does_not_touch_features() -> None:
    wav = torch.randn(1, 3200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LogMel()(wav)
    assert torch.equal(inside, LogMel()(wav))


@pytest.mark.parametrize(
    "arguments", [{"win_length": 5.0}, {"n_fft": 128}, {"f_min": 9000.0}, {"n_mels": 0}]
)
def test_arguments_are_checked(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        LogMel(**arguments)  # type: ignore[arg-type]
