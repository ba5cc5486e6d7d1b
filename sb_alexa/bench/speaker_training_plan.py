"""The runs of `sb-alexa bench speaker-training`, and where they lie.

::

    OUTPUT/corpus             the embedded corpus, unless another one is named
    OUTPUT/<arm>-<seed>       output folders of the recipe: baseline-0, pw-0, ...
    OUTPUT/logs/<run>.txt     what each run printed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from speechbrain.utils.run_opts import RunOptions

from sb_alexa.assets import find_recipe
from sb_alexa.bench.recipe_comparison import Arm, check_arms, check_sizes, scaled_schedules
from sb_alexa.bench.recipe_jobs import RecipeJob
from sb_alexa.inference.verification_settings import VERIFICATION
from sb_alexa.training.configuration import Configuration

RECIPE = "VoxCeleb/SpeakerRec"
BASE = "baseline"
ARMS = {
    BASE: Arm("mini", "softmax and angular prototypical loss"),
    "aam": Arm("mini_aam", "AAM-softmax"),
    "aps": Arm("mini_arw_aps", "reweighted by accumulated pairwise similarity"),
    "pl": Arm("mini_arw_pl", "reweighted by pseudo-labels"),
    "pw": Arm("mini_arw_pw", "pairs reweighted"),
}
REWEIGHTED = ("aps", "pl", "pw")
DEFAULT_ARMS = (BASE, "pw")
DEFAULT_LIST = "veri_test"
_NEVER = 10**9
# Counted in steps: they shrink and grow with the training.
_SCHEDULES = ("warmup_steps", "adversary_warmup_batches")


@dataclass(frozen=True)
class SpeakerPlan:
    """What is run, with how many steps, and what is read from it.

    Arguments
    ---------
    output : Path
        Folder of all runs.
    corpus : Path
        In VoxCeleb's layout.
    arms : tuple of str
        Of `ARMS`; `BASE`, which the others are compared with, comes first.
    num_seeds : int
        Paired runs of each arm, seeds 0, 1, ... A seed holds out the same development speakers and
        draws the same batches in every arm.
    num_steps : int | None
        Optimizer steps of every run; None takes the YAML's.
    test_list : str
        Name of the trial list that is reported, without suffix.
    settings : mapping
        Further YAML keys and run options, the same for every run.
    """

    output: Path
    corpus: Path
    arms: tuple[str, ...] = DEFAULT_ARMS
    num_seeds: int = 5
    num_steps: int | None = None
    test_list: str = DEFAULT_LIST
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sizes(num_seeds=self.num_seeds, num_steps=self.num_steps)
        check_arms(self.arms, ARMS, base=BASE)
        lists = [Path(name).stem for name in self.values["test_lists"]]
        if self.test_list not in lists:
            raise ValueError(
                f"the test list must be one of {', '.join(lists)}, got {self.test_list}; "
                "--set test_lists=[...] chooses what the runs are tested on"
            )
        if self.values["num_dev_speakers"] < 2:
            raise ValueError(
                "num_dev_speakers must be >= 2: the threshold that all groups share is fitted on "
                f"trials of development speakers; got {self.values['num_dev_speakers']}"
            )

    @cached_property
    def values(self) -> dict[str, Any]:
        """Plain values of the base's YAML, with the settings."""
        return self._values(ARMS[BASE])

    @property
    def seeds(self) -> range:
        """The seeds of the paired runs."""
        return range(self.num_seeds)

    @property
    def steps(self) -> int:
        """Optimizer steps of every run."""
        return self.num_steps or self.values["num_steps"]

    def folder(self, arm: str, seed: int) -> Path:
        """Output folder of one run."""
        return self.output / f"{arm}-{seed}"

    def jobs(self) -> list[RecipeJob]:
        """All runs, seed by seed.

        Raises
        ------
        ConfigurationError
            If an arm's YAML does not know one of the settings.
        """
        options = {arm: self._options(arm) for arm in self.arms}
        return [
            RecipeJob(
                name=self.folder(arm, seed).name,
                recipe=RECIPE,
                hparams=ARMS[arm].hparams,
                folder=self.folder(arm, seed),
                seed=seed,
                num_steps=self.steps,
                options=options[arm].copy,
                # Written last; results.json is there from the first of several test lists on.
                result=VERIFICATION,
            )
            for seed in self.seeds
            for arm in self.arms
        ]

    def _options(self, arm: str) -> dict[str, object]:
        values = self._values(ARMS[arm])
        return {
            "data_folder": self.corpus,
            # Only the last weights are validated, and so tested: arms differ by nothing else.
            "valid_interval_epochs": _NEVER,
            **scaled_schedules(values, _SCHEDULES, num_steps=self.steps),
            **ARMS[arm].options,
            **self.settings,
        }

    def _values(self, arm: Arm) -> dict[str, Any]:
        run_options = set(RunOptions().as_dict())
        # As text, since that is how the command line is read: KEY=[a, b] is a list.
        text = "\n".join(
            f"{key}: {value}" for key, value in self.settings.items() if key not in run_options
        )
        configuration = Configuration.from_file(
            find_recipe(RECIPE).find_hparams(arm.hparams), text
        ).with_overrides({"data_folder": str(self.corpus), "output_folder": str(self.output)})
        return configuration.values()


def check_folder(plan: SpeakerPlan) -> None:
    """Refuse a folder that is no corpus before anything is trained."""
    names = plan.values["test_lists"]
    absent = [n for n in names if not (Path(n).is_file() or (plan.corpus / n).is_file())]
    if absent:
        raise ValueError(
            f"{plan.corpus} lacks {', '.join(absent)}; `sb-alexa corpus {plan.corpus} --layout "
            "VoxCeleb` writes a corpus, --set test_lists=[...] names other lists"
        )
