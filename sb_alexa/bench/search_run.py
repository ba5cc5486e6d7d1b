"""The measurements of `sb-alexa bench search`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from sb_alexa.bench.aligned_transducer import train_aligned_transducer
from sb_alexa.bench.machine import MachineReport, MachineWatch
from sb_alexa.bench.search_case import SearchResult, SearchSize, build_searchers, measure

# A greedy search is over so much sooner that more runs cost little.
_GREEDY_ROUNDS_PER_ROUND = 4
_SWEEP_BATCHES = (1, 2, 4, 8, 16, 32, 64)
# SpeechBrain's beam search takes the rows one by one: more of them need not be measured.
_LARGEST_BEAM_BATCH = 4


@dataclass(frozen=True)
class SearchBench:
    """Everything that was measured.

    Arguments
    ---------
    size : SearchSize
        Of the batches, but for lengths and the sweep.
    results : list of SearchResult
        With full lengths; then greedy search with lengths of 50-100 %.
    sweep : list of SearchResult
        By batch size; empty if it was left out.
    machine : MachineReport
        Whether the machine was idle.
    """

    size: SearchSize
    results: list[SearchResult]
    sweep: list[SearchResult]
    machine: MachineReport

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures for the JSON file."""
        figures: dict[str, float | None] = {}
        for result in self.results:
            figures |= result.figures
        for result in self.sweep:
            end = f"b{result.size.batch_size}"
            for name in ("seconds", "seconds_speechbrain"):
                key = f"{result.searcher.name}_{name}"
                figures[f"{key}_{end}"] = result.figures[key]
        figures["idle"] = int(not self.machine.problems)
        figures["load_average"] = self.machine.load_average
        figures["other_cores"] = self.machine.other_cores
        figures["calibration_ms_before"], figures["calibration_ms_after"] = (
            self.machine.calibration_ms
        )
        return figures


def measure_all(
    size: SearchSize,
    *,
    beam_size: int,
    searches: Sequence[str],
    num_rounds: int,
    with_sweep: bool,
    seed: int = 0,
    num_steps: int | None = None,
) -> SearchBench:
    """Train a model and search with it.

    Arguments
    ---------
    size : SearchSize
        The batch.
    beam_size : int
        Of the beam searches.
    searches : sequence of str
        Of ``greedy`` and ``beam``.
    num_rounds : int
        Timed runs of each beam search; greedy searches get four times as many.
    with_sweep : bool
        Whether to go through batch sizes too.
    seed : int
        Of training and batches.
    num_steps : int | None
        See `train_aligned_transducer`.

    Returns
    -------
    SearchBench
        All figures.

    Raises
    ------
    SearchMismatchError
        If SpeechBrain's modules do not give our logits.
    """
    watch = MachineWatch()
    _say(f"training a model to align, V {size.vocabulary_size}")
    predictor, joiner = train_aligned_transducer(
        vocabulary_size=size.vocabulary_size,
        joint_size=size.joint_size,
        seed=seed,
        num_steps=num_steps,
    )
    searchers = build_searchers(predictor, joiner, beam_size=beam_size, names=searches)
    rounds = {"greedy": _GREEDY_ROUNDS_PER_ROUND * num_rounds, "beam": num_rounds}
    seed += 2  # the training has used the two before
    # Code that is loaded in a first run must count neither as time nor as memory.
    miniature = replace(size, batch_size=1, num_frames=4, num_labels=min(2, size.num_labels))
    results = []
    for searcher in searchers.values():
        measure(searcher, miniature, num_rounds=1, seed=seed)
        results.append(measure(searcher, size, num_rounds=rounds[searcher.name], seed=seed))
        _say(str(results[-1]))
    if "greedy" in searchers:
        padded = replace(
            searchers["greedy"], name="greedy_padded", title="greedy, lengths 50-100 %"
        )
        unequal = replace(size, min_length_share=0.5)
        results.append(measure(padded, unequal, num_rounds=rounds["greedy"], seed=seed))
        _say(str(results[-1]))
    sweep = []
    for searcher, main in zip(searchers.values(), results, strict=False) if with_sweep else ():
        largest = 2 * size.batch_size if searcher.name == "greedy" else _LARGEST_BEAM_BATCH
        batches = [b for b in _SWEEP_BATCHES if b <= largest and b != size.batch_size]
        for batch_size in tqdm(batches, desc=f"{searcher.title} by batch", disable=None):
            of_batch = replace(size, batch_size=batch_size)
            sweep.append(measure(searcher, of_batch, num_rounds=num_rounds, seed=seed))
        sweep.append(main)
    return SearchBench(size, results, sweep, watch.report())


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
