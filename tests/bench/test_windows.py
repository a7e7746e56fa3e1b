"""The generator under command."""

from __future__ import annotations

import shutil
import sys

import pytest
import trio

from bench import servers, windows
from bench.generator import Load
from bench.servers import Peer, Placement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="the generator is compiled when it is first used"),
]


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "tests.bench.faulty_relay", str(port), "none"]


async def test_windows_count_each_for_itself() -> None:
    with servers.running(Peer("relay", "", command, {}), Placement.default().server) as server:
        async with windows.calls(Load(calls=2, settle_s=0.1), server.port, server=server.pid) as calls:
            for _ in range(2):
                await calls.begin()
                await trio.sleep(0.3)
                window = await calls.end()
                assert 20 < window.received <= 2 * 2 * 50 * window.wall_s + 8
                assert window.lost == window.doubled == window.closed_browsers == 0
                assert len(window.listeners) == 4
                assert all(0 < gap < 300 for gap in window.gaps_ms)
                assert [process.pid for process in window.processes] == [server.pid]
            assert await calls.reopen() == 0


async def test_a_server_that_dies_is_noticed() -> None:
    with servers.running(Peer("relay", "", command, {}), Placement.default().server) as server:
        async with windows.calls(Load(calls=2, settle_s=0.1), server.port) as calls:
            await calls.begin()
            await trio.run_process(["kill", "-9", str(server.pid)])
            await trio.sleep(0.2)
            window = await calls.end()
            assert (window.closed_telnyx, window.closed_browsers) == (2, 4)
            assert await calls.reopen() == 6
