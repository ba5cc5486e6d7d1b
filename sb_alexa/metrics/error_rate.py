"""Word and character errors as addable counts.

The rate is derived last, so that nobody can average rates.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of a hypothesis against its reference, of one utterance or summed over many.

    Arguments
    ---------
    substitutions : int
        Reference words replaced by another word.
    deletions : int
        Reference words without a counterpart.
    insertions : int
        Hypothesis words without a counterpart.
    words : int
        Words of the reference (characters, where characters were counted).

    Raises
    ------
    ValueError
        If a count is negative or more reference words are wrong than there are.

    Example
    -------
    >>> short, long = ErrorCounts(substitutions=1, words=2), ErrorCounts(deletions=1, words=8)
    >>> short.error_rate, long.error_rate, (short + long).error_rate
    (50.0, 12.5, 20.0)
    >>> sum([short, long, long], ErrorCounts())
    ErrorCounts(substitutions=1, deletions=2, insertions=0, words=18)
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    def __post_init__(self) -> None:
        if min(self.substitutions, self.deletions, self.insertions, self.words) < 0:
            raise ValueError(f"error counts must not be negative, got {self}")
        if self.substitutions + self.deletions > self.words:
            raise ValueError(
                f"{self} has more wrong reference words than reference words; "
                "count with count_errors(reference_words, hypothesis_words)"
            )

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        if not isinstance(other, ErrorCounts):
            return NotImplemented
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def error_rate(self) -> float:
        """Errors per 100 reference words.

        Without any reference word it is 0 if nothing was inserted, else infinite.
        """
        if self.words == 0:
            return math.inf if self.errors else 0.0
        return 100.0 * self.errors / self.words


def count_errors(
    reference_words: Sequence[Hashable], hypothesis_words: Sequence[Hashable]
) -> ErrorCounts:
    """Count the errors of one utterance by the Levenshtein distance.

    The number of errors and `insertions - deletions` are unique; among alignments of equal cost
    the split into the three kinds is that of rapidfuzz, and other tools may split differently.

    Arguments
    ---------
    reference_words : sequence of str
        What was said; any hashable tokens.
    hypothesis_words : sequence of str
        What was recognised.

    Returns
    -------
    ErrorCounts
        The counts of this utterance.

    Example
    -------
    >>> count_errors(["turn", "the", "light", "on"], ["turn", "a", "light", "on", "now"])
    ErrorCounts(substitutions=1, deletions=0, insertions=1, words=4)
    >>> count_errors([], ["oh"]).error_rate
    inf
    """
    counts = {"replace": 0, "delete": 0, "insert": 0}
    for operation in Levenshtein.editops(reference_words, hypothesis_words):
        counts[operation.tag] += 1
    return ErrorCounts(counts["replace"], counts["delete"], counts["insert"], len(reference_words))


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count word errors between two texts whose words are separated by white space.

    Case and punctuation count: normalise both texts in the same way before.

    Arguments
    ---------
    reference : str
        What was said.
    hypothesis : str
        What was recognised.

    Returns
    -------
    ErrorCounts
        The counts in words.

    Example
    -------
    >>> word_errors("A MAN SAID", "A MEN  SAID").errors
    1
    """
    return count_errors(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count character errors between two texts; one space between words is a character.

    Arguments
    ---------
    reference : str
        What was said.
    hypothesis : str
        What was recognised.

    Returns
    -------
    ErrorCounts
        The counts in characters; `words` is the number of reference characters.

    Example
    -------
    >>> character_errors("a man", "a  men")
    ErrorCounts(substitutions=1, deletions=0, insertions=0, words=5)
    """
    return count_errors(" ".join(reference.split()), " ".join(hypothesis.split()))
