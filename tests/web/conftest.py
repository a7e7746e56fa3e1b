"""What the browser tests share. Leaves out what this machine can't run; `tests/conftest.py` says so in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.system import System, running_system
from tests.web.needs import missing_for_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Playwright

collect_ignore = ["test_node.py", "test_browser_axe.py"] if missing_for_node() else []


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system for all tests of a file."""
    with running_system() as running:
        yield running


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    """What drives browsers; a module's tests are all without a loop of their own."""
    from tests.web import browser

    with browser.playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """A browser for all tests of a file; each has a page of its own."""
    from tests.web import browser

    with browser.chromium(driver) as running:
        yield running
