"""A client's connection outlives the process: to the byte, wherever that process is when it ends.

A process is a nursery here that is cancelled; what outlives it is what outlives a SIGKILL: the connection (a
duplicate of it, as the gateway has one), the last state, and the journal.
"""

from __future__ import annotations

import socket
import time
from contextlib import asynccontextmanager, closing
from random import Random
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from actors.call_events.clients.client import Clients
from actors.call_events.dispatcher import Dispatcher
from actors.call_events.events import Arrival, parse_webhook
from actors.call_events.journal.journal import Journal
from actors.call_events.journal.writer import JournalWriter
from config.settings import EventSettings
from patchbay.http.head_reader import read_head
from patchbay.net.poller import Poller
from tests.fakes.connections import FakeHandedConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from actors.call_events.entry import Entry
    from patchbay.handover.connection import HandedConnection

SMALL_BUFFER = 16 * 1024  # bytes in the kernel, so that frames are written in parts


def arrival(number: int, size: int = 10) -> Arrival:
    payload = {"call_control_id": f"v3:{number % 3}", "note": "x" * size}
    body = orjson.dumps({"data": {"event_type": "call.answered", "id": str(number), "payload": payload}})
    return Arrival(parse_webhook(body, received_at="2026-01-01T00:00:00Z"), "telnyx", body, time.time_ns() // 1000)


def narrow_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection with little room, and with segments small enough to be acknowledged at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 600)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.setblocking(False)
    server.setblocking(False)
    return client, server


class Process:
    """What a process of call_events consists of, as far as clients are concerned."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        events = EventSettings(**settings)
        self.dispatcher = Dispatcher(events)
        self.recorder = JournalWriter(directory, events, self.dispatcher.opened, self.dispatcher.committed)
        self.poller = Poller(0.001)
        self.clients = Clients(self.dispatcher, self.recorder, self.poller, events)

    async def record(self, *arrivals: Arrival) -> None:
        await self.recorder.record(arrivals)


@asynccontextmanager
async def process(directory: Path, *connections: Connection, **settings: Any) -> AsyncIterator[Process]:
    """A process that serves these connections while the block runs, and then is no more."""
    found = Process(directory, **settings)
    async with trio.open_nursery() as nursery:
        for task in (found.recorder.run, found.poller.run, found.dispatcher.deliver, found.dispatcher.watch_progress):
            nursery.start_soon(task)
        await found.recorder.session.ready.wait()
        for connection in connections:
            nursery.start_soon(connection.serve, found)
        yield found
        nursery.cancel_scope.cancel()


class Connection:
    """One client's connection, held as the gateway holds it."""

    def __init__(self) -> None:
        self.client, self._server = narrow_pair()
        self.handed: FakeHandedConnection | None = None
        self.ids: list[str] = []
        self.welcomes = 0

    async def serve(self, served_by: Process) -> None:
        before, sock = self.handed, self._server.dup()
        sock.setblocking(False)
        if before is None:
            head = await read_head(sock, max_bytes=16384, timeout_s=60)
            self.handed = FakeHandedConnection(sock, head, kind="ws")
        else:
            self.handed = FakeHandedConnection(sock, before.head, kind="ws", resumed=True)
            self.handed.state, self.handed.unsent = before.state, before.unsent
        try:
            await served_by.clients.serve(cast("HandedConnection", self.handed))
        finally:
            sock.close()

    @asynccontextmanager
    async def reading(self, target: str, pause_s: float = 0.0) -> AsyncIterator[None]:
        """The client at the other end."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(self.client))
        async with trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(nursery, stream, "localhost", target)
            nursery.start_soon(self._read, websocket, pause_s)
            yield
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Both ends."""
        self.client.close()
        self._server.close()

    async def _read(self, websocket: WebSocketConnection, pause_s: float) -> None:
        while True:
            message = orjson.loads(await websocket.get_message())
            if message["type"] == "call.answered":
                self.ids.append(message["id"])
            else:
                self.welcomes += message["type"] == "welcome"
            if pause_s:
                await trio.sleep(pause_s)

    async def until(self, count: int) -> None:
        with trio.fail_after(60):
            while True:
                if len(self.ids) >= count:
                    return
                await trio.sleep(0.01)


@pytest.fixture
def connect() -> Iterator[Callable[[], Connection]]:
    """Makes connections, and closes them."""
    made: list[Connection] = []

    def new() -> Connection:
        made.append(Connection())
        return made[-1]

    yield new
    for connection in made:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_processes_that_end_anywhere(tmp_path: Path, connect: Callable[[], Connection], seed: int) -> None:
    """Every event once and in order, whole frames only, for clients that keep up and for one that does not."""
    random = Random(seed)
    quick, slow, narrow = connect(), connect(), connect()
    total = 0
    async with trio.open_nursery() as nursery:
        ready = trio.Event()

        async def clients() -> None:
            async with (
                quick.reading("/call-events"),
                slow.reading("/call-events?since=0", 0.0005),
                narrow.reading("/call-events?call_id=v3:1&snapshot=1"),
            ):
                ready.set()
                await trio.sleep_forever()

        nursery.start_soon(clients)
        async with process(tmp_path, quick, slow, narrow, kept=600, kept_max_bytes=20_000) as found:
            await ready.wait()
            await found.record(arrival(total))
            total += 1
        for _ in range(20):
            async with process(tmp_path, quick, slow, narrow, kept=600, kept_max_bytes=20_000) as found:
                for _ in range(random.randrange(12)):
                    count = random.randrange(1, 30)
                    await found.record(*(arrival(total + n, random.randrange(1500)) for n in range(count)))
                    total += count
                    if random.random() < 0.3:
                        await trio.sleep(random.random() * 0.01)
        async with process(tmp_path, quick, slow, narrow):
            everything = [str(number) for number in range(total)]
            for connection in (quick, slow):
                await connection.until(total)
                assert connection.ids == everything
                assert connection.welcomes == 1
            await narrow.until(len(everything[1::3]))
            assert narrow.ids == everything[1::3]
        nursery.cancel_scope.cancel()


async def test_the_first_words_are_finished_by_a_successor(tmp_path: Path, connect: Callable[[], Connection]) -> None:
    """A state is set before anything is written."""
    connection = connect()
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            async with connection.reading("/call-events"):
                await trio.sleep_forever()

        nursery.start_soon(client)
        async with process(tmp_path, connection) as found:
            while connection.handed is None or not connection.handed.state:
                await trio.lowlevel.checkpoint()
        async with process(tmp_path, connection) as found:
            await found.record(arrival(1))
            await connection.until(1)
            assert (connection.welcomes, connection.ids) == (1, ["1"])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("state", [b"rubbish", b"\x95\xa1x\x00\x00\xa0\x01"])
async def test_a_place_that_nobody_can_find_ends_the_connection(
    tmp_path: Path, connect: Callable[[], Connection], state: bytes
) -> None:
    connection = connect()
    connection.handed = FakeHandedConnection(
        connection.client, b"GET /call-events HTTP/1.1\r\nHost: x\r\n\r\n", resumed=True
    )
    connection.handed.state = state
    found = Process(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.recorder.run)
        with trio.fail_after(30):
            await connection.serve(found)
        nursery.cancel_scope.cancel()


async def test_nothing_is_overlooked_that_a_predecessor_writes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that comes just when the journal is opened is found: clients have had it already, and are behind it."""
    newest = Journal.newest

    def newest_and_then_one_more(journal: Journal, count: int) -> list[Entry]:
        found = newest(journal, count)
        with closing(Journal(journal.path)) as predecessors:
            predecessors.commit([arrival(1)], predecessors.last_offset)
        return found

    async with process(tmp_path) as first:
        await first.record(arrival(0))
    monkeypatch.setattr(Journal, "newest", newest_and_then_one_more)
    async with process(tmp_path) as second:
        await second.recorder.session.refresh()
        tail = second.dispatcher.tail
        assert [orjson.loads(entry.text)["id"] for entry in tail.entries_after(tail.before)] == ["0", "1"]
