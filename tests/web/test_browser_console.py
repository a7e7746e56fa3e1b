"""The console page in a real Chromium, against the real system and the simulator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.web.browser import until
from tests.web.console_page import DRAWN, console, simulated, until_drawn, until_heard, until_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow]
THREE = ("--calls", "3", "--track", "both")


def text(page: Page, selector: str) -> str:
    words: str = page.locator(selector).first.inner_text()
    return words


def test_without_calls_it_says_how_to_place_one(system: System, chromium: Browser) -> None:
    for language, words in (("en-GB", "No call is live"), ("fr-FR", "Aucun appel en cours")):
        with console(chromium, system, locale=language) as page:
            page.get_by_role("heading", name=words).wait_for()
            assert page.get_by_text("./run demo").is_visible()
            assert page.locator("html").get_attribute("lang") == language[:2]


def test_a_call_appears_moves_and_goes_without_being_heard(system: System, chromium: Browser) -> None:
    with console(chromium, system) as page:
        page.get_by_role("heading", name="No call is live").wait_for()
        with simulated(system, "--track", "both", "--from", "+12025550111", "--to", "+33123456789"):
            until_rows(page, 1)
            assert "202\u202f555\u202f0111" in text(page, ".row .parties")
            assert re.fullmatch(r"\d:\d\d", text(page, ".row .time"))
            assert text(page, ".row .codec") == "PCMU 8 kHz"
            until_drawn(page, ".row canvas")
            assert text(page, ".row .ears") == "0"
        page.get_by_role("heading", name="No call is live").wait_for()


def test_click_to_hear_see_events_and_stop(system: System, chromium: Browser) -> None:
    with simulated(system, *THREE), console(chromium, system) as page:
        until_rows(page, 3)
        page.locator(".row").nth(1).click()
        until_heard(page)
        until_drawn(page, ".deck canvas")
        log = page.get_by_role("log", name="Events")
        log.get_by_text("Audio began").wait_for()  # from before
        log.get_by_text("Somebody listens").wait_for()  # as it comes
        until(page, "() => /^\\d+ ms$/.test(document.querySelector('[data-figure=delay] dd').textContent)")
        until(page, "() => document.querySelector('.row.heard .ears')?.textContent === '1'")
        until(page, "() => !document.querySelector('[data-figure=ear]').hidden")
        page.locator(".row").nth(0).click()  # another one, instead
        until(page, "() => document.querySelector('.row.heard') === document.querySelectorAll('.row')[0]")
        until_heard(page)
        page.get_by_role("button", name="Stop listening", exact=True).click()
        assert page.locator(".deck").count() == 0


def test_with_the_keyboard_alone(system: System, chromium: Browser) -> None:
    """Enter to hear, Shift+Enter for another one besides, M to mute, Escape to stop."""
    with simulated(system, *THREE), console(chromium, system) as page:
        until_rows(page, 3)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        until_heard(page)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Shift+Enter")
        until_heard(page, 2)
        assert page.locator(".row.heard").count() == 2
        assert page.locator(".deck").count() == 2
        page.keyboard.press("m")
        muted = page.locator(".deck.active").get_by_role("button", name="Mute: Far party")
        assert muted.get_attribute("aria-pressed") == "true"
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
        page.keyboard.press("Escape")
        assert page.locator(".deck").count() == 2  # that was the dialog's
        page.keyboard.press("Escape")
        assert page.locator(".deck").count() == 0


def test_single_keys_can_be_turned_off(system: System, chromium: Browser) -> None:
    """Enter, arrows and Escape go on (WCAG 2.1.4)."""
    with simulated(system, *THREE), console(chromium, system) as page:
        until_rows(page, 3)
        page.keyboard.press("?")
        page.get_by_label("Use single keys").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("w")
        page.keyboard.press("2")
        assert page.locator("body.wall").count() == 0
        page.locator(".row button").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        until_heard(page)
        assert "heard" in (page.locator(".row").nth(1).get_attribute("class") or "").split()
        page.keyboard.press("Escape")
        assert page.locator(".deck").count() == 0


def test_a_call_that_ends_while_it_is_heard(system: System, chromium: Browser) -> None:
    """Its deck says so, and keeps its events until it is closed."""
    with console(chromium, system) as page:
        with simulated(system, "--track", "both"):
            until_rows(page, 1)
            page.locator(".row").dblclick()  # once to hear, once to stop: in whatever time that takes
            page.locator(".row:not(.heard)").click()
            until_heard(page)
        page.locator(".deck .state").get_by_text("The call has ended").wait_for()
        page.get_by_role("log").get_by_text("Audio ended").wait_for()
        assert page.locator(".deck").count() == 1
        page.keyboard.press("Escape")
        assert page.locator(".deck").count() == 0


def test_every_control_can_be_reached_by_tab(system: System, chromium: Browser) -> None:
    with simulated(system, *THREE), console(chromium, system) as page:
        until_rows(page, 3)
        page.locator(".row").first.click()
        until_heard(page)
        page.evaluate("() => document.activeElement.blur()")
        reached: list[str] = []
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.className"))
        for name in ("show-calls", "search", "theme", "language", "listen", "talk", "log", "several", "icon mute"):
            assert name in reached, (name, reached)


@pytest.mark.parametrize("how", ["key", "button"])
def test_held_to_talk_and_the_floor_is_ours(system: System, chromium: Browser, how: str) -> None:
    with simulated(system, "--track", "both"), console(chromium, system) as page:
        until_rows(page, 1)
        page.locator(".row").click()
        until_heard(page)
        assert text(page, ".floor") == "Nobody is talking into this call"
        button = page.locator("button.talk")
        if how == "key":
            page.keyboard.down("t")
        else:
            button.hover()
            page.mouse.down()
        until(page, "() => document.querySelector('button.talk').dataset.state === 'live'")
        until(page, "() => fetch('api/calls').then((r) => r.json()).then(({ calls }) => calls[0].talker !== null)")
        assert text(page, ".floor") == "You are talking"
        assert button.get_attribute("aria-pressed") == "true"
        if how == "key":
            page.keyboard.up("t")
        else:
            page.mouse.up()
        until(page, "() => document.querySelector('button.talk').dataset.state === 'idle'")
        until(page, "() => document.querySelector('.floor').dataset.floor === 'free'")


def test_who_else_talks_is_said(system: System, chromium: Browser) -> None:
    with simulated(system, "--track", "both"), console(chromium, system) as mine, console(chromium, system) as other:
        for page in (mine, other):
            until_rows(page, 1)
            page.locator(".row").click()
            until_heard(page)
        other.keyboard.down("t")
        until(mine, "() => document.querySelector('.floor').dataset.floor === 'other'")
        assert "talking" in text(mine, ".floor")
        mine.keyboard.down("t")
        mine.locator(".toast").get_by_text("Somebody else is talking").wait_for()
        other.keyboard.up("t")
        mine.keyboard.up("t")
        until(mine, "() => document.querySelector('.floor').dataset.floor === 'free'")


def test_search(system: System, chromium: Browser) -> None:
    with simulated(system, *THREE, "--from", "+12025550160"), console(chromium, system) as page:
        until_rows(page, 3)
        page.keyboard.press("/")
        page.keyboard.type("0161")
        until_rows(page, 1)
        page.keyboard.type("9")
        page.get_by_text("No live call matches “01619”.").wait_for()
        page.keyboard.press("Escape")
        until_rows(page, 3)


def test_an_actor_is_rolled_and_calls_are_heard_on(system: System, chromium: Browser) -> None:
    with simulated(system, "--track", "both"), console(chromium, system) as page:
        until_rows(page, 1)
        page.locator(".row").click()
        until_heard(page)
        page.locator("#show-system").click()
        fanout = page.locator(".actor", has=page.get_by_role("heading", name="fanout"))
        assert re.search(r"\d+ MiB", fanout.inner_text())
        pid = fanout.locator("dd").last.inner_text()
        page.get_by_role("button", name="Roll fanout.0").click()
        dialog = page.get_by_role("dialog", name="Roll fanout.0?")
        dialog.get_by_role("button", name="Cancel").click()
        assert fanout.locator("dd").last.inner_text() == pid
        page.get_by_role("button", name="Roll fanout.0").click()
        dialog.get_by_role("button", name="Roll").click()
        page.locator(".toast").get_by_text("fanout.0 was rolled.").wait_for()
        until(page, f"() => ![...document.querySelectorAll('.actor dd')].some((dd) => dd.textContent === '{pid}')")
        page.locator("#show-calls").click()
        until_heard(page)


def test_the_console_itself_is_restarted_from_its_page(system: System, chromium: Browser) -> None:
    with console(chromium, system, "/#system") as page:
        page.get_by_role("button", name="Restart console.0").click()
        page.get_by_role("dialog").get_by_role("button", name="Restart").click()
        page.locator(".toast").get_by_text("console.0: it has begun.").wait_for()
        console_card = page.locator(".actor", has=page.get_by_role("heading", name="console"))
        until(
            page,
            """() => [...document.querySelectorAll('.actor')].some((card) =>
              card.querySelector('h3').textContent === 'console' && card.dataset.state === 'READY'
              && card.querySelectorAll('dd')[2].textContent !== '0')""",
        )
        assert console_card.count() >= 1


def test_a_server_that_does_not_answer_is_said_and_asked_again(system: System, chromium: Browser) -> None:
    with simulated(system, "--track", "both"), console(chromium, system) as page:
        until_rows(page, 1)
        page.route("**/api/**", lambda route: route.abort())
        page.locator("#trouble").get_by_text("Patchbay does not answer").wait_for()
        assert page.locator(".row").count() == 1  # what was known last is better than a list that looks empty
        page.unroute("**/api/**")
        page.locator(".toast").get_by_text("Patchbay answers again.").wait_for()
        page.locator("#trouble").wait_for(state="hidden")


def test_language_theme_and_wall_are_remembered(system: System, chromium: Browser) -> None:
    with simulated(system, *THREE), console(chromium, system) as page:
        until_rows(page, 3)
        page.get_by_role("button", name="Passer au français").click()
        page.get_by_role("button", name=re.compile("^Thème")).click()
        page.keyboard.press("w")
        page.reload()
        until_rows(page, 3)
        assert page.locator("html").get_attribute("lang") == "fr"
        assert page.locator("html").get_attribute("data-theme") == "dark"
        assert page.locator("body.wall").count() == 1
        page.locator(".row").first.click()
        until_heard(page)
        assert "Maintenir pour parler" in text(page, "button.talk")


OLDER = """
  const Real = WebSocket;
  globalThis.WebSocket = class extends Real {
    constructor(url, protocols) {
      super([protocols ?? []].flat().includes("patchbay.v1") ? new URL("/nothing-here", url) : url);
    }
  };
"""


def test_a_server_that_sends_no_levels(system: System, chromium: Browser) -> None:
    """The page works all the same; a call that is heard draws its own, the others have none."""
    with simulated(system, *THREE), console(chromium, system, script=OLDER) as page:
        until_rows(page, 3)
        page.locator(".row").nth(1).click()
        until_heard(page)
        until_drawn(page, ".row.heard canvas")
        until_drawn(page, ".deck canvas")
        assert page.evaluate(DRAWN, [".row:not(.heard) canvas"]) is False
