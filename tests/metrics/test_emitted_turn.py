from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_alexa.metrics.emitted_turn import EmittedTurn, emitted_turns

SOT, EOT, COT = 8, 9, 7


def cut(labels: list[int], **options) -> tuple[EmittedTurn, ...]:
    times_s = [float(i) for i in range(len(labels))]
    return emitted_turns(labels, times_s, start=SOT, end=EOT, **options)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], []),
        ([1, 2, EOT], [EmittedTurn(None, 0.0, 1.0, 2.0)]),
        ([SOT, 1, 2], [EmittedTurn(0.0, 1.0, 2.0, None)]),
        ([1, EOT, SOT, 2], [EmittedTurn(None, 0.0, 0.0, 1.0), EmittedTurn(2.0, 3.0, 3.0, None)]),
        ([1, SOT, 2], [EmittedTurn(None, 0.0, 0.0, None), EmittedTurn(1.0, 2.0, 2.0, None)]),
        ([SOT, EOT], [EmittedTurn(0.0, None, None, 1.0)]),
        ([SOT, SOT], [EmittedTurn(0.0), EmittedTurn(1.0)]),
        ([EOT, EOT, 1], [EmittedTurn(None, 2.0, 2.0, None)]),
        ([1, EOT, 2, EOT], [EmittedTurn(None, 0, 0, 1), EmittedTurn(None, 2, 2, 3)]),
    ],
)
def test_turns_of_tokens(labels: list[int], expected: list[EmittedTurn]) -> None:
    assert list(cut(labels)) == expected


def test_change_of_turn() -> None:
    turns = emitted_turns([1, COT, 2, 3], [0.0, 1.0, 2.0, 3.0], start=None, end=None, change=COT)
    assert turns == (EmittedTurn(None, 0.0, 0.0), EmittedTurn(None, 2.0, 3.0))


def test_confidence_is_that_of_the_end() -> None:
    (turn,) = cut([SOT, 1, EOT], confidences=[0.1, 0.2, 0.75])
    assert turn.end_confidence == 0.75


@given(st.lists(st.sampled_from([1, 2, SOT, EOT]), max_size=12))
def test_every_piece_belongs_to_one_turn_in_order(labels: list[int]) -> None:
    turns = cut(labels)
    spans = [(t.first_piece_s, t.last_piece_s) for t in turns if t.first_piece_s is not None]
    for place, label in enumerate(labels):
        inside = [first <= place <= last for first, last in spans]
        assert sum(inside) == 1 if label < SOT else sum(inside) == 0
    assert sum(t.start_s is not None for t in turns) == labels.count(SOT)
    flat = [t for turn in turns for t in (turn.first_s, turn.end_s) if t is not None]
    assert flat == sorted(flat)


def test_one_time_for_each_label() -> None:
    with pytest.raises(ValueError, match="2 labels came with 1 times and 2 confidences"):
        emitted_turns([1, 2], [0.0], start=SOT, end=EOT)
