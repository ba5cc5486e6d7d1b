"""Where the recipes and the shared hparams lie: in the clone, or inside the installed wheel."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


class UnknownNameError(ValueError):
    """A recipe or YAML that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Recipe:
    """A folder `recipes/<Corpus>/<Task>` with a `train.py` and its YAML files.

    Arguments
    ---------
    name : str
        Corpus and task, for example ``LibriSpeech/ASR``.
    folder : Path
        Where it lies.

    Example
    -------
    >>> find_recipe("LibriSpeech/ASR").script.name
    'train.py'
    """

    name: str
    folder: Path

    @property
    def script(self) -> Path:
        """The training script."""
        return self.folder / "train.py"

    @property
    def hparams(self) -> dict[str, Path]:
        """The YAML files by name without suffix, in alphabetical order."""
        return {path.stem: path for path in sorted((self.folder / "hparams").glob("*.yaml"))}

    def find_hparams(self, name: str) -> Path:
        """Path of one YAML file.

        Arguments
        ---------
        name : str
            Such as ``conv_rnnt`` or ``conv_rnnt.yaml``, or the path of a file of one's own.

        Raises
        ------
        UnknownNameError
            If there is no such file.
        """
        if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
            return Path(name)
        known = self.hparams
        path = known.get(name.removesuffix(".yaml"))
        if path is None:
            raise _unknown("YAML", name, known, of=f" of {self.name}")
        return path


def assets_root() -> Path:
    """The folder that holds `recipes/` and `hparams/`.

    Returns
    -------
    root : Path
        The clone where the package runs from one, else `_assets` inside the installed package.

    Raises
    ------
    FileNotFoundError
        If neither exists (an incomplete installation).
    """
    clone, wheel = _PACKAGE.parent, _PACKAGE / "_assets"
    # site-packages may hold a folder named recipes too; only a clone has pyproject.toml beside it.
    if (clone / "recipes").is_dir() and (clone / "pyproject.toml").is_file():
        return clone
    if (wheel / "recipes").is_dir():
        return wheel
    raise FileNotFoundError(
        f"no recipes beside {_PACKAGE} nor in {wheel}: the installation is incomplete; "
        "install sb-alexa again from a wheel or a clone"
    )


def list_recipes() -> list[Recipe]:
    """All recipes, in alphabetical order.

    Example
    -------
    >>> "LibriSpeech/ASR" in [recipe.name for recipe in list_recipes()]
    True
    """
    root = assets_root() / "recipes"
    folders = sorted(script.parent for script in root.glob("*/*/train.py"))
    return [Recipe(folder.relative_to(root).as_posix(), folder) for folder in folders]


def find_recipe(name: str) -> Recipe:
    """One recipe by name.

    Arguments
    ---------
    name : str
        Corpus and task, for example ``LibriSpeech/ASR``; case does not matter.

    Raises
    ------
    UnknownNameError
        If there is no such recipe; the message names the nearest.
    """
    recipes = {recipe.name.lower(): recipe for recipe in list_recipes()}
    recipe = recipes.get(name.strip("/").lower())
    if recipe is None:
        raise _unknown("recipe", name, [one.name for one in recipes.values()])
    return recipe


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means, or None.

    Example
    -------
    >>> nearest("con_rnnt", ["conformer", "conv_rnnt"]), nearest("x", ["conv_rnnt"])
    ('conv_rnnt', None)
    """
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def _unknown(kind: str, name: str, known: Iterable[str], of: str = "") -> UnknownNameError:
    known = list(known)
    close = nearest(name, known)
    question = f" Did you mean {close}?" if close else ""
    return UnknownNameError(
        f"no {kind} named {name!r}{of}.{question} There are: {', '.join(known) or 'none'}"
    )
