"""What a trained model costs and how well it hears, over thresholds of its gates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sb_alexa.bench.amortized_replay import GateRecording
from sb_alexa.bench.amortized_speech import SpeechBatch, TestSpeech
from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.median import Median
from sb_alexa.bench.recogniser import Recogniser
from sb_alexa.bench.streaming_run import (
    ModelResult,
    measure_batches,
    measure_rounds,
    warm_state,
)
from sb_alexa.bench.turns import time_in_turns
from sb_alexa.inference.model_folder import Model
from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.error_rate import ErrorCounts, word_errors
from sb_alexa.metrics.gate_statistics import GateCounts, count_gates
from sb_alexa.nn.gates import Gates

BATCH_SIZE = 16
# Streams start in different parts of so much test speech.
_STREAM_SECONDS = 600.0


@dataclass(frozen=True)
class Recognition:
    """What was recognised at one threshold, and what it cost.

    Arguments
    ---------
    errors : dict
        Word errors by speaker; by utterance where there is one speaker only.
    counts : GateCounts
        Of all frames.
    """

    errors: dict[str, ErrorCounts]
    counts: GateCounts

    @property
    def total(self) -> ErrorCounts:
        """Word errors of all speakers."""
        return sum(self.errors.values(), ErrorCounts())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the word error rate over speakers."""
        if len(self.errors) < 2:
            return self.total.error_rate, self.total.error_rate
        return bootstrap_interval(list(self.errors.values()))


@dataclass(frozen=True)
class SweepPoint:
    """Everything that was measured at one threshold.

    Arguments
    ---------
    threshold : float
        0 to 1.
    recognition : Recognition
        Errors and counts.
    offline_s : Median
        Seconds for a second of audio in a batch, from samples to labels.
    offline_encoder_s : Median
        Of these, the encoder.
    streaming : ModelResult
        One stream, and batches of streams.
    """

    threshold: float
    recognition: Recognition
    offline_s: Median
    offline_encoder_s: Median
    streaming: ModelResult

    @property
    def figures(self) -> dict[str, float]:
        """Flat figures, such as ``sweep_0.5_wer``."""
        low, high = self.recognition.interval
        counts = self.recognition.counts
        prefix = self.streaming.recogniser.prefix
        figures = {
            "wer": self.recognition.total.error_rate,
            "wer_low": low,
            "wer_high": high,
            "compute": counts.compute_share,
            "macs_per_frame": counts.gated.per_frame,
            "feed_forward_kept": counts.feed_forward.keep_rate,
            "query_kept": counts.query.keep_rate,
            "key_kept": counts.key.keep_rate,
            "offline_s_per_audio_s": self.offline_s.median,
            "offline_s_per_audio_s_low": self.offline_s.low,
            "offline_s_per_audio_s_high": self.offline_s.high,
            "offline_encoder_s_per_audio_s": self.offline_encoder_s.median,
        }
        return {prefix + name: float(value) for name, value in figures.items()} | (
            self.streaming.figures
        )


class ThresholdModel:
    """A trained recogniser at one threshold; the weights of its encoder are its own copy.

    Arguments
    ---------
    model : Model
        With an `AmortizedTransformerEncoder`.
    threshold : float
        0 to 1; 0 keeps everything.
    """

    def __init__(self, model: Model, threshold: float) -> None:
        self.threshold = threshold
        self.model = model
        self.features = model.hparams["features"]
        self.encoder = copy.deepcopy(model.hparams["encoder"])
        self.encoder.threshold = threshold
        self.search = model.hparams["search"]

    def frames(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """(B, T, C) features and the (B,) number of frames."""
        frames = self.features.forward_counted(batch.samples, batch.num_samples)
        return frames, self.features.num_outputs(batch.num_samples)

    def recognise(self, batch: SpeechBatch) -> None:
        """Samples to labels, as a user would have it."""
        frames, num_frames = self.frames(batch)
        encoder_out = self.encoder.forward_counted(frames, num_frames)
        self.search(encoder_out, self.encoder.num_outputs(num_frames))

    def recogniser(self, chunk_ms: float) -> Recogniser:
        """For streams."""
        hparams = self.model.hparams
        return Recogniser(
            name=f"threshold {self.threshold:g}",
            prefix=f"sweep_{self.threshold:g}_",
            features=self.features,
            encoder=self.encoder,
            predictor=hparams["predictor"],
            joiner=hparams["joiner"],
            chunk_ms=chunk_ms,
            sample_rate=hparams["sample_rate"],
            search=self.search,
        )


@torch.inference_mode()
def recognise_all(
    models: Sequence[ThresholdModel], speech: TestSpeech
) -> tuple[list[Recognition], list[GateRecording]]:
    """Recognise the test speech at every threshold.

    Arguments
    ---------
    models : sequence of ThresholdModel
        One for each threshold.
    speech : TestSpeech
        With references.

    Returns
    -------
    list of Recognition
        For each threshold.
    list of GateRecording
        Likewise, utterance after utterance in the order of the manifest.
    """
    words: list[dict[str, ErrorCounts]] = [{} for _ in models]
    counts = [GateCounts() for _ in models]
    gates: list[dict[str, Tensor]] = [{} for _ in models]
    by_speaker = len({one.speaker for one in speech.utterances}) > 1
    bar = tqdm(total=len(speech.utterances) * len(models), desc="Recognising", disable=None)
    for batch in speech.batches(BATCH_SIZE):
        frames, num_frames = models[0].frames(batch)
        for number, model in enumerate(models):
            texts, of_batch = _recognise_batch(model, frames, num_frames)
            counts[number] += sum(
                count_gates(model.encoder.shape, of_batch, num_frames), GateCounts()
            )
            recorded = GateRecording.of_each(of_batch, num_frames)
            for utterance, text, one in zip(batch.utterances, texts, recorded, strict=True):
                group = utterance.speaker if by_speaker else utterance.id
                errors = word_errors(utterance.text, text)
                words[number][group] = words[number].get(group, ErrorCounts()) + errors
                gates[number][utterance.id] = one
            bar.update(len(texts))
    bar.close()
    order = [utterance.id for utterance in speech.utterances]
    return (
        [Recognition(errors, count) for errors, count in zip(words, counts, strict=True)],
        [
            GateRecording(torch.cat([one[name] for name in order]), model.encoder.shape.toggles)
            for model, one in zip(models, gates, strict=True)
        ],
    )


def measure_sweep(
    models: Sequence[ThresholdModel],
    recognitions: Sequence[Recognition],
    speech: TestSpeech,
    *,
    chunk_ms: float,
    seconds: float,
    num_rounds: int,
    max_streams: int,
) -> list[SweepPoint]:
    """Time all thresholds in turns.

    Arguments
    ---------
    models : sequence of ThresholdModel
        One for each threshold.
    recognitions : sequence of Recognition
        What they recognised.
    speech : TestSpeech
        What they hear.
    chunk_ms : float
        Audio of a step of a stream; the nearest whole number of frames is taken.
    seconds : float
        Audio for one stream of each threshold and round; a batch of streams gets a third of it.
    num_rounds : int
        Turns of each.
    max_streams : int
        Largest batch that is tried.

    Returns
    -------
    list of SweepPoint
        In the order of the models.
    """
    total_s, encoder_s = _time_offline(models, speech, num_rounds)
    audio = EndlessAudio(speech.stream(_STREAM_SECONDS))
    recognisers = [model.recogniser(chunk_ms) for model in models]
    states = [warm_state(recogniser, audio) for recogniser in recognisers]
    rounds = measure_rounds(recognisers, states, audio, seconds, num_rounds)
    results = []
    for recogniser, times, recognition in zip(recognisers, rounds, recognitions, strict=True):
        macs_per_second = recognition.counts.gated.per_frame * 1000.0 / recogniser.frame_ms
        results.append(ModelResult(recogniser, macs_per_second, times))
    measure_batches(results, states, audio, seconds / 3, max_streams)
    return [
        SweepPoint(model.threshold, recognition, total, encoder, streaming)
        for model, recognition, total, encoder, streaming in zip(
            models, recognitions, total_s, encoder_s, results, strict=True
        )
    ]


def _recognise_batch(
    model: ThresholdModel, frames: Tensor, num_frames: Tensor
) -> tuple[list[str], Gates]:
    encoder_out, gates = model.encoder.forward_with_gates(frames, num_frames)
    hypotheses = model.search(encoder_out, model.encoder.num_outputs(num_frames))
    word_pieces = model.model.word_pieces
    assert word_pieces is not None  # only speaker models have none
    decode = word_pieces.decode
    return [decode(list(hypothesis.tokens)) for hypothesis in hypotheses], gates


def _time_offline(
    models: Sequence[ThresholdModel], speech: TestSpeech, num_rounds: int
) -> tuple[list[Median], list[Median]]:
    """Seconds for a second of audio: samples to labels, and the encoder alone."""
    batch = speech.typical_batch(BATCH_SIZE)
    audio_s = batch.num_samples.sum().item() / speech.sample_rate
    with torch.inference_mode():
        frames, num_frames = models[0].frames(batch)

    def encode(encoder: Any) -> None:
        with torch.inference_mode():
            encoder.forward_counted(frames, num_frames)

    def recognise(model: ThresholdModel) -> None:
        with torch.inference_mode():
            model.recognise(batch)

    functions: dict[str, Callable[[], None]] = {}
    for number, model in enumerate(models):
        functions[f"total {number}"] = lambda model=model: recognise(model)  # type: ignore[misc]
        functions[f"encoder {number}"] = lambda model=model: encode(model.encoder)  # type: ignore[misc]
    for function in functions.values():
        function()
    bar = tqdm(total=num_rounds * len(functions), desc="Offline", disable=None)
    seconds = time_in_turns(functions, num_rounds, "cpu", bar.update)
    bar.close()

    def medians(part: str) -> list[Median]:
        runs = (seconds[f"{part} {number}"] for number in range(len(models)))
        return [Median.of([one / audio_s for one in times]) for times in runs]

    return medians("total"), medians("encoder")
