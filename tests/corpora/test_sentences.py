from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora.sentences import (
    PARTITIONS,
    CommandGrammar,
    TextSentences,
    normalise,
    partition_of,
)


def _drawn(source: CommandGrammar | TextSentences, partition: str, count: int) -> set[str]:
    rng = np.random.default_rng(0)
    return {source.draw(partition, rng) for _ in range(count)}


def _english(num_sentences: int) -> str:
    nouns = ["dog", "cat", "tree", "river", "cloud", "stone", "road", "field", "bird", "boat"]
    return " ".join(
        f"The {nouns[i % 10]} saw the {nouns[i // 10 % 10]}, didn't it?"
        for i in range(num_sentences)
    )


def test_partitions_share_no_sentence() -> None:
    grammar = CommandGrammar()
    drawn = {partition: _drawn(grammar, partition, 2000) for partition in PARTITIONS}
    assert all(len(sentences) > 500 for sentences in drawn.values())
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["dev"]
    assert not drawn["dev"] & drawn["test"]


def test_training_says_every_word_and_thousands_of_sentences() -> None:
    grammar = CommandGrammar()
    sentences = _drawn(grammar, "train", 6000)
    assert len(sentences) > 2500
    assert {word for sentence in sentences for word in sentence.split()} == set(
        grammar.vocabulary()
    )
    assert 120 <= len(grammar.vocabulary()) <= 150


def test_the_same_numbers_give_the_same_sentence() -> None:
    grammar = CommandGrammar()
    first, second = (
        [grammar.draw("dev", np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)
    )
    assert first == second and len(set(first)) > 15


def test_unknown_partition() -> None:
    with pytest.raises(ValueError, match="one of train, dev, test, got 'valid'"):
        CommandGrammar().draw("valid", np.random.default_rng(0))


def test_text_is_divided_as_the_grammar_is() -> None:
    source = TextSentences(_english(100))
    drawn = {partition: _drawn(source, partition, 500) for partition in PARTITIONS}
    assert len(set.union(*drawn.values())) == sum(map(len, drawn.values())) == 100
    for partition, sentences in drawn.items():
        assert {partition_of(sentence) for sentence in sentences} == {partition}
        assert all(normalise(sentence) == sentence for sentence in sentences)


def test_long_sentences_are_cut_and_numbers_left_out() -> None:
    long = " ".join(f"{word} and then" for word in _english(20).split())
    source = TextSentences(f"{_english(100)} In 1999 it rained all day. Yes. {long}", max_words=8)
    sentences = set.union(*(_drawn(source, partition, 900) for partition in PARTITIONS))
    lengths = {len(sentence.split()) for sentence in sentences}
    assert max(lengths) <= 8 and min(lengths) >= 3
    assert not any("rained" in sentence or "yes" in sentence.split() for sentence in sentences)
    assert any("and then" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Too short. Really.", "leaves no sentence of 3 to 16 words"),
        (b"", "0 usable in all"),
        (b"\xff\xfe\x00caf\xe9", "cannot read .*book.txt as UTF-8"),
    ],
)
def test_unusable_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TextSentences.from_file(path)


def test_missing_file_and_bad_bounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read .*absent"):
        TextSentences.from_file(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match="got min_words 5 and max_words 4"):
        TextSentences(_english(100), min_words=5, max_words=4)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("It’s o'clock", "it's o'clock"),
        ("'quoted' — well‐known", "quoted well known"),
        ("naïve Ångström", "naive angstrom"),
        ("page 4", None),
        ("…", ""),
    ],
)
def test_normalise(raw: str, clean: str | None) -> None:
    assert normalise(raw) == clean
