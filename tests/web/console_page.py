"""The console page in a Chromium: opening it, and calls to look at."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.system import ROOT, STOP_TIMEOUT_S
from tests.web.browser import WAIT_MS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.e2e.system import System


DRAWN = """([selector]) => {
  const canvas = document.querySelector(selector);
  if (!canvas || !canvas.width) return false;
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]) inked++;
  return inked > 4 * width;
}"""


@contextmanager
def console(browser: Browser, system: System, path: str = "/", script: str = "", **context: Any) -> Iterator[Page]:
    """The page; whatever goes wrong in it, and is not said in words, fails the test."""
    size = {"width": 1280, "height": 800}
    wanted: dict[str, Any] = {"locale": "en-GB", "permissions": ["microphone"], "viewport": size, **context}
    errors: list[str] = []
    with browser.new_context(**wanted) as opened:
        page = opened.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(script)
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
        process.wait(STOP_TIMEOUT_S)


def until_rows(page: Page, count: int) -> None:
    """Wait until so many calls are listed."""
    until(page, f"() => document.querySelectorAll('#calls .row').length === {count}")


def until_heard(page: Page, count: int = 1) -> None:
    """Wait until so many calls are listened to and played."""
    until(page, f"() => document.querySelectorAll('.deck[data-state=live]').length === {count}")


def until_drawn(page: Page, canvas: str) -> None:
    """Wait until a waveform has bars: more than its line in the middle."""
    page.wait_for_function(DRAWN, arg=[canvas], timeout=WAIT_MS)
