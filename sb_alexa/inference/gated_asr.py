"""A trained recogniser with arbitrators that also tells what it computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.inference.asr import TransducerASR
from sb_alexa.inference.transcription import Update
from sb_alexa.lengths import relative_lengths
from sb_alexa.metrics.gate_statistics import GateCounts, count_gates
from sb_alexa.nn.gates import Gates
from sb_alexa.nn.transformer_shape import TransformerShape

# Fields of `Gates` that a mode leaves to the arbitrators.
_KINDS = {
    "feed_forward": ("feed_forward",),
    "query": ("feed_forward", "query"),
    "key": ("feed_forward", "key"),
    "query_key": ("feed_forward", "query", "key"),
}


@dataclass(frozen=True)
class GatedRecognition:
    """What was recognised in a recording, and with which parts of the encoder.

    Arguments
    ---------
    update : Update
        All words, with times.
    gates : Gates
        Bool, (1, T, ...) on the CPU.
    counts : GateCounts
        Open gates and multiply-adds.
    """

    update: Update
    gates: Gates
    counts: GateCounts


class GatedASR(TransducerASR):
    """Speech recognition whose encoder is an `AmortizedTransformerEncoder`.

    Arguments
    ---------
    modules, hparams, run_opts, freeze_params
        See `TransducerASR`.

    Raises
    ------
    ValueError
        If the encoder has no arbitrators.

    Example
    -------
    ::

        asr = GatedASR.from_hparams("results/amortized/model")
        asr.threshold = 0.6  # skip more than in training
        found = asr.recognize_with_gates(asr.load_audio("talk.wav"))
        print(found.update.text, found.counts.compute_share)
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any],
        run_opts: Mapping[str, Any] | None = None,
        freeze_params: bool = True,
    ) -> None:
        super().__init__(modules, hparams, run_opts, freeze_params)
        if not isinstance(self.mods["encoder"], AmortizedTransformerEncoder):
            raise ValueError(
                f"the encoder of the model is a {type(self.mods['encoder']).__name__}, which has "
                "no arbitrators and computes everything for every frame; give a model of one of "
                "the amortized recipes"
            )

    @property
    def threshold(self) -> float:
        """Keep probability above which a gate is on: 0 computes everything, 1 nothing."""
        return self.mods["encoder"].threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self.mods["encoder"].threshold = threshold

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of `feed_forward`, `query` and `key` that the arbitrators toggle."""
        return _KINDS[self.mods["encoder"].toggles]

    @property
    def shape(self) -> TransformerShape:
        """What the cost of the encoder depends on."""
        return self.mods["encoder"].shape

    @property
    def seconds_per_frame(self) -> float:
        """Hop of the encoder."""
        return self._seconds_per_frame()

    def recognize_with_gates(self, samples: Tensor) -> GatedRecognition:
        """Transcribe one recording as a whole.

        Arguments
        ---------
        samples : Tensor
            (N,) at the model's sample rate.

        Returns
        -------
        GatedRecognition
            Words, gates and counts.
        """
        return self.recognize_batch_with_gates([samples])[0]

    def recognize_batch_with_gates(self, recordings: Sequence[Tensor]) -> list[GatedRecognition]:
        """Transcribe several recordings together; each result is that of the recording alone.

        Arguments
        ---------
        recordings : sequence of Tensor
            (N,) each, of any lengths above 0.

        Returns
        -------
        list of GatedRecognition
            One for each.
        """
        num_samples = torch.tensor([len(samples) for samples in recordings])
        wavs = torch.nn.utils.rnn.pad_sequence(list(recordings), batch_first=True)
        features, num_frames = self._features(wavs, relative_lengths(num_samples, wavs.shape[1]))
        encoder = self.mods["encoder"]
        with torch.no_grad(), self.inference_ctx:
            encoder_out, gates = encoder.forward_with_gates(features, num_frames)
            hypotheses = self.hparams.search(encoder_out, num_frames)
        counts = count_gates(self.shape, gates, num_frames)
        return [
            GatedRecognition(
                self._update(hypothesis, len(samples)), _row(gates, row, int(frames)), counts[row]
            )
            for row, (hypothesis, samples, frames) in enumerate(
                zip(hypotheses, recordings, num_frames, strict=True)
            )
        ]


def _row(gates: Gates, row: int, num_frames: int) -> Gates:
    def cut(gate: Tensor) -> Tensor:
        return gate[row : row + 1, :num_frames].cpu()

    return Gates(cut(gates.feed_forward), cut(gates.query), cut(gates.key))
