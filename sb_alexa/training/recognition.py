"""Word error rates of a recogniser while it trains and when it is tested."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from torch import Tensor

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.error_rate import ErrorCounts, word_errors
from sb_alexa.metrics.gate_statistics import GateCounts
from sb_alexa.nn.cohort_input import CohortInput
from sb_alexa.training.dataio import SpeechBatch
from sb_alexa.training.word_piece_experiment import WordPieceExperiment
from sb_alexa.transducer.hypothesis import Hypothesis


@dataclass(frozen=True)
class UtteranceResult:
    """One recognised utterance.

    Arguments
    ---------
    id, speaker, reference, hypothesis : str
        Names and texts.
    counts : ErrorCounts
        Word errors.
    loss : float
        Loss of its batch in nats per utterance.
    spent : GateCounts | None
        What the gates of an amortized encoder let through.
    """

    id: str
    speaker: str
    reference: str
    hypothesis: str
    counts: ErrorCounts
    loss: float
    spent: GateCounts | None = None


class RecognitionExperiment(WordPieceExperiment):
    """An experiment whose validation and test measure word errors of single talkers.

    `compute_forward` and `compute_objectives` come from the recipe; in validation and test, the
    latter calls `record` with the hypotheses.

    Arguments
    ---------
    cohort_speakers : collection of str | None
        Speakers of cohort 1, all others being of cohort 0, for features with a `CohortInput`.
    **kwargs : object
        See `WordPieceExperiment`.

    Raises
    ------
    ValueError
        If the features have a `CohortInput` and nobody said who is in the cohort.
    """

    def __init__(self, *, cohort_speakers: Collection[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort_speakers = cohort_speakers
        features = getattr(self.modules, "features", None)
        parts = [] if features is None else features.modules()
        inputs = [part for part in parts if isinstance(part, CohortInput)]
        self.cohort_input = inputs[0] if inputs else None
        if inputs and cohort_speakers is None:
            raise ValueError(
                "the features have a cohort input: name the speakers of the cohort in "
                "cohort_speakers"
            )

    def with_cohorts(self, features: Tensor, batch: SpeechBatch, stage: sb.Stage) -> Tensor:
        """Tell a model with a cohort input whose speech it hears.

        Arguments
        ---------
        features : Tensor
            (B, T, F), masked already.
        batch : SpeechBatch
            The utterances they belong to.
        stage : Stage
            In evaluation cohorts stay unknown unless `hparams.cohort_in_evaluation`.

        Returns
        -------
        Tensor
            (B, T, F); unchanged for a model without a cohort input.
        """
        if self.cohort_input is None or self.cohort_speakers is None:
            return features
        if stage != sb.Stage.TRAIN and not self.hparams.cohort_in_evaluation:
            return features
        members = [utterance.speaker in self.cohort_speakers for utterance in batch.utterances]
        return self.cohort_input.tell(
            features, torch.tensor(members, device=features.device).long()
        )

    def record(
        self,
        batch: SpeechBatch,
        hypotheses: Sequence[Hypothesis],
        loss: float,
        spent: Sequence[GateCounts] | None = None,
    ) -> None:
        """Keep what was recognised.

        Arguments
        ---------
        batch : SpeechBatch
            B utterances with their references.
        hypotheses : sequence of Hypothesis
            One for each.
        loss : float
            Nats per utterance.
        spent : sequence of GateCounts | None
            One for each, of an encoder with gates.
        """
        gates: Sequence[GateCounts | None] = spent or [None] * len(hypotheses)
        for utterance, hypothesis, count in zip(batch.utterances, hypotheses, gates, strict=True):
            text = self.word_pieces.decode(list(hypothesis.tokens))
            counts = word_errors(utterance.text, text)
            result = UtteranceResult(
                utterance.id, utterance.speaker, utterance.text, text, counts, loss, count
            )
            self.results.append(result)

    def figures(self, results: Sequence[UtteranceResult]) -> dict[str, float]:
        total = sum((result.counts for result in results), ErrorCounts())
        loss = sum(result.loss for result in results) / max(len(results), 1)
        return {"loss": loss, "wer": total.error_rate, **_gate_figures(results)}

    def write_results(self, results: Sequence[UtteranceResult]) -> None:
        write_results(self.log.folder, self.test_name, results)


def write_results(folder: Path, split: str, results: Sequence[UtteranceResult]) -> None:
    """Write ``wer/<split>.jsonl``, an utterance a line, and the split's part of ``results.json``.

    Arguments
    ---------
    folder : Path
        The run's output folder.
    split : str
        Name of the test set.
    results : sequence of UtteranceResult
        In any order; written by utterance id.
    """
    ordered = sorted(results, key=lambda result: result.id)
    with (
        replaced_atomically(folder / "wer" / f"{split}.jsonl") as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        for result in ordered:
            line = {**asdict(result), "errors": result.counts.errors, "words": result.counts.words}
            del line["counts"], line["loss"], line["spent"]
            if result.spent is not None:
                line["gated_macs"], line["dense_macs"] = (
                    result.spent.gated.total,
                    result.spent.dense.total,
                )
            file.write(json.dumps(line) + "\n")
    by_speaker: dict[str, ErrorCounts] = {}
    for result in ordered:
        counts = by_speaker.get(result.speaker, ErrorCounts())
        by_speaker[result.speaker] = counts + result.counts
    total = sum(by_speaker.values(), ErrorCounts())
    low, high = bootstrap_interval(list(by_speaker.values()))
    path = folder / "results.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    content[split] = {
        "wer": total.error_rate,
        "wer_low": low,
        "wer_high": high,
        "errors": total.errors,
        "words": total.words,
        "utterances": len(ordered),
        "speakers": len(by_speaker),
        **_gate_figures(ordered),
    }
    with replaced_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _gate_figures(results: Sequence[UtteranceResult]) -> dict[str, float]:
    """Share of the dense encoder's multiply-adds and keep rates; nothing without gates."""
    counts = [result.spent for result in results if result.spent is not None]
    if not counts:
        return {}
    total = sum(counts, GateCounts())
    return {
        "compute": total.compute_share,
        "query_rate": total.query.keep_rate,
        "key_rate": total.key.keep_rate,
        "feed_forward_rate": total.feed_forward.keep_rate,
    }
