"""The result of a search."""

from __future__ import annotations

import dataclasses
import math

import pytest

from sb_alexa.transducer.hypothesis import Hypothesis


def test_chunks_add_up() -> None:
    first = Hypothesis((3, 4), (0, 0), (-0.1, -0.2))
    second = Hypothesis((5,), (7,), (math.log(0.5),))
    whole = first + Hypothesis() + second
    assert whole == Hypothesis((3, 4, 5), (0, 0, 7), (-0.1, -0.2, math.log(0.5)))
    assert len(whole) == 3 and len(Hypothesis()) == 0
    assert whole.confidences[2] == pytest.approx(0.5)
    assert first.tokens == (3, 4)


def test_it_cannot_be_changed_or_be_incomplete() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hypothesis().tokens = (1,)  # type: ignore[misc]
    with pytest.raises(ValueError, match="got 1 tokens, 0 frames and 1 log_probs"):
        Hypothesis((1,), (), (0.0,))
