"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

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
