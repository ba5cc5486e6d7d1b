"""Imports point down only; the rule is read from the syntax tree, nothing is imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sb_alexa

ROOT = Path(sb_alexa.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "_assets" not in path.parts)

FOUNDATION, PARTS, MODELS, TOOLS, SURFACE = range(5)
LEVELS = {
    "sb_alexa.lengths": FOUNDATION,
    "sb_alexa.turn": FOUNDATION,
    "sb_alexa.streaming": FOUNDATION,
    "sb_alexa.nn": PARTS,
    "sb_alexa.losses": PARTS,
    "sb_alexa.metrics": PARTS,
    "sb_alexa.encoders": MODELS,
    "sb_alexa.transducer": MODELS,
    "sb_alexa.multitalker": MODELS,
    "sb_alexa.fairness": MODELS,
    "sb_alexa.streaming.sample_buffer": TOOLS,
    "sb_alexa.streaming.session": TOOLS,
    "sb_alexa.training": TOOLS,
    "sb_alexa.corpora": TOOLS,
    "sb_alexa.inference": TOOLS,
    "sb_alexa.report": TOOLS,
    "sb_alexa.assets": TOOLS,
    "sb_alexa.bench": SURFACE,
    "sb_alexa.demo": SURFACE,
    "sb_alexa.commands": SURFACE,
    "sb_alexa.cli": SURFACE,
}
# The Conformer is SpeechBrain's own, wrapped to stand beside ours.
MAY_IMPORT_SPEECHBRAIN_BELOW_TOOLS = {"sb_alexa.encoders.conformer"}
# The package itself holds its version only.
PACKAGE = {"sb_alexa", "sb_alexa.__version__"}


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _level(module: str) -> int | None:
    """The level of the longest listed prefix."""
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        level = LEVELS.get(".".join(parts[:length]))
        if level is not None:
            return level
    return None


def _imports(path: Path) -> Iterator[str]:
    """Every absolute module name a file imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import; write the whole name"
            assert node.module is not None
            if (ROOT.parent / node.module.replace(".", "/")).is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", FILES, ids=_dotted)
def test_imports_point_down(path: Path) -> None:
    module = _dotted(path)
    if module == "sb_alexa":
        return
    own = _level(module)
    assert own is not None, f"give {module} a level in tests/test_layering.py"
    for imported in _imports(path):
        package = imported.partition(".")[0]
        if package == "sb_alexa":
            other = _level(imported)
            assert imported in PACKAGE or (other is not None and other <= own), (
                f"{module} imports {imported}, which is above it"
            )
        elif package == "speechbrain":
            assert own >= TOOLS or module in MAY_IMPORT_SPEECHBRAIN_BELOW_TOOLS, (
                f"{module} imports {imported}; only training, corpora, inference and what is above "
                "them may"
            )
        elif own == FOUNDATION:
            assert package == "torch" or package in sys.stdlib_module_names, (
                f"{module} imports {imported}; the foundation needs torch alone"
            )


def test_the_package_itself_imports_nothing_heavy() -> None:
    allowed = sys.stdlib_module_names
    heavy = [name for name in _imports(ROOT / "__init__.py") if name.split(".")[0] not in allowed]
    assert not heavy, f"import sb_alexa must cost milliseconds, it imports {heavy}"


def test_the_rule_can_fail() -> None:
    assert _level("sb_alexa.streaming.session") == TOOLS
    assert _level("sb_alexa.streaming.state") == FOUNDATION
    assert _level("sb_alexa.nn.lstm") == PARTS
    assert _level("sb_alexa.nonsense") is None
