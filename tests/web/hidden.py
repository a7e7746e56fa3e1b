"""A tab that nobody looks at for a while, and what is heard when it is shown again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.web import browser as web
from tests.web.devtools import chromium_tab

if TYPE_CHECKING:
    from tests.e2e.system import System

CALL = "v3:hidden"
LISTEN = f"""(async () => {{
  const {{ Patchbay }} = await import("/patchbay.js");
  globalThis.patchbay = new Patchbay();
  globalThis.call = patchbay.call("{CALL}");
  globalThis.notices = [];
  patchbay.on("notice", ({{ code }}) => notices.push(code));
  globalThis.ticks = 0;
  setInterval(() => ticks++, 50);
  await call.listen();
}})()"""


def heard_after_hiding(system: System, seconds: float, *, frozen: bool) -> dict[str, Any]:
    """How its first track is played once it is live again, with how long that took and how much of it ran meanwhile."""
    with web.simulated_call(system, CALL, "--track", "both"), chromium_tab() as tab:
        tab.goto(system.http_url("/"))
        tab.evaluate(LISTEN)
        tab.until("call.report.length === 2 && call.report.every((track) => track.playing)")
        tab.hide(frozen=frozen)
        before = tab.evaluate("ticks") if not frozen else 0
        time.sleep(seconds)
        tab.show()
        shown = time.monotonic()
        ticks, played = tab.evaluate("[ticks, call.report[0].played]")
        tab.until(f"call.report[0].playing && call.report[0].played > {played} + 25")
        live_s = time.monotonic() - shown
        report: dict[str, Any] = tab.evaluate("call.report[0]")
        about = {"ticks": ticks - before, "live_s": live_s, "notices": tab.evaluate("notices")}
    return {**report, **about}
