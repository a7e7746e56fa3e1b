"""The console page by axe: WCAG 2.2 AA, in every state, light and dark, in both languages, on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.web.axe import violations
from tests.web.browser import until
from tests.web.console_page import console, simulated, until_heard, until_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow]
THREE = ("--calls", "3", "--track", "both")
STATES: list[dict[str, Any]] = [
    {},
    {"color_scheme": "dark"},
    {"locale": "fr-FR"},
    {"viewport": {"width": 390, "height": 844}},
    {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark", "locale": "fr-FR"},
]


@pytest.mark.parametrize("look", STATES, ids=str)
def test_axe_finds_nothing(system: System, chromium: Browser, look: dict[str, Any]) -> None:
    """In every state: list, wall, listening to one and to two, talking, muted, the shortcuts, the actors."""
    with simulated(system, *THREE), console(chromium, system, **look) as page:
        until_rows(page, 3)
        assert violations(page) == []
        page.keyboard.press("w")
        assert violations(page) == []
        page.keyboard.press("w")
        page.locator(".row").nth(0).click()
        until_heard(page)
        page.keyboard.press("m")
        assert violations(page) == []
        page.keyboard.down("t")
        until(page, "() => document.querySelector('button.talk').dataset.state === 'live'")
        assert violations(page) == []
        page.keyboard.up("t")
        page.locator(".row").nth(1).click(modifiers=["Shift"])
        until_heard(page, 2)
        assert violations(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
        page.keyboard.press("?")
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        page.get_by_role("button", name="fanout.0").first.wait_for()
        assert violations(page) == []
        page.get_by_role("button", name="fanout.0").first.click()
        page.get_by_role("dialog").wait_for()
        assert violations(page) == []


@pytest.mark.parametrize("look", STATES, ids=str)
def test_axe_finds_nothing_where_nothing_is_live(system: System, chromium: Browser, look: dict[str, Any]) -> None:
    with console(chromium, system, **look) as page:
        page.locator("#calls-empty").wait_for()
        assert violations(page) == []


def test_axe_finds_nothing_in_what_asks_for_a_token(system: System, chromium: Browser) -> None:
    with console(chromium, system) as page:
        page.route("**/api/calls", lambda route: route.fulfill(status=401, body="Unauthorized"))
        page.get_by_role("dialog", name="Your token").wait_for()
        assert violations(page) == []
