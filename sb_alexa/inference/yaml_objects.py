"""Objects made of a checked tree of YAML nodes."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sb_alexa.inference.safe_yaml import (
    NAME,
    NEW,
    UnsafeYamlError,
    is_tuple,
    tuple_parts,
    where,
)


def build(root: MappingNode) -> dict[str, Any]:
    """Make the objects of a tree that `check` has passed.

    A node with several references becomes one object.

    Arguments
    ---------
    root : MappingNode
        A checked tree.

    Returns
    -------
    dict
        Value or object by top-level key.

    Raises
    ------
    ValueError
        If a class refuses its arguments; names the class and the line.
    """
    return _Builder().build(root)


class _Builder:
    def __init__(self) -> None:
        self._built: dict[int, Any] = {}
        self._scalars = YAML(typ="safe", pure=True).constructor

    def build(self, node: Node) -> Any:
        if id(node) not in self._built:
            self._built[id(node)] = self._make(node)
        return self._built[id(node)]

    def _make(self, node: Node) -> Any:
        for kind in (NEW, NAME):
            if str(node.tag).startswith(kind):
                return self._make_class(node, kind)
        return self._content(node)

    def _content(self, node: Node) -> Any:
        if isinstance(node, MappingNode):
            return {key.value: self.build(value) for key, value in node.value}
        if isinstance(node, SequenceNode):
            return [self.build(value) for value in node.value]
        if is_tuple(node):
            return tuple(self._scalar(part) for part in tuple_parts(node))
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:
        try:
            return self._scalars.yaml_constructors[node.tag](self._scalars, node)
        except ValueError as error:
            raise ValueError(f"{where(node)}: {node.value!r}: {error}") from error

    def _make_class(self, node: Node, kind: str) -> Any:
        name = str(node.tag)[len(kind) :]
        cls = locate_class(name)
        content = None if isinstance(node, ScalarNode) else self._content(node)
        args = content if isinstance(content, list) else []
        kwargs = content if isinstance(content, dict) else {}
        if kind == NAME:
            return functools.partial(cls, *args, **kwargs) if content else cls
        try:
            return cls(*args, **kwargs)
        # SpeechBrain's models assert what they need, or trip over it.
        except (
            TypeError, ValueError, RuntimeError, MemoryError, AssertionError, LookupError,
        ) as error:  # fmt: skip
            raise ValueError(f"{where(node)}: cannot build {name}: {error}") from error


def locate_class(name: str) -> type:
    """Import a class by its full dotted name.

    Arguments
    ---------
    name : str
        Already found on the list of allowed classes.

    Returns
    -------
    type
        The class.

    Raises
    ------
    UnsafeYamlError
        If there is no class of that name.

    Example
    -------
    >>> locate_class("torch.nn.Linear")
    <class 'torch.nn.modules.linear.Linear'>
    """
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnsafeYamlError(f"there is no class {name}: {error}") from error
    if not isinstance(found, type):
        raise UnsafeYamlError(f"{name} is not a class")
    return found
