"""The command line as a whole: speed, help, exit codes, messages."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

import sb_alexa
from sb_alexa import cli

RunCommand = Callable[[argparse.Namespace], int]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a command `fake` that does what it is told."""

    def install(run: RunCommand, **attributes: object) -> None:
        module = types.ModuleType("sb_alexa.commands.fake")
        module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        for name, value in attributes.items():
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, "sb_alexa.commands.fake", module)
        monkeypatch.setitem(cli.COMMANDS, "fake", "do as told")

    return install


def fails_with(error: BaseException) -> RunCommand:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["recipe", "--help"], ["demo", "--help"]])
def test_help_is_quick_and_loads_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sb_alexa.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'speechbrain') if name in sys.modules])"
    )
    before = children_cpu_seconds()
    output = run_python(code)
    # Processor time: other work on the machine does not count.
    assert children_cpu_seconds() - before < 0.3
    assert output.endswith("[]")


def test_import_costs_milliseconds_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; before = set(sys.modules); start = time.process_time(); "
        "import sb_alexa; "
        "print(time.process_time() - start, *sorted(set(sys.modules) - before))"
    )
    seconds, *modules = run_python(code).split()
    assert float(seconds) < 0.02
    assert [name for name in modules if not name.startswith("sb_alexa")] in ([], ["__future__"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"sb-alexa {sb_alexa.__version__}\n"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert f"example:\n  sb-alexa {name}" in output
    assert max(map(len, output.splitlines())) <= 100


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    listing = capsys.readouterr().err
    for name in cli.COMMANDS:
        assert f"\n    {name}" in listing


def test_misspelt_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["trancribe", "folder"]) == 2
    assert "Did you mean transcribe?" in capsys.readouterr().err


def test_exit_code_is_that_of_the_command(command: Callable[..., None]) -> None:
    command(lambda args: 1)
    assert cli.main(["fake"]) == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("chunk_ms is -1; it must be positive"),
        FileNotFoundError("results/none does not exist"),
        PermissionError("results is not writable"),
        ImportError("install 'sb-alexa[demo]'"),
    ],
)
def test_bad_input_is_a_message_and_exit_code_2(
    error: Exception, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(fails_with(error))
    assert cli.main(["fake"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"sb-alexa: error: {error}\n")
    assert "Traceback" not in message


def test_errors_of_the_package_are_known_whatever_their_base(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    class OurError(RuntimeError):
        pass

    OurError.__module__ = "sb_alexa.training.somewhere"
    command(fails_with(OurError("the disk is full")))
    assert cli.main(["fake"]) == 2
    assert "sb-alexa: error: the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(
    "defect",
    [
        RuntimeError("a tensor has the wrong shape"),
        ImportError("cannot import name 'x' from 'sb_alexa'", name="sb_alexa"),
    ],
)
def test_a_defect_keeps_its_traceback(defect: Exception, command: Callable[..., None]) -> None:
    command(fails_with(defect))
    with pytest.raises(type(defect), match=str(defect)):
        cli.main(["fake"])


def test_traceback_on_request(
    command: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command(fails_with(ValueError("bad")))
    assert cli.main(["--traceback", "fake"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    monkeypatch.setenv("SB_ALEXA_TRACEBACK", "1")
    assert cli.main(["fake"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_interruption_says_what_to_do_next(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(fails_with(KeyboardInterrupt()), AFTER_INTERRUPT="feed it again")
    assert cli.main(["fake"]) == 130
    assert capsys.readouterr().err.endswith("sb-alexa: interrupted; feed it again\n")
    command(fails_with(KeyboardInterrupt("stopped after step 7; run it again")))
    assert cli.main(["fake"]) == 130
    assert "stopped after step 7" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from sb_alexa.cli import main; sys.exit(main(['recipe']))"
    with os.fdopen(writing, "wb") as closed_pipe:
        process = subprocess.run(
            [sys.executable, "-c", code], stdout=closed_pipe, stderr=subprocess.PIPE, check=False
        )
    assert process.returncode == 0
    assert process.stderr == b""
