"""Leaves the browser tests out where what they need is not installed: pip install playwright numpy; apt install chromium."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("playwright") and find_spec("numpy") else ["test_browser.py"]
