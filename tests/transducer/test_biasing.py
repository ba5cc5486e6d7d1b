"""Biasing phrases against counting, alone and in a search."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_alexa.streaming.state import cat, named_tensors, rows
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.beam_reference import (
    LabelDistributions,
    exhaustive_search,
    reference_beam_search,
)
from sb_alexa.transducer.biasing import Phrase, PhraseTables, phrase_tables
from sb_alexa.transducer.hypothesis import Hypothesis
from tests.transducer.beam_models import (
    assert_same,
    constant_search,
    in_chunks,
    random_frames,
    random_parts,
    random_search,
)

V = 4


def tables_of(*phrases: Phrase) -> PhraseTables:
    return phrase_tables([phrases], num_labels=V, blank_index=0)


def earned(tables: PhraseTables, labels: tuple[int, ...]) -> list[float]:
    """Nats for each label and, at the end, what is taken back."""
    stream, node, found = torch.tensor([0]), tables.start(), []
    for label in labels:
        found.append(float(tables.scores(stream, node)[0, label]))
        node = tables.advance(stream, node, torch.tensor([label]))
    return [*found, -float(tables.unfinished(stream, node))]


def bonus(tables: PhraseTables, history: tuple[int, ...], label: int) -> float:
    return earned(tables, (*history, label))[-2]


def taken_back(tables: PhraseTables, labels: tuple[int, ...]) -> float:
    return earned(tables, labels)[-1]


def counted(phrases: list[Phrase], labels: tuple[int, ...]) -> float:
    largest: dict[tuple[int, ...], float] = {}
    for phrase in phrases:
        largest[phrase.tokens] = max(phrase.boost, largest.get(phrase.tokens, -math.inf))
    return sum(
        boost * len(tokens)
        for tokens, boost in largest.items()
        for start in range(len(labels))
        if labels[start : start + len(tokens)] == tokens
    )


labels_of_phrase = st.lists(st.integers(1, V - 1), min_size=1, max_size=4).map(tuple)


@settings(max_examples=150, deadline=None)
@given(
    phrases=st.lists(
        st.builds(Phrase, labels_of_phrase, st.sampled_from([1.0, 0.5, 2.0, -1.5])), max_size=6
    ),
    labels=st.lists(st.integers(1, V - 1), max_size=12).map(tuple),
)
def test_every_occurrence_is_paid_and_nothing_else(
    phrases: list[Phrase], labels: tuple[int, ...]
) -> None:
    assert sum(earned(tables_of(*phrases), labels)) == pytest.approx(counted(phrases, labels))


def test_boost_comes_label_by_label_and_is_taken_back() -> None:
    tables = tables_of(Phrase((1, 2, 3), 2.0))
    assert earned(tables, (1, 2, 3)) == [2.0, 2.0, 2.0, 0.0]
    assert earned(tables, (1, 2)) == [2.0, 2.0, -4.0]
    assert earned(tables, (1, 2, 2, 3)) == [2.0, 2.0, -4.0, 0.0, 0.0]
    # The second 1 gives the phrase up and begins it again.
    assert earned(tables, (1, 1, 2, 3)) == [2.0, 0.0, 2.0, 2.0, 0.0]


def test_abandoned_phrases_leave_the_score_unchanged() -> None:
    search = constant_search(
        [0.4, 0.3, 0.2, 0.1], beam_size=64, num_hypotheses=64, max_symbols_per_frame=1
    )
    frames = random_frames(1, 3)
    plain = {one.hypothesis.tokens: one.score for one in search.n_best(frames)[0]}
    biased = search.n_best(frames, phrases=[[Phrase((1, 2), 3.0)]])[0]
    assert len(biased) == len(plain) == 3**3 + 3**2 + 3 + 1
    for one in biased:
        tokens = one.hypothesis.tokens
        gain = 6.0 if (1, 2) in zip(tokens, tokens[1:], strict=False) else 0.0
        assert one.score == pytest.approx(plain[tokens] + gain, abs=1e-10)


def test_a_rare_phrase_comes_out_of_its_own_stream_only() -> None:
    search = constant_search([0.5, 0.46, 0.02, 0.02], max_symbols_per_frame=1)
    frames = random_frames(3, 4)
    assert all(2 not in one.tokens for one in search(frames))
    phrases = [[], [Phrase((2, 3), 4.0)], [Phrase((3, 3, 1), 4.0), Phrase((2, 2), -9.0)]]
    found = search(frames, phrases=phrases)
    assert found[0] == search(frames)[0]
    assert found[1].tokens == (2, 3)
    assert found[2].tokens[:3] == (3, 3, 1)


def test_phrases_of_the_search_hold_for_streams_without_their_own() -> None:
    phrase = Phrase((2, 3), 4.0)
    rates = [0.5, 0.46, 0.02, 0.02]
    plain = constant_search(rates, max_symbols_per_frame=1)
    search = constant_search(rates, max_symbols_per_frame=1, phrases=[phrase])
    frames = random_frames(2, 4)
    assert search(frames) == plain(frames, phrases=[[phrase]] * 2) != plain(frames)
    assert search(frames, phrases=[[], []]) == plain(frames)


@pytest.mark.parametrize("seed", range(3))
def test_search_with_phrases_equals_the_reference(seed: int) -> None:
    predictor, joiner = random_parts(seed, V, blank_bias=1.0)
    search = BeamSearch(predictor=predictor, joiner=joiner, beam_size=3, num_hypotheses=3)
    frames, lengths = random_frames(2, 8), torch.tensor([8, 6])
    phrases = [[Phrase((1, 2, 1), 1.5), Phrase((2, 1), 0.5)], [Phrase((3, 3), 2.5)]]
    whole = search.n_best(frames, lengths, phrases=phrases)
    chunked = in_chunks(search, frames, lengths, [5, 1], phrases)
    for row, of_row in enumerate(phrases):
        tables = tables_of(*of_row)
        expected = reference_beam_search(
            LabelDistributions(predictor, joiner, frames[row, : lengths[row]]),
            beam_size=3,
            max_symbols_per_frame=search.max_symbols_per_frame,
            bonus=functools.partial(bonus, tables),
            final_bonus=functools.partial(taken_back, tables),
        )
        assert_same(whole[row], expected)
        assert_same(chunked[row], expected)


def test_wide_beam_with_phrases_is_exhaustive() -> None:
    predictor, joiner = random_parts(3, 3)
    frames = random_frames(1, 3)
    phrases = [Phrase((1, 2), 2.0), Phrase((2,), -1.0)]
    search = BeamSearch(
        predictor=predictor,
        joiner=joiner,
        beam_size=130,
        num_hypotheses=130,
        max_symbols_per_frame=2,
    )
    found = search.n_best(frames, phrases=[phrases])[0]
    exact = exhaustive_search(LabelDistributions(predictor, joiner, frames[0]), 2)
    expected = {labels: score + counted(phrases, labels) for labels, score in exact.items()}
    assert {one.hypothesis.tokens: one.score for one in found} == pytest.approx(expected, abs=1e-10)


def test_streams_with_phrases_can_be_joined_and_reordered() -> None:
    search = random_search(1, 1.0)
    frames = random_frames(2, 10)
    phrases = [[Phrase((1, 2, 3), 1.0)], [Phrase((4, 2, 1), 1.0), Phrase((4, 2), 0.5)]]
    whole = search(frames, phrases=phrases)
    alone = [search.initial_state(1, [one]) for one in phrases]
    shapes = [[tensor.shape for _, tensor in named_tensors(state)] for state in alone]
    assert shapes[0] == shapes[1]
    heads, states = zip(
        *(
            search.forward_chunk(frames[row : row + 1, :6], state)
            for row, state in enumerate(alone)
        ),
        strict=True,
    )
    order = torch.tensor([1, 0])
    tails, state = search.forward_chunk(frames[order, 6:], rows(cat(states), order))
    rest = search.finish(state)
    for row in order.tolist():
        place = 1 - row
        found = heads[row][0] + tails[place] + rest[place]
        assert found.tokens == whole[row].tokens


def test_no_phrases_and_empty_lists_are_the_same() -> None:
    search, frames = random_search(1), random_frames(2, 6)
    assert search(frames, phrases=[[], []]) == search(frames) != [Hypothesis(), Hypothesis()]


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        (Phrase((1, 0), 1.0), r"phrase \(1, 0\) of stream 1 has the label 0, .* the blank 0; enc"),
        (Phrase((1, 4), 1.0), r"phrase \(1, 4\) of stream 1 has the label 4, expected .* 0..3"),
        (Phrase((-1,), 1.0), "has the label -1"),
        (Phrase((), 1.0), r"phrase \(\) of stream 1 has no labels; leave it out"),
        (Phrase((1,), math.nan), r"phrase \(1,\) of stream 1 has the boost nan; give finite"),
        (Phrase((1,), math.inf), "has the boost inf"),
    ],
)
def test_wrong_phrases_are_named(phrase: Phrase, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phrase_tables([[], [Phrase((2,), 1.0), phrase]], num_labels=V, blank_index=0)


def test_phrases_are_for_each_stream() -> None:
    search = random_search(0)
    with pytest.raises(ValueError, match="phrases are given for 1 streams, there are 2"):
        search(random_frames(2, 3), phrases=[[]])
    with pytest.raises(ValueError, match="beam_size=1 is greedy search, which takes no phrases"):
        random_search(0, beam_size=1).initial_state(1, [[]])
