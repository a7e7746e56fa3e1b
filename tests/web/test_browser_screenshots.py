"""Takes the pictures of docs/screenshots: `./test -m screenshots` renews them; else they are only tried."""

from __future__ import annotations

import base64
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.system import ROOT
from tests.web.browser import until
from tests.web.console_page import console, simulated, until_heard, until_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.screenshots]
PICTURES = ROOT / "docs" / "screenshots"
MAX_BYTES = 200_000
MANY = 24
FILLED_COLUMNS = 150  # 15 s: then the waveforms of a list are full
TO_WEBP = """async (png) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
  return btoa(Array.from(new Uint8Array(await blob.arrayBuffer()), (byte) => String.fromCharCode(byte)).join(""));
}"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 1.5}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.config.option.markexpr != "screenshots":
        return tmp_path
    PICTURES.mkdir(exist_ok=True)
    return PICTURES


@contextmanager
def various(system: System, count: int) -> Iterator[None]:
    """Calls that are not all alike: begun one after the other, in several codecs."""
    codecs = ("PCMU", "PCMA", "G722")
    share = max(1, count // len(codecs))
    with ExitStack() as stack:
        for number, codec in enumerate(codecs[:count]):
            numbers = ("--from", f"+1202555{100 + 40 * number:04d}", "--to", f"+3318000{1100 + 40 * number}")
            options = ("--calls", str(share), "--stagger", "0.7", "--codec", codec, "--track", "both", "--lose", "0.05")
            stack.enter_context(simulated(system, *options, *numbers))
        yield


def shoot(page: Page, path: Path) -> None:
    page.mouse.move(2, 2)
    png = base64.b64encode(page.screenshot(animations="disabled")).decode()
    with page.context.new_page() as blank:
        path.write_bytes(base64.b64decode(blank.evaluate(TO_WEBP, png)))
    assert 5_000 < path.stat().st_size < MAX_BYTES, path.stat().st_size


def until_filled(page: Page, columns: int = FILLED_COLUMNS, canvas: str = ".row canvas") -> None:
    """Wait until so much sound has been drawn."""
    filled = f"""() => {{
      const canvas = document.querySelector("{canvas}");
      const {{ data, width, height }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const scale = width / canvas.clientWidth;
      const from = Math.max(0, Math.round(width - {columns} * 3 * scale));
      for (let x = from; x < from + 60 * scale && x < width; x++) {{
        let inked = 0;
        for (let y = 0; y < height; y++) if (data[4 * (y * width + x) + 3]) inked++;
        if (inked > 4) return true;
      }}
      return false;
    }}"""
    page.wait_for_function(filled, timeout=90_000)


def looks(**more: Any) -> dict[str, Any]:
    return {"device_scale_factor": 1.5, "viewport": {"width": 1280, "height": 800}, **more}


def test_empty(system: System, chromium: Browser, folder: Path) -> None:
    with console(chromium, system, **looks()) as page:
        page.get_by_role("heading", name="No call is live").wait_for()
        shoot(page, folder / "empty.webp")


def test_one_call(system: System, chromium: Browser, folder: Path) -> None:
    with various(system, 1), console(chromium, system, **looks()) as page:
        until_rows(page, 1)
        until_filled(page)
        shoot(page, folder / "one-call.webp")
    with console(chromium, system) as page:
        page.get_by_role("heading", name="No call is live").wait_for()


def test_many_calls_listening_and_talking(system: System, chromium: Browser, folder: Path) -> None:
    with various(system, MANY):
        with console(chromium, system, **looks()) as page:
            until_rows(page, MANY)
            until_filled(page)
            shoot(page, folder / "many-calls.webp")
            page.keyboard.press("w")
            shoot(page, folder / "wall.webp")
            page.keyboard.press("w")
            page.locator(".row").nth(2).click()
            until_heard(page)
            until_filled(page)
            shoot(page, folder / "listening.webp")
            page.keyboard.down("t")
            until(page, "() => document.querySelector('button.talk').dataset.state === 'live'")
            shoot(page, folder / "talking.webp")
            page.keyboard.up("t")
        with console(chromium, system, **looks(color_scheme="dark", viewport={"width": 1400, "height": 820})) as page:
            until_rows(page, MANY)
            page.locator(".row").nth(1).click()
            page.locator(".row").nth(4).click(modifiers=["Shift"])
            until_heard(page, 2)
            until_filled(page, 90, ".deck canvas")
            shoot(page, folder / "dark.webp")
        with console(chromium, system, **looks(**PHONE)) as page:
            until_rows(page, MANY)
            page.locator(".row").nth(1).tap()
            until_heard(page)
            until_filled(page, 90)
            shoot(page, folder / "phone.webp")


def test_system(system: System, chromium: Browser, folder: Path) -> None:
    with console(chromium, system, "/#system", **looks(viewport={"width": 1280, "height": 560})) as page:
        until(page, "() => document.querySelectorAll('.actor[data-state=READY]').length === 5")
        shoot(page, folder / "system.webp")
