"""The runs of `sb-alexa bench fair-training`, and where they lie.

::

    OUTPUT/corpus             the embedded corpus, unless another one is named
    OUTPUT/base-<seed>        output folders of the recipe: the trained models, unless one is named
    OUTPUT/fisher-<seed>      the run that estimates the Fisher information of a base, beside it
    OUTPUT/regions.json       the regions that discovery finds with their results
    OUTPUT/<arm>-<seed>       output folders of the recipe: plain-0, l2_10-0, ewc_10-0, ...
    OUTPUT/logs/<run>.txt     what each run printed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sb_alexa.assets import find_recipe
from sb_alexa.bench.fair_discovery import MapRegions, find_regions
from sb_alexa.bench.recipe_comparison import Arm, check_sizes, scaled_schedules
from sb_alexa.bench.recipe_jobs import RecipeJob
from sb_alexa.corpora.librispeech_layout import SplitSpec, default_splits
from sb_alexa.corpora.voices import EASTERN_ACCENTS
from sb_alexa.inference.model_folder import WEIGHTS, WORD_PIECES
from sb_alexa.training.configuration import Configuration

RECIPE = "LibriSpeech/ASR"
BASE = "base"
PLAIN, SLOW, REPLAY = "plain", "slow", "replay"
# Methods that hold on to the base with a weight lambda, and those that do not.
HELD = {"l2": "fair_mini_l2", "ewc": "fair_mini_ewc"}
FREE = {PLAIN: "fair_mini", SLOW: "fair_mini", REPLAY: "fair_mini_replay"}
METHODS = (PLAIN, "l2", "ewc", SLOW, REPLAY)
ABOUT = {
    BASE: "trained on everybody",
    PLAIN: "plain fine-tuning",
    SLOW: "plain, 0.3 times the learning rate",
    "l2": "L2 to the start",
    "ewc": "elastic weight consolidation",
    REPLAY: "half of every batch from everybody",
}
DEFAULT_LAMBDAS = (0.01, 0.1, 1.0, 10.0)
_SLOWER = 0.3
TEST_SPLIT = "test-clean"
# Of the base, and what is recorded when its worst region is known.
TRAIN_SPLIT, NEW_SPLIT = "train-clean", "train-new"
_SPLITS = (TRAIN_SPLIT, NEW_SPLIT, "dev-clean", TEST_SPLIT)
FISHER = "fisher"
_FISHER_UTTERANCES = 1000
_FISHER_STEPS = 2
_BASE_HPARAMS = "mini"
_NEVER = 10**9
# Counted in steps: they shrink and grow with the training.
_SCHEDULES = ("warmup_steps", "ctc_only_steps")


@dataclass(frozen=True)
class FairArm(Arm):
    """A way of fine-tuning on the worst region.

    Arguments
    ---------
    hparams, about, options
        See `Arm`.
    method : str
        Of `METHODS`.
    weight : float | None
        lambda, of methods that have one.
    """

    method: str = PLAIN
    weight: float | None = None


@dataclass(frozen=True)
class FairPlan:
    """What is run, with how many steps.

    Arguments
    ---------
    output : Path
        Folder of all runs.
    corpus : Path
        In LibriSpeech's layout, with a table of speakers that has their places.
    methods : tuple of str
        Of `METHODS`, plain fine-tuning among them.
    lambdas : tuple of float
        Weights of the methods that hold on to the base, all positive.
    num_seeds : int
        Seeds 0, 1, ...: each trains a base and fine-tunes all arms from it.
    base : Path | None
        Finished and tested run of mini that all seeds start from; None trains one for each.
    base_steps, num_steps : int | None
        Optimizer steps of the bases and of each fine-tuning; None takes the YAML's.
    min_speakers : int
        Fewest test speakers of a region in either half of them.
    settings : mapping
        Further YAML keys and run options, the same for every run.
    """

    output: Path
    corpus: Path
    methods: tuple[str, ...] = METHODS
    lambdas: tuple[float, ...] = DEFAULT_LAMBDAS
    num_seeds: int = 2
    base: Path | None = None
    base_steps: int | None = None
    num_steps: int | None = None
    min_speakers: int = 40
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sizes(num_seeds=self.num_seeds, base_steps=self.base_steps, num_steps=self.num_steps)
        if not set(self.methods) <= set(METHODS) or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"methods are some of {', '.join(METHODS)}, each once; got {self.methods}"
            )
        if PLAIN not in self.methods:
            raise ValueError(f"the others are compared with {PLAIN}: name it among the methods")
        held = any(method in HELD for method in self.methods)
        if held and not (self.lambdas and all(0 < one < float("inf") for one in self.lambdas)):
            raise ValueError(
                f"lambdas must be > 0 and finite, got {self.lambdas}; lambda 0 is {PLAIN}"
            )
        if len(set(self.lambdas)) < len(self.lambdas):
            raise ValueError(f"a lambda is named twice: {self.lambdas}")
        if self.base is not None:
            for name in (WEIGHTS, f"wer/{TEST_SPLIT}.jsonl"):
                if not (self.base / name).is_file():
                    raise ValueError(
                        f"{self.base} has no {name}: name the output folder of a finished run of "
                        f"{RECIPE} {_BASE_HPARAMS} tested on {TEST_SPLIT}, or leave it out to "
                        "train one"
                    )

    @cached_property
    def arms(self) -> dict[str, FairArm]:
        """The fine-tunings by name: plain, l2_1, l2_10, ..."""
        found = {}
        for method in self.methods:
            if method in FREE:
                found[method] = FairArm(FREE[method], ABOUT[method], {}, method)
                continue
            for weight in sorted(self.lambdas):
                found[f"{method}_{weight:g}"] = FairArm(
                    HELD[method],
                    f"{ABOUT[method]}, lambda {weight:g}",
                    {},
                    method,
                    weight,
                )
        return found

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.num_seeds)

    def folder(self, arm: str, seed: int) -> Path:
        """Output folder of one run; of the base too."""
        if arm == BASE and self.base is not None:
            return self.base
        return self.output / f"{arm}-{seed}"

    def regions(self) -> MapRegions:
        """What discovery finds in the results of all bases, or has found before."""
        return find_regions(
            list(dict.fromkeys(self.folder(BASE, seed) for seed in self.seeds)),
            TEST_SPLIT,
            self.output / "regions.json",
            min_speakers=self.min_speakers,
        )

    def jobs(self) -> list[RecipeJob]:
        """All runs, those that others need first."""
        bases = [] if self.base is not None else [self._base_job(seed) for seed in self.seeds]
        needs = tuple(job.name for job in bases)
        return bases + [job for seed in self.seeds for job in self._arm_jobs(seed, needs)]

    def _base_job(self, seed: int) -> RecipeJob:
        keys, steps = self._keys(_BASE_HPARAMS, self.base_steps)
        return self._job(BASE, seed, _BASE_HPARAMS, steps, lambda: keys, ())

    def _fisher_job(self, seed: int, needs: tuple[str, ...]) -> RecipeJob:
        """A training that is not worth more than what it has to know before it begins.

        The information is that of the speech the base was trained on, which new recordings are to
        leave it with.
        """
        hparams = HELD["ewc"]
        keys, _ = self._keys(hparams, _FISHER_STEPS)
        keys |= {
            "pretrained_folder": self.folder(BASE, seed),
            "cohort_sampling": "null",
            "elastic": f"{{weight: 1.0, fisher_utterances: {_FISHER_UTTERANCES}}}",
            "test_splits": [],
        }
        job = self._job(FISHER, seed, hparams, _FISHER_STEPS, lambda: keys, needs)
        return replace(job, result=WEIGHTS)

    def _arm_jobs(self, seed: int, needs: tuple[str, ...]) -> list[RecipeJob]:
        jobs = [self._fisher_job(seed, needs)] if "ewc" in self.methods else []
        fisher = tuple(job.name for job in jobs)
        base = self.folder(BASE, seed)
        for name, arm in self.arms.items():
            keys, steps = self._keys(arm.hparams, self.num_steps)
            keys |= {
                "pretrained_folder": base,
                "train_splits": [TRAIN_SPLIT, NEW_SPLIT],
                "word_pieces_file": base / WORD_PIECES,
            }
            if arm.method == SLOW:
                keys["lr"] = f"{_SLOWER * self._values(arm.hparams)['lr']:g}"
            elif arm.method == "ewc":
                file = base / "fisher.safetensors"
                keys["elastic"] = f"{{weight: {arm.weight}, fisher_file: {str(file)!r}}}"
            elif arm.weight is not None:
                keys["elastic"] = f"{{weight: {arm.weight}}}"
            options = partial(self._with_cohort, keys)
            waits = needs + (fisher if arm.method == "ewc" else ())
            jobs.append(self._job(name, seed, arm.hparams, steps, options, waits))
        return jobs

    def _with_cohort(self, keys: Mapping[str, object]) -> dict[str, object]:
        regions = self.regions()
        return {**keys, "cohort_speakers": regions.path, "cohort_names": [regions.worst.name]}

    def _job(
        self,
        name: str,
        seed: int,
        hparams: str,
        num_steps: int,
        options: Callable[[], Mapping[str, object]],
        needs: Sequence[str],
    ) -> RecipeJob:
        return RecipeJob(
            name=f"{name}-{seed}",
            recipe=RECIPE,
            hparams=hparams,
            folder=self.folder(name, seed),
            seed=seed,
            num_steps=num_steps,
            options=options,
            needs=tuple(needs),
        )

    def _keys(self, hparams: str, num_steps: int | None) -> tuple[dict[str, object], int]:
        values = self._values(hparams)
        steps = num_steps or values["num_steps"]
        keys = {
            "data_folder": self.corpus,
            "test_splits": [TEST_SPLIT],
            # Only the last weights are validated, and so tested: arms differ by nothing else.
            "valid_interval_epochs": _NEVER,
            **scaled_schedules(values, _SCHEDULES, num_steps=steps),
            **self.settings,
        }
        return keys, steps

    def _values(self, hparams: str) -> dict[str, Any]:
        return Configuration.from_file(
            find_recipe(RECIPE).find_hparams(hparams),
            {"data_folder": str(self.corpus), "output_folder": str(self.output)},
        ).values()


def experiment_splits() -> dict[str, SplitSpec]:
    """Splits of a corpus that has 4 of 100 training readers with one of two neighbouring accents.

    Of the 960 test readers 240 have one of them.

    Example
    -------
    >>> {name: split.num_speakers for name, split in experiment_splits().items()}
    {'train-clean': 128, 'train-new': 96, 'dev-clean': 16, 'test-clean': 960}
    """
    return default_splits(
        num_train_speakers=128,
        hours_of_training=4.0,
        num_test_speakers=960,
        rare_accents=dict.fromkeys(EASTERN_ACCENTS, 0.1),
        num_new_speakers=96,
    )


def check_corpus(folder: Path) -> None:
    """Refuse a folder that is no corpus before anything is trained."""
    missing = [name for name in _SPLITS if not (folder / name).is_dir()]
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}; the experiment needs {', '.join(_SPLITS)} in "
            "LibriSpeech's layout (`sb-alexa corpus --rare-accents --new-speakers 96` writes them)"
        )
