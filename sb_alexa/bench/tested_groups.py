"""What a run of the multi-talker recipe made of each utterance group of its test."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.bench.paired_seeds import SeededErrors


@dataclass(frozen=True)
class TestedGroups:
    """Utterance groups with errors, turns and latencies.

    Arguments
    ---------
    groups : tuple of mapping
        The lines of ``wer/<split>.jsonl``, by id.
    """

    __test__ = False  # not a test, whatever its name begins with

    groups: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, folder: Path, split: str = "groups") -> TestedGroups:
        """Read it from the output folder of the recipe.

        Raises
        ------
        ValueError
            If the run was not tested on the split, or by an earlier version.
        """
        path = folder / "wer" / f"{split}.jsonl"
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: the run was not tested on {split}; train with libricss_folder"
            )
        groups = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not groups or "end_point_ms" not in groups[0]:
            raise ValueError(f"{path} has no latencies: delete {folder} and train it again")
        return cls(tuple(sorted(groups, key=lambda group: group["id"])))

    def of(self, conditions: Collection[str] = (), *, above_turns: int = 0) -> TestedGroups:
        """Those of some conditions (none named: of all) with more than so many turns."""
        return TestedGroups(
            tuple(
                group
                for group in self.groups
                if (not conditions or group["condition"] in conditions)
                and group["turns"] > above_turns
            )
        )

    @property
    def sessions(self) -> list[str]:
        """Names of the sessions, in alphabetical order."""
        return sorted({group["session"] for group in self.groups})

    def sums(self, value: Callable[[Mapping[str, Any]], float]) -> np.ndarray:
        """(sessions,) sums of a number of each group."""
        sums = dict.fromkeys(self.sessions, 0.0)
        for group in self.groups:
            sums[group["session"]] += value(group)
        return np.array(list(sums.values()))

    def values(self, name: str) -> list[list[float]]:
        """All values of a list of numbers, such as `end_point_ms`, of each session."""
        values: dict[str, list[float]] = {session: [] for session in self.sessions}
        for group in self.groups:
            values[group["session"]] += group[name]
        return list(values.values())


def word_errors(runs: Sequence[TestedGroups]) -> SeededErrors:
    """Word errors by session.

    Arguments
    ---------
    runs : sequence of TestedGroups
        One for each seed.

    Raises
    ------
    ValueError
        If they were not tested on the same groups.
    """
    return _seeded(runs, lambda group: group["errors"], lambda group: group["words"])


def wrong_turn_counts(runs: Sequence[TestedGroups]) -> SeededErrors:
    """Groups with a wrong number of turns by session; see `word_errors`."""
    return _seeded(runs, lambda group: 1 - group["turns_right"], lambda group: 1)


def _seeded(
    runs: Sequence[TestedGroups],
    part: Callable[[Mapping[str, Any]], float],
    whole: Callable[[Mapping[str, Any]], float],
) -> SeededErrors:
    names = [[group["id"] for group in run.groups] for run in runs]
    if any(of_run != names[0] for of_run in names):
        raise ValueError(
            f"the runs were tested on different groups ({', '.join(map(str, map(len, names)))} of "
            "them); test all of them on the same meetings"
        )
    return SeededErrors(np.array([run.sums(part) for run in runs]), runs[0].sums(whole))
