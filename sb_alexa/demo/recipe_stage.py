"""Preparation, training and test: the recipe, run as a user would and followed by its log."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from sb_alexa.assets import find_recipe
from sb_alexa.commands.recipe import run_recipe
from sb_alexa.demo.narration import INDENT, Narrator
from sb_alexa.demo.progress import TrainingProgress, polling
from sb_alexa.demo.settings import DemoFiles, DemoSettings
from sb_alexa.training.configuration import Configuration

_RECIPE, _YAML = "LibriSpeech/ASR", "mini"


@dataclass(frozen=True)
class RecipeCall:
    """The call of the recipe that a demo makes.

    Arguments
    ---------
    options : tuple of str
        ``--key=value`` after the YAML.
    num_steps, ctc_only_steps : int
        Of the training it starts.
    train_split, test_split : str
        Folders of the corpus.
    """

    options: tuple[str, ...]
    num_steps: int
    ctc_only_steps: int
    train_split: str
    test_split: str

    @classmethod
    def plan(cls, settings: DemoSettings, files: DemoFiles) -> RecipeCall:
        """Read the YAML, and shorten its schedules in proportion if fewer steps are asked for.

        Arguments
        ---------
        settings : DemoSettings
            What to do.
        files : DemoFiles
            Where to.
        """
        path = find_recipe(_RECIPE).find_hparams(_YAML)
        keys = {
            "data_folder": str(files.corpus),
            "output_folder": str(files.model),
            "seed": settings.seed,
        }
        values = Configuration.from_file(path, keys).values()
        num_steps, ctc_only_steps = values["num_steps"], values["ctc_only_steps"]
        if settings.num_steps is not None:
            scale = settings.num_steps / num_steps
            num_steps, ctc_only_steps = settings.num_steps, round(ctc_only_steps * scale)
            keys["num_steps"] = num_steps
            keys["ctc_only_steps"] = ctc_only_steps
            keys["warmup_steps"] = max(1, round(values["warmup_steps"] * scale))
        return cls(
            tuple(f"--{key}={value}" for key, value in keys.items()),
            num_steps,
            ctc_only_steps,
            values["train_splits"][0],
            values["test_splits"][0],
        )

    @property
    def command(self) -> str:
        """What a user would type to the same effect."""
        return shlex.join(["sb-alexa", "recipe", _RECIPE, _YAML, *self.options])

    def run(self) -> None:
        """Run the recipe in this process, without progress bars of its own."""
        recipe = find_recipe(_RECIPE)
        run_recipe(recipe, [str(recipe.find_hparams(_YAML)), *self.options, "--noprogressbar"])


def run_recipe_stages(call: RecipeCall, files: DemoFiles, narrator: Narrator) -> None:
    """Prepare, train and test, or what is left of it.

    Arguments
    ---------
    call : RecipeCall
        The recipe and its options.
    files : DemoFiles
        Where the run lies.
    narrator : Narrator
        Told of the progress; its plan has the stages prepare, train and test.
    """
    watch = _Watch(call, files, narrator)
    with polling(watch.look):
        call.run()
    watch.look()
    watch.end()


class _Watch:
    """Follows the recipe from stage to stage by what it logs.

    Preparation logs nothing; a change of the log means training; the test follows the last step.
    """

    def __init__(self, call: RecipeCall, files: DemoFiles, narrator: Narrator) -> None:
        self._call = call
        self._files = files
        self._narrator = narrator
        self._begun_at = TrainingProgress.read(files.model)
        self._stage = "test" if self._begun_at.step >= call.num_steps else "prepare"
        narrator.begin(self._stage)
        if self._stage == "prepare":
            narrator.say(INDENT + call.command)
            if self._begun_at.step:
                narrator.say(
                    f"{INDENT}continues near step {self._begun_at.step} of {call.num_steps}"
                )

    def look(self) -> None:
        """Read the log and show what it says."""
        call, narrator = self._call, self._narrator
        now = TrainingProgress.read(self._files.model)
        fraction = now.fraction(call.num_steps, call.ctc_only_steps)
        if self._stage == "prepare" and now != self._begun_at:
            narrator.done("word pieces, manifests, feature statistics")
            narrator.begin("train", at_fraction=fraction)
            self._stage = "train"
        if self._stage == "train" and now.step >= call.num_steps:
            narrator.done(f"{call.num_steps} steps")
            narrator.begin("test")
            self._stage = "test"
        if self._stage == "train":
            parts = [f"step {now.step} of {call.num_steps}"]
            parts += [f"loss {now.loss:.2f}"] if now.loss is not None else []
            parts += [f"WER {now.wer:.1f} %"] if now.wer is not None else []
            narrator.show(", ".join(parts), fraction)
        else:
            narrator.show("")

    def end(self) -> None:
        """Check that the recipe went through its stages."""
        if self._stage != "test":
            raise ValueError(
                f"the recipe ended before step {self._call.num_steps}; see {self._files.log}"
            )
