"""What arms of speaker training reach by group, what separates them, whom adversaries weighted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sb_alexa.bench.adversary_figures import AdversaryFigures
from sb_alexa.bench.speaker_groups import TestedGroup, group_columns, measured_groups
from sb_alexa.bench.speaker_run import SpeakerRun
from sb_alexa.bench.speaker_training_plan import BASE, SpeakerPlan
from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV, STAMP
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.metrics.verification_bootstrap import (
    DrawSettings,
    bootstrap_verification,
    bootstrap_verification_difference,
)
from sb_alexa.metrics.verification_estimates import Estimate, VerificationEstimates
from sb_alexa.report.figure_names import figure_name

_NOTHING = Estimate(math.nan, math.nan, math.nan)
_BY_GROUP = ("eer", "fmr", "fnmr")


@dataclass(frozen=True)
class SpeakerArm:
    """What one way of training reaches.

    Arguments
    ---------
    measured : dict
        Rates in percent (`min_dcf` in its own unit) by name: of all trials, of groups, of spreads.
    differences : dict
        The same of the arm minus the base, in points; empty for the base itself.
    adversary : AdversaryFigures | None
        None where samples had no weights.
    """

    measured: dict[str, Estimate]
    differences: dict[str, Estimate]
    adversary: AdversaryFigures | None


@dataclass(frozen=True)
class SpeakersComparison:
    """The experiment's results.

    Arguments
    ---------
    arms : dict
        Figures of each arm, the base first.
    groups : tuple of TestedGroup
        Column by column, ranked ones first, the hardest for the base first.
    test_list : str
        Where they were tested.
    num_seeds, num_steps, num_trials, num_targets, num_speakers : int
        What they rest on.
    settings : DrawSettings
        Of the intervals and the detection cost.
    synthetic : bool
        Whether the voices are.
    """

    arms: dict[str, SpeakerArm]
    groups: tuple[TestedGroup, ...]
    test_list: str
    num_seeds: int
    num_steps: int
    num_trials: int
    num_targets: int
    num_speakers: int
    settings: DrawSettings
    synthetic: bool

    @classmethod
    def read(
        cls, plan: SpeakerPlan, *, on_draw: Callable[[float], object] | None = None
    ) -> SpeakersComparison:
        """Read the finished runs of a plan and resample their speakers.

        Arguments
        ---------
        plan : SpeakerPlan
            Whose runs are finished.
        on_draw : callable | None
            Called after every draw of the bootstrap with the share that is done.

        Raises
        ------
        ValueError
            If a run was not tested on the list, or two were tested on different trials.
        """
        runs = {
            arm: [SpeakerRun.read(plan.folder(arm, seed), plan.test_list) for seed in plan.seeds]
            for arm in plan.arms
        }
        trials = runs[BASE][0].trials
        table = read_speaker_table(plan.folder(BASE, 0) / "prepared" / SPEAKERS_CSV)
        columns = group_columns(table, plan.values["group_columns"], trials.speakers)
        settings = DrawSettings(
            target_prior=plan.values["target_prior"],
            num_samples=plan.values["num_bootstrap_samples"],
        )
        num_draws = (2 * len(runs) - 1) * settings.num_samples
        measure = partial(_Systems, trials, columns, settings, _counted(on_draw, num_draws))
        systems = {arm: measure(of_arm) for arm, of_arm in runs.items()}
        rates = {arm: system.rates() for arm, system in systems.items()}
        groups = measured_groups(trials, columns, rates[BASE])
        base = _named(rates[BASE], groups)
        return cls(
            arms={
                arm: SpeakerArm(
                    _named(rates[arm], groups),
                    {} if arm == BASE else _named(system.minus(systems[BASE]), groups),
                    AdversaryFigures.of(
                        [run.weights for run in runs[arm]],
                        groups,
                        {group.key: base[f"{group.key}_eer"].value for group in groups},
                    ),
                )
                for arm, system in systems.items()
            },
            groups=groups,
            test_list=plan.test_list,
            num_seeds=plan.num_seeds,
            num_steps=plan.steps,
            num_trials=len(trials),
            num_targets=int(trials.is_target.sum()),
            num_speakers=len(trials.speakers),
            settings=settings,
            synthetic=(plan.corpus / STAMP).is_file(),
        )

    @property
    def columns(self) -> list[str]:
        """Columns of the groups, in order."""
        return list(dict.fromkeys(group.column for group in self.groups))

    def of_column(self, column: str, *, ranked: bool = False) -> list[TestedGroup]:
        """Groups of a column, perhaps the ranked ones alone."""
        return [g for g in self.groups if g.column == column and (g.is_ranked or not ranked)]

    def figures(self) -> dict[str, float | None]:
        """Flat figures for JSON."""
        figures: dict[str, float | None] = {}
        for name, arm in self.arms.items():
            estimates = dict(arm.measured)
            estimates |= {f"{key}_difference": one for key, one in arm.differences.items()}
            if arm.adversary is not None:
                estimates |= {
                    "weight_entropy": arm.adversary.entropy,
                    "weight_spread": arm.adversary.spread,
                    **{f"{key}_weight": one for key, one in arm.adversary.weights.items()},
                }
                for column, found in arm.adversary.correlations.items():
                    prefix = f"{name}_rank_correlation_{figure_name(column, '')}"
                    figures |= {prefix: _finite(found.value), f"{prefix}_p": _finite(found.p_value)}
            for key, one in estimates.items():
                figures[f"{name}_{key}"] = _finite(one.value)
                figures[f"{name}_{key}_low"] = _finite(one.low)
                figures[f"{name}_{key}_high"] = _finite(one.high)
        for group in self.groups:
            figures[f"{group.key}_speakers"] = group.num_speakers
            figures[f"{group.key}_trials"] = group.num_trials
            figures[f"{group.key}_ranked"] = int(group.is_ranked)
            figures[f"{group.key}_worst"] = int(group.is_worst)
        return figures | {
            "seeds": self.num_seeds,
            "steps": self.num_steps,
            "trials": self.num_trials,
            "target_trials": self.num_targets,
            "speakers": self.num_speakers,
        }


class _Systems:
    """The runs of an arm on the same trials, ready to be resampled."""

    def __init__(
        self,
        trials: ScoredTrials,
        columns: Mapping[str, Mapping[str, str]],
        settings: DrawSettings,
        on_draw: Callable[[], object] | None,
        runs: Sequence[SpeakerRun],
    ) -> None:
        self._scores = np.stack([trials.scores_of(run.trials) for run in runs])  # (S, N)
        self._thresholds = [run.threshold for run in runs]
        self._sides = (trials.is_target, trials.enrol_speakers or (), trials.test_speakers or ())
        self._options: dict[str, Any] = {
            "columns": columns, "settings": settings, "on_draw": on_draw
        }  # fmt: skip

    def rates(self) -> VerificationEstimates:
        return bootstrap_verification(
            self._scores, *self._sides, threshold=self._thresholds, **self._options
        )

    def minus(self, base: _Systems) -> VerificationEstimates:
        return bootstrap_verification_difference(
            self._scores,
            base._scores,
            *self._sides,
            threshold=self._thresholds,
            base_threshold=base._thresholds,
            **self._options,
        )


def _counted(
    on_draw: Callable[[float], object] | None, num_draws: int
) -> Callable[[], object] | None:
    if on_draw is None:
        return None
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_draw(done / num_draws)

    return count


def _named(estimates: VerificationEstimates, groups: Sequence[TestedGroup]) -> dict[str, Estimate]:
    """Estimates by their names among the figures."""
    named = {
        "eer": estimates.eer,
        "min_dcf": estimates.minimum_dcf,
        "fmr": estimates.fmr,
        "fnmr": estimates.fnmr,
    }
    for column, of_column in estimates.columns.items():
        name = figure_name(column, "")
        for measure in _BY_GROUP:
            spread = getattr(of_column, f"{measure}_spread")
            # The gap of a column is that of its EERs unless said otherwise.
            prefix = "" if measure == "eer" else f"{measure}_"
            for kind in ("gap", "std"):
                named[f"{prefix}{kind}_{name}"] = getattr(spread, kind) if spread else _NOTHING
        by_name = {one.group: one for one in of_column.groups}
        for group in groups:
            if group.column == column:
                for measure in _BY_GROUP:
                    named[f"{group.key}_{measure}"] = getattr(by_name[group.name], measure)
        worst = [g for g in groups if g.column == column and g.is_worst]
        for measure in _BY_GROUP:
            found = named[f"{worst[0].key}_{measure}"] if worst else _NOTHING
            named[f"worst_{name}_{measure}"] = found
    return named


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
