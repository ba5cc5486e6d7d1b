from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from sb_alexa.corpora.word_pieces import WordPieces, train_word_pieces

TEXTS = [
    "TURN ON THE KITCHEN LIGHT",
    "TURN OFF THE BEDROOM LIGHT PLEASE",
    "WHAT IS THE WEATHER IN LONDON",
    "PLAY THE NEXT SONG IN THE KITCHEN",
    "SET THE BEDROOM THERMOSTAT TO TWENTY",
    "IT'S TURNED OFF IN THE KITCHEN ISN'T IT",
] * 3


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> WordPieces:
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.model"
    assert train_word_pieces(TEXTS, path, num_word_pieces=36) == 36
    return WordPieces(path)


def test_blank_is_extra_and_labels_fill_the_rest(pieces: WordPieces) -> None:
    assert pieces.num_labels == 37
    assert pieces.piece(1) == "<unk>"
    names = [pieces.piece(label) for label in range(1, pieces.num_labels)]
    assert len(set(names)) == 36
    used = {label for text in TEXTS for label in pieces.encode(text)}
    assert min(used) >= 2 and max(used) <= 36


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
def test_text_survives(tmp_path: Path, model_type: str) -> None:
    path = tmp_path / "tokenizer.model"
    train_word_pieces(TEXTS, path, num_word_pieces=40, model_type=model_type)
    pieces = WordPieces(path)
    for text in TEXTS:
        assert pieces.decode(pieces.encode(text)) == text
    assert pieces.encode("") == [] and pieces.decode([]) == ""


def test_case_and_accents_are_left_alone(tmp_path: Path) -> None:
    train_word_pieces(["Café ﬁn", "CAFÉ"], tmp_path / "m", num_word_pieces=14, model_type="char")
    pieces = WordPieces(tmp_path / "m")
    # The ligature would become two letters under the default normalisation.
    assert pieces.decode(pieces.encode("Café ﬁn")) == "Café ﬁn"


def test_unknown_characters_have_a_label_and_a_sign(pieces: WordPieces) -> None:
    labels = pieces.encode("TURN Ж ON")
    assert 1 in labels and 0 not in labels
    assert pieces.decode(labels) == "TURN \u2047 ON"


def test_the_same_text_gives_the_same_file_in_any_process(tmp_path: Path) -> None:
    train_word_pieces(TEXTS, tmp_path / "a", num_word_pieces=36)
    script = (
        "import sys; from sb_alexa.corpora.word_pieces import train_word_pieces as t;"
        "t(eval(sys.stdin.read()), sys.argv[1], num_word_pieces=36)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "b")],
        input=repr(TEXTS),
        text=True,
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    # SentencePiece reports its progress on standard error unless it is told not to.
    assert done.stderr == "" and done.stdout == ""


def test_more_pieces_than_the_text_allows_are_lowered_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = train_word_pieces(TEXTS, tmp_path / "a", num_word_pieces=2500)
    assert 36 < found < 2500
    assert [record.getMessage() for record in caplog.records] == [
        f"The training text allows {found} word pieces, not the 2500 asked for: using {found}."
    ]
    assert WordPieces(tmp_path / "a").num_labels == found + 1
    caplog.clear()
    # It is the largest possible number: asked for, it is reached, and with the same pieces.
    assert train_word_pieces(TEXTS, tmp_path / "b", num_word_pieces=found) == found
    assert not caplog.records
    a, b = WordPieces(tmp_path / "a"), WordPieces(tmp_path / "b")
    assert [a.piece(i + 1) for i in range(found)] == [b.piece(i + 1) for i in range(found)]


def test_fewer_pieces_than_characters_are_refused_with_the_number_that_works(
    tmp_path: Path,
) -> None:
    texts = ["AB CD", "AD"] * 5
    with pytest.raises(ValueError, match="num_word_pieces=5 is too few.*takes 6"):
        train_word_pieces(texts, tmp_path / "a", num_word_pieces=5)
    assert train_word_pieces(texts, tmp_path / "a", num_word_pieces=6) == 6


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_text_is_an_error(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(ValueError, match="every transcript is empty"):
        train_word_pieces(texts, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_empty_transcripts_and_very_long_ones_do_no_harm(tmp_path: Path) -> None:
    train_word_pieces(["", "AB " * 5000 + "ZEBRA", " "], tmp_path / "a", num_word_pieces=8)
    pieces = WordPieces(tmp_path / "a")
    # A line beyond SentencePiece's default limit would be skipped, and its letters with it.
    assert pieces.decode(pieces.encode("ZEBRA")) == "ZEBRA"


def test_unknown_model_type(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model_type 'word' is unknown"):
        train_word_pieces(TEXTS, tmp_path / "a", model_type="word")


def test_it_travels_without_its_file(tmp_path: Path) -> None:
    train_word_pieces(TEXTS, tmp_path / "a", num_word_pieces=36)
    pieces = WordPieces(tmp_path / "a")
    (tmp_path / "a").unlink()
    for copy in (pickle.loads(pickle.dumps(pieces)), WordPieces.from_bytes(pieces.model_bytes)):
        assert copy.encode(TEXTS[0]) == pieces.encode(TEXTS[0])
        assert copy.num_labels == 37


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.model does not exist"):
        WordPieces(tmp_path / "absent.model")


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"\x0a\xff"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.model").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.model: not a SentencePiece model"):
        WordPieces(tmp_path / "x.model")


def test_blank_and_labels_beyond_the_vocabulary_are_refused(pieces: WordPieces) -> None:
    with pytest.raises(ValueError, match="label 0 is blank"):
        pieces.decode([2, 0])
    for label in (-1, 37):
        with pytest.raises(ValueError, match=rf"label {label} is outside the vocabulary 1\.\.36"):
            pieces.piece(label)


def test_parts_join_to_the_whole_wherever_they_are_cut(pieces: WordPieces) -> None:
    random = Random(0)
    for _ in range(200):
        labels = random.choices(range(1, pieces.num_labels), k=random.randrange(12))
        cuts = sorted(random.choices(range(len(labels) + 1), k=random.randrange(5)))
        text, first = "", 0
        for last in [*cuts, len(labels)]:
            text += pieces.decode_delta(labels[first:last], at_start=first == 0)
            first = last
        assert text == pieces.decode(labels)


def test_deltas_keep_the_space_before_a_word(pieces: WordPieces) -> None:
    labels = pieces.encode("TURN ON THE KITCHEN LIGHT")
    deltas = [pieces.decode_delta([label], at_start=i == 0) for i, label in enumerate(labels)]
    assert "".join(deltas) == "TURN ON THE KITCHEN LIGHT"
    assert sum(delta.startswith(" ") for delta in deltas[1:]) == 4
