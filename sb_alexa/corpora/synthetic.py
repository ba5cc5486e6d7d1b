"""Synthetic speech, made in worker processes: the same samples for any number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sb_alexa.corpora.acoustics import draw_conditions, record, utterance_stream
from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ, Engine, Interval, require_espeak
from sb_alexa.corpora.voices import Speaker

_MAX_FASTER = 0.3


@dataclass(frozen=True)
class Utterance:
    """One sentence said by one speaker.

    Arguments
    ---------
    speaker : Speaker
        Who speaks.
    index : int
        Number of the utterance among the speaker's, from 0.
    text : str
        Upper-case words separated by single spaces.
    samples : numpy.ndarray
        float32, 16 kHz, shape (N,), within -1..1.
    words, phonemes : tuple of Interval
        When they are said, seconds from the first sample. One interval for each word of the text.
    """

    speaker: Speaker
    index: int
    text: str
    samples: np.ndarray
    words: tuple[Interval, ...]
    phonemes: tuple[Interval, ...]

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.samples.size / SAMPLE_RATE_HZ


def speak(speaker: Speaker, sentences: Sequence[str], *, seed: int) -> Iterator[Utterance]:
    """Yield clean utterances of one speaker, spoken in this process.

    A process can do this once (see :class:`sb_alexa.corpora.synthesis.Engine`);
    :func:`synthesise` starts the processes it takes.

    Arguments
    ---------
    speaker : Speaker
        Who speaks.
    sentences : sequence of str
        Sentences of words separated by spaces.
    seed : int
        Seed of the corpus.
    """
    engine_seed = int(stream(seed, Purpose.ENGINE, speaker.speaker_id).integers(1, 2**31))
    engine = Engine(voice=speaker.voice_definition(), seed=engine_seed)
    for index, sentence in enumerate(sentences):
        rng = stream(seed, Purpose.DELIVERY, speaker.speaker_id, index)
        rate = speaker.rate_wpm * rng.uniform(0.93, 1.07) * (1 + _MAX_FASTER * speaker.hardness)
        words = sentence.lower().split()
        speech = engine.speak(words, rate_wpm=round(rate))
        upper = tuple(replace(word, label=word.label.upper()) for word in speech.words)
        text = " ".join(word.label for word in upper)
        yield Utterance(speaker, index, text, speech.samples, upper, speech.phonemes)


def in_room(utterance: Utterance, *, seed: int) -> Utterance:
    """Return an utterance with room, noise and level of its own; the times follow.

    Arguments
    ---------
    utterance : Utterance
        A clean one.
    seed : int
        Seed of the corpus; with the speaker and the index it decides the conditions.
    """
    rng = utterance_stream(seed, utterance.speaker.speaker_id, utterance.index)
    conditions = draw_conditions(rng, hardness=utterance.speaker.hardness)
    samples = record(utterance.samples, conditions, rng)
    delay_s = round(conditions.lead_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return replace(
        utterance,
        samples=samples,
        words=tuple(word.shifted(delay_s) for word in utterance.words),
        phonemes=tuple(phoneme.shifted(delay_s) for phoneme in utterance.phonemes),
    )


def synthesise(
    speakers: Sequence[Speaker],
    sentences: Sequence[Sequence[str]],
    *,
    seed: int = 0,
    num_workers: int | None = None,
) -> Iterator[Utterance]:
    """Yield clean speech, speaker by speaker in the given order.

    Speech comes without room and noise so that mixtures can be made from it; :func:`in_room` adds
    them. The samples depend on the seed, the speaker and the sentences up to and including the
    utterance's own, not on the number of workers.

    Arguments
    ---------
    speakers : sequence of Speaker
        Who speaks, each id once.
    sentences : sequence of sequences of str
        What each of them says.
    seed : int
        Seed of the corpus.
    num_workers : int, optional
        Processes at a time. Default: the number of processors.

    Raises
    ------
    ImportError
        If the engine is not installed.
    ValueError
        If the two sequences differ in length, a speaker occurs twice or a sentence is empty.

    Example
    -------
    >>> from sb_alexa.corpora.voices import make_speakers
    >>> speakers = make_speakers(2, seed=0)
    >>> said = list(synthesise(speakers, [["turn on the lamp"], ["call anna", "stop"]]))
    >>> [(utterance.speaker.speaker_id, utterance.text) for utterance in said]
    [(1, 'TURN ON THE LAMP'), (2, 'CALL ANNA'), (2, 'STOP')]
    >>> [word.label for word in said[0].words]
    ['TURN', 'ON', 'THE', 'LAMP']
    """
    require_espeak()
    if len(speakers) != len(sentences):
        raise ValueError(
            f"need one list of sentences for each speaker, got {len(sentences)} for {len(speakers)}"
        )
    if len({speaker.speaker_id for speaker in speakers}) != len(speakers):
        raise ValueError("a speaker id occurs twice; each speaker needs an id of its own")
    if any(not sentence.strip() for listed in sentences for sentence in listed):
        raise ValueError("a sentence is empty; every sentence needs at least one word")
    jobs = list(zip(speakers, sentences, strict=True))
    return _in_order(
        map_in_fresh_processes(partial(_speak_all, seed), jobs, num_workers=num_workers)
    )


def _speak_all(seed: int, job: tuple[Speaker, Sequence[str]]) -> list[Utterance]:
    return list(speak(*job, seed=seed))


def _in_order(results: Iterator[tuple[int, list[Utterance]]]) -> Iterator[Utterance]:
    early: dict[int, list[Utterance]] = {}
    due = 0
    for index, utterances in results:
        early[index] = utterances
        while due in early:
            yield from early.pop(due)
            due += 1
