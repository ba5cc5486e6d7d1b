"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported, for this process and those it starts: OpenMP threads that compete with
# another process spin and become many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real corpora named by SB_ALEXA_REALDATA; the test is skipped without it."""
    folder = os.environ.get("SB_ALEXA_REALDATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SB_ALEXA_REALDATA is not set")
    return Path(folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems() -> Iterator[None]:
    """Keep Hypothesis from loading SpeechBrain's lazy modules.

    Hypothesis asks every loaded module for its file; a lazy module of SpeechBrain answers by
    importing a package that need not be installed, and the whole test session ends (issue 2995 of
    speechbrain).
    """
    for module in list(sys.modules.values()):
        if type(module).__module__ == "speechbrain.utils.importutils":
            module.__dict__.setdefault("__file__", None)
    return (yield)
