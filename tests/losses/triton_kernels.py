"""Runs Triton's kernels where there is no GPU, and their compiler too.

The tests of the kernels run on a GPU if there is one. Besides, each of their files starts itself
once more in a process in which Triton interprets the kernels on the CPU: the variable that asks for
it is read when Triton is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if IS_INTERPRETED else "cuda")

has_package = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
on_kernels = pytest.mark.skipif(
    not IS_INTERPRETED and (find_spec("triton") is None or not torch.cuda.is_available()),
    reason="no GPU; test_interpreted runs this on the CPU",
)
outside_interpreter = pytest.mark.skipif(IS_INTERPRETED, reason="started by test_interpreted")


def _let_interpreter_count() -> None:
    """NumPy 2.4 no longer makes an int of an array of one number, which loops ask for."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_and_mend(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    interpreter._patch_lang_tensor = patch_and_mend


if IS_INTERPRETED:
    _let_interpreter_count()


def run_interpreted(tests: str) -> None:
    """Run the tests of a file in a process whose kernels are interpreted."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    result = subprocess.run(
        [*command, tests],
        cwd=ROOT,
        env={**inherited, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@contextmanager
def compiling_only(cache: Path) -> Iterator[list[Any]]:
    """Have kernels compiled for compute capability 9.0 instead of launched, which needs no GPU.

    The interpreter accepts what the compiler does not. The list gets what each launch would run.
    """
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    launches: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        launches.append(run(self, *args, grid=grid, warmup=True, **kwargs))
        return launches[-1]

    no_gpu = SimpleNamespace(
        # Kernels are remembered by device; this one is nobody's.
        get_current_device=lambda: 1000,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_active", no_gpu)
        patch.setattr(JITFunction, "run", compile_only)
        patch.setenv("TRITON_CACHE_DIR", str(cache))
        yield launches
