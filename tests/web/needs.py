"""What the tests of the browser library need of a machine, and how to get it."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec

NODE_MIN_MAJOR = 20


@cache
def missing_for_node() -> str | None:
    """Why the tests under Node can't run; None when they can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return f"tests/web: no Node; its tests are left out (install Node {NODE_MIN_MAJOR} or newer, with npm)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < NODE_MIN_MAJOR:
        return f"tests/web: Node {version.strip()} is older than {NODE_MIN_MAJOR}; its tests are left out"
    return None


@cache
def missing_for_browser() -> str | None:
    """Why the tests in Chromium can't run; None when they can."""
    if shutil.which("chromium") is None:
        return "no Chromium; the tests in it, test_browser*.py, are left out (apt install chromium)"
    if not find_spec("playwright") or not find_spec("numpy"):
        return (
            "no Playwright or numpy; tests in Chromium, test_browser*.py, are left out (pip install -e .[dev,browser])"
        )
    return None
