"""Nothing in a stranger's YAML runs: each trick is refused before anything is built."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from sb_alexa.inference import safe_yaml, yaml_objects
from sb_alexa.inference.safe_yaml import UnsafeYamlError

ALLOWED = ("torch.nn.Linear", "torch.nn.ReLU", "torch.nn.Sequential")


def load(text: str, overrides: Any = None) -> dict[str, Any]:
    root = safe_yaml.parse(text, "model.yaml")
    differences = safe_yaml.parse_overrides(overrides)
    if differences is not None:
        safe_yaml.merge(root, differences)
    safe_yaml.follow_references(root)
    safe_yaml.check(root, ALLOWED)
    return yaml_objects.build(root)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists only if a YAML got its way; the usual ways also fail loudly."""

    def sprung(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"the YAML ran something: {args}")

    monkeypatch.setattr(os, "system", sprung)
    monkeypatch.setattr(subprocess, "Popen", sprung)
    return tmp_path / "sprung"


MALICIOUS = {
    "apply": "a: !apply:os.system [touch TRAP]",
    "apply without arguments": "a: !apply:os.getcwd",
    "applyref": "a: !applyref:os.system [touch TRAP]",
    "new": "a: !new:subprocess.Popen [[touch, TRAP]]",
    "new, mapping": "a: !new:subprocess.Popen {args: [touch, TRAP]}",
    "name": "a: !name:os.system",
    "name with arguments": "a: !name:os.system [touch TRAP]",
    "module": "a: !module:antigravity",
    "include": "a: !include:/etc/passwd",
    "copy": "b: 1\na: !copy <b>",
    "python/object/apply": "a: !!python/object/apply:os.system [touch TRAP]",
    "python/object/new": "a: !!python/object/new:subprocess.Popen [[touch, TRAP]]",
    "python/name": "a: !!python/name:os.system",
    "python/module": "a: !!python/module:antigravity",
    "python/tuple": "a: !!python/tuple [1, 2]",
    "renamed handle": "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [TRAP]",
    "verbatim tag": "a: !<!apply:os.system> [touch TRAP]",
    "verbatim python tag": "a: !<tag:yaml.org,2002:python/object/apply:os.system> [touch TRAP]",
    "escaped tag": "a: !new:subprocess%2EPopen [[touch, TRAP]]",
    "allowed prefix": "a: !new:torch.nn.Linear.os.system [touch TRAP]",
    "allowed package": "a: !new:torch.nn.Linear2 {}",
    "own package": "a: !new:sb_alexa.cli.os.system [touch TRAP]",
    "loader in an allowed package": "a: !new:torch.nn.Module.load",
    "other case": "a: !NEW:torch.nn.ReLU",
    "bare tag": "a: !new 3",
    "unknown tag": "a: !whatever 3",
    "placeholder": "a: !PLACEHOLDER",
    "nested in an allowed object": "a: !new:torch.nn.Sequential [!apply:os.system [touch TRAP]]",
    "deep in a list": "a: [1, [2, {b: [!apply:os.system [touch TRAP]]}]]",
    "as a key": "? !apply:os.system [touch TRAP]\n: 1",
    "as a tagged key": "!apply:os.system touch TRAP : 1",
    "inside of a tuple": "a: (!!python/object/apply:os.system [touch TRAP])",
    "tuple of references": "a: (&b [*b])",
    "explicit tuple": "a: !tuple (!!python/name:os.system)",
    "tuple of nothing": "a: !tuple text",
    "root": "!apply:os.system [touch TRAP]",
    "tagged root": "!new:subprocess.Popen {args: [touch, TRAP]}",
    "merge key": "b: &b {c: 1}\na: {<<: *b}",
    "binary": "a: !!binary aGVsbG8=",
    "set": "a: !!set {x}",
    "arguments as text": "a: !new:torch.nn.ReLU (!apply:os.system)",
    "reference to an attribute": "b: 1\na: !ref <b.__class__>",
    "reference with arithmetic": "b: 1\na: !ref <b> ** 9999999999",
    "reference to itself": "a: !ref <a>",
    "references in a circle": "a: !ref <b>\nb: !ref <a>",
    "object in itself": "a: !new:torch.nn.Sequential [!ref <a>]",
    "alias of itself": "a: &a [*a]",
    "mapping of itself": "a: &a {b: *a}",
    "two documents": "a: 1\n---\nb: 2",
    "duplicate key": "a: 1\na: !apply:os.system [touch TRAP]",
}


@pytest.mark.parametrize("trick", MALICIOUS)
def test_tricks_are_refused(trick: str, trap: Path) -> None:
    text = MALICIOUS[trick].replace("TRAP", str(trap))
    with pytest.raises(UnsafeYamlError, match="model.yaml"):
        load(text)
    assert not trap.exists()


@pytest.mark.parametrize("trick", MALICIOUS)
def test_tricks_are_refused_in_overrides(trick: str, trap: Path) -> None:
    text = MALICIOUS[trick].replace("TRAP", str(trap))
    with pytest.raises(UnsafeYamlError):
        load("a: 0\nb: 0", text)
    assert not trap.exists()


def test_nothing_is_built_before_everything_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(yaml_objects, "locate_class", built.append)
    with pytest.raises(UnsafeYamlError):
        load("a: !new:torch.nn.ReLU\nb: !apply:os.getcwd")
    assert built == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: 1\na: !apply:os.system [ls]", r"model\.yaml, line 2: .*!apply:os\.system is refused"),
        ("a: !apply:f []", "write the value that the call returns instead"),
        ("a: !include:b.yaml", "copy the lines of the included file here"),
        ("a: !new:mine.Layer {}", r"trusted_constructors=\('mine\.Layer',\)"),
        ("a: !!python/name:os.system", "the tag !!python/name:os.system is refused"),
        ("a: 1\na: 2", "line 2: the key 'a' appears twice"),
        ("a: [", "not YAML"),
        ("- 1", "not a configuration"),
        ("", "not a configuration"),
        ("a: &a [*a]", "contains itself"),
        ("a: 2020-01-01", "tag !!timestamp is refused"),
    ],
)
def test_messages_name_line_tag_and_remedy(text: str, message: str) -> None:
    with pytest.raises(UnsafeYamlError, match=message):
        load(text)


def test_files_made_to_exhaust_memory_are_refused_quickly() -> None:
    laughs = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "\n".join(
        f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 30)
    )
    with pytest.raises(UnsafeYamlError, match="unfolds into"):
        load(laughs)
    with pytest.raises(UnsafeYamlError, match="nested"):
        load("a: " + "[" * 1_000)
    with pytest.raises(UnsafeYamlError, match="nested"):
        load("a: " + "[" * 60 + "]" * 60)
    with pytest.raises(UnsafeYamlError, match="tuple"):
        load("a: " + "(" * 20_000 + ")" * 20_000)
    with pytest.raises(UnsafeYamlError, match="characters of YAML"):
        load("a: " + "x" * (safe_yaml.LARGEST_TEXT + 1))


def test_plain_values_are_those_of_hyperpyyaml() -> None:
    text = """
    int: 3
    float: 1e-3
    other_float: 2.5
    bool: true
    yes_is_text: yes
    null_value: null
    empty:
    text: hello world
    quoted: "3"
    octal: 010
    hexadecimal: 0x10
    tuple: (3, 4)
    tuple_of_kinds: (1.5, a, true)
    list: [1, 2.0, x]
    mapping: {a: 1, b: {c: [2]}}
    """
    before = load(text)
    # The second time with what HyperPyYAML has changed in the YAML library of this process.
    assert before == load_hyperpyyaml(text) == load(text)


def test_a_quoted_text_in_parentheses_stays_text() -> None:
    assert load("a: '(3, 4)'") == {"a": "(3, 4)"}


def test_objects() -> None:
    found = load(
        """
        plain: !new:torch.nn.ReLU
        linear: &linear !new:torch.nn.Linear {in_features: 2, out_features: 3}
        chain: !new:torch.nn.Sequential [*linear, !new:torch.nn.ReLU {}, !ref <linear>]
        name: !name:torch.nn.ReLU
        partial: !name:torch.nn.Linear {in_features: 2}
        """
    )
    assert isinstance(found["plain"], torch.nn.ReLU)
    assert found["chain"][0] is found["linear"] is found["chain"][2]
    assert found["name"] is torch.nn.ReLU
    assert isinstance(found["partial"], functools.partial)
    assert found["partial"](out_features=5).weight.shape == (5, 2)


def test_constructor_errors_name_class_and_line() -> None:
    with pytest.raises(ValueError, match=r"line 2: cannot build torch\.nn\.Linear: .*'foo'"):
        load("x: 1\na: !new:torch.nn.Linear {in_features: 1, out_features: 1, foo: 2}")


def test_overrides() -> None:
    text = """
    size: 2
    linear: &linear !new:torch.nn.Linear {in_features: 2, out_features: 3}
    chain: !new:torch.nn.Sequential [*linear]
    nested: {a: {b: 1, c: 2}}
    """
    found = load(text, {"size": 5, "linear": {"bias": False}, "nested": {"a": {"b": [1, None]}}})
    assert found["size"] == 5
    assert found["chain"][0].bias is None, "every reference sees the change"
    assert found["nested"] == {"a": {"b": [1, None], "c": 2}}
    found = load(text, "linear: !new:torch.nn.ReLU\nsize: !ref <nested>")
    assert isinstance(found["linear"], torch.nn.ReLU)
    assert found["size"] is found["nested"]
    assert load(text, "")["size"] == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sise": 3}, "override sise matches nothing; the keys here are size, nested"),
        ({"nested": {"z": 1}}, r"override nested\[z\] matches nothing"),
        ({"size": object()}, "numbers, strings, lists and dicts only"),
        ({"size": torch.nn.ReLU()}, "numbers, strings, lists and dicts only"),
        ("[1, 2]", "overrides: not a configuration"),
    ],
)
def test_wrong_overrides(overrides: Any, message: str) -> None:
    with pytest.raises(UnsafeYamlError, match=message):
        load("size: 2\nnested: {a: 1}", overrides)


def test_text_in_a_dict_stays_text() -> None:
    assert load("a: 1", {"a": "!apply:os.getcwd"})["a"] == "!apply:os.getcwd"
