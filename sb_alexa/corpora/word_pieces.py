"""Word pieces: the labels of a transducer, as SentencePiece finds them in the training text."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from sb_alexa.corpora.stamp import replaced_atomically

logger = logging.getLogger(__name__)

BLANK = 0
_WORD_START = "\u2581"
_UNKNOWN_TEXT = "\u2047"
_MODEL_TYPES = ("unigram", "bpe", "char")


def train_word_pieces(
    texts: Iterable[str],
    model_path: str | os.PathLike[str],
    *,
    num_word_pieces: int = 2500,
    model_type: str = "unigram",
) -> int:
    """Learn word pieces from text; the same text gives the same file on every machine.

    The text is taken as it is, without Unicode normalisation. Where it allows fewer pieces than
    asked for, the largest possible number is used and a warning tells both.

    Arguments
    ---------
    texts : iterable of str
        Training transcripts; empty ones are ignored.
    model_path : str or path-like
        The SentencePiece model to write; replaced in one step.
    num_word_pieces : int
        Pieces wanted, the one for unknown characters included and blank not.
    model_type : str
        `unigram`, `bpe` or `char`.

    Returns
    -------
    num_word_pieces : int
        Pieces in the model.

    Raises
    ------
    ValueError
        If there is no text, or more different characters than pieces asked for.

    Example
    -------
    >>> path = getfixture("tmp_path") / "tokenizer.model"
    >>> train_word_pieces(["TURN ON THE LIGHT", "TURN OFF THE LIGHT"], path, num_word_pieces=14)
    14
    """
    if model_type not in _MODEL_TYPES:
        raise ValueError(f"model_type {model_type!r} is unknown; use one of {_MODEL_TYPES}")
    sentences = [text for text in texts if text.strip()]
    if not sentences:
        raise ValueError("there is no text to train word pieces on: every transcript is empty")
    # One piece for every character, one for the start of a word, one for unknown characters.
    fewest = len(set().union(*sentences) - {" "} | {_WORD_START}) + 1
    if num_word_pieces < fewest and model_type != "char":
        raise ValueError(
            f"num_word_pieces={num_word_pieces} is too few: the text has {fewest - 2} different "
            f"characters, which takes {fewest}; ask for at least that many"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=num_word_pieces,
        model_type=model_type,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=max(4192, 1 + max(len(text.encode()) for text in sentences)),
        # Sums are made per thread: another number of threads could round a score differently.
        num_threads=16,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    if found < num_word_pieces:
        logger.warning(
            "The training text allows %d word pieces, not the %d asked for: using %d.",
            found,
            num_word_pieces,
            found,
        )
    with replaced_atomically(model_path) as temporary:
        temporary.write_bytes(model.getvalue())
    return found


class WordPieces:
    """Text to labels and back. Label 0 is blank; label i + 1 is piece i of the model.

    Arguments
    ---------
    model_path : str or path-like
        A SentencePiece model, such as `train_word_pieces` writes. Instances can be pickled; they
        carry the model with them and no longer need the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a SentencePiece model.

    Example
    -------
    >>> path = getfixture("tmp_path") / "tokenizer.model"
    >>> _ = train_word_pieces(["TURN ON THE LIGHT"] * 9, path, num_word_pieces=12, model_type="bpe")
    >>> pieces = WordPieces(path)
    >>> pieces.num_labels
    13
    >>> labels = pieces.encode("TURN THE LIGHT")
    >>> min(labels) > 0, pieces.decode(labels)
    (True, 'TURN THE LIGHT')
    """

    def __init__(self, model_path: str | os.PathLike[str]) -> None:
        if not os.path.isfile(model_path):
            raise FileNotFoundError(
                f"word-piece model {os.fspath(model_path)} does not exist; prepare the corpus first"
            )
        self._load(Path(model_path).read_bytes(), os.fspath(model_path))

    @classmethod
    def from_bytes(cls, model: bytes) -> WordPieces:
        """Build from the content of a model file (`model_bytes` of another instance)."""
        pieces = cls.__new__(cls)
        pieces._load(model, "these bytes")
        return pieces

    def _load(self, model: bytes, name: str) -> None:
        processor = sentencepiece.SentencePieceProcessor()
        try:
            loaded = bool(model) and processor.LoadFromSerializedProto(model)
        except RuntimeError:
            loaded = False
        if not loaded:
            raise ValueError(f"{name}: not a SentencePiece model")
        self.model_bytes = model
        self._processor = processor
        self._texts = tuple(self._piece_text(i) for i in range(processor.get_piece_size()))

    def _piece_text(self, index: int) -> str:
        if self._processor.is_unknown(index):
            return _UNKNOWN_TEXT
        return self._processor.id_to_piece(index).replace(_WORD_START, " ")

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return type(self).from_bytes, (self.model_bytes,)

    @property
    def num_labels(self) -> int:
        """Size V of the output layer: every piece, and blank."""
        return len(self._texts) + 1

    def encode(self, text: str) -> list[int]:
        """Labels (1 to V - 1) of a text; characters never seen in training become label 1.

        Arguments
        ---------
        text : str
            One transcript.

        Returns
        -------
        labels : list of int
            Empty for a text without words.
        """
        return [i + 1 for i in self._processor.encode(text, out_type=int)]

    def piece(self, label: int) -> str:
        """The word piece of a label, with U+2581 where a word starts; `<unk>` for label 1."""
        return self._processor.id_to_piece(self._index(label))

    def decode(self, labels: Sequence[int]) -> str:
        """Text of a whole label sequence (without blanks).

        Arguments
        ---------
        labels : sequence of int
            Each in 1 to V - 1.

        Returns
        -------
        text : str
            Unknown characters appear as U+2047.

        Raises
        ------
        ValueError
            If a label is blank or beyond the vocabulary.
        """
        return self.decode_delta(labels, at_start=True)

    def decode_delta(self, labels: Sequence[int], *, at_start: bool) -> str:
        """Text that further labels add to a transcript, so that the parts join to the whole.

        Arguments
        ---------
        labels : sequence of int
            The labels since the last call.
        at_start : bool
            Whether no label came before these: the space before the first word is then left out.

        Returns
        -------
        text : str
            Begins with a space where the first label starts a new word.

        Example
        -------
        >>> path = getfixture("tmp_path") / "tokenizer.model"
        >>> _ = train_word_pieces(["TEA TWO"], path, num_word_pieces=9, model_type="char")
        >>> pieces = WordPieces(path)
        >>> labels = pieces.encode("TEA TWO")
        >>> pieces.decode_delta(labels[:4], at_start=True)
        'TEA'
        >>> pieces.decode_delta(labels[4:], at_start=False)
        ' TWO'
        """
        text = "".join(self._texts[self._index(label)] for label in labels)
        return text.removeprefix(" ") if at_start else text

    def _index(self, label: int) -> int:
        if label == BLANK:
            raise ValueError("label 0 is blank, which has no text; remove blanks first")
        if not 0 < label < self.num_labels:
            raise ValueError(f"label {label} is outside the vocabulary 1..{self.num_labels - 1}")
        return label - 1
