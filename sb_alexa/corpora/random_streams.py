"""Independent random streams that depend on what is made, never on who makes it or when."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is used for: two purposes never share numbers."""

    VOICE = 0
    PLACE = 1
    SENTENCE = 2
    ENGINE = 3
    DELIVERY = 4
    ACOUSTICS = 5
    MIXTURE = 6
    ROOM = 7
    SESSION = 8
    TRIALS = 9


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator that belongs to a purpose and a key under a seed.

    Arguments
    ---------
    seed : int
        Seed of the corpus, >= 0.
    purpose : Purpose
        What the numbers are for.
    *key : int
        Where they are used, for example the speaker and the index of the utterance.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    ValueError
        If the seed is not a whole number >= 0.

    Example
    -------
    >>> first = stream(0, Purpose.SENTENCE, 7, 1).random()
    >>> first == stream(0, Purpose.SENTENCE, 7, 1).random()
    True
    >>> first == stream(0, Purpose.SENTENCE, 7, 2).random()
    False
    """
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number >= 0, got {seed!r}")
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose), *key))
    return np.random.Generator(np.random.Philox(sequence))
