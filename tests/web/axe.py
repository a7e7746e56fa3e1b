"""What axe (https://github.com/dequelabs/axe-core) finds wrong with a page. Of the tests alone: it is not shipped."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NPM_TIMEOUT_S = 120
AT_REST = """() => document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
    .forEach((each) => each.finish())"""


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is, each with its place. Colours on their way to others count for
    nothing."""
    page.evaluate(_axe())  # as a script of the browser's own: the page's policy lets no other in
    page.evaluate(AT_REST)
    found = page.evaluate(f"() => axe.run(document, {{ runOnly: {json.dumps(RULES)} }})")
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
        if not script.exists():
            pytest.skip(f"axe can't be installed: {done.stderr.strip()[-200:]}")
    return script.read_text()
