"""What all tests share: their order, and that a skip is a failure in CI, where everything that a test can need is
installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.web.needs import missing_for_browser, missing_for_node

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from xdist.scheduler import LoadFileScheduling


# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("patchbay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patchbay")


TESTS = Path(__file__).parent
# Files that take longest, in this order, so that in the end no process is alone with one of them. Those with a browser
# are apart: two at a time are enough for two cores.
LONGEST = (
    "web/test_browser_hearing.py",
    "e2e/test_restarts.py",
    "sanitize/test_sanitize.py",
    "web/test_browser_axe.py",
    "supervisor/test_supervisor.py",
    "e2e/test_hostile_queues.py",
    "web/test_browser_console.py",
    "supervisor/test_continuity.py",
    "e2e/test_floods.py",
    "web/test_browser_screenshots.py",
    "e2e/test_limits_hostile.py",
    "e2e/test_crowd.py",
    "e2e/test_hostile_tokens.py",
    "web/test_browser_talking.py",
    "e2e/test_talking_forms.py",
    "e2e/test_odd_streams.py",
    "web/test_node.py",
    "e2e/test_spares.py",
    "web/test_browser_console_guarded.py",
    "conformance/test_conformance.py",
    "e2e/test_run.py",
    "e2e/test_reloads.py",
    "e2e/test_v1_restarts.py",
    "supervisor/test_accepted.py",
    "e2e/test_isolation.py",
)
IN_CI = os.environ.get("CI") == "true"
# There they fail for want of what they need.
collect_ignore_glob = ["**/test_browser*.py"] if missing_for_browser() and not IN_CI else []


def pytest_report_header() -> list[str]:
    """One line for each kind of test that this machine can't run."""
    return [line for line in (missing_for_node(), missing_for_browser()) if line]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have first what fails soonest: files without processes; then those with, the longest first."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (item.path in slow, places.get(item.path, len(places))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give each process whole files, in their order: what a file's tests share is started once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run when something was skipped in CI."""
    reporter: TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
