"""Fixtures of the demo's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.demo.report import DemoReport
from tests.demo import fake_run


@pytest.fixture
def report(tmp_path: Path) -> DemoReport:
    """A report of made-up results."""
    return fake_run.report(tmp_path / "run")
