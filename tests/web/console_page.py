"""The console page in a Chromium: opening it, calls to look at, and what axe says of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.system import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.e2e.system import System

WAIT_MS = 30_000
AXE = "axe-core@4.14.1"  # of the tests alone: it is not shipped
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--force-color-profile=srgb",
)


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def console(browser: Browser, system: System, path: str = "/", **context: Any) -> Iterator[Page]:
    """The page; whatever goes wrong in it, and is not said in words, fails the test."""
    size = {"width": 1280, "height": 800}
    wanted: dict[str, Any] = {"locale": "en-GB", "permissions": ["microphone"], "viewport": size, **context}
    errors: list[str] = []
    with browser.new_context(**wanted) as opened:
        page = opened.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(system.http_url(path))
        yield page
        assert errors == []


@contextmanager
def simulated(system: System, *options: str) -> Iterator[None]:
    """Calls for as long as they are looked at."""
    command = [sys.executable, "-m", "simulator", "--loop", *options]
    process = subprocess.Popen(command, env=system.environ, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true in the page."""
    page.wait_for_function(condition, timeout=WAIT_MS)


def until_rows(page: Page, count: int) -> None:
    """Wait until so many calls are listed."""
    until(page, f"() => document.querySelectorAll('#calls .row').length === {count}")


def until_heard(page: Page, count: int = 1) -> None:
    """Wait until so many calls are listened to and played."""
    until(page, f"() => document.querySelectorAll('.deck[data-state=live]').length === {count}")


def until_drawn(page: Page, canvas: str) -> None:
    """Wait until a waveform has bars: more than its line in the middle."""
    drawn = """([selector]) => {
      const canvas = document.querySelector(selector);
      if (!canvas || !canvas.width) return false;
      const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let inked = 0;
      for (let i = 3; i < data.length; i += 4) if (data[i]) inked++;
      return inked > 4 * width;
    }"""
    page.wait_for_function(drawn, arg=[canvas], timeout=WAIT_MS)


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is, each with its place."""
    page.evaluate(_axe())  # as a script of the browser's own: the page's policy lets no other in
    found = page.evaluate(f"() => axe.run(document, {{ runOnly: {json.dumps(WCAG)} }})")
    return [
        f"{wrong['id']}: {node['target']} {node['failureSummary']}"
        for wrong in found["violations"]
        for node in wrong["nodes"]
    ]


@cache
def _axe() -> str:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "patchbay-tests" / AXE
    script = home / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home), AXE)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not script.exists():
            pytest.skip(f"axe can't be installed: {done.stderr.strip()[-200:]}")
    return script.read_text()
