"""What is said: a seeded grammar of household commands, or the sentences of any text file."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

PARTITIONS = ("train", "dev", "test")
# Of 20 buckets, 2 are for development and 3 for testing.
_NUM_BUCKETS, _DEV_BUCKETS, _TEST_BUCKETS = 20, (0, 1), (2, 3, 4)
_MAX_DRAWS = 10_000

_WORDS = {
    "digit": "zero one two three four five six seven eight nine",
    "hour": "one two three four five six seven eight nine ten eleven twelve",
    "amount": "ten fifteen twenty thirty forty fifty",
    "device": "lamp heater fan oven radio television kettle",
    "room": "kitchen bedroom bathroom garage office hallway",
    "day": "monday tuesday wednesday thursday friday saturday sunday",
    "name": "anna peter maria david susan robert helen james",
    "item": "milk bread butter apples coffee sugar cheese rice onions",
    "music": "jazz rock classical country piano guitar",
    "city": "london boston paris berlin chicago madrid",
    "chore": "water feed clean wash walk",
    "object": "dog garden car windows cat",
    "part": "morning evening afternoon",
    "unit": "seconds minutes hours",
}
_TEMPLATES = (
    "turn on the {device} in the {room}",
    "turn off the {device} in the {room}",
    "set the {device} in the {room} to {amount} percent",
    "set the {room} to {amount} degrees on {day} {part}",
    "set a timer for {amount} {unit}",
    "set an alarm for {hour} {amount} on {day} {part}",
    "wake me up at {hour} o'clock on {day}",
    "play some {music} music in the {room}",
    "stop the {music} music in the {room}",
    "call {name} on {day} {part}",
    "call {digit} {digit} {digit} {digit} {digit} {digit}",
    "send a message to {name} and {name}",
    "tell {name} to buy {item} and {item}",
    "add {item} and {item} to my shopping list",
    "put {item} on my shopping list for {day}",
    "what is the weather in {city} on {day}",
    "how long is the flight from {city} to {city}",
    "remind me to {chore} the {object} at {hour} o'clock",
    "remind {name} to {chore} the {object} on {day}",
    "open the {room} door at {hour} {amount}",
    "close the windows in the {room}",
    "my number is {digit} {digit} {digit} {digit} {digit} {digit} {digit}",
    "{digit} {digit} {digit} {digit} {digit}",
)
_SLOT = re.compile(r"{(\w+)}")


class SentenceSource(ABC):
    """A supply of lower-case sentences, divided once and for all into train, dev and test.

    To which partition a sentence belongs depends on its text alone, so a test sentence never
    occurs in training, whatever the seed and however much is drawn.
    """

    @abstractmethod
    def draw(self, partition: str, rng: np.random.Generator) -> str:
        """Return one sentence of a partition.

        Arguments
        ---------
        partition : str
            ``train``, ``dev`` or ``test``.
        rng : numpy.random.Generator
            Where the choice comes from.
        """


def draw_several(
    source: SentenceSource, partition: str, rng: np.random.Generator, *, most: int
) -> str:
    """One to `most` sentences, each number equally likely, said in one breath.

    Arguments
    ---------
    source : SentenceSource
        Where they come from.
    partition : str
        ``train``, ``dev`` or ``test``.
    rng : numpy.random.Generator
        Where the choice comes from.
    most : int
        At least 1; with 1 nothing but the sentence is drawn.

    Example
    -------
    >>> rng = np.random.default_rng(2)
    >>> draw_several(CommandGrammar(), "train", rng, most=2)
    "wake me up at two o'clock on wednesday play some country music in the office"
    """
    number = int(rng.integers(1, most, endpoint=True)) if most > 1 else 1
    return " ".join(source.draw(partition, rng) for _ in range(number))


def partition_of(sentence: str) -> str:
    """Return the partition a sentence belongs to: train (75 %), dev (10 %) or test (15 %).

    Example
    -------
    >>> partition_of("turn on the lamp"), partition_of("turn on the lamp")
    ('train', 'train')
    """
    digest = hashlib.sha256(sentence.encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % _NUM_BUCKETS
    if bucket in _DEV_BUCKETS:
        return "dev"
    return "test" if bucket in _TEST_BUCKETS else "train"


def normalise(text: str) -> str | None:
    """Return a text as lower-case words of a-z and apostrophes, or None if it has digits.

    Accents are dropped, hyphens and punctuation separate words. Numbers are refused because a
    reader of digits says words that are not in the transcript.

    Example
    -------
    >>> normalise("The café's well-known “soup” -- isn't it?")
    "the cafe's well known soup isn't it"
    >>> normalise("Room 12") is None
    True
    """
    folded = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    if any(character.isdigit() for character in folded):
        return None
    folded = "".join(c for c in folded if not unicodedata.combining(c)).lower()
    words = (word.strip("'") for word in re.sub(r"[^a-z']+", " ", folded).split())
    return " ".join(word for word in words if word)


class CommandGrammar(SentenceSource):
    """Household commands and digit strings: a small vocabulary, many thousands of sentences.

    Example
    -------
    >>> grammar = CommandGrammar()
    >>> sentence = grammar.draw("test", np.random.default_rng(0))
    >>> partition_of(sentence), set(sentence.split()) <= set(grammar.vocabulary())
    ('test', True)
    """

    def draw(self, partition: str, rng: np.random.Generator) -> str:
        _check_partition(partition)
        for _ in range(_MAX_DRAWS):
            sentence = self._sentence(rng)
            if partition_of(sentence) == partition:
                return sentence
        raise RuntimeError(f"no {partition} sentence in {_MAX_DRAWS} draws from the grammar")

    def vocabulary(self) -> list[str]:
        """Return every word the grammar can say, sorted."""
        fixed = _SLOT.sub(" ", " ".join(_TEMPLATES)).split()
        return sorted({*fixed, *" ".join(_WORDS.values()).split()})

    def _sentence(self, rng: np.random.Generator) -> str:
        words: list[str] = []
        for word in _TEMPLATES[rng.integers(len(_TEMPLATES))].split():
            slot = _SLOT.fullmatch(word)
            if slot:
                choices = _WORDS[slot[1]].split()
                word = choices[rng.integers(len(choices))]
            words.append(word)
        return " ".join(words)


class TextSentences(SentenceSource):
    """The sentences of a text, for a richer vocabulary than the grammar's.

    The text is cut at full stops, question and exclamation marks and empty lines, normalised
    (:func:`normalise`), and cut into pieces of at most ``max_words``. Sentences with digits or
    fewer than ``min_words`` words are left out.

    Arguments
    ---------
    text : str
        English text.
    min_words, max_words : int
        Bounds on the number of words.

    Raises
    ------
    ValueError
        If a partition would be empty.

    Example
    -------
    >>> nouns = "dog cat lamp house tree river cloud stone road field bird boat".split()
    >>> source = TextSentences(" ".join(f"We saw the {a} and a {b}." for a in nouns for b in nouns))
    >>> partition_of(source.draw("train", np.random.default_rng(0)))
    'train'
    """

    def __init__(self, text: str, *, min_words: int = 3, max_words: int = 16) -> None:
        if not 1 <= min_words <= max_words:
            raise ValueError(
                f"need 1 <= min_words <= max_words, got min_words {min_words} and "
                f"max_words {max_words}"
            )
        found: dict[str, list[str]] = {partition: [] for partition in PARTITIONS}
        for sentence in _sentences_of(text, min_words, max_words):
            found[partition_of(sentence)].append(sentence)
        empty = [partition for partition, sentences in found.items() if not sentences]
        if empty:
            raise ValueError(
                f"the text leaves no sentence of {min_words} to {max_words} words without digits "
                f"for {', '.join(empty)} ({sum(map(len, found.values()))} usable in all); "
                "give a longer text"
            )
        self._found = found

    @classmethod
    def from_file(cls, path: str | Path) -> TextSentences:
        """Read a UTF-8 text file.

        Raises
        ------
        ValueError
            If the file cannot be read as text, or holds too few sentences.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read {path} as UTF-8 text: {error}") from error
        try:
            return cls(text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def draw(self, partition: str, rng: np.random.Generator) -> str:
        _check_partition(partition)
        sentences = self._found[partition]
        return sentences[int(rng.integers(len(sentences)))]


def _sentences_of(text: str, min_words: int, max_words: int) -> list[str]:
    found: dict[str, None] = {}
    for piece in re.split(r"[.!?]+(?=[\s\"'”’)]|$)|\n\s*\n", text):
        words = (normalise(piece) or "").split()
        num_parts = -(-len(words) // max_words)
        for part in np.array_split(np.array(words, dtype=object), max(num_parts, 1)):
            if len(part) >= min_words:
                found[" ".join(part)] = None
    return list(found)


def _check_partition(partition: str) -> None:
    if partition not in PARTITIONS:
        raise ValueError(f"partition must be one of {', '.join(PARTITIONS)}, got {partition!r}")
