"""Fixtures of the demo's tests."""

from __future__ import annotations

from pathlib import Path

import fake_run
import pytest

from sb_alexa.demo.report import DemoReport


@pytest.fixture
def report(tmp_path: Path) -> DemoReport:
    """A report of made-up results."""
    return fake_run.report(tmp_path / "run")
