"""A call with many listeners, to whom each frame goes at once where the kernel has io_uring, in C or in Python: slow
ones, and processes that come and go, are as harmless as with a few."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from patchbay.net.io_uring import IoUring
from tests.e2e.calls import call, new_call_id
from tests.e2e.clients import client, listener
from tests.e2e.system import eventually, running_system
from tests.e2e.test_restarts import BACK_S, CLIP, losses
from tests.fakes.native import BUILT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
LISTENERS = 12
STALL_S = 4.0  # longer than a connection's buffers and its queue hold


@pytest.fixture(params=[("true", "true"), ("false", "true"), ("false", "false")], ids=["io_uring", "in C", "in Python"])
def patchbay(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system of our own to do harm to."""
    ring = IoUring.open()
    io_uring, native = request.param
    with running_system(IO_URING=io_uring, NATIVE=native) as system:
        assert ("many at once" in system.log()) == (ring is not None and io_uring == "true")
        assert ("the hot path runs in C" in system.log()) == (BUILT and native == "true")
        yield system
    if ring is not None:
        ring.close()


async def go_on(listeners: list[Client], frames: int = 25) -> None:
    """Wait until all have heard more."""
    wanted = [len(each.audio) + frames for each in listeners]
    for each, count in zip(listeners, wanted, strict=True):
        await each.until(lambda each=each, count=count: len(each.audio) >= count)  # type: ignore[misc]


async def test_many_listeners(patchbay: System) -> None:
    """Some read, one does not for a while, one goes; fan-out is killed and rolled meanwhile. Nobody is disconnected,
    and every frame that is heard is whole (no other frame would be known) and in its place."""
    call_id = new_call_id()
    path = f"/audio-stream?call_control_id={quote(call_id, safe='')}"
    async with AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(listener(patchbay, call_id)) for _ in range(LISTENERS)]
        stalled = await stack.enter_async_context(client(patchbay, path, reads=False, receive_buffer_bytes=16_384))
        running = await stack.enter_async_context(call(patchbay, call_id, tracks={"inbound": CLIP}))
        async with listener(patchbay, call_id):
            await go_on(ears)
        await go_on(ears)
        before = await patchbay.actor("fanout")
        assert not [loss for ear in ears for loss in losses(ear)]
        os.kill(before["pid"], signal.SIGKILL)

        async def is_back() -> bool:
            entry = await patchbay.actor("fanout")
            return bool(entry["state"] == "READY" and entry["pid"] != before["pid"])

        await eventually(is_back, BACK_S)
        await go_on(ears)
        lost = [losses(ear) for ear in ears]
        await trio.sleep(STALL_S)
        stack.enter_context(trio.move_on_after(BACK_S))
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(stalled.read)
        await stalled.until(lambda: stalled.audio and stalled.audio[-1] == ears[0].audio[-1])  # it is live again
        await patchbay.command("roll", "fanout")
        await go_on([*ears, stalled])
        assert [losses(ear) for ear in ears] == lost
        losses(stalled)
        assert not any(each.ended for each in (*ears, stalled))
        assert running.endings == []
        nursery.cancel_scope.cancel()
