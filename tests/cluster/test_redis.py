"""Redis goes, stalls, and comes back empty: calls that cross do not notice, and others are found afterwards."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import call, new_call_id, numbered
from tests.e2e.clients import listener

if TYPE_CHECKING:
    from tests.cluster.redis_server import RedisServer
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
LONG = {"inbound": numbered(3, 5_000)}


@pytest.mark.parametrize("how", ["killed", "stalled"])
async def test_redis_goes(redis_server: RedisServer, nodes: tuple[System, System], how: str) -> None:
    """What is heard goes on without a gap; calls on one node need no Redis; the others are heard when it is back."""
    a, b = nodes
    crossing, local, later = new_call_id(), new_call_id(), new_call_id()
    clip = numbered(1, 400)
    async with listener(b, crossing) as ear, call(a, crossing, tracks={"inbound": clip}):
        await ear.until(lambda: len(ear.audio) >= 20)
        if how == "killed":
            redis_server.kill()
        else:
            redis_server.send(signal.SIGSTOP)
        async with listener(a, local) as near, call(a, local, tracks=LONG):
            await near.until(lambda: len(near.audio) >= 100)
        async with listener(b, later) as far, call(a, later, tracks=LONG):
            await trio.sleep(1)
            assert not far.audio
            if how == "killed":
                redis_server.start()
            else:
                redis_server.send(signal.SIGCONT)
            await far.until(lambda: len(far.audio) >= 20)
        await ear.until(lambda: ear.of("stop"))
        assert ear.audio == list(clip.frames)
