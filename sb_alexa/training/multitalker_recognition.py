"""Error rates, turns and latencies of a multi-talker recogniser, in training and when tested."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.turn_files import write_turns
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.training.mixture_batch import MixtureBatch
from sb_alexa.training.mixture_results import (
    LATENCIES,
    OVERALL,
    MixtureCounts,
    MixtureResult,
    figures_by_condition,
    mixture_result,
)
from sb_alexa.training.word_piece_experiment import WordPieceExperiment
from sb_alexa.transducer.channel_search import ChannelHypotheses


class MultiTalkerExperiment(WordPieceExperiment):
    """An experiment whose validation and test recognise mixtures of talkers.

    `compute_forward` and `compute_objectives` come from the recipe; in validation and test, the
    latter calls `record` with the hypotheses. `hparams` holds `turn_tokens`.

    Arguments
    ---------
    **kwargs : object
        See `WordPieceExperiment`.
    """

    @property
    def tokens(self) -> TurnTokens:
        """Labels of turn tokens."""
        return self.hparams.turn_tokens

    @property
    def seconds_per_frame(self) -> float:
        """Hop of the encoder's output."""
        hop = self.modules.features.geometry.hop * self.modules.encoder.geometry.hop
        return hop / self.hparams.sample_rate

    @property
    def look_ahead_s(self) -> float:
        """Audio that the encoder waits for."""
        steps = self.modules.encoder.geometry.look_ahead * self.modules.features.geometry.hop
        return steps / self.hparams.sample_rate

    def record(
        self, batch: MixtureBatch, hypotheses: Sequence[ChannelHypotheses], loss: float
    ) -> None:
        """Keep what was recognised.

        Arguments
        ---------
        batch : MixtureBatch
            B mixtures with their turns.
        hypotheses : sequence of ChannelHypotheses
            One for each.
        loss : float
            Nats per mixture.
        """
        for info, found in zip(batch.mixtures, hypotheses, strict=True):
            result = mixture_result(
                info,
                found.channels,
                tokens=self.tokens,
                word_pieces=self.word_pieces,
                seconds_per_frame=self.seconds_per_frame,
                look_ahead_s=self.look_ahead_s,
                loss=loss,
            )
            self.results.append(result)

    def figures(self, results: Sequence[MixtureResult]) -> dict[str, float]:
        total = sum((result.counts for result in results), MixtureCounts())
        losses = [result.loss for result in results if math.isfinite(result.loss)]
        return {
            "loss": sum(losses) / max(len(losses), 1),
            "wer": total.words.error_rate,
            "turn_accuracy": total.turns.accuracy,
            "end_point_p50_ms": total.latency.end_point.p50_ms,
        }

    def write_results(self, results: Sequence[MixtureResult]) -> None:
        """`results.json` by condition, `wer/<split>.jsonl`, and both sides as SegLST."""
        folder, split = self.log.folder, self.test_name
        ordered = sorted(results, key=lambda result: result.info.id)
        with (
            replaced_atomically(folder / "wer" / f"{split}.jsonl") as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for result in ordered:
                file.write(json.dumps(_line(result)) + "\n")
        write_turns(
            folder / "wer" / f"{split}.hypothesis.json",
            {result.info.id: result.turns for result in ordered},
        )
        write_turns(
            folder / "wer" / f"{split}.reference.json",
            {result.info.id: result.info.turns for result in ordered},
        )
        path = folder / "results.json"
        content = json.loads(path.read_text()) if path.exists() else {}
        content[split] = figures_by_condition(ordered)
        content[split] |= content[split].pop(OVERALL)  # the figures of all beside the conditions
        with replaced_atomically(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _line(result: MixtureResult) -> dict[str, Any]:
    return {
        "id": result.info.id,
        "session": result.info.session,
        "condition": result.info.condition,
        "channels": list(result.texts),
        "errors": result.counts.words.errors,
        "words": result.counts.words.words,
        "turns": len(result.info.turns),
        "turns_right": result.counts.turns.right,
        **{
            f"{name}_ms": [
                round(value, 1) for value in getattr(result.counts.latency, name).values_ms
            ]
            for name in LATENCIES
        },
    }
