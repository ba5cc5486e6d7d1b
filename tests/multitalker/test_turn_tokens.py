from __future__ import annotations

import pytest
from hyperpyyaml import load_hyperpyyaml

from sb_alexa.multitalker.turn_tokens import TurnTokens


@pytest.mark.parametrize(
    ("style", "start", "end", "change"),
    [("start_end", 11, 12, None), ("change", None, None, 11), ("none", None, None, None)],
)
def test_labels_of_each_style(
    style: str, start: int | None, end: int | None, change: int | None
) -> None:
    tokens = TurnTokens(10, style=style)
    assert (tokens.start, tokens.end, tokens.change) == (start, end, change)
    # The same in every style: one model is the warm start of another.
    assert tokens.num_labels == 13
    assert tokens.labels == {11, 12}
    assert tokens.strip([11, 1, 10, 12, 2]) == (1, 10, 2)


def test_from_yaml() -> None:
    text = """
num_word_pieces: 10
tokens: !new:sb_alexa.multitalker.turn_tokens.TurnTokens
    num_word_pieces: !ref <num_word_pieces>
    style: start_end
    closed_turns: True
"""
    assert load_hyperpyyaml(text)["tokens"] == TurnTokens(10, closed_turns=True)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="num_word_pieces=0"):
        TurnTokens(0)
    with pytest.raises(ValueError, match="style='sot' of turn tokens is unknown"):
        TurnTokens(10, style="sot")
    with pytest.raises(ValueError, match="closed_turns=True needs tokens for start and end"):
        TurnTokens(10, style="change", closed_turns=True)
