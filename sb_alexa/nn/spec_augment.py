"""SpecAugment with masks that adapt to the length of the utterance."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Mask stretches of time and bands of frequency with zeros (the mean of normalised features).

    Works on stacked frames: they are unstacked, masked at the original frame rate and stacked
    again. Active in training only. Randomness is torch's global one.

    Arguments
    ---------
    num_mels : int
        Features of one unstacked frame.
    time_mask_max_ratio : float
        Longest time mask as a fraction of the utterance.
    time_mask_multiplicity : float
        Number of time masks for each frame of the utterance (0.04: a 10 s utterance of 10 ms frames
        has 40).
    max_time_masks : int
        Upper limit of that number.
    num_frequency_masks : int
        Number of frequency masks.
    frequency_mask_max_ratio : float
        Widest frequency mask as a fraction of the features.

    Shape
    -----
    features : (B, T, S * num_mels) for any stack size S
    num_frames : (B,) stacked frames
    output : (B, T, S * num_mels)

    Reference
    ---------
    Park et al. 2020, "SpecAugment on large scale datasets", arXiv 1912.05533, section 2.2 (adaptive
    masks); no time warping. Ratios and multiplicities as in Radfar et al. 2022, arXiv 2209.14868.
    `max_time_masks` is Park's limit of 20.

    Example
    -------
    >>> augment = SpecAugment(num_mels=4)
    >>> augment(torch.ones(2, 50, 12), torch.tensor([50, 30])).shape
    torch.Size([2, 50, 12])
    """

    def __init__(
        self,
        *,
        num_mels: int = 64,
        time_mask_max_ratio: float = 0.04,
        time_mask_multiplicity: float = 0.04,
        max_time_masks: int = 20,
        num_frequency_masks: int = 2,
        frequency_mask_max_ratio: float = 0.34,
    ) -> None:
        super().__init__()
        for name, value in (
            ("time_mask_max_ratio", time_mask_max_ratio),
            ("time_mask_multiplicity", time_mask_multiplicity),
            ("frequency_mask_max_ratio", frequency_mask_max_ratio),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be a fraction in 0..1, got {value}")
        if num_mels < 1 or num_frequency_masks < 0 or max_time_masks < 0:
            raise ValueError(
                f"num_mels must be >= 1 and the numbers of masks >= 0, got {num_mels}, "
                f"{num_frequency_masks} and {max_time_masks}"
            )
        self.num_mels = num_mels
        self.time_mask_max_ratio = time_mask_max_ratio
        self.time_mask_multiplicity = time_mask_multiplicity
        self.max_time_masks = max_time_masks
        self.num_frequency_masks = num_frequency_masks
        self.frequency_mask_max_ratio = frequency_mask_max_ratio

    def forward(self, features: Tensor, num_frames: Tensor) -> Tensor:
        """Mask a batch; returns it unchanged in evaluation mode."""
        if not self.training:
            return features
        batch, steps, width = features.shape
        stack, remainder = divmod(width, self.num_mels)
        if remainder:
            raise ValueError(f"features of width {width} are no stack of frames of {self.num_mels}")
        total = steps * stack
        lengths = num_frames * stack
        counts = (lengths * self.time_mask_multiplicity).long().clamp(max=self.max_time_masks)
        masked = self._spans(lengths, self.time_mask_max_ratio, counts, self.max_time_masks, total)
        frames = features.reshape(batch, total, self.num_mels)
        frames = frames.masked_fill(masked[:, :, None], 0)
        mels = torch.full_like(lengths, self.num_mels)
        bands = torch.full_like(lengths, self.num_frequency_masks)
        masked = self._spans(
            mels, self.frequency_mask_max_ratio, bands, self.num_frequency_masks, self.num_mels
        )
        return frames.masked_fill(masked[:, None, :], 0).reshape(batch, steps, width)

    @staticmethod
    def _spans(lengths: Tensor, max_ratio: float, counts: Tensor, slots: int, size: int) -> Tensor:
        """(B, size) union of `counts` random spans, each up to ``max_ratio * length`` wide."""
        device = lengths.device
        draw = torch.rand(2, len(lengths), slots, 1, device=device)
        real_lengths = lengths[:, None, None]
        width = (draw[0] * ((real_lengths * max_ratio).floor() + 1)).floor()
        start = (draw[1] * (real_lengths - width + 1)).floor()
        position = torch.arange(size, device=device)
        used = torch.arange(slots, device=device)[:, None] < counts[:, None, None]
        inside = (position >= start) & (position < start + width) & used  # (B, slots, size)
        return inside.any(dim=1)
