"""What pip installs: the wheel is complete, and works without the clone."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sb_alexa
from sb_alexa.assets import UnknownNameError, assets_root, find_recipe, list_recipes

ROOT = Path(__file__).parent.parent
ASSETS = ("recipes", "hparams")


def asset_files() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for folder in ASSETS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".yaml", ".md") and not {"results", "__pycache__"} & {*path.parts}
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build must leave no trace in the clone, nor see one."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed (pip install -e '.[dev]')")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "results")
    for name in ("sb_alexa", *ASSETS):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source / name)
    # What a user has trained inside the clone.
    output = source / "recipes" / "LibriSpeech" / "ASR" / "results"
    output.mkdir()
    (output / "private.txt").write_text("not for the wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_recipes_hparams_and_data_files(names: list[str]) -> None:
    expected = [f"sb_alexa/_assets/{name}" for name in asset_files()]
    assert "sb_alexa/_assets/recipes/LibriSpeech/ASR/hparams/conv_rnnt.yaml" in expected
    assert "sb_alexa/_assets/hparams/encoders/amortized.yaml" in expected
    assert [name for name in expected if name not in names] == []
    assert "sb_alexa/demo/page.css" in names
    assert "sb_alexa/report/page.css" in names


def test_wheel_holds_nothing_else(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert tops == {"sb_alexa", f"sb_alexa-{sb_alexa.__version__}.dist-info"}
    assert [name for name in names if "private" in name or "__pycache__" in name] == []


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"sb_alexa-{sb_alexa.__version__}.dist-info"
        metadata = archive.read(f"{folder}/METADATA").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata
    assert re.search(r"Requires-Dist: torch<2\.12,>=2\.8", metadata)
    assert "sb-alexa = sb_alexa.cli:main" in entry_points
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in licence


def test_installed_wheel_finds_and_reads_its_recipes(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import sb_alexa.assets as a; from sb_alexa.training.configuration import Configuration\n"
        "print(a.assets_root())\n"
        "for r in a.list_recipes():\n"
        "  for p in r.hparams.values():\n"
        "    Configuration.from_file(p, {'data_folder': 'x'}).values(); print(r.name, p.stem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    root, *found = done.stdout.splitlines()
    assert Path(root) == site / "sb_alexa" / "_assets"
    assert found == [f"{r.name} {name}" for r in list_recipes() for name in r.hparams]


def test_clone_uses_its_own_recipes() -> None:
    assert assets_root() == ROOT
    assert find_recipe("librispeech/asr").script == ROOT / "recipes/LibriSpeech/ASR/train.py"


def test_misspelt_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean LibriSpeech/ASR?"):
        find_recipe("LibriSpeach/ASR")
    with pytest.raises(UnknownNameError, match=r"Did you mean conv_rnnt\?.*mini"):
        find_recipe("LibriSpeech/ASR").find_hparams("convrnnt")


def test_hparams_may_be_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("base: x.yaml\n")
    recipe = find_recipe("LibriSpeech/ASR")
    assert recipe.find_hparams(str(own)) == own
    assert recipe.find_hparams("mini.yaml") == recipe.find_hparams("mini")


def test_extras_that_messages_name_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))
    named = {
        extra
        for path in [*(ROOT / "sb_alexa").rglob("*.py"), *ROOT.rglob("recipes/**/*.md")]
        for group in re.findall(r"sb-alexa\[([\w,]+)\]", path.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    assert named >= {"demo"}
    assert named <= extras


def test_ci_script_is_executable_shell_that_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.read_text(encoding="utf-8").rstrip().endswith("make test")


def test_make_help_names_every_target() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony.group(1).split():
        assert target == "help" or f"make {target}" in done.stdout
