"""`sb-alexa recipe`: run a recipe's `train.py` with one of its YAML files."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from sb_alexa.assets import Recipe, find_recipe, list_recipes

AFTER_INTERRUPT = "the last checkpoint is whole: the same command continues from it"

_EPILOG = """\
Whatever follows the YAML is passed on to the recipe as it stands: any key of the YAML (--lr=0.001,
--output_folder=results/mine) and SpeechBrain's run options (--device, --precision, --debug, ...).

example:
  sb-alexa recipe                                list the recipes and their YAML files
  sb-alexa recipe LibriSpeech/ASR conv_rnnt --data_folder=/corpora/LibriSpeech --precision=bf16
  torchrun --standalone --nproc_per_node=4 -m sb_alexa.cli \\
      recipe LibriSpeech/ASR conv_rnnt --data_folder=/corpora/LibriSpeech
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.usage = "sb-alexa recipe [RECIPE [YAML [--KEY=VALUE ...]]]"
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="corpus and task, such as LibriSpeech/ASR"
    )
    parser.add_argument(
        "hparams", nargs="?", metavar="YAML", help="name of its YAML, or the path of your own"
    )
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, metavar="--KEY=VALUE", help="passed on to the recipe"
    )


def run(args: argparse.Namespace) -> int:
    """Run the recipe, or list what there is.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        The recipe's.
    """
    if args.recipe is None:
        for recipe in list_recipes():
            _print_listing(recipe)
        return 0
    recipe = find_recipe(args.recipe)
    if args.hparams is None:
        _print_listing(recipe)
        return 0
    path = recipe.find_hparams(args.hparams)
    return run_recipe(recipe, [str(path), *args.options])


def run_recipe(recipe: Recipe, argv: Sequence[str]) -> int:
    """Load a recipe's script and call its `main`.

    Arguments
    ---------
    recipe : Recipe
        Which one.
    argv : sequence of str
        YAML path, then overrides and run options.

    Returns
    -------
    exit_code : int
        What `main` returns if that is an integer, else 0.
    """
    result = load_script(recipe).main(list(argv))
    return result if isinstance(result, int) else 0


def load_script(recipe: Recipe) -> ModuleType:
    """Import a recipe's `train.py` from its path, under a module name of its own.

    Arguments
    ---------
    recipe : Recipe
        Which one.

    Returns
    -------
    module : ModuleType
        The script; it is in `sys.modules`, so that what it defines can be pickled for workers.
    """
    name = "sb_alexa_recipe_" + "_".join(recipe.folder.parts[-2:]).lower()
    specification = importlib.util.spec_from_file_location(name, recipe.script)
    assert specification is not None and specification.loader is not None  # a .py file has both
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _print_listing(recipe: Recipe) -> None:
    print(f"{recipe.name:<20} {', '.join(recipe.hparams)}")
