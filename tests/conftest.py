"""What all tests share: a skip is a failure in CI, where everything that a test can need is installed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.web.needs import missing_for_browser, missing_for_node

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("patchbay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patchbay")


IN_CI = os.environ.get("CI") == "true"
# There they fail for want of what they need.
collect_ignore_glob = ["**/test_browser*.py"] if missing_for_browser() and not IN_CI else []


def pytest_report_header() -> list[str]:
    """One line for each kind of test that this machine can't run."""
    return [line for line in (missing_for_node(), missing_for_browser()) if line]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run when something was skipped in CI."""
    reporter: TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
