"""One connection that outlives a thousand processes: nothing of any of them stays behind."""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from patchbay.net.poller import Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.websocket.accept import accept
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.handovers import town, until

if TYPE_CHECKING:
    import socket

    from patchbay.handover.connection import HandedConnection

CYCLES = 1000
WARM_UP = 100  # caches fill
TIMEOUT_S = 240.0  # a few seconds, on a machine that does nothing else


def tasks() -> int:
    """All tasks of this run."""
    root = trio.lowlevel.current_root_task()
    assert root is not None

    def count(task: trio.lowlevel.Task) -> int:
        return 1 + sum(count(child) for nursery in task.child_nurseries for child in nursery.child_tasks)

    return count(root)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def held() -> tuple[int, int, int]:
    """Tasks, descriptors and objects that there are. Of objects those made by us or by the WebSocket library: trio
    keeps up to a thousand old deadlines by design."""
    gc.collect()
    ours = ("actors.", "trio_websocket.", "wsproto.")
    return tasks(), descriptors(), sum(str(type(thing).__module__).startswith(ours) for thing in gc.get_objects())


class Process:
    """What an actor's process has: a poller, and the messages it took."""

    def __init__(self) -> None:
        self.poller = Poller(0.001)
        self.heard: list[bytes] = []
        self.served: HandedConnection | None = None

    async def serve(self, handed: HandedConnection) -> None:
        send_queue, rate_limit = SendQueue(handed.sock, lossy_s=1.0), RateLimit(50.0, 1000.0)
        async with accept(handed, self.poller, send_queue, message_max_bytes=1000, rate_limit=rate_limit) as peer:
            assert peer is not None
            peer.on_text = self.heard.append
            self.served = handed
            peer.start()
            await peer.until_closed()


def say(client: socket.socket, text: str) -> None:
    client.send(Connection(ConnectionType.CLIENT).send(TextMessage(text)))


@pytest.mark.slow
async def test_a_thousand_deaths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each process takes one message and dies; the peer sees no end, and no message is lost or read twice."""
    caplog.set_level(logging.ERROR)  # pytest keeps every record
    async with town(tmp_path, TIMEOUT_S) as place:
        exchange = place.exchange()
        client: socket.socket | None = None
        before = (0, 0, 0)
        for cycle in range(CYCLES):
            process = Process()
            _link, scope = await place.actor(process.serve, generation=cycle + 1)
            if client is None:
                client = exchange.connect()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.poller.run)
                say(client, f"message {cycle}")
                await until(lambda: len(process.heard) == 1)  # noqa: B023 - it is waited for at once
                process.poller.round()  # takes from the socket what has been handled
                nursery.cancel_scope.cancel()
            assert process.heard == [f"message {cycle}".encode()]
            assert process.served is not None
            process.served.is_transferred = True  # a process that is killed tells nobody, and shuts nothing down
            scope.cancel()
            await until(lambda: not exchange.router.table.links)
            if cycle == WARM_UP:
                before = held()
        after = held()
        assert client is not None
        client.setblocking(True)
        assert client.recv(100_000).startswith(b"HTTP/1.1 101")
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        assert after == before
        client.close()
