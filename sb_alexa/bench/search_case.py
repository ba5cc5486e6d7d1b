"""A transducer search and SpeechBrain's, measured on the same batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np

from sb_alexa.bench.aligned_transducer import AlignedBatch, aligned_batch
from sb_alexa.bench.extra_memory import MemoryUse, with_memory_use
from sb_alexa.bench.search_peers import GREEDY_SYMBOLS_PER_FRAME, SpeechBrainSearch
from sb_alexa.bench.turns import Ratio, time_in_turns
from sb_alexa.metrics.error_rate import ErrorCounts, count_errors
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

Tokens = Sequence[Sequence[int]]

_LOGITS_TOLERANCE = 1e-4


class SearchMismatchError(ArithmeticError):
    """The two models give different logits, so what their searches cost cannot be compared."""


@dataclass(frozen=True)
class SearchSize:
    """A batch.

    Arguments
    ---------
    batch_size, num_frames, num_labels, vocabulary_size : int
        B, T, U and V.
    joint_size : int
        Joint, LSTM cells and encoder features.
    min_length_share : float
        Lengths are uniform between this share of T or U and the whole.

    Example
    -------
    >>> print(SearchSize(16, 250, 40, 500))
    B 16, T 250, U 40, V 500, joint 512
    """

    batch_size: int
    num_frames: int
    num_labels: int
    vocabulary_size: int
    joint_size: int = 512
    min_length_share: float = 1.0

    def __str__(self) -> str:
        return (
            f"B {self.batch_size}, T {self.num_frames}, U {self.num_labels}, "
            f"V {self.vocabulary_size}, joint {self.joint_size}"
        )

    def batch(self, seed: int) -> AlignedBatch:
        """An aligned batch of this size."""
        return aligned_batch(
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            num_labels=self.num_labels,
            vocabulary_size=self.vocabulary_size,
            feature_size=self.joint_size,
            seed=seed,
            min_length_share=self.min_length_share,
        )


@dataclass(frozen=True)
class Searcher:
    """A search by this package and SpeechBrain's, over the same weights.

    Arguments
    ---------
    name : str
        What the names of its figures begin with.
    title : str
        In tables.
    ours : GreedySearch | BeamSearch
        This package's.
    speechbrain : SpeechBrainSearch
        The peer.
    """

    name: str
    title: str
    ours: GreedySearch | BeamSearch
    speechbrain: SpeechBrainSearch

    def run_ours(self, batch: AlignedBatch) -> list[tuple[int, ...]]:
        """Labels of each row."""
        return [one.tokens for one in self.ours(batch.encoder_out, batch.num_frames)]

    def run_speechbrain(self, batch: AlignedBatch) -> list[tuple[int, ...]]:
        """Labels of each row, those of its padding included."""
        return self.speechbrain(batch.encoder_out)


@dataclass(frozen=True)
class SearchResult:
    """What was measured of a pair of searches on one batch.

    Arguments
    ---------
    searcher : Searcher
        The pair.
    size : SearchSize
        Of the batch.
    seconds, seconds_speechbrain : tuple of float
        Each round.
    memory, memory_speechbrain : MemoryUse | None
        Of one search; None where the system does not tell.
    difference : ErrorCounts
        Ours against SpeechBrain's labels.
    errors, errors_speechbrain : ErrorCounts
        Against the labels that the frames were made from.
    """

    searcher: Searcher
    size: SearchSize
    seconds: tuple[float, ...]
    seconds_speechbrain: tuple[float, ...]
    memory: MemoryUse | None
    memory_speechbrain: MemoryUse | None
    difference: ErrorCounts
    errors: ErrorCounts
    errors_speechbrain: ErrorCounts

    def __str__(self) -> str:
        return (
            f"{self.searcher.title}: {np.median(self.seconds):.3g} s, SpeechBrain "
            f"{np.median(self.seconds_speechbrain):.3g} s, {self.speedup.median:.2f} times as fast"
        )

    @property
    def speedup(self) -> Ratio:
        """SpeechBrain's time over ours."""
        return Ratio.of(self.seconds_speechbrain, self.seconds)

    @property
    def same_tokens(self) -> float:
        """Share of SpeechBrain's labels that ours has too, extra ones deducted."""
        return 1.0 - self.difference.error_rate / 100.0

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures with the name of the search."""
        name, speedup = self.searcher.name, self.speedup
        return {
            f"{name}_speedup_speechbrain": speedup.median,
            f"{name}_speedup_speechbrain_low": speedup.low,
            f"{name}_speedup_speechbrain_high": speedup.high,
            f"{name}_seconds": float(np.median(self.seconds)),
            f"{name}_seconds_speechbrain": float(np.median(self.seconds_speechbrain)),
            f"{name}_utterances_per_second": self.size.batch_size / float(np.median(self.seconds)),
            f"{name}_memory_mib": _extra_mib(self.memory),
            f"{name}_memory_mib_speechbrain": _extra_mib(self.memory_speechbrain),
            f"same_tokens_{name}": self.same_tokens,
            f"token_error_rate_{name}": self.errors.error_rate,
            f"token_error_rate_{name}_speechbrain": self.errors_speechbrain.error_rate,
        }


def build_searchers(
    predictor: LSTMPredictor, joiner: Joiner, *, beam_size: int, names: Sequence[str]
) -> dict[str, Searcher]:
    """Pairs of searches by name, ``greedy`` or ``beam``."""
    peer = partial(SpeechBrainSearch, predictor=predictor, joiner=joiner)
    searchers = {}
    if "greedy" in names:
        greedy = GreedySearch(
            predictor=predictor, joiner=joiner, max_symbols_per_frame=GREEDY_SYMBOLS_PER_FRAME
        )
        searchers["greedy"] = Searcher("greedy", "greedy", greedy, peer(beam_size=1))
    if "beam" in names:
        beam = BeamSearch(predictor=predictor, joiner=joiner, beam_size=beam_size)
        title = f"beam {beam_size}"
        searchers["beam"] = Searcher("beam", title, beam, peer(beam_size=beam_size))
    return searchers


def measure(searcher: Searcher, size: SearchSize, *, num_rounds: int, seed: int) -> SearchResult:
    """Check that the weights agree, measure memory and labels, then time in turns.

    Arguments
    ---------
    searcher : Searcher
        The pair.
    size : SearchSize
        Of the batch.
    num_rounds : int
        Timed runs of each.
    seed : int
        Of the batch.

    Returns
    -------
    SearchResult
        All figures.

    Raises
    ------
    SearchMismatchError
        If SpeechBrain's modules do not give our logits.
    """
    batch = size.batch(seed)
    _check_weights(searcher, batch)
    ours: Callable[[], Tokens] = partial(searcher.run_ours, batch)
    theirs: Callable[[], Tokens] = partial(searcher.run_speechbrain, batch)
    tokens, memory = with_memory_use(ours, "cpu")
    peer_tokens, peer_memory = with_memory_use(theirs, "cpu")
    seconds = time_in_turns({"ours": ours, "speechbrain": theirs}, num_rounds, "cpu")
    targets = [
        row[:count]
        for row, count in zip(batch.targets.tolist(), batch.num_labels.tolist(), strict=True)
    ]
    return SearchResult(
        searcher,
        size,
        seconds["ours"],
        seconds["speechbrain"],
        memory,
        peer_memory,
        difference=_errors(peer_tokens, tokens),
        errors=_errors(targets, tokens),
        errors_speechbrain=_errors(targets, peer_tokens),
    )


def _check_weights(searcher: Searcher, batch: AlignedBatch) -> None:
    few = batch.encoder_out[:2, :20], batch.targets[:2]
    difference = searcher.speechbrain.difference(*few)
    if not difference < _LOGITS_TOLERANCE:
        raise SearchMismatchError(
            f"the logits of SpeechBrain's modules differ from ours by {difference:.1e} of the "
            "largest one"
        )


def _errors(references: Tokens, hypotheses: Tokens) -> ErrorCounts:
    return reduce(add, map(count_errors, references, hypotheses))


def _extra_mib(memory: MemoryUse | None) -> float | None:
    return None if memory is None else memory.extra_mib
