"""Systems that tests share, and their logs where a test fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.system import System, new_system, running_system

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

LOG_SHOWN_CHARS = 8000


@pytest.fixture(scope="session")
def patchbay() -> Iterator[System]:
    """One system for all tests that leave it as they found it."""
    with running_system() as system:
        yield system


@pytest.fixture
def fresh() -> Iterator[System]:
    """A system that is not started."""
    with new_system() as system:
        yield system


@pytest.fixture
async def quiet(patchbay: System) -> System:
    """The same, when no call of an earlier test is live any more."""
    await patchbay.until_no_call()
    return patchbay


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the log of the systems that a failed test used."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        systems = {id(value): value for value in item.funcargs.values() if isinstance(value, System)}
        for system in systems.values():
            report.sections.append(("Patchbay's log", system.log()[-LOG_SHOWN_CHARS:]))
    return report
