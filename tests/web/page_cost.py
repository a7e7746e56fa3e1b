"""What the console page costs a browser: CPU of all its processes, memory, DOM; beside a system of its own.

`python -m tests.web.page_cost --calls 100 --minutes 10`; a line a minute. The machine's other work shows in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.system import running_system
from tests.web import browser
from tests.web.browser import until
from tests.web.console_page import console, simulated

if TYPE_CHECKING:
    from playwright.sync_api import Page

WARM_UP_S = 15
CALLS_TIMEOUT_MS = 120_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KINDS = ("renderer", "gpu-process", "utility")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="as a wall, where more of them can be seen")
    given = parser.parse_args()
    settings = {"INGEST__PROCESSES": "1", "FANOUT__PROCESSES": "1"}
    with running_system(**settings) as system, browser.playwright() as driver, browser.chromium(driver) as chromium:
        calls = ("--calls", str(given.calls), "--track", "both", "--stagger", "0.05")
        with simulated(system, *calls), console(chromium, system) as page:
            until(page, f"() => document.querySelectorAll('.row').length === {given.calls}", CALLS_TIMEOUT_MS)
            if given.wall:
                page.keyboard.press("w")
            page.wait_for_timeout(WARM_UP_S * 1000)
            for _ in range(given.minutes):
                sys.stdout.write(f"{_minute(page)}\n")
                sys.stdout.flush()


def _minute(page: Page) -> str:
    before, began = _cpu_s(), time.monotonic()
    page.wait_for_timeout(60_000)
    after, lasted = _cpu_s(), time.monotonic() - began
    shares = {kind: 100 * (after[kind] - before.get(kind, 0)) / lasted for kind in after}
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    known = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    detail = ", ".join(f"{kind} {share:.1f}" for kind, share in shares.items())
    heap = (
        f"{known['JSHeapUsedSize'] / 1e6:.2f} MB, {known['Nodes']:.0f} nodes, {known['JSEventListeners']:.0f} listeners"
    )
    return f"{sum(shares.values()):.1f} % of a core ({detail}); heap {heap}"


def _cpu_s() -> dict[str, float]:
    """CPU time of the browser's processes so far, by kind."""
    found: dict[str, float] = {}
    for pid in _descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if "chrom" in command.partition("\0")[0]:
            kind = next((kind for kind in KINDS if f"--type={kind}" in command), "browser")
            found[kind] = found.get(kind, 0) + (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return found


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            own, _, rest = path.read_text().partition(" ")
        except OSError:
            continue
        children.setdefault(int(rest.rpartition(")")[2].split()[1]), []).append(int(own))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


if __name__ == "__main__":
    main()
