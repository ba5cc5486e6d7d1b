"""The browser that judges the pages finds what is wrong with a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.browser import Browser, BrowserError, browser_program

_GOOD = """<p>Two <b style="display: none">hidden</b> words</p>
<svg width="10" height="10"><path d="M0 0L5 5"/><rect width="3" height="3"/></svg>
<svg width="90"><text x="10" y="30">label</text><text style="display: none">none</text></svg>
<svg width="90" style="overflow: visible"><text x="80" y="30">label</text></svg>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC" alt="">
<div style="overflow-x: auto"><div style="width: 2000px">scrolls by itself</div></div>"""


def problems(browser: Browser, folder: Path, body: str) -> list[str]:
    path = folder / "page.html"
    path.write_text(f"<!doctype html>\n<meta charset='utf-8'>\n<body>{body}</body>\n")
    with browser.page(path) as page:
        return page.problems()


def test_a_good_page_has_no_problems(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html>\n{_GOOD}")
    with browser.page(path) as page:
        assert page.problems() == []
        assert page.text("p") == "Two words"
        assert page.evaluate("window.innerWidth") == 1200


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>throw new Error('thrown')</script>", "error: Error: thrown"),
        ("<script>setTimeout(() => missing(), 0)</script>", "error: ReferenceError: missing"),
        ("<script>Promise.reject(new Error('nobody'))</script>", "error: Error: nobody"),
        ("<script>console.error('said', 3)</script>", "error: said 3"),
        ("<svg><path d='Mx'/></svg>", "error: Error: <path> attribute d"),
        ("<svg><path d='M0 0Lnan 3'/></svg>", "error: Error: <path> attribute d"),
        ("<svg><rect width='a'/></svg>", "error: Error: <rect> attribute width"),
        ("<svg><polyline points='1,2 nan,4'/></svg>", "error: Error: <polyline> attribute points"),
        ("<svg viewBox='0 0 nan 3'></svg>", "error: Error: <svg> attribute viewBox"),
        ("<script>fetch('http://example.invalid/data')</script>", "request: http://example.inv"),
        ("<img src='http://example.invalid/a.png'>", "request: http://example.invalid/a.png"),
        ("<style>p {background: url(//example.invalid/b)}</style><p>x", "request: file://example"),
        ("<link rel='stylesheet' href='beside.css'>", "request: file:///"),
        ("<script>new WebSocket('ws://example.invalid/')</script>", "request: ws://example.inv"),
        ("<div style='width: 500px'>x</div>", "88 px wider than a window of 420 px: <div style"),
        ("<details><p style='width: 500px'>x</details>", "88 px wider than a window of 420 px"),
        (f"<p>{'W' * 500}</p>", r"[5-9]\d{3} px wider than a window of 420 px"),
        (
            "<svg width='90'><text x='80' y='30'>label</text></svg>",
            "cut off at a chart's edge: label",
        ),
    ],
)
def test_what_is_wrong_is_found(
    browser: Browser, tmp_path: Path, body: str, complaint: str
) -> None:
    found = problems(browser, tmp_path, body)
    assert any(re.match(complaint, one) for one in found), found


def test_pages_do_not_see_each_other(browser: Browser, tmp_path: Path) -> None:
    assert problems(browser, tmp_path, "<script>throw new Error('thrown')</script>")
    assert problems(browser, tmp_path, _GOOD) == []


def test_a_page_that_is_not_there_is_no_good_page(browser: Browser, tmp_path: Path) -> None:
    with (
        pytest.raises(BrowserError, match="ERR_FILE_NOT_FOUND"),
        browser.page(tmp_path / "none.html"),
    ):
        pass


def test_a_browser_that_does_not_start_is_named(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display here >&2\nexit 1\n")
    program.chmod(0o755)
    with (
        Browser(str(program)) as running,
        pytest.raises(BrowserError, match=r"has ended.*\n.*no display here"),
    ):
        running.call("Browser.getVersion")


def test_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped with the reason; a failure where one is asked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SB_ALEXA_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="none of chromium, .* is on the PATH"):
        browser_program()
    monkeypatch.setenv("SB_ALEXA_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="asks for it"):
        browser_program()
