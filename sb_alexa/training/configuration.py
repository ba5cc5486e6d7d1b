"""Recipe configuration: HyperPyYAML that includes parts, extends a base, refuses unknown keys."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import Comment, CommentedMap
from speechbrain.utils.run_opts import RunOptions

# Keys that the training code of this package reads, whatever the task. A task adds its own.
TRAINING_KEYS = frozenset(
    {
        "seed", "__set_seed", "output_folder", "data_folder", "skip_prep", "max_bad_fraction",
        "sample_rate", "number_of_epochs", "num_steps", "num_workers", "cache_audio",
        "avg_checkpoints", "modules", "opt_class", "lr_schedule", "tensorboard", "precision",
        "valid_interval_epochs", "weight_decay", "lr", "pretrained_folder",
    }
)  # fmt: skip


class ConfigurationError(ValueError):
    """A recipe YAML or an override of it is wrong; the message names the key and the remedy."""


@dataclass(frozen=True)
class Configuration:
    """A recipe YAML with its parts, bases and overrides merged, before any object is built.

    Ways to share YAML, all in one flat namespace, so that ``!ref <key>`` works across files:

    * ``include: [part.yaml, ...]`` stands for the keys of the parts; the file's own values win;
    * ``base: other.yaml`` makes the file a list of differences: a key unknown to the base is an
      error, mappings are merged, a value with a tag of its own replaces the whole object;
    * both together: keys of the parts take the place of the base's or are added to them, then
      come the differences;
    * overrides of the command line behave as those of a further file of differences.

    Paths are relative to the file that holds them.

    Arguments
    ---------
    path : Path
        The file that was asked for.
    text : str
        The merged HyperPyYAML, references unresolved.
    run_options : RunOptions
        SpeechBrain's run options of the command line.
    """

    path: Path
    text: str
    run_options: RunOptions = field(default_factory=RunOptions)

    @classmethod
    def from_arguments(cls, argv: list[str]) -> Configuration:
        """Read a command line: ``recipe.yaml [--any_yaml_key=value] [SpeechBrain's run options]``.

        Arguments
        ---------
        argv : list of str
            Without the program's name.
        """
        path, run_options, overrides = RunOptions.from_command_line_args(argv)
        return cls.from_file(path, overrides, run_options)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        overrides: str | Mapping[str, Any] = "",
        run_options: RunOptions | None = None,
    ) -> Configuration:
        """Read a YAML file.

        Arguments
        ---------
        path : str | Path
            The file.
        overrides : str | dict
            Differences, as YAML text or as a mapping.
        run_options : RunOptions | None
            SpeechBrain's run options.

        Raises
        ------
        ConfigurationError
            If the file is missing, not a mapping, includes itself, or an override names an unknown
            key.
        """
        path = Path(path)
        tree = _read_tree(path, ())
        if overrides:
            text = overrides if isinstance(overrides, str) else _dump(CommentedMap(overrides))
            _apply_differences(tree, ruamel.yaml.YAML().load(text), "the command line")
        return cls(path, _dump(tree), run_options or RunOptions())

    def values(self) -> dict[str, Any]:
        """The plain values (numbers, strings, lists), references resolved; objects are left out.

        Returns
        -------
        dict
            By top-level key.
        """
        tree = ruamel.yaml.YAML(typ="rt").load(self.resolved_text())
        return {key: _plain(value) for key, value in tree.items() if not _is_tagged(value)}

    def resolved_text(self) -> str:
        """The YAML with every reference and include resolved; tags are kept, nothing is built."""
        return resolve_references(self._stream()).getvalue()

    def with_overrides(self, overrides: Mapping[str, Any]) -> Configuration:
        """The same configuration with some values replaced."""
        tree = ruamel.yaml.YAML().load(self.text)
        _apply_differences(tree, CommentedMap(overrides), "the program")
        return Configuration(self.path, _dump(tree), self.run_options)

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse top-level keys that nobody reads.

        HyperPyYAML accepts a misspelt key silently: the value stays unused and the default rules.

        Arguments
        ---------
        known : iterable of str
            Keys that the recipe's code reads. Keys that another value refers to, and run options,
            count as read.

        Raises
        ------
        ConfigurationError
            Naming each unknown key and the nearest known one.
        """
        tree = ruamel.yaml.YAML().load(self.text)
        referred = set(re.findall(r"<([A-Za-z_]\w*)", self.text))
        allowed = set(known) | referred | set(RunOptions().as_dict())
        unknown = [key for key in tree if key not in allowed]
        if unknown:
            lines = [
                f"  {key}: {_suggest(key, allowed | set(tree) - set(unknown))}" for key in unknown
            ]
            raise ConfigurationError(
                f"{self.path} has keys that nothing reads:\n" + "\n".join(lines) + "\n"
                "correct the name, refer to the key with !ref, or remove it"
            )

    def build(self) -> dict[str, Any]:
        """Construct all objects.

        Returns
        -------
        dict
            SpeechBrain's ``hparams``.

        Raises
        ------
        ConfigurationError
            If a constructor refuses an argument; the message is the constructor's.
        """
        try:
            return load_hyperpyyaml(self._stream())
        except (TypeError, ValueError, ImportError, AttributeError) as error:
            details = " ".join(str(part) for part in error.args)
            raise ConfigurationError(f"{self.path}: {details}") from error

    def _stream(self) -> io.StringIO:
        stream = io.StringIO(self.text)
        # HyperPyYAML resolves !include relative to the name of the stream.
        stream.name = str(self.path)  # type: ignore[attr-defined]
        return stream


def _read_tree(path: Path, parents: tuple[Path, ...]) -> CommentedMap:
    """One file with its base and its parts merged."""
    if path.resolve() in parents:
        chain = " -> ".join(str(one) for one in (*parents, path))
        raise ConfigurationError(f"a YAML file includes itself: {chain}")
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}" + _included_by(parents))
    try:
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
    except ruamel.yaml.error.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise ConfigurationError(
            f"{path} must hold a mapping of keys to values{_included_by(parents)}"
        )
    _drop_comments(tree)
    here = (*parents, path.resolve())
    if "base" in tree:
        merged = _read_tree(path.parent / tree.pop("base"), here)
        # A part brings keys of its own and takes the place of the base's; then the differences.
        for part in tree.pop("include", ()):
            merged.update(_read_tree(path.parent / part, here))
        _apply_differences(merged, tree, str(path))
        return merged
    # The keys of the parts take the place of `include`: HyperPyYAML resolves and builds in the
    # order of the file, so what stands above (the seed) is done before the parts, and what stands
    # below may refer to them.
    merged = CommentedMap()
    for key, value in tree.items():
        if key != "include":
            merged[key] = value
            continue
        for part in value:
            for part_key, part_value in _read_tree(path.parent / part, here).items():
                merged.setdefault(part_key, part_value)
    return merged


def _drop_comments(node: Any) -> None:
    """Names in comments are no references; and ruamel writes broken YAML where a blank line, a
    comment to it, follows the name of a list: ``a: !ref <list>``."""
    if hasattr(node, Comment.attrib):
        delattr(node, Comment.attrib)
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            _drop_comments(child)


def _apply_differences(
    tree: CommentedMap, differences: Any, source: str, *, may_add: bool = False
) -> None:
    if differences is None:
        return
    if not isinstance(differences, Mapping):
        raise ConfigurationError(f"{source}: the differences must be a mapping of keys to values")
    for key, value in differences.items():
        old = tree.get(key)
        if key not in tree and not may_add and not _is_tagged(tree):
            raise ConfigurationError(
                f"{source} sets the unknown key {key!r}: {_suggest(key, tree)}; "
                f"known keys: {', '.join(map(str, tree))}"
            )
        if isinstance(value, Mapping) and isinstance(old, CommentedMap) and not _is_tagged(value):
            # `modules` is a list of names: a loss with weights of its own joins it.
            _apply_differences(old, value, source, may_add=key == "modules")
        else:
            tree[key] = value


def _is_tagged(node: Any) -> bool:
    tag = getattr(getattr(node, "tag", None), "value", None)
    return isinstance(tag, str) and tag.startswith("!") and not tag.startswith("!!")


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items() if not _is_tagged(value)}
    if isinstance(node, list):
        return [_plain(value) for value in node if not _is_tagged(value)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _suggest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(key), [str(one) for one in known], n=1)
    return f"did you mean {near[0]!r}?" if near else "no known key is similar"


def _included_by(parents: tuple[Path, ...]) -> str:
    return f" (included by {parents[-1]})" if parents else ""


def _dump(tree: CommentedMap) -> str:
    stream = io.StringIO()
    ruamel.yaml.YAML().dump(tree, stream)
    return stream.getvalue()
