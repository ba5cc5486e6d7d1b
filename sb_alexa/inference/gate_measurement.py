"""Recognise a manifest and count errors and open gates of each speaker."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.fairness.gate_audit import SpeakerCounts
from sb_alexa.inference.gated_asr import GatedASR
from sb_alexa.metrics.error_rate import word_errors
from sb_alexa.training.batching import BatchPlan

# Seconds of a batch with its padding: what a recording of LibriSpeech's longest 35 s takes 8 times.
_MAX_BATCH_SECONDS = 280.0


def measure_speakers(
    asr: GatedASR, utterances: Sequence[Utterance], *, batch_size: int = 16, progress: bool = True
) -> dict[str, SpeakerCounts]:
    """Recognise utterances in batches of similar length.

    Arguments
    ---------
    asr : GatedASR
        The model.
    utterances : sequence of Utterance
        From `read_manifest`.
    batch_size : int
        Utterances at a time at most; the result does not depend on it.
    progress : bool
        Show a bar with the time left, on a terminal.

    Returns
    -------
    dict of str to SpeakerCounts
        By speaker, in the order of the manifest.

    Raises
    ------
    ValueError
        If there are no utterances, or a recording cannot be read.
    """
    plan = BatchPlan(
        durations_s=tuple(utterance.duration_s for utterance in utterances),
        batch_size=batch_size,
        max_batch_seconds=_MAX_BATCH_SECONDS,
        shuffle=False,
    )
    by_speaker = {utterance.speaker: SpeakerCounts() for utterance in utterances}
    bar = tqdm(
        total=len(utterances),
        desc="Recognising",
        unit="utterance",
        disable=None if progress else True,
    )
    with bar:
        for batch in plan.batches(1):
            chosen = [utterances[index] for index in batch]
            recordings = [asr.load_audio(utterance.path) for utterance in chosen]
            found = asr.recognize_batch_with_gates(recordings)
            for utterance, one in zip(chosen, found, strict=True):
                errors = word_errors(utterance.text, one.update.text)
                by_speaker[utterance.speaker] += SpeakerCounts(1, errors, one.counts)
            bar.update(len(batch))
    return by_speaker
