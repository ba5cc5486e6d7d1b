"""Fixtures of the tests of reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.report.browser import Browser, browser_program


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; tests are skipped without it unless SB_ALEXA_REQUIRE_BROWSER=1."""
    with Browser(browser_program()) as running:
        yield running
