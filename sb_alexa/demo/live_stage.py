"""The live stage: one unseen speaker is transcribed while speaking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sb_alexa.corpora.audio import read_audio
from sb_alexa.demo.live import LiveTranscript, read_spoken_words, transcribe_live
from sb_alexa.demo.narration import INDENT, Narrator
from sb_alexa.demo.report import accent_name
from sb_alexa.demo.results import RunResults

CHUNK_MS = 160.0
_SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Recording:
    """One utterance of the corpus.

    Arguments
    ---------
    utterance : str
        Its name, ``<reader>-<chapter>-<number>``.
    alignment : Path
        Word times of the chapter.
    samples : Tensor
        (N,) at 16 kHz.
    """

    utterance: str
    alignment: Path
    samples: torch.Tensor

    @classmethod
    def read(cls, corpus: Path, split: str, utterance: str) -> Recording:
        """Read it from the embedded corpus in LibriSpeech's layout."""
        reader, chapter, _ = utterance.split("-")
        audio = corpus / split / reader / chapter / f"{utterance}.flac"
        alignment = corpus / "alignments" / split / f"{reader}-{chapter}.words.csv"
        return cls(utterance, alignment, read_audio(audio))


def choose_recordings(
    results: RunResults, *, corpus: Path, split: str, max_seconds: float
) -> list[Recording]:
    """The first sentences of the median test speaker, as many as fit but at least one.

    Arguments
    ---------
    results : RunResults
        Decide who the median speaker is.
    corpus : Path
        The embedded corpus.
    split : str
        Its test split.
    max_seconds : float
        Of audio in all.
    """
    speaker = results.median_speaker
    chosen: list[Recording] = []
    for one in sorted(u.id for u in results.utterances if u.speaker == speaker):
        recording = Recording.read(corpus, split, one)
        seconds = sum(len(r.samples) for r in [*chosen, recording]) / _SAMPLE_RATE
        if chosen and seconds > max_seconds:
            break
        chosen.append(recording)
    return chosen


def transcribe_recordings(
    model: Any, recordings: Sequence[Recording], results: RunResults, narrator: Narrator
) -> tuple[LiveTranscript, ...]:
    """Transcribe recordings at the speed of speech, with partial results on the status line.

    Arguments
    ---------
    model : TransducerASR
        The trained model.
    recordings : sequence of Recording
        Of one speaker.
    results : RunResults
        Knows the speaker.
    narrator : Narrator
        Its plan is at the live stage.

    Returns
    -------
    transcripts : tuple of LiveTranscript
        One for each recording.
    """
    speaker = recordings[0].utterance.split("-")[0]
    accent = accent_name(results.describe(speaker, "accent"))
    narrator.say(
        f"{narrator.plan.heading()}speaker {speaker} ({accent}), the median test speaker, "
        "at the speed of speech"
    )
    # The first call of anything is slow; a microphone would have been open for a while.
    warm_up = model.streaming_session()
    warm_up.push(torch.zeros(_SAMPLE_RATE))
    warm_up.finish()
    return tuple(_transcribe(model, recording, narrator) for recording in recordings)


def _transcribe(model: Any, recording: Recording, narrator: Narrator) -> LiveTranscript:
    session = model.streaming_session()
    shown, compute_ms = transcribe_live(
        recording.samples,
        push=lambda chunk: session.push(chunk).text,
        finish=lambda: session.finish().text,
        chunk_samples=round(CHUNK_MS * _SAMPLE_RATE / 1000),
        on_text=lambda text, seconds: narrator.status.show(
            f"{INDENT}{seconds:4.1f} s  {text.lower()}", keep_end=True
        ),
    )
    transcript = LiveTranscript(
        utterance=recording.utterance,
        duration_s=len(recording.samples) / _SAMPLE_RATE,
        chunk_ms=CHUNK_MS,
        spoken=read_spoken_words(recording.alignment, recording.utterance),
        shown=shown,
        compute_ms=compute_ms,
    )
    narrator.say(f"{INDENT}heard   {transcript.hypothesis.lower() or '(nothing)'}")
    if transcript.hypothesis != transcript.reference:
        narrator.say(f"{INDENT}said    {transcript.reference.lower()}")
    return transcript
