"""Pages in headless Chromium: what it complains about, what it asks for, what it shows.

Spoken to over a pipe in the DevTools protocol, of which a few commands are enough. (`--dump-dom`
will not do: it prints console messages without their severity, and ends before a request that
cannot be answered is reported.)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS_PX = (420, 1200)  # a telephone, a desk
_DEADLINE_S = 60.0
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # Chromium's cannot be used by root, who runs containers
    "--disable-gpu",
    "--disable-dev-shm-usage",  # 64 MiB in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing leaves the machine
    "--remote-debugging-pipe",
)
# The browser reads commands from file descriptor 3 and writes answers to 4.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
_SETTLED = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true), 0)))"
_UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
_TOO_WIDE = """(() => {
    const root = document.documentElement, excess = root.scrollWidth - root.clientWidth;
    const scrolls = one => one !== null && one !== document.body
        && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
    const right = one => one.getBoundingClientRect().left + one.scrollWidth;
    const wide = [...document.querySelectorAll("body *")].filter(
        one => one.closest("svg") === null && right(one) > root.clientWidth + 1 && !scrolls(one));
    return [excess, wide.length ? wide.at(-1).outerHTML.slice(0, 200) : ""];
})()"""
_CUT_OFF = """[...document.querySelectorAll("svg text")].filter(one => {
    const text = one.getBoundingClientRect(), chart = one.ownerSVGElement;
    const edge = chart.getBoundingClientRect();
    return text.width > 0 && getComputedStyle(chart).overflow !== "visible"
        && (text.left < edge.left - 1 || text.right > edge.right + 1
            || text.top < edge.top - 1 || text.bottom > edge.bottom + 1);
}).map(one => one.textContent)"""


def browser_program() -> str:
    """The first of `PROGRAMS` on the PATH; without any, the test is skipped or fails."""
    for name in PROGRAMS:
        if (program := shutil.which(name)) is not None:
            return program
    reason = f"none of {', '.join(PROGRAMS)} is on the PATH"
    if os.environ.get("SB_ALEXA_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}, and SB_ALEXA_REQUIRE_BROWSER=1 asks for it")
    pytest.skip(reason)


class BrowserError(Exception):
    """The browser itself failed, not a page."""


class Browser:
    """A running browser that has no network; use it in a `with` statement."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(
            prefix="sb-alexa-browser-", ignore_cleanup_errors=True
        )
        self._log = Path(self._profile.name, "browser.log")
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        launch = [sys.executable, "-c", _LAUNCH, str(commands), str(answers), program]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*launch, *_OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
                pass_fds=(commands, answers), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._unread = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrowserError):
            self.call("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):  # its children, too, if it hangs
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._profile.cleanup()

    @contextlib.contextmanager
    def page(self, path: Path) -> Iterator[Page]:
        """A file in a tab of its own, loaded and painted."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, path.resolve().as_uri())
        try:
            page.load()
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are kept."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        try:
            os.write(self._commands, json.dumps(command).encode() + b"\0")
        except BrokenPipeError:
            raise self._failure("the browser has ended") from None
        while True:
            message = self._next()
            if message.get("id") == self._number:
                if "error" in message:
                    raise self._failure(f"{method}: {message['error'].get('message')}")
                return message["result"]

    def wait_for(self, method: str, session: str) -> None:
        """Until an event of this page has come."""
        while not any(
            event["method"] == method and event.get("sessionId") == session for event in self.events
        ):
            self._next()

    def _next(self) -> dict[str, Any]:
        """The next message; an event is also appended to the list."""
        deadline = time.monotonic() + _DEADLINE_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select(
                [self._answers], [], [], max(0.0, deadline - time.monotonic())
            )
            if not ready:
                raise self._failure(f"the browser said nothing for {_DEADLINE_S:.0f} s")
            received = os.read(self._answers, 1 << 16)
            if not received:
                raise self._failure("the browser has ended")
            self._unread += received
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def _failure(self, reason: str) -> BrowserError:
        said = self._log.read_text(errors="replace").splitlines()[-20:]
        return BrowserError("\n".join([f"{reason}; its last lines were:", *said]))


class Page:
    """A page that is open; made by `Browser.page`."""

    def __init__(self, browser: Browser, session: str, url: str) -> None:
        self._browser, self._session, self.url = browser, session, url

    def load(self) -> None:
        """Open the address and wait until all is loaded, run and painted."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        answer = self._call("Page.navigate", url=self.url)
        if "errorText" in answer:
            raise BrowserError(f"{self.url}: {answer['errorText']}")
        self._browser.wait_for("Page.loadEventFired", self._session)
        self.evaluate(_SETTLED)

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {_exception(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What the first such element shows (nothing where it is hidden), spaces collapsed."""
        return " ".join(
            self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText").split()
        )

    @property
    def errors(self) -> list[str]:
        """Messages of severity error: exceptions, bad markup, resources that were refused."""
        found = []
        for event in self._events():
            told = event["params"]
            if event["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(_exception(told["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] in (
                "error",
                "assert",
            ):
                found.append(" ".join(str(one.get("value", one)) for one in told["args"]))
        return found

    @property
    def requests(self) -> list[str]:
        """What it asked for besides itself; content within the page (`data:`) is not asked for."""
        asked = []
        for event in self._events():
            if event["method"] == "Network.requestWillBeSent":
                asked.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                asked.append(event["params"]["url"])
        return [url for url in asked if url != self.url and not url.startswith("data:")]

    def resize(self, width_px: int) -> None:
        """Make the window so wide."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.evaluate(_SETTLED)

    def problems(self, widths_px: tuple[int, ...] = WIDTHS_PX) -> list[str]:
        """All that is wrong with the page, what is folded included; empty if nothing is."""
        found = []
        self.evaluate(_UNFOLD)
        for width_px in widths_px:
            self.resize(width_px)
            excess_px, element = self.evaluate(_TOO_WIDE)
            if excess_px > 0:
                found.append(f"{excess_px} px wider than a window of {width_px} px: {element}")
            found += [f"cut off at a chart's edge: {label}" for label in self.evaluate(_CUT_OFF)]
        found += [f"error: {error}" for error in self.errors]
        return found + [f"request: {url}" for url in self.requests]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def _events(self) -> list[dict[str, Any]]:
        return [one for one in self._browser.events if one.get("sessionId") == self._session]


def _exception(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description") or details["text"]


def _pipe() -> tuple[int, int]:
    """Both ends, above the numbers that the browser expects its own at."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
