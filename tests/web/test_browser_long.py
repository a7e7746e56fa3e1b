"""What shows only after minutes. For a quiet machine: ./test -m long"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.web import browser as web
from tests.web.hidden import heard_after_hiding

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.system import System

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.long]

CALL = "v3:in-a-browser"
EVEN_S = float(os.environ.get("PATCHBAY_TEST_EVEN_S", "600"))
HIDDEN_S = float(os.environ.get("PATCHBAY_TEST_HIDDEN_S", "120"))
COUNTERS = ("underruns", "lost", "late", "skipped", "jumps", "concealed")


def test_even_arrival_has_no_underrun(system: System, chromium: Browser) -> None:
    """Ten minutes: nothing missing, nothing made up, and the delay where it was."""
    with web.simulated_call(system, CALL, "--track", "both"), web.library_page(chromium, system) as page:
        web.listen(page, CALL)
        page.wait_for_timeout(5000)
        before = page.evaluate("call.report")
        page.evaluate("reports.length = 0")
        page.wait_for_timeout(EVEN_S * 1000)
        after = page.evaluate("call.report")
        delays = np.array(page.evaluate("reports.map(([track]) => track.delay)"))
        heap = page.evaluate("performance.memory.usedJSHeapSize / 2 ** 20")
    changed = [{name: now[name] - then[name] for name in COUNTERS} for then, now in zip(before, after, strict=True)]
    said = f"{changed}; delay {np.median(delays):.3f} s, at most {delays.max():.3f} s; heap {heap:.1f} MiB"
    print(said)  # noqa: T201
    assert all(track["underruns"] == 0 and track["lost"] == 0 for track in changed), said
    assert delays.max() < 0.2, said


@pytest.mark.parametrize("frozen", [False, True], ids=["behind", "frozen"])
def test_a_hidden_tab_is_live_at_once_when_it_is_shown(system: System, frozen: bool) -> None:
    """Two minutes behind another tab, or, harder, with the page frozen: then no burst of what came meanwhile."""
    after = heard_after_hiding(system, HIDDEN_S, frozen=frozen)
    print(after)  # noqa: T201
    assert after["delay"] < after["target"] + 0.2, after
    assert after["buffer"] < 0.5, after
