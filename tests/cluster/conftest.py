"""Nodes that tests share."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bench.ports import reserved_port
from tests.cluster.redis_server import COMMAND, running_redis
from tests.e2e.system import System, new_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.redis_server import RedisServer

IN_CI = os.environ.get("CI") == "true"
# There they fail for want of what they need.
collect_ignore_glob = [] if COMMAND or IN_CI else ["test_*.py"]


def pytest_report_header() -> list[str]:
    return [] if COMMAND else ["no redis-server: tests of several nodes are left out (apt install redis-server)"]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def start_node(redis_server: RedisServer) -> Iterator[Callable[..., System]]:
    """Makes nodes, each with an address of its own; all of them stop in the end."""
    count = 1
    with ExitStack() as stack:

        def start(**settings: str) -> System:
            nonlocal count
            count += 1
            port = stack.enter_context(reserved_port())
            given = {
                "CLUSTER__REDIS_URL": redis_server.url,
                "CLUSTER__ADVERTISE": f"127.0.0.{count}:{port}",
                **settings,
            }
            system = stack.enter_context(new_system(**given))
            system.start()
            system.wait_ready()
            stack.callback(_stop, system)
            return system

        yield start


@pytest.fixture(scope="module")
def nodes(start_node: Callable[..., System]) -> tuple[System, System]:
    """Two nodes of one cluster."""
    return start_node(), start_node()


def _stop(system: System) -> None:
    if system.process is not None and system.process.poll() is None:
        assert system.stop() == 0, system.log()
