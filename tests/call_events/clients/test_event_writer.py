"""The way to a client of events: what is on its way leaves whole, and nothing follows a close frame."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest

from actors.call_events.clients.event_writer import EventWriter
from actors.call_events.clients.recent_events import RecentEvents
from actors.call_events.entry import Interest, entry_of
from patchbay.websocket.frames import close_frame, text_frame
from tests.call_events.samples import arrival
from tests.fakes.connections import FakeHandedConnection, tcp_pair
from tests.fakes.listening import messages

if TYPE_CHECKING:
    from patchbay.handover.connection import HandedConnection

CLOSE = 0x88


def received(client: socket.socket) -> bytes:
    """What has come by now."""
    with suppress(BlockingIOError):
        return client.recv(1 << 20)
    return b""


@pytest.mark.parametrize("behind", [False, True])
async def test_nothing_follows_a_close_frame(behind: bool) -> None:
    """Events that come after it wait for the client's next connection."""
    client, server = tcp_pair()
    tail = RecentEvents(max_events=1000, max_bytes=1 << 20)
    tail.reset(10)
    send_queue = EventWriter(cast("HandedConnection", FakeHandedConnection(server, b"", kind="ws")), tail, Interest())
    send_queue.start("7", 10, text_frame(b"welcome"))
    if behind:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while not send_queue.behind:
            send_queue.write_control(text_frame(b"x" * 60_000))
    tail.extend([entry_of(arrival(11).event, 11, "7")])
    send_queue.pull()
    send_queue.write_close(close_frame(1000))
    tail.extend([entry_of(arrival(12).event, 12, "7")])
    send_queue.pull()
    send_queue.write_control(text_frame(b"more"))
    send_queue.write_close(close_frame(1001))
    data = received(client)
    while send_queue.is_waiting:
        send_queue.drain()
        data += received(client)
    client.settimeout(0.2)
    with suppress(TimeoutError):
        while True:
            data += client.recv(1 << 20)
    frames = [first for first, _ in messages(data)]
    assert frames.count(CLOSE) == 1
    assert frames[-1] == CLOSE
    assert behind or len(frames) == 3
    client.close()
    server.close()
