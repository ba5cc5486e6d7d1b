from __future__ import annotations

import pytest
import torch

from sb_alexa.nn.frame_stacking import FrameStacking


def test_an_incomplete_stack_is_completed_with_zeros() -> None:
    stacking = FrameStacking(num_features=2, num_frames=3)
    x = torch.arange(1.0, 9.0).view(1, 4, 2)
    assert stacking(x).tolist() == [[[1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0]]]
    assert stacking.geometry.num_outputs(4) == 2


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="must be >= 1, got 4 and 0"):
        FrameStacking(num_features=4, num_frames=0)
