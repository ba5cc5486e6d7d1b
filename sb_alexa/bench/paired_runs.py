"""Results of recipe runs that belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.bench.paired_seeds import SeededErrors

GATES = ("query", "key", "feed_forward")


@dataclass(frozen=True)
class RunResult:
    """What a finished run left of one test set.

    Arguments
    ---------
    wer : float
        Percent.
    compute : float
        Counted multiply-adds of the encoder as a share of the dense one's, arbitrators included.
    rates : dict
        Share of the gates that were on, by `GATES`. Shares are 1 for an encoder without gates.
    errors, words : dict
        Word errors and reference words by speaker.
    num_utterances : int
        Of the test set.
    macs : int | None
        Multiply-adds that the encoder spent on the test set; None where they were not written.
    """

    wer: float
    compute: float
    rates: dict[str, float]
    errors: dict[str, int]
    words: dict[str, int]
    num_utterances: int
    macs: int | None = None

    @classmethod
    def read(cls, folder: Path, split: str) -> RunResult:
        """Read it from the output folder of the recipe.

        Arguments
        ---------
        folder : Path
            With ``results.json`` and ``wer/<split>.jsonl``.
        split : str
            Name of the test set.

        Raises
        ------
        ValueError
            If the run was not tested on the split.
        """
        results = _read_results(folder, split)
        errors: dict[str, int] = {}
        words: dict[str, int] = {}
        lines = (folder / "wer" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        utterances = [json.loads(line) for line in lines]
        for utterance in utterances:
            speaker = utterance["speaker"]
            errors[speaker] = errors.get(speaker, 0) + utterance["errors"]
            words[speaker] = words.get(speaker, 0) + utterance["words"]
        macs = [utterance.get("gated_macs") for utterance in utterances]
        return cls(
            wer=results["wer"],
            compute=results.get("compute", 1.0),
            rates={gate: results.get(f"{gate}_rate", 1.0) for gate in GATES},
            errors=errors,
            words=words,
            num_utterances=len(lines),
            macs=None if None in macs else sum(macs),
        )


def read_gate_rates(folder: Path, split: str) -> dict[str, float]:
    """Share of each kind of gate that was on in the test of a run.

    Arguments
    ---------
    folder : Path
        Output folder of the recipe.
    split : str
        Name of the test set.

    Returns
    -------
    dict
        By `GATES`.

    Raises
    ------
    ValueError
        If the run was not tested on the split, or its encoder has no gates.
    """
    results = _read_results(folder, split)
    missing = [f"{gate}_rate" for gate in GATES if f"{gate}_rate" not in results]
    if missing:
        raise ValueError(
            f"{folder / 'results.json'} lacks {', '.join(missing)}: its encoder has no gates"
        )
    return {gate: results[f"{gate}_rate"] for gate in GATES}


def seeded_errors(runs: Sequence[RunResult]) -> SeededErrors:
    """Put the runs of one arm together, speakers in alphabetical order.

    Arguments
    ---------
    runs : sequence of RunResult
        One for each seed.

    Raises
    ------
    ValueError
        If they were not tested on the same words.
    """
    words = runs[0].words
    for run in runs:
        if run.words != words:
            raise ValueError(
                f"the runs were tested on different words ({sum(run.words.values())} and "
                f"{sum(words.values())}); test all of them on the same corpus"
            )
    speakers = sorted(words)
    return SeededErrors(
        np.array([[run.errors[speaker] for speaker in speakers] for run in runs]),
        np.array([words[speaker] for speaker in speakers]),
    )


def _read_results(folder: Path, split: str) -> dict[str, Any]:
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON; delete it and test again") from error
    if split not in results:
        raise ValueError(f"{path} has no results of {split}, only {', '.join(results) or 'none'}")
    return results[split]
