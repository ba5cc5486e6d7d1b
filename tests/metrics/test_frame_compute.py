from __future__ import annotations

import pytest
import torch

from sb_alexa.metrics.compute import gated_macs
from sb_alexa.metrics.frame_compute import macs_by_frame
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape


@pytest.mark.parametrize("left_context_frames", [None, 0, 3, 40])
def test_sums_to_the_count_of_every_beginning(left_context_frames: int | None) -> None:
    shape = TransformerShape(
        input_size=5,
        d_model=6,
        nhead=2,
        num_layers=3,
        d_ffn=14,
        output_size=4,
        left_context_frames=left_context_frames,
        arbitrator_macs=11,
        feed_forward_groups=2,
    )
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.rand(2, 20, 3, 2, generator=generator) < 0.5 for _ in range(2))
    gates = Gates(query ^ key, query, key)
    macs = macs_by_frame(shape, gates)
    assert macs.shape == (2, 20) and macs.dtype == torch.int64
    for frames in (1, 7, 20):
        expected = gated_macs(shape, gates, torch.tensor([frames, frames])).total
        assert macs[:, :frames].sum().item() == expected
