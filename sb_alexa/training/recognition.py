"""Word error rates of a recogniser while it trains and when it is tested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.metrics.bootstrap import bootstrap_interval
from sb_alexa.metrics.error_rate import ErrorCounts, word_errors
from sb_alexa.metrics.gate_statistics import GateCounts
from sb_alexa.training.dataio import SpeechBatch
from sb_alexa.training.experiment import Experiment
from sb_alexa.training.processes import gather_lists
from sb_alexa.training.run_log import RunLog
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


class RecognitionExperiment(Experiment):
    """An experiment whose validation and test measure word errors.

    `compute_forward` and `compute_objectives` come from the recipe; in validation and test, the
    latter calls `record` with the hypotheses. Each process recognises its share of the utterances;
    results are put together.

    Arguments
    ---------
    word_pieces : WordPieces
        Labels <-> text.
    log : RunLog
        Receives training loss, validation and test results.
    **kwargs : object
        See `Experiment`.
    """

    log_interval_steps = 10

    def __init__(self, *, word_pieces: WordPieces, log: RunLog, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word_pieces = word_pieces
        self.log = log
        self.results: list[UtteranceResult] = []
        self.valid_wer: float | None = None
        self.test_name = "test"
        self.dropped_ctc_terms = 0
        self._logged = (0.0, 0)

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

    def is_candidate(self) -> bool:
        """Whether the parameters of now may be chosen for the test by their WER."""
        return True

    def progress(self) -> dict[str, str]:
        """Loss of the epoch, last validation WER, learning rate."""
        shown = super().progress()
        if self.valid_wer is not None:
            shown["valid_wer"] = f"{self.valid_wer:.1f}%"
        if self.hparams.num_steps:
            shown["step"] = f"{self.optimizer_step}/{self.hparams.num_steps}"
        return shown

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.log.forget_after(self.optimizer_step)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        self.results = []
        if stage == sb.Stage.TRAIN:
            self.dropped_ctc_terms = 0
            self._logged = (self.loss_sum, self.loss_count)

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Any, should_step: bool) -> None:
        if should_step and self.optimizer_step % self.log_interval_steps == 0:
            loss_sum, count = self.loss_sum - self._logged[0], self.loss_count - self._logged[1]
            self._logged = (self.loss_sum, self.loss_count)
            if count:
                self.log.write(self._event("train", loss=loss_sum / count))

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            event = self._event("train", loss=self.average_loss, end_of_epoch=True)
            dropped = sum(gather_lists([self.dropped_ctc_terms]))
            if dropped:
                event["dropped_ctc_terms"] = dropped
            self.log.write(event)
            return
        results = gather_lists(self.results)
        total = sum((result.counts for result in results), ErrorCounts())
        loss = sum(result.loss for result in results) / max(len(results), 1)
        if stage == sb.Stage.VALID:
            self.valid_wer = total.error_rate
            self.log.write(
                self._event("valid", loss=loss, wer=total.error_rate, **_gate_figures(results))
            )
            # Without the key, a checkpoint is kept while it is new, and never chosen for the test.
            figures = {"WER": total.error_rate} if self.is_candidate() else {}
            self.save_epoch(epoch, **figures)
            return
        self.log.forget_test(self.test_name)
        figures = {"loss": loss, "wer": total.error_rate, **_gate_figures(results)}
        self.log.write(self._event("test", split=self.test_name, **figures))
        if if_main_process():
            write_results(self.log.folder, self.test_name, results)
        self.on_split_tested(figures)

    def on_split_tested(self, figures: dict[str, float]) -> None:
        """Called after the test of a split, with its figures; does nothing."""

    def _event(self, name: str, **figures: Any) -> dict[str, Any]:
        return {
            "event": name,
            "step": self.optimizer_step,
            "epoch": self.epoch,
            "seconds": round(self.seconds_training, 3),
            **figures,
        }


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
