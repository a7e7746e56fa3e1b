"""The console page where authentication is on: who gets in, who hears, who may restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.guarded import STREAM_TOKEN, guarded_system, token
from tests.web.browser import until
from tests.web.console_page import console, simulated, until_heard, until_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CALL = ("--track", "both", "--no-webhooks", "--token", STREAM_TOKEN)


@pytest.fixture(scope="module")
def guarded() -> Iterator[System]:
    with guarded_system() as system:
        yield system


def everything(**more: Any) -> str:
    return token(calls="*", **more)


@pytest.mark.parametrize(("locale", "button"), [("en-GB", "Open"), ("fr-FR", "Ouvrir")])
def test_a_token_is_shown_once_and_nothing_of_it_is_seen_after(
    guarded: System, chromium: Browser, locale: str, button: str
) -> None:
    with simulated(guarded, *CALL), console(chromium, guarded, locale=locale) as page:
        assert is_a_way_in(page)
        page.locator("#token").fill(everything())
        page.get_by_role("button", name=button).click()
        until_rows(page, 1)
        assert "token" not in page.url
        page.locator(".row").click()
        until_heard(page)
        page.reload()
        until_rows(page, 1)
        page.locator("#session").get_by_text("tester").wait_for()
        page.locator("#sign-out").click()
        page.get_by_role("button", name=button).wait_for()  # the way in, again


def is_a_way_in(page: Any) -> bool:
    """The way in has a heading, a field with a name, and a language; it runs no script, axe neither."""
    return (
        page.get_by_role("heading", name="Patchbay").is_visible()
        and page.locator("label[for=token] ~ #token").is_visible()
        and page.locator("html").get_attribute("lang") in ("en", "fr")
    )


def test_a_wrong_token_is_told_why(guarded: System, chromium: Browser) -> None:
    with console(chromium, guarded) as page:
        page.locator("#token").fill("rubbish")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("This Patchbay is guarded").wait_for()
        page.locator("#token").fill(token(can=("listen", "talk", "events")))
        page.get_by_role("button", name="Open").click()
        page.get_by_text("must have the right admin").wait_for()


def test_another_tab_looks_but_asks_before_it_plays(guarded: System, chromium: Browser) -> None:
    """The cookie is for looking; what a WebSocket takes, each tab is shown once."""
    with simulated(guarded, *CALL), console(chromium, guarded, f"/?token={everything()}") as page:
        until_rows(page, 1)
        other = page.context.new_page()
        other.goto(guarded.http_url("/"))
        until_rows(other, 1)
        other.locator(".row").click()
        dialog = other.get_by_role("dialog", name="Your token")
        dialog.wait_for()
        dialog.get_by_label("Token").fill("rubbish")
        dialog.get_by_role("button", name="Open").click()
        dialog.get_by_text("This token is not accepted").wait_for()
        dialog.get_by_label("Token").fill(everything())
        dialog.get_by_role("button", name="Open").click()
        until_rows(other, 1)
        other.locator(".row").click()
        until_heard(other)


def test_a_token_that_runs_out_is_asked_for_again(guarded: System, chromium: Browser) -> None:
    leeway_s = 10
    given = everything(ttl_s=6 - leeway_s)
    began = time.monotonic()
    with simulated(guarded, *CALL), console(chromium, guarded, f"/?token={given}") as page:
        dialog = page.get_by_role("dialog", name="Your token")
        dialog.wait_for()
        assert time.monotonic() - began > 1
        page.locator("#trouble").get_by_text("missing or has expired").wait_for()
        dialog.get_by_label("Token").fill(everything())
        dialog.get_by_role("button", name="Open").click()
        until_rows(page, 1)


def test_who_may_not_talk_can_not(guarded: System, chromium: Browser) -> None:
    given = everything(can=("admin", "listen", "events"))
    with simulated(guarded, *CALL), console(chromium, guarded, f"/?token={given}") as page:
        until_rows(page, 1)
        page.locator(".row").click()
        until_heard(page)
        assert page.locator("button.talk").is_disabled()
        assert "needs the right talk" in page.locator("button.talk").inner_text()


ACT = """async ([token, headers]) => {
  const about = { method: "POST", body: "{}", credentials: token ? "omit" : "include",
    headers: { "Content-Type": "application/json", ...headers, ...(token && { Authorization: `Bearer ${token}` }) } };
  const response = await fetch("/api/actors/call_events/roll", about);
  return response.status;
}"""


def test_administrators_roll_and_nobody_else(guarded: System, chromium: Browser) -> None:
    """Neither those without the right, nor another page with an administrator's cookie."""
    ours = {"X-Patchbay-Request": "console"}
    with console(chromium, guarded, f"/?token={everything()}#system") as page:
        page.get_by_role("button", name="Roll call_events.0").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll").click()
        page.locator(".toast").get_by_text("call_events.0 was rolled.").wait_for()
        assert page.evaluate(ACT, [token(can=("listen", "talk", "events")), ours]) == 403
        assert page.evaluate(ACT, ["", {}]) == 403  # as a form of any page could send it
        until(page, "() => [...document.querySelectorAll('.actor')].every((card) => card.dataset.state === 'READY')")


def test_the_page_warns_of_those_who_need_no_token(chromium: Browser) -> None:
    """As long as there are any."""
    with guarded_system(AUTH__ANONYMOUS_NETWORKS="192.0.2.0/24") as system:
        with console(chromium, system, f"/?token={everything()}") as page:
            page.get_by_role("note").get_by_text("Whoever comes from 192.0.2.0/24 needs no token").wait_for()
