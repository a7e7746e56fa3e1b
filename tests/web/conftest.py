"""Leaves out what this machine can't run; `tests/conftest.py` says so in a line."""

from __future__ import annotations

from tests.web.needs import missing_for_node

collect_ignore = ["test_node.py"] if missing_for_node() else []
