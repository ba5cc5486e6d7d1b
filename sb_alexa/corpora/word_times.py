"""When words and phonemes are said, from the events of the speech engine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

# Types of events.
WORD, END, PHONEME = 1, 5, 7
# Without the zero-width space the engine speaks frequent pairs ("on the") as one word, and the
# second word gets no event.
WORD_SEPARATOR = " \u200b"


@dataclass(frozen=True)
class Interval:
    """A labelled stretch of a recording: a word or a phoneme.

    Arguments
    ---------
    label : str
        The word, or the phoneme in eSpeak's notation.
    start_s, end_s : float
        Seconds from the start of the recording.
    """

    label: str
    start_s: float
    end_s: float

    def shifted(self, delay_s: float) -> Interval:
        """Return the same interval, later by delay_s seconds."""
        return Interval(self.label, self.start_s + delay_s, self.end_s + delay_s)


class Event(NamedTuple):
    """An event of the engine.

    Arguments
    ---------
    type : int
        `WORD`, `PHONEME` or `END`.
    text_position : int
        Character of the text it belongs to, from 1.
    sample : int
        When it happens.
    label : str
        The phoneme; one that begins with ``_`` is a pause.
    """

    type: int
    text_position: int
    sample: int
    label: str


class _Sound(NamedTuple):
    label: str
    start: int
    end: int


def intervals(
    words: Sequence[str], events: Sequence[Event], num_samples: int, rate_hz: int
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Turn the engine's events into the times of words and phonemes.

    Arguments
    ---------
    words : sequence of str
        As spoken, joined by `WORD_SEPARATOR`.
    events : sequence of Event
        In the order in which the engine sent them.
    num_samples : int
        Length of the speech.
    rate_hz : int
        Samples a second.

    Returns
    -------
    words, phonemes : tuple of Interval
        One interval for each word, and one for each phoneme that is not a pause.

    Raises
    ------
    RuntimeError
        If no event is a sound.

    Example
    -------
    >>> sent = [Event(WORD, 1, 0, ""), Event(PHONEME, 1, 10, "g"), Event(PHONEME, 1, 20, "oU")]
    >>> sent += [Event(WORD, 5, 40, ""), Event(PHONEME, 5, 45, "'Vp"), Event(PHONEME, 5, 90, "_:")]
    >>> intervals(["go", "up"], sent, num_samples=100, rate_hz=100)[0]
    (Interval(label='go', start_s=0.1, end_s=0.4), Interval(label='up', start_s=0.4, end_s=0.9))
    """
    positions = list(accumulate((len(w) + len(WORD_SEPARATOR) for w in words[:-1]), initial=1))
    word_starts: dict[int, int] = {}
    sounds: list[list[_Sound]] = [[] for _ in words]
    end = num_samples
    # Backwards, since a sound lasts until the next event of its kind.
    for event in reversed(events):
        word = bisect_right(positions, event.text_position) - 1
        if event.type == WORD:
            word_starts[word] = event.sample
            continue
        if event.type == PHONEME and event.label and not event.label.startswith("_"):
            sounds[word].insert(0, _Sound(event.label, event.sample, end))
        end = event.sample
    phonemes = tuple(
        Interval(sound.label, sound.start / rate_hz, sound.end / rate_hz)
        for word_sounds in sounds
        for sound in word_sounds
    )
    bounds = _share_silent(words, _word_bounds(word_starts, sounds))
    word_intervals = tuple(
        Interval(word, start / rate_hz, end / rate_hz)
        for word, (start, end) in zip(words, bounds, strict=True)
    )
    return word_intervals, phonemes


def _word_bounds(
    word_starts: dict[int, int], sounds: list[list[_Sound]]
) -> list[tuple[float, float] | None]:
    """Return where each word begins and ends, in samples; None for a word without a sound.

    A word begins at its word event, which precedes the closure of an initial stop. Two exceptions,
    seen in spectrograms: the first word begins with its first sound, since nothing is heard before;
    and when the last sound of the previous word (a final l, n, m) has the very time of the word
    event, that sound is still to come, so the word begins with its own first sound. A word ends
    where the next one begins, or at the pause after it.
    """
    bounds: list[tuple[float, float] | None] = [None] * len(sounds)
    previous: int | None = None
    for word, word_sounds in enumerate(sounds):
        if not word_sounds:
            continue
        start = word_starts.get(word, word_sounds[0].start)
        if previous is None or sounds[previous][-1].start >= start:
            start = word_sounds[0].start
        if previous is not None:
            begun = bounds[previous]
            assert begun is not None
            bounds[previous] = (begun[0], min(begun[1], start))
        bounds[word] = (start, word_sounds[-1].end)
        previous = word
    return bounds


def _share_silent(
    words: Sequence[str], bounds: Sequence[tuple[float, float] | None]
) -> list[tuple[float, float]]:
    """Give words that the engine merged with a neighbour their share of it, by letters."""
    voiced = [index for index, bound in enumerate(bounds) if bound is not None]
    if not voiced:
        raise RuntimeError(f"eSpeak NG found no sound in {' '.join(words)!r}")
    # Each group is one voiced word and the silent ones after it; the first also takes those before.
    edges = [0, *voiced[1:], len(words)]
    shared: list[tuple[float, float]] = []
    for anchor, first, stop in zip(voiced, edges[:-1], edges[1:], strict=True):
        bound = bounds[anchor]
        assert bound is not None
        group = words[first:stop]
        letters = list(accumulate((len(word) for word in group), initial=0))
        width = (bound[1] - bound[0]) / letters[-1]
        cuts = [bound[0] + width * count for count in letters]
        shared.extend(zip(cuts[:-1], cuts[1:], strict=True))
    return shared
