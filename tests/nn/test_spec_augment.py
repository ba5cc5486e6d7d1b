"""SpecAugment: how much it masks, where, and that it stays inside the utterance."""

from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.spec_augment import SpecAugment


def test_masks_stay_within_their_limits() -> None:
    augment = SpecAugment(num_mels=64, num_frequency_masks=0, time_mask_multiplicity=0.01)
    frames = torch.tensor([100, 40])  # stacks of 3: 300 and 120 frames, so 3 and 1 masks
    masked = (augment(torch.ones(2, 100, 192), frames) == 0).view(2, 300, 64).all(dim=2)
    assert 1 <= int(masked[0].sum()) <= 3 * 12 and int(masked[1].sum()) <= 1 * 4
    assert not masked[1, 120:].any(), "a mask lies in the padding"


def test_frequency_masks_hold_for_the_whole_utterance_and_every_stacked_frame() -> None:
    augment = SpecAugment(num_mels=64, time_mask_multiplicity=0.0)
    masked = (augment(torch.ones(3, 50, 192), torch.full((3,), 50)) == 0).view(3, 150, 64)
    assert (masked == masked[:, :1]).all()
    width = masked[:, 0].sum(dim=1)
    assert (width <= 2 * 21).all() and width.sum() > 0  # 21 <= 0.34 * 64 < 22


def test_a_mask_is_never_longer_than_its_ratio_allows() -> None:
    augment = SpecAugment(
        num_mels=8, num_frequency_masks=0, time_mask_multiplicity=0.05, time_mask_max_ratio=0.29
    )
    masked = augment(torch.ones(300, 20, 8), torch.full((300,), 20)) == 0  # one mask each
    assert masked[:, :, 0].sum(dim=1).max() == 5  # 5 <= 0.29 * 20 < 6


def test_masked_fraction_is_what_the_ratios_say() -> None:
    augment = SpecAugment(
        num_mels=8, num_frequency_masks=0, time_mask_multiplicity=0.01, time_mask_max_ratio=0.1
    )
    masked = augment(torch.ones(200, 100, 8), torch.full((200,), 100)) == 0
    # One mask of a width of 0..10 frames, each equally likely: 5 of 100 frames on average.
    assert masked.float().mean().item() == pytest.approx(0.05, abs=0.006)


def test_evaluation_changes_nothing_and_training_repeats_with_the_seed() -> None:
    augment, x, frames = SpecAugment(num_mels=8), torch.ones(2, 60, 24), torch.tensor([60, 30])
    torch.manual_seed(1)
    first = augment(x, frames)
    torch.manual_seed(1)
    assert torch.equal(first, augment(x, frames))
    assert not torch.equal(first, x)
    assert augment.eval()(x, frames) is x


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="time_mask_max_ratio must be a fraction"):
        SpecAugment(time_mask_max_ratio=2.0)
    with pytest.raises(ValueError, match="no stack of frames of 8"):
        SpecAugment(num_mels=8)(torch.ones(1, 4, 12), torch.tensor([4]))
