"""The documentation is true: its commands parse, its Python runs, its figures are those measured.

A figure in a Markdown file names its source in a comment that readers do not see:
``4.7<!-- demo.json: wer -->``. The file lies in tests/figures and is what a command wrote with
``--json``; the number must be its value, rounded to the digits that are shown.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from sb_alexa import cli
from sb_alexa.assets import find_recipe

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "tests" / "figures"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "recipes").rglob("README.md"))]
OUTSIDE_COMMANDS = {"cd", "pip", "git", "ffmpeg", "arecord", "curl", "tensorboard", "sbatch"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown file."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path, text: str) -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text[: match.start()].count("\n") + 1
        found.append(Block(document, line, match.group(1), match.group(2)))
    return found


def all_blocks(*languages: str) -> list[Block]:
    return [
        block
        for document in DOCUMENTS
        for block in blocks(document, document.read_text(encoding="utf-8"))
        if block.language in languages
    ]


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, split into words; pipelines and lists are taken apart."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                found.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in found if words]


def check_command(words: list[str]) -> None:
    """Raise if a documented command could not be run."""
    while "=" in words[0]:  # VARIABLE=value command
        words = words[1:]
    name = words[0]
    if name == "sb-alexa":
        check_arguments(words[1:])
    elif name == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in (word for word in words[1:] if "=" not in word):
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}"
    elif name in ("python", "torchrun"):
        check_script(words[1:])
    else:
        assert name in OUTSIDE_COMMANDS, f"nobody checks the command {name!r}"


def check_arguments(arguments: list[str]) -> None:
    name = arguments[0]
    assert name in cli.COMMANDS, f"no command {name!r}"
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(f"sb_alexa.commands.{name}").add_arguments(parser)
    parsed = parser.parse_args([word for word in arguments[1:] if word not in "<>"])
    if name == "recipe" and parsed.hparams:
        find_recipe(parsed.recipe).find_hparams(parsed.hparams)


def check_script(words: list[str]) -> None:
    """`python train.py x.yaml`, from the root or a recipe's folder, or `-m sb_alexa.cli`."""
    if "-m" in words:
        module, *arguments = words[words.index("-m") + 1 :]
        if module == "sb_alexa.cli":
            check_arguments(arguments)
        return
    files = [word for word in words if word.endswith((".py", ".yaml"))]
    assert files, f"no script in {words}"
    folders = [ROOT, *(path.parent for path in (ROOT / "recipes").rglob("train.py"))]
    assert any(all((folder / file).is_file() for file in files) for folder in folders), files


@dataclass(frozen=True)
class Figure:
    """A number in a text and where it claims to come from."""

    shown: str
    file: str
    name: str

    def check(self, folder: Path) -> None:
        """Raise if the file does not hold this number."""
        value = json.loads((folder / self.file).read_text(encoding="utf-8"))["figures"][self.name]
        digits = len(self.shown.partition(".")[2])
        number = float(self.shown.replace(",", ""))
        assert number == round(value, digits), f"{self} but {self.file} has {value}"


def figures(text: str) -> list[Figure]:
    pattern = r"(-?[\d,]*\.?\d+)[^\d<|\n]*<!--\s*([\w./-]+\.json):\s*([\w.]+)\s*-->"
    return [Figure(*match) for match in re.findall(pattern, text)]


@pytest.mark.parametrize("block", all_blocks("bash", "sh", "shell", "console"), ids=str)
def test_documented_commands_can_be_run(block: Block) -> None:
    found = commands(block.text)
    assert found
    for words in found:
        check_command(words)


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_documented_python_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small untrained models where the demo and a recipe leave theirs, and a recording."""
    import soundfile

    from tests.tiny_gated_model import write_gated_model
    from tests.tiny_model import noise, write_tiny_model
    from tests.tiny_multitalker import write_multitalker_model

    monkeypatch.chdir(tmp_path)
    write_tiny_model(tmp_path / "results" / "demo" / "model")
    write_gated_model(tmp_path / "results" / "amortized_mini" / "1234")
    write_multitalker_model(tmp_path / "results" / "sts_mini" / "1234")
    for name in ("recording.wav", "meeting.wav"):
        soundfile.write(name, noise(16000, 1).numpy(), 16000)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_are_those_of_their_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    found = figures(text)
    # A comment that the pattern does not understand would go unchecked.
    assert len(found) == len(re.findall(r"<!--[^>]*\.json", text))
    for figure in found:
        figure.check(FIGURES)


def test_every_figure_file_tells_its_origin_and_is_used() -> None:
    used = {f.file for path in DOCUMENTS for f in figures(path.read_text(encoding="utf-8"))}
    for path in FIGURES.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["command"] and content["version"] and content["machine"]["cpu"]
        assert path.name in used, f"{path.name} is not used by any document"


@pytest.mark.parametrize(
    "command",
    [
        "sb-alexa transcribe results/demo/model talk.wav --streem",
        "sb-alexa dance",
        "sb-alexa recipe LibriSpeech/ASR no_such_yaml",
        "make tea",
        "python train.py hparams/no_such.yaml",
        "pythn train.py",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    (words,) = commands(command)
    with pytest.raises((AssertionError, ValueError, SystemExit)):
        check_command(words)


def test_shell_blocks_are_taken_apart() -> None:
    text = "# note\n$ cd a && make demo  # then\nffmpeg -i x \\\n  - | sb-alexa transcribe m -\n"
    first = [["cd", "a"], ["make", "demo"]]
    assert commands(text) == [
        *first,
        ["ffmpeg", "-i", "x", "-"],
        ["sb-alexa", "transcribe", "m", "-"],
    ]


def test_blocks_are_found_with_their_lines() -> None:
    text = "a\n```bash\nmake demo\n```\nb\n```python\nx = 1\n```\n"
    found = [(b.line, b.language, b.text) for b in blocks(ROOT / "README.md", text)]
    assert found == [(2, "bash", "make demo\n"), (6, "python", "x = 1\n")]


def test_figures_are_compared_at_the_digits_shown(tmp_path: Path) -> None:
    content = {"figures": {"wer": 4.651, "words": 2345, "sweep_0.5_wer": 6.25}}
    (tmp_path / "demo.json").write_text(json.dumps(content))
    text = "WER **4.7** %<!-- demo.json: wer --> on 2,345<!-- demo.json: words --> words"
    text += ", 6.25<!-- demo.json: sweep_0.5_wer -->"
    good = figures(text)
    assert [figure.shown for figure in good] == ["4.7", "2,345", "6.25"]
    for figure in good:
        figure.check(tmp_path)
    with pytest.raises(AssertionError, match="has 4.651"):
        Figure("4.6", "demo.json", "wer").check(tmp_path)
