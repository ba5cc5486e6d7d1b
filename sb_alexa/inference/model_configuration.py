"""From the YAML of a recipe to the YAML of a model folder."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.anchor import Anchor
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sb_alexa.inference import safe_yaml
from sb_alexa.inference.model_folder import ModelFolderError

MODEL_KEYS = ("sample_rate", "features", "encoder", "predictor", "joiner", "ctc_head", "search")
SPEAKER_KEYS = ("sample_rate", "speaker_encoder")


def model_configuration(
    recipe: str | os.PathLike[str],
    overrides: str | Mapping[str, Any] | None = None,
    *,
    keys: Sequence[str] = MODEL_KEYS,
) -> str:
    """Take out of a recipe what a trained model needs, with every reference and include resolved.

    It takes milliseconds and builds nothing: call it before training, so that a configuration that
    cannot be opened again is known at once.

    Arguments
    ---------
    recipe : str | path-like
        HyperPyYAML text, or the path of a recipe's YAML.
    overrides : str | Mapping | None
        As on the recipe's command line.
    keys : sequence of str
        Top-level keys to keep, in this order.

    Returns
    -------
    str
        YAML of plain values and `!new:` objects; an object that another one refers to is written
        once with an anchor and named by an alias.

    Raises
    ------
    ModelFolderError
        If a key is missing.
    UnsafeYamlError
        If one of the values needs `!apply` or another tag that a model folder refuses.

    Example
    -------
    >>> print(
    ...     model_configuration(
    ...         '''
    ... size: 8
    ... lr: 0.1
    ... first: !new:torch.nn.Linear {in_features: !ref <size>, out_features: !ref <size> * 2}
    ... both: !new:torch.nn.Sequential [!ref <first>, !ref <first>]
    ... ''',
    ...         keys=["first", "both"],
    ...     )
    ... )
    first: &first !new:torch.nn.Linear
      in_features: 8
      out_features: 16
    both: !new:torch.nn.Sequential
    - *first
    - *first
    <BLANKLINE>
    """
    if isinstance(recipe, str):
        resolved = resolve_references(recipe, overrides, overrides_must_match=True).getvalue()
    else:
        from sb_alexa.training.configuration import Configuration

        resolved = Configuration.from_file(os.fspath(recipe), overrides or "").resolved_text()
    root = safe_yaml.parse(resolved, "the recipe")
    by_key = {key.value: (key, value) for key, value in root.value}
    missing = [key for key in keys if key not in by_key]
    if missing:
        raise ModelFolderError(
            f"the recipe lacks {', '.join(missing)}, which a model folder holds; add what is "
            "missing, or name the keys of the model"
        )
    root.value = [by_key[key] for key in keys]
    safe_yaml.check(root, allowed=None)
    _name_anchors(root)
    stream = io.StringIO()
    YAML().serialize(_unshared(root), stream)
    return stream.getvalue()


def _name_anchors(root: MappingNode) -> None:
    """Let the aliases of a top-level object carry its key."""
    for key, value in root.value:
        anchor = Anchor()
        anchor.value = key.value
        value.anchor = anchor


def _unshared(root: MappingNode) -> MappingNode:
    """Copy a tree, keeping objects shared and writing plain values out wherever they occur."""
    copies: dict[int, Node] = {}

    def copy(node: Node) -> Node:
        if id(node) in copies:
            return copies[id(node)]
        is_object = str(node.tag).startswith(safe_yaml.NEW)
        new: Node
        if isinstance(node, MappingNode):
            pairs = [(copy(key), copy(value)) for key, value in node.value]
            new = MappingNode(node.tag, pairs, flow_style=not pairs)
        elif isinstance(node, SequenceNode):
            parts = [copy(value) for value in node.value]
            on_one_line = all(isinstance(part, ScalarNode) for part in parts)
            new = SequenceNode(node.tag, parts, flow_style=on_one_line)
        else:
            new = ScalarNode(node.tag, node.value, style=getattr(node, "style", None))
        if is_object:
            new.anchor = node.anchor
            copies[id(node)] = new
        return new

    return MappingNode(root.tag, [(copy(key), copy(value)) for key, value in root.value])
