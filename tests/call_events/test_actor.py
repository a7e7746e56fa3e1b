"""The actor as a whole, on a fake bus and a fake gateway: webhooks and inside events in, `/call-events` and the bus out."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from actors.call_events.actor import run
from tests.fakes.gateway import FakeProcess
from tests.fakes.gateway import serving as fake_serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


def serving(**environ: str) -> AbstractAsyncContextManager[FakeProcess]:
    return fake_serving(run, "call_events", **environ)


def envelope(event_id: str, call: str = "v3:a", **payload: Any) -> bytes:
    data = {"event_type": "call.answered", "id": event_id, "payload": {"call_control_id": call, **payload}}
    return orjson.dumps({"data": data})


class Telnyx:
    """Posts webhooks on one connection."""

    def __init__(self, process: FakeProcess) -> None:
        self.stream = process.gateway.connect()

    async def request(self, method: str, body: bytes, *headers: str) -> tuple[int, bytes]:
        lines = [f"{method} /api/calls/telnyx/webhook HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        await self.stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await self.stream.receive_some()
            assert data
            answer += data
        return int(answer.split()[1]), answer

    async def post(self, body: bytes, content_type: str = "application/json") -> int:
        return (await self.request("POST", body, f"Content-Type: {content_type}"))[0]


@asynccontextmanager
async def client(
    process: FakeProcess, target: str = "/call-events", **about: Any
) -> AsyncIterator[WebSocketConnection]:
    stream = process.gateway.connect(kind="ws", **about)
    async with trio.open_nursery() as nursery:
        websocket = await wrap_client_stream(nursery, stream, "localhost", target)
        async with websocket:
            yield websocket


async def hear(websocket: WebSocketConnection) -> dict[str, Any]:
    found = orjson.loads(await websocket.get_message())
    assert isinstance(found, dict)
    return found


async def test_a_webhook_reaches_clients_and_the_bus_once() -> None:
    async with serving() as process, client(process) as one, client(process, "/ws/call-events?call_id=v3:b") as two:
        for websocket in (one, two):
            assert await hear(websocket) == {"type": "welcome", "message": "Connected to call events WebSocket"}
        telnyx = Telnyx(process)
        assert [await telnyx.post(envelope(*about)) for about in (("1",), ("1",), ("2", "v3:b"))] == [200] * 3
        first, second = await hear(one), await hear(one)
        assert (first["id"], first["type"], first["payload"]) == ("1", "call.answered", {"call_control_id": "v3:a"})
        assert second["offset"] == first["offset"] + 1
        assert second["epoch"] == first["epoch"] == "1700000000000000000"
        assert await hear(two) == second
        events = [frame for frame in process.bus.sockets["pub"].sent if frame.startswith(b"e")]
        assert [orjson.loads(frame[1:]) for frame in events] == [first, second]


async def test_bad_webhooks_get_their_status_and_no_event() -> None:
    async with serving(PATCHBAY_EVENTS__WEBHOOK_MAX_BYTES="1000") as process:
        telnyx = Telnyx(process)
        assert await telnyx.post(b"{") == 400
        assert await telnyx.post(b"{}") == 400
        assert await telnyx.post(envelope("1"), "application/x-www-form-urlencoded") == 415
        assert (await telnyx.request("POST", envelope("1"), "Content-Encoding: gzip"))[0] == 415
        status, answer = await telnyx.request("GET", b"")
        assert status == 405
        assert b"\r\nallow: POST\r\n" in answer
        assert (await telnyx.request("PUT", b""))[0] == 405
        assert (await telnyx.request("POST", envelope("1")))[0] == 200
        assert await telnyx.post(envelope("2"), "application/json; charset=utf-8") == 200
        assert await telnyx.post(envelope("3"), "application/vnd.telnyx+json") == 200
        assert await telnyx.post(envelope("4", note="x" * 1000)) == 413
        assert len([frame for frame in process.bus.sockets["pub"].sent if frame.startswith(b"e")]) == 3


async def test_events_from_inside_are_acknowledged_also_when_they_are_repeats() -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        router = process.bus.routers["in"]
        frame = orjson.dumps(
            {"id": "1", "type": "stream.started", "occurred_at": "2026-01-01T00:00:00Z", "payload": {"a": 1}}
        )
        router.arrive(b"ingest", b"rubbish")
        router.arrive(b"ingest", frame)
        router.arrive(b"ingest", frame)
        router.arrive(b"fanout", frame.replace(b'"1"', b'"2"'))
        event = await hear(websocket)
        assert (event["type"], event["payload"], event["occurredAt"]) == (
            "stream.started",
            {"a": 1},
            "2026-01-01T00:00:00Z",
        )
        assert (await hear(websocket))["id"] == "2"
        await wait_all_tasks_blocked()
        assert router.sent == [(b"ingest", b"1"), (b"ingest", b"1"), (b"fanout", b"2")]


async def test_a_client_comes_back_after_an_offset() -> None:
    async with serving() as process:
        telnyx = Telnyx(process)
        async with client(process) as websocket:
            await hear(websocket)
            await telnyx.post(envelope("1"))
            offset = (await hear(websocket))["offset"]
        await telnyx.post(envelope("2"))
        async with client(process, f"/call-events?since={offset}") as websocket:
            assert (await hear(websocket))["recovered"] is True
            assert (await hear(websocket))["id"] == "2"
        async with client(process, "/call-events?since=rubbish") as websocket:
            assert (await hear(websocket))["recovered"] is False


async def test_a_client_of_a_predecessor_gets_what_was_taken_since_and_no_second_handshake() -> None:
    async with serving() as process:
        telnyx = Telnyx(process)
        assert await telnyx.post(envelope("1")) == 200
        stream = process.gateway.connect(kind="ws", resumed=True)
        await stream.send_all(
            b"GET /call-events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        heard = await stream.receive_some()
        assert heard[:2] == b"\x81\x7e"
        assert orjson.loads(heard[4:])["id"] == "1"
        assert await telnyx.post(envelope("2")) == 200
        heard = await stream.receive_some()
        assert orjson.loads(heard[4:])["id"] == "2"


async def test_what_clients_say_is_ignored() -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        await websocket.send_message("hello")
        await websocket.send_message(b"\0" * 1000)
        await websocket.ping(b"there?")
        await Telnyx(process).post(envelope("1"))
        assert (await hear(websocket))["id"] == "1"


async def test_a_client_that_does_not_read_is_closed_with_a_code_and_the_others_lose_nothing() -> None:
    async with serving(PATCHBAY_EVENTS__CLIENT_QUEUE="10") as process, client(process) as quick:
        async with client(process) as slow:
            await hear(quick)
            telnyx = Telnyx(process)
            for number in range(100):  # far beyond what the kernel holds
                assert await telnyx.post(envelope(str(number), note="x" * 200_000)) == 200
                assert (await hear(quick))["id"] == str(number)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await hear(slow)
            reason = closed.value.reason
            assert reason is not None
            assert reason.code == 4008
            assert "since" in str(reason.reason)
        await telnyx.post(envelope("after"))
        assert (await hear(quick))["id"] == "after"


async def test_statistics_go_out_twice_a_second(autojump_clock: MockClock) -> None:
    async with serving() as process:
        await trio.sleep(1.75)
        frames = [frame for frame in process.bus.sockets["pub"].sent if frame.startswith(b"s")]
        assert len(frames) == 4
        stats = orjson.loads(frames[-1][1:])
        assert stats["from"] == "call_events.0"
        assert stats["gauges"]["clients"] == 0


async def test_it_drains() -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        handed = next(iter(process.gateway.connections.values()))
        process.context.draining.set()
        with pytest.raises(ConnectionClosed):
            await websocket.get_message()
        assert handed.parked == b""
