"""The runs of `sb-alexa bench amortized-training`, and where they lie.

::

    OUTPUT/corpus             the embedded corpus, unless another one is named
    OUTPUT/phase1             output folder of the recipe: the weights all other runs start from
    OUTPUT/<arm>-<seed>       output folders of the recipe: dense-0, amortized-0, random-0, ...
    OUTPUT/smaller-phase1     the same for the smaller encoder, if there is one
    OUTPUT/logs/<run>.txt     what each run printed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sb_alexa.assets import find_recipe
from sb_alexa.bench.paired_runs import read_gate_rates
from sb_alexa.bench.recipe_comparison import scaled_schedules
from sb_alexa.bench.recipe_jobs import RecipeJob
from sb_alexa.corpora.librispeech_layout import SplitSpec, default_splits
from sb_alexa.inference.model_folder import WEIGHTS
from sb_alexa.training.configuration import Configuration

RECIPE = "LibriSpeech/ASR"
PHASE_ONE = "phase1"
SMALLER_PHASE_ONE = "smaller-phase1"
# Way of training -> its YAML.
ARMS = {
    "amortized": "amortized_mini",
    "dense": "amortized_mini_dense",
    "random": "amortized_mini_random",
    "smaller": "amortized_mini_dense",
}
# What the first two are measured against; fewer seeds may do.
CONTROLS = ("random", "smaller")
TEST_SPLIT = "test-clean"
_SPLITS = ("train-clean", "dev-clean", TEST_SPLIT)
_NEVER = 10**9
# Counted in steps of the phase they belong to: they shrink and grow with it.
_PHASE_ONE_SCHEDULES = ("warmup_steps", "ctc_only_steps")
_PHASE_TWO_SCHEDULES = ("warmup_steps",)
_GATE_SCHEDULES = ("straight_through_steps", "frozen_steps", "cost_ramp_steps")


@dataclass(frozen=True)
class ExperimentPlan:
    """What is run, with how many steps.

    Arguments
    ---------
    output : Path
        Folder of all runs.
    corpus : Path
        In LibriSpeech's layout, with train-clean, dev-clean and test-clean.
    num_seeds : int
        Paired runs of each arm, seeds 0, 1, ...
    num_control_seeds : int | None
        Of random gates and of the smaller encoder, where fewer tell enough; 0 leaves them out, None
        takes as many.
    phase_one_steps, num_steps : int | None
        Optimizer steps of the first phase and of the second; None takes the YAML's.
    settings : mapping
        Further YAML keys and run options, the same for every run.
    smaller : mapping
        YAML keys that make the dense encoder smaller, for a control of both phases; they win over
        `settings`. None leaves the control out.
    """

    output: Path
    corpus: Path
    num_seeds: int = 5
    num_control_seeds: int | None = None
    phase_one_steps: int | None = None
    num_steps: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    smaller: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_seeds < 1:
            raise ValueError(f"the number of seeds must be >= 1, got {self.num_seeds}")
        controls = self.num_control_seeds
        if controls is not None and not 0 <= controls <= self.num_seeds:
            raise ValueError(f"controls take 0 to {self.num_seeds} of the seeds, got {controls}")
        if controls == 0 and self.smaller:
            raise ValueError("without seeds for controls no smaller encoder can be one")
        for name in ("phase_one_steps", "num_steps"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ValueError(f"{name} must be >= 2, got {value}; leave it out for the YAML's")

    @property
    def arms(self) -> tuple[str, ...]:
        """The ways of training."""
        return tuple(arm for arm in ARMS if self.seeds(arm) and (arm != "smaller" or self.smaller))

    def seeds(self, arm: str) -> range:
        """The seeds of an arm."""
        fewer = self.num_control_seeds if arm in CONTROLS else None
        return range(self.num_seeds if fewer is None else fewer)

    def folder(self, arm: str, seed: int) -> Path:
        """Output folder of one run."""
        return self.output / f"{arm}-{seed}"

    def jobs(self) -> list[RecipeJob]:
        """All runs, those that others need first."""
        steps = _Steps.of(self)
        jobs = [self._phase_one_job(PHASE_ONE, "amortized", steps)]
        if self.smaller:
            jobs.append(self._phase_one_job(SMALLER_PHASE_ONE, "smaller", steps))
        # Controls last: they only show that the others learned something.
        controls = tuple(arm for arm in CONTROLS if arm in self.arms)
        for arms in (("amortized", "dense"), controls):
            for seed in range(self.num_seeds):
                jobs += [self._arm_job(arm, seed, steps) for arm in arms if seed in self.seeds(arm)]
        return jobs

    def _phase_one_job(self, name: str, arm: str, steps: _Steps) -> RecipeJob:
        keys = {
            "data_folder": self.corpus,
            "test_splits": [],  # only its weights are needed
            **steps.phase_one_schedules,
            **self.settings,
        }
        if arm == "amortized":
            keys |= {
                "phase_one_steps": steps.phase_one,
                **dict.fromkeys(_GATE_SCHEDULES, 0),
                "distillation_weight": 0.0,  # nothing has been learned that could teach
            }
        else:
            keys |= self.smaller
        return RecipeJob(
            name=name,
            recipe=RECIPE,
            hparams=ARMS[arm],
            folder=self.output / name,
            seed=0,
            num_steps=steps.phase_one,
            options=lambda: keys,
            result=WEIGHTS,
        )

    def _arm_job(self, arm: str, seed: int, steps: _Steps) -> RecipeJob:
        amortized = self.folder("amortized", seed)
        first = SMALLER_PHASE_ONE if arm == "smaller" else PHASE_ONE
        keys = {
            "data_folder": self.corpus,
            "pretrained_folder": self.output / first,
            "ctc_only_steps": 0,
            # Only the last weights are validated, and so tested: a choice by WER among all would
            # prefer amortized weights from before their gates closed.
            "valid_interval_epochs": _NEVER,
            "test_splits": [TEST_SPLIT],
            **steps.phase_two_schedules,
            **self.settings,
        }

        def options() -> dict[str, object]:
            if arm == "amortized":
                return {**keys, "phase_one_steps": 0, **steps.gate_schedules}
            if arm == "random":
                rates = read_gate_rates(amortized, TEST_SPLIT)
                return {**keys, **{f"random_{gate}_rate": rate for gate, rate in rates.items()}}
            return {**keys, **self.smaller} if arm == "smaller" else keys

        return RecipeJob(
            name=self.folder(arm, seed).name,
            recipe=RECIPE,
            hparams=ARMS[arm],
            folder=self.folder(arm, seed),
            seed=seed,
            num_steps=steps.phase_two,
            options=options,
            needs=(first, amortized.name) if arm == "random" else (first,),
        )


@dataclass(frozen=True)
class _Steps:
    """Steps of the two phases, and the schedules within them."""

    phase_one: int
    phase_two: int
    phase_one_schedules: dict[str, int]
    phase_two_schedules: dict[str, int]
    gate_schedules: dict[str, int]

    @classmethod
    def of(cls, plan: ExperimentPlan) -> _Steps:
        path = find_recipe(RECIPE).find_hparams(ARMS["amortized"])
        values = Configuration.from_file(
            path, {"data_folder": str(plan.corpus), "output_folder": str(plan.output)}
        ).values()
        one = values["phase_one_steps"]
        two = values["num_steps"] - one
        wanted_one, wanted_two = plan.phase_one_steps or one, plan.num_steps or two

        def scaled(names: tuple[str, ...], whole: int, wanted: int) -> dict[str, int]:
            given = [name for name in names if values.get(name) is not None]
            return scaled_schedules({**values, "num_steps": whole}, given, num_steps=wanted)

        return cls(
            wanted_one,
            wanted_two,
            scaled(_PHASE_ONE_SCHEDULES, one, wanted_one),
            scaled(_PHASE_TWO_SCHEDULES, two, wanted_two),
            scaled(_GATE_SCHEDULES, two, wanted_two),
        )


def experiment_splits(
    *,
    num_train_speakers: int = 256,
    hours_of_training: float = 8.0,
    sentences_per_utterance: int = 1,
) -> dict[str, SplitSpec]:
    """The demonstration's splits with a test set of 38,600 words over 128 unseen speakers.

    Arguments
    ---------
    num_train_speakers : int
        Readers in train-clean.
    hours_of_training : float
        Approximate length of train-clean, hours.
    sentences_per_utterance : int
        Most of them, as in `write_librispeech`.

    Example
    -------
    >>> experiment_splits()["test-clean"]
    SplitSpec(num_speakers=128, num_utterances_per_speaker=40)
    """
    return default_splits(
        num_train_speakers=num_train_speakers,
        hours_of_training=hours_of_training,
        sentences_per_utterance=sentences_per_utterance,
        num_test_speakers=128,
        utterances_per_test_speaker=40,
    )


def check_corpus(folder: Path) -> None:
    """Refuse a corpus that lacks a split that the experiment needs."""
    missing = [name for name in _SPLITS if not (folder / name).is_dir()]
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}; the experiment needs {', '.join(_SPLITS)} in "
            "LibriSpeech's layout (`sb-alexa corpus` writes them)"
        )
