"""What a run of the speaker recipe left: scores, threshold, and whom its adversary weighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.inference.score_files import read_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.inference.verification_settings import VERIFICATION, read_verification
from sb_alexa.training.run_log import read_events

# One epoch may be a few batches long, the last one above all.
_LATE_SHARE = 0.25
_OF_BATCHES = ("weight_entropy", "weight_spread")


@dataclass(frozen=True)
class WeightLog:
    """Sample weights of an adversary, as a run logged them.

    Arguments
    ---------
    entropy : float
        Of the weights the adversary distributes, from 0 (all on one sample) to 1 (equal); mean over
        the reweighted part of training.
    spread : float
        Standard deviation of the weights of a batch, whose mean is 1; mean likewise.
    late_weights : dict
        Mean weight of each group over the epochs that end in the last quarter of training, each
        counted by its steps; by name, ``weight_<column>_<group>``.
    """

    entropy: float
    spread: float
    late_weights: dict[str, float]

    @classmethod
    def of(cls, events: Sequence[dict[str, Any]]) -> WeightLog | None:
        """Of the events of a log; None where samples had no weights.

        Example
        -------
        >>> WeightLog.of(
        ...     [
        ...         {"event": "train", "step": 60, "weight_entropy": 0.9, "weight_spread": 0.2},
        ...         {"event": "train", "step": 60, "end_of_epoch": True, "weight_gender_F": 1.5},
        ...         {"event": "train", "step": 90, "end_of_epoch": True, "weight_gender_F": 1.25},
        ...         {"event": "train", "step": 100, "end_of_epoch": True, "weight_gender_F": 1.05},
        ...     ]
        ... )
        WeightLog(entropy=0.9, spread=0.2, late_weights={'weight_gender_F': 1.2})
        """
        training = [event for event in events if event["event"] == "train"]
        batches = [event for event in training if _OF_BATCHES[0] in event]
        if not batches:
            return None
        entropy, spread = (float(np.mean([one[key] for one in batches])) for key in _OF_BATCHES)
        epochs = [event for event in training if event.get("end_of_epoch")]
        return cls(entropy, spread, _late_weights(epochs))


def _late_weights(epochs: Sequence[dict[str, Any]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    steps: dict[str, int] = {}
    before = 0
    for epoch in epochs:
        length, before = epoch["step"] - before, epoch["step"]
        if epoch["step"] <= (1.0 - _LATE_SHARE) * epochs[-1]["step"]:
            continue
        for name, weight in epoch.items():
            if name.startswith("weight_") and name not in _OF_BATCHES:
                sums[name] = sums.get(name, 0.0) + length * weight
                steps[name] = steps.get(name, 0) + length
    return {name: sums[name] / steps[name] for name in sums if steps[name]}


@dataclass(frozen=True, eq=False)
class SpeakerRun:
    """A trained and tested speaker model.

    Arguments
    ---------
    trials : ScoredTrials
        Of one test list.
    threshold : float
        Fitted on development trials, shared by all groups.
    weights : WeightLog | None
        None without an adversary, or where it never set in.
    """

    trials: ScoredTrials
    threshold: float
    weights: WeightLog | None

    @classmethod
    def read(cls, folder: Path, test_list: str) -> SpeakerRun:
        """Read it from the output folder of the recipe.

        Arguments
        ---------
        folder : Path
            With ``report/<test_list>/scores.csv``, ``verification.json`` and ``train_log.jsonl``.
        test_list : str
            Name of a trial list, without suffix.

        Raises
        ------
        ValueError
            If the run was not tested on the list, or has no threshold.
        """
        path = folder / "report" / test_list / "scores.csv"
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: the run was not tested on {test_list}; delete {folder} and "
                "train it again with the list among test_lists"
            )
        settings = read_verification(folder)
        if settings is None:
            raise ValueError(
                f"{folder} lacks {VERIFICATION}: without development speakers no threshold was "
                "fitted; train it again with num_dev_speakers"
            )
        return cls(read_scores(path), settings.threshold, WeightLog.of(read_events(folder)))
