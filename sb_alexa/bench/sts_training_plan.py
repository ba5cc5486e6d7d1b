"""The runs of `sb-alexa bench sts-training`, and where they lie.

::

    OUTPUT/corpus, meetings   the embedded corpora, unless others are named
    OUTPUT/pretrain           output folder of the recipe: the weights all other runs start from
    OUTPUT/<arm>-<seed>       output folders of the recipe: sts-0, single_channel-0, ...
    OUTPUT/logs/<run>.txt     what each run printed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sb_alexa.assets import find_recipe
from sb_alexa.bench.recipe_comparison import Arm, check_arms, check_sizes, scaled_schedules
from sb_alexa.bench.recipe_jobs import RecipeJob
from sb_alexa.inference.model_folder import WEIGHTS, WORD_PIECES
from sb_alexa.training.configuration import Configuration

RECIPE = "LibriCSS/ASR"
PRETRAIN = "pretrain"
BASE = "sts"

ARMS = {
    BASE: Arm("mini", "two channels, `<sot>` and `<eot>`"),
    "single_channel": Arm("mini_single_channel", "all turns on one channel"),
    "cot": Arm("mini_cot", "`<cot>` instead"),
    "pit": Arm("mini", "free assignment of channels", {"permutation_invariant": True}),
    "fastemit": Arm("mini_fastemit", "FastEmit"),
    "masking": Arm("mini_masking", "masking loss"),
    "penalty": Arm("mini_penalty", "penalty on late `<eot>`"),
    "everything": Arm("mini_everything", "FastEmit, masking and penalty"),
}
_PRETRAIN_HPARAMS = "mini_pretrain"
_NEVER = 10**9
# Counted in steps: they shrink and grow with the training.
_SCHEDULES = ("warmup_steps", "ctc_only_steps")


@dataclass(frozen=True)
class TurnsPlan:
    """What is run, with how many steps.

    Arguments
    ---------
    output : Path
        Folder of all runs.
    corpus : Path
        Speech to be mixed, in LibriSpeech's layout.
    meetings : Path
        What is tested on, in LibriCSS's layout.
    arms : tuple of str
        Of `ARMS`; `BASE`, which the others are compared with, comes first.
    num_seeds : int
        Paired runs of each arm, seeds 0, 1, ...
    pretrained : Path | None
        Finished output folder of mini_pretrain; None trains one.
    pretrain_steps, num_steps : int | None
        Optimizer steps of the pre-training and of each arm; None takes the YAML's.
    settings : mapping
        Further YAML keys and run options, the same for every run.
    """

    output: Path
    corpus: Path
    meetings: Path
    arms: tuple[str, ...] = tuple(ARMS)
    num_seeds: int = 3
    pretrained: Path | None = None
    pretrain_steps: int | None = None
    num_steps: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sizes(
            num_seeds=self.num_seeds,
            pretrain_steps=self.pretrain_steps,
            num_steps=self.num_steps,
        )
        check_arms(self.arms, ARMS, base=BASE)
        if self.pretrained is not None and not (self.pretrained / WEIGHTS).is_file():
            raise ValueError(
                f"{self.pretrained} has no {WEIGHTS}: name the output folder of a finished run of "
                f"{RECIPE} {_PRETRAIN_HPARAMS}, or leave it out to train one"
            )

    @property
    def seeds(self) -> range:
        """The seeds of the paired runs."""
        return range(self.num_seeds)

    def folder(self, arm: str, seed: int) -> Path:
        """Output folder of one run."""
        return self.output / f"{arm}-{seed}"

    def jobs(self) -> list[RecipeJob]:
        """All runs, those that others need first."""
        pretrain = self._job(PRETRAIN, _PRETRAIN_HPARAMS, self.pretrain_steps, result=WEIGHTS)
        jobs = [pretrain] if self.pretrained is None else []
        keys = {"pretrained_folder": self.pretrained or pretrain.folder}
        if self.pretrained is not None:  # maybe trained on other text
            keys["word_pieces_file"] = self.pretrained / WORD_PIECES
        needs = tuple(job.name for job in jobs)
        for seed in self.seeds:
            for name in self.arms:
                arm = ARMS[name]
                jobs.append(
                    self._job(
                        self.folder(name, seed).name,
                        arm.hparams,
                        self.num_steps,
                        {**keys, **arm.options},
                        seed=seed,
                        needs=needs,
                    )
                )
        return jobs

    def _job(
        self,
        name: str,
        hparams: str,
        num_steps: int | None,
        keys: Mapping[str, object] | None = None,
        *,
        seed: int = 0,
        **options: Any,
    ) -> RecipeJob:
        folder = self.output / name
        values = Configuration.from_file(
            find_recipe(RECIPE).find_hparams(hparams),
            {"data_folder": str(self.corpus), "output_folder": str(folder)},
        ).values()
        steps = num_steps or values["num_steps"]
        keys = {
            "data_folder": self.corpus,
            "libricss_folder": self.meetings,
            # Only the last weights are validated, and so tested: arms differ by nothing else.
            "valid_interval_epochs": _NEVER,
            **scaled_schedules(values, _SCHEDULES, num_steps=steps),
            **(keys or {}),
            **self.settings,
        }
        return RecipeJob(
            name=name,
            recipe=RECIPE,
            hparams=hparams,
            folder=folder,
            seed=seed,
            num_steps=steps,
            options=lambda: keys,
            **options,
        )


def check_folders(plan: TurnsPlan) -> None:
    """Refuse folders that are no corpora before anything is trained."""
    if not (plan.corpus / "train-clean").is_dir():
        raise ValueError(
            f"{plan.corpus} lacks train-clean; `sb-alexa corpus {plan.corpus}` writes a corpus"
        )
    if not any((plan.meetings / condition).is_dir() for condition in ("0L", "0S", "OV40")):
        raise ValueError(
            f"{plan.meetings} holds no 0L, 0S or OV40; `sb-alexa corpus {plan.meetings} --layout "
            "LibriCSS` writes meetings"
        )
