"""`sb-alexa recipe`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sb_alexa import assets, cli
from sb_alexa.assets import Recipe
from sb_alexa.commands.recipe import load_script, run_recipe

SCRIPT = """
import json
from pathlib import Path

class Outcome:
    pass

def main(argv):
    Path(argv[0]).parent.parent.joinpath("called.json").write_text(json.dumps(argv))
    if "--fail" in argv:
        raise ValueError("no such data_folder")
    return 1 if "--gap" in argv else Outcome()
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe Corpus/Task with two YAML files, which records how it was called."""
    folder = tmp_path / "recipes" / "Corpus" / "Task"
    (folder / "hparams").mkdir(parents=True)
    (folder / "train.py").write_text(SCRIPT)
    for name in ("small", "large"):
        (folder / "hparams" / f"{name}.yaml").write_text("seed: 1\n")
    monkeypatch.setattr(assets, "assets_root", lambda: tmp_path)
    return Recipe("Corpus/Task", folder)


def called(recipe: Recipe) -> list[str]:
    return json.loads((recipe.folder / "called.json").read_text())


def test_options_reach_the_recipe_as_they_stand(recipe: Recipe) -> None:
    options = ["--data_folder", "a b", "--lr=0.1", "--precision", "bf16", "--debug", "--help"]
    assert cli.main(["recipe", "Corpus/Task", "small", *options]) == 0
    assert called(recipe) == [str(recipe.folder / "hparams" / "small.yaml"), *options]


def test_exit_code_of_the_recipe(recipe: Recipe) -> None:
    assert cli.main(["recipe", "Corpus/Task", "small", "--gap"]) == 1


def test_errors_of_the_recipe_are_messages(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["recipe", "Corpus/Task", "small", "--fail"]) == 2
    assert "sb-alexa: error: no such data_folder" in capsys.readouterr().err


def test_listings(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipe"]) == 0
    everything = capsys.readouterr().out
    assert cli.main(["recipe", "corpus/task"]) == 0
    assert capsys.readouterr().out == everything == "Corpus/Task          large, small\n"


def test_misspelt_yaml(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipe", "Corpus/Task", "smal"]) == 2
    assert "Did you mean small? There are: large, small" in capsys.readouterr().err


def test_what_a_script_defines_can_be_pickled(recipe: Recipe) -> None:
    module = load_script(recipe)
    assert isinstance(pickle.loads(pickle.dumps(module.Outcome())), module.Outcome)
    del sys.modules[module.__name__]


def test_a_script_that_does_not_import_leaves_no_module_behind(recipe: Recipe) -> None:
    (recipe.folder / "train.py").write_text("import a_module_that_nobody_has")
    with pytest.raises(ModuleNotFoundError):
        run_recipe(recipe, [])
    assert not [name for name in sys.modules if name.startswith("sb_alexa_recipe_corpus")]


def test_runs_as_a_module_for_torchrun() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sb_alexa.cli", "recipe", "LibriSpeech/ASR"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("LibriSpeech/ASR")
    assert "conv_rnnt" in done.stdout
