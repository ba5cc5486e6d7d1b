"""Reading of YAML that may come from a stranger: a tree of nodes, checked before anything is built.

HyperPyYAML's loader calls whatever function a tag names (`!apply:os.system`), imports modules to
find names, follows `!include` to any file, and hands the inside of `(...)` to a loader that builds
arbitrary objects. Nothing of it is used here: the text is parsed into nodes, every tag of which
must be on a list, and only then are objects made of them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# Far above any real configuration; a file beyond them was written to exhaust memory.
LARGEST_TEXT = 50_000
_LARGEST_TREE = 100_000
_DEEPEST_NESTING = 50

_STANDARD = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_STANDARD + kind for kind in ("null", "bool", "int", "float", "str"))
_MAP_TAG, _SEQUENCE_TAG = _STANDARD + "map", _STANDARD + "seq"
NEW, NAME, TUPLE = "!new:", "!name:", "!tuple"
_REMEDIES = {
    "!apply": "write the value that the call returns instead",
    "!include": "copy the lines of the included file here instead",
    "!ref": "only `!ref <key>` with a key of the top level is followed; write the value instead",
    "!copy": "write the value itself instead",
    "!module": "there is no use for a module here; remove it",
    "!PLACEHOLDER": "write the value instead",
}


class UnsafeYamlError(ValueError):
    """A YAML file asks for something that is not on the list of what it may ask for."""


def parse(text: str, source: str) -> MappingNode:
    """Parse YAML text into nodes, without building anything.

    Arguments
    ---------
    text : str
        One YAML document, a mapping at its top level.
    source : str
        What to call it in error messages, for example the path of the file.

    Returns
    -------
    MappingNode
        The root; no tag has been checked.

    Raises
    ------
    UnsafeYamlError
        If it is not YAML, not a mapping, or too large.

    Example
    -------
    >>> [key.value for key, _ in parse("a: 1", "example").value]
    ['a']
    """
    if len(text) > LARGEST_TEXT:
        raise UnsafeYamlError(
            f"{source}: {len(text)} characters of YAML, more than the {LARGEST_TEXT} a model needs"
        )
    stream = io.StringIO(text)
    stream.name = source  # type: ignore[attr-defined]  # where the parser finds the name for its marks
    try:
        root = YAML(typ="safe", pure=True).compose(stream)
    except RecursionError:
        raise UnsafeYamlError(f"{source}: nested too deeply") from None
    except YAMLError as error:
        raise UnsafeYamlError(f"{source}: not YAML: {error}") from error
    if not isinstance(root, MappingNode):
        raise UnsafeYamlError(
            f"{source}: not a configuration, which is a mapping of names to values"
        )
    _check_shape(root)
    return root


def parse_overrides(overrides: str | Mapping[str, Any] | None) -> MappingNode | None:
    """Turn overrides, YAML text or a dict of plain values, into nodes.

    Arguments
    ---------
    overrides : str | Mapping | None
        As SpeechBrain takes them.

    Returns
    -------
    MappingNode | None
        None where there is nothing to override.

    Raises
    ------
    UnsafeYamlError
        If a dict holds objects other than plain values.
    """
    if not overrides:
        return None
    if isinstance(overrides, str):
        return parse(overrides, "overrides")
    try:
        root = YAML(typ="safe", pure=True).representer.represent_data(dict(overrides))
    except (YAMLError, RecursionError) as error:
        raise UnsafeYamlError(
            f"overrides hold numbers, strings, lists and dicts only: {error}; "
            "change objects after loading"
        ) from error
    _check_shape(root)
    return root


def merge(root: MappingNode, overrides: MappingNode, path: str = "") -> None:
    """Replace values of a tree by those of another, key by key.

    Arguments of `!new:` may be added; anything else must be there already, so that a misspelt
    key is an error.

    Arguments
    ---------
    root : MappingNode
        Changed in place. A node with several references changes for all of them.
    overrides : MappingNode
        A tree of the same shape with fewer keys.
    path : str
        Where in the tree this is; for messages.

    Raises
    ------
    UnsafeYamlError
        If a key is unknown.
    """
    places = {key.value: position for position, (key, _) in enumerate(root.value)}
    for key, value in overrides.value:
        name = f"{path}[{key.value}]" if path else str(key.value)
        if key.value not in places:
            if not str(root.tag).startswith(NEW):
                raise UnsafeYamlError(
                    f"override {name} matches nothing; the keys here are "
                    f"{', '.join(map(str, places))}"
                )
            root.value.append((key, value))
            continue
        present = root.value[places[key.value]][1]
        both_mappings = isinstance(present, MappingNode) and isinstance(value, MappingNode)
        if both_mappings and value.tag in (_MAP_TAG, present.tag):
            merge(present, value, name)
        else:
            root.value[places[key.value]] = (key, value)


def follow_references(root: MappingNode) -> None:
    """Replace every `!ref <key>` by the node of that top-level key, so that both are one object.

    Arguments
    ---------
    root : MappingNode
        Changed in place. References of any other form are left for `check` to refuse.
    """
    by_key = {key.value: value for key, value in root.value}

    def target(node: Node) -> Node:
        for _ in by_key:  # a chain of references is no longer than the number of keys
            match = re.fullmatch(r"<([^<>\[\].]+)>", str(node.value))
            if node.tag != "!ref" or match is None or match[1] not in by_key:
                break
            node = by_key[match[1]]
        return node

    for node in _every_node(root):
        if isinstance(node, MappingNode):
            node.value = [(key, target(value)) for key, value in node.value]
        elif isinstance(node, SequenceNode):
            node.value = [target(value) for value in node.value]


def check(root: MappingNode, allowed: Collection[str] | None) -> None:
    """Refuse a tree that asks for anything but plain values and the allowed classes.

    Arguments
    ---------
    root : MappingNode
        From `parse`.
    allowed : collection of str | None
        Full dotted names of the classes that `!new:` and `!name:` may name; None allows any class
        and refuses all other tags.

    Raises
    ------
    UnsafeYamlError
        Names the tag, the line and the remedy.
    """
    _check_shape(root)
    for node in _every_node(root):
        _check_tag(node, allowed)


def class_names(root: MappingNode) -> frozenset[str]:
    """Full dotted names of all classes that a tree asks for."""
    tags = (str(node.tag) for node in _every_node(root))
    kinds = (NEW, NAME)
    return frozenset(tag[len(kind) :] for tag in tags for kind in kinds if tag.startswith(kind))


def where(node: Node) -> str:
    """File and line of a node, for messages."""
    mark = node.start_mark
    return "overrides" if mark is None else f"{mark.name}, line {mark.line + 1}"


def _every_node(root: Node) -> list[Node]:
    """Every node once, values and keys, in the order of the text."""
    found: dict[int, Node] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in found:
            continue
        found[id(node)] = node
        waiting.extend(reversed(_children(node)))
    return list(found.values())


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _check_tag(node: Node, allowed: Collection[str] | None) -> None:
    tag = str(node.tag).replace(_STANDARD, "!!")
    for kind in (NEW, NAME):
        if tag.startswith(kind):
            if isinstance(node, ScalarNode) and node.value:
                raise UnsafeYamlError(
                    f"{where(node)}: {tag} takes a mapping or a list of arguments, not the text "
                    f"{node.value!r}"
                )
            if allowed is not None and tag[len(kind) :] not in allowed:
                raise UnsafeYamlError(
                    f"{where(node)}: {tag} is not among the classes that a model folder may build; "
                    f"if you know what it does and trust it, pass "
                    f"trusted_constructors=({tag[len(kind) :]!r},)"
                )
            return
    if is_tuple(node):
        tuple_parts(node)
        return
    if isinstance(node, ScalarNode) and node.tag in _SCALAR_TAGS:
        return
    if (isinstance(node, MappingNode) and node.tag == _MAP_TAG) or (
        isinstance(node, SequenceNode) and node.tag == _SEQUENCE_TAG
    ):
        return
    remedy = next(
        (text for kind, text in _REMEDIES.items() if tag.startswith(kind)),
        "a model folder holds plain values and `!new:` with a known class only",
    )
    raise UnsafeYamlError(f"{where(node)}: the tag {tag} is refused in a model folder; {remedy}")


def _check_shape(root: MappingNode) -> None:
    for node in _every_node(root):
        if isinstance(node, MappingNode):
            _check_keys(node)
    _check_size(root)


def _check_keys(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.tag not in _SCALAR_TAGS:
            raise UnsafeYamlError(f"{where(key)}: a key must be a plain name")
        if key.value in seen:
            raise UnsafeYamlError(f"{where(key)}: the key {key.value!r} appears twice; remove one")
        seen.add(key.value)


def _check_size(root: MappingNode) -> None:
    """Refuse cycles, and references to references that unfold into something huge."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise UnsafeYamlError(f"{where(node)}: this value contains itself; remove the alias")
        if depth > _DEEPEST_NESTING:
            raise UnsafeYamlError(f"{where(node)}: nested more than {_DEEPEST_NESTING} levels deep")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
            open_nodes.remove(id(node))
        return sizes[id(node)]

    if (total := size(root, 0)) > _LARGEST_TREE:
        raise UnsafeYamlError(
            f"{where(root)}: unfolds into {total} values, more than the {_LARGEST_TREE} a model "
            "needs"
        )


def is_tuple(node: Node) -> bool:
    """Whether HyperPyYAML would read a node as a tuple: an unquoted `(3, 4)`."""
    if not isinstance(node, ScalarNode) or not re.fullmatch(r"\(.*\)", node.value):
        return False
    # HyperPyYAML teaches this tag to ruamel.yaml for the whole process once it has loaded a file.
    return node.tag == TUPLE or (node.tag == _STANDARD + "str" and not node.style)


def tuple_parts(node: Node) -> list[ScalarNode]:
    """The plain values inside an unquoted `(3, 4)`; anything else inside is refused."""
    try:
        inside = YAML(typ="safe", pure=True).compose(io.StringIO(f"[{node.value[1:-1]}]"))
    except (YAMLError, RecursionError):
        inside = None
    parts = inside.value if isinstance(inside, SequenceNode) else [inside]
    for part in parts:
        plain = isinstance(part, ScalarNode) and part.tag in _SCALAR_TAGS
        if not plain or re.search(r"[()]", part.value):
            raise UnsafeYamlError(
                f"{where(node)}: {node.value[:80]} is not a tuple of plain values; use a list, or "
                "quote a text"
            )
    return parts
