"""The actor as a whole, on a fake bus and a fake gateway: webhooks and inside events in, `/call-events` out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from actors.call_events.actor import run
from actors.call_events.journal.store import NAME
from tests.fakes.gateway import FakeProcess
from tests.fakes.gateway import serving as fake_serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


Serving = Callable[..., AbstractAsyncContextManager[FakeProcess]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """The actor with a journal of this test's own."""

    def start(**environ: str) -> AbstractAsyncContextManager[FakeProcess]:
        return fake_serving(run, "call_events", PATCHBAY_DATA_DIR=str(tmp_path), **environ)

    return start


def envelope(event_id: str, call: str = "v3:a", **payload: Any) -> bytes:
    data = {"event_type": "call.answered", "id": event_id, "payload": {"call_control_id": call, **payload}}
    return orjson.dumps({"data": data})


class Telnyx:
    """Posts webhooks on one connection."""

    def __init__(self, process: FakeProcess) -> None:
        self.stream = process.gateway.connect()

    async def request(self, method: str, body: bytes, *headers: str) -> tuple[int, bytes]:
        lines = [f"{method} /api/calls/telnyx/webhook HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        answer = await self.exchange("\r\n".join([*lines, "", ""]).encode() + body)
        return int(answer.split()[1]), answer

    async def get(self, target: str) -> bytes:
        return await self.exchange(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async def exchange(self, request: bytes) -> bytes:
        await self.stream.send_all(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await self.stream.receive_some()
            assert data
            answer += data
        length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(answer.partition(b"\r\n\r\n")[2]) < length:
            answer += await self.stream.receive_some()
        return answer

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


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells of."""
    with trio.fail_after(30):
        while True:
            if condition():
                return
            await trio.sleep(0.01)


def statistics(process: FakeProcess) -> Any:
    """What the actor said of itself last."""
    return orjson.loads([frame for frame in process.bus.sockets["pub"].sent if frame.startswith(b"s")][-1][1:])


async def hear(websocket: WebSocketConnection) -> dict[str, Any]:
    found = orjson.loads(await websocket.get_message())
    assert isinstance(found, dict)
    return found


async def test_a_webhook_reaches_clients_once(serving: Serving) -> None:
    async with serving() as process, client(process) as one, client(process, "/ws/call-events?call_id=v3:b") as two:
        for websocket in (one, two):
            assert await hear(websocket) == {"type": "welcome", "message": "Connected to call events WebSocket"}
        telnyx = Telnyx(process)
        assert [await telnyx.post(envelope(*about)) for about in (("1",), ("1",), ("2", "v3:b"))] == [200] * 3
        first, second = await hear(one), await hear(one)
        assert (first["id"], first["type"], first["payload"]) == ("1", "call.answered", {"call_control_id": "v3:a"})
        assert second["offset"] == first["offset"] + 1
        assert second["epoch"] == first["epoch"]
        assert await hear(two) == second


async def test_bad_webhooks_get_their_status_and_no_event(serving: Serving) -> None:
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
        page = orjson.loads((await Telnyx(process).get("/api/events")).partition(b"\r\n\r\n")[2])
        assert len(page["events"]) == 3


async def test_events_from_inside_are_acknowledged_also_when_they_are_repeats(serving: Serving) -> None:
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
        await eventually(lambda: len(router.sent) == 3)
        assert router.sent == [(b"ingest", b"1"), (b"ingest", b"1"), (b"fanout", b"2")]


async def test_a_client_comes_back_after_an_offset(serving: Serving) -> None:
    async with serving() as process:
        telnyx = Telnyx(process)
        async with client(process) as websocket:
            await hear(websocket)
            await telnyx.post(envelope("1"))
            offset = (await hear(websocket))["offset"]
        await telnyx.post(envelope("2"))
        async with client(process, f"/call-events?since={offset}") as websocket:
            assert (await hear(websocket))["recovered"] is True
            assert (await hear(websocket))["type"] == "snapshot"
            assert (await hear(websocket))["id"] == "2"
        async with client(process, "/call-events?since=rubbish") as websocket:
            assert (await hear(websocket))["recovered"] is False
            assert [(await hear(websocket)).get("id") for _ in range(3)] == [None, "1", "2"]


async def test_a_snapshot_tells_the_live_calls_to_those_who_ask(serving: Serving) -> None:
    async with serving() as process:
        telnyx = Telnyx(process)
        for number, call in enumerate(("v3:a", "v3:b")):
            assert await telnyx.post(envelope(str(number), call)) == 200
        ended = {"event_type": "call.hangup", "id": "2", "payload": {"call_control_id": "v3:b"}}
        assert await telnyx.post(orjson.dumps({"data": ended})) == 200
        async with client(process, "/call-events?snapshot=1") as websocket:
            welcome, snapshot = await hear(websocket), await hear(websocket)
            assert "recovered" not in welcome
            assert [(call["call_control_id"], call["state"]) for call in snapshot["calls"]] == [("v3:a", "answered")]
            assert snapshot["offset"] == welcome["offset"]
            await telnyx.post(envelope("3"))
            assert (await hear(websocket))["offset"] == snapshot["offset"] + 1
        async with client(process, "/call-events?snapshot=1&call_id=v3:b") as websocket:
            await hear(websocket)
            assert (await hear(websocket))["calls"] == []


async def test_types_can_be_chosen(serving: Serving) -> None:
    async with serving() as process, client(process, "/call-events?type=call.hangup,stream.*") as websocket:
        await hear(websocket)
        telnyx = Telnyx(process)
        for number, kind in enumerate(
            ("call.answered", "stream.dtmf", "call.hangup", "call.initiated", "stream.error")
        ):
            await telnyx.post(orjson.dumps({"data": {"event_type": kind, "id": str(number)}}))
        assert [(await hear(websocket))["id"] for _ in range(3)] == ["1", "2", "4"]


async def test_a_token_limits_what_is_heard(serving: Serving) -> None:
    claims = {"sub": "x", "calls": ["v3:b"], "can": ["events"]}
    async with serving() as process, client(process, "/call-events?snapshot=1", claims=claims) as websocket:
        await hear(websocket)
        await hear(websocket)
        telnyx = Telnyx(process)
        await telnyx.post(envelope("1", "v3:a"))
        await telnyx.post(envelope("2", "v3:b"))
        assert (await hear(websocket))["id"] == "2"
        refused = process.gateway.connect(kind="ws", claims={**claims, "can": ["listen"]})
        await refused.send_all(b"GET /call-events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await refused.receive_some()).startswith(b"HTTP/1.1 403 ")


async def test_what_clients_say_is_ignored(serving: Serving) -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        await websocket.send_message("hello")
        await websocket.send_message(b"\0" * 1000)
        await websocket.ping(b"there?")
        await Telnyx(process).post(envelope("1"))
        assert (await hear(websocket))["id"] == "1"


async def test_a_client_that_does_not_read_is_closed_with_a_code_and_the_others_lose_nothing(serving: Serving) -> None:
    async with serving(PATCHBAY_EVENTS__STALL_S="0.5") as process, client(process) as quick:
        async with client(process) as slow:
            await hear(quick)
            telnyx = Telnyx(process)
            for number in range(100):  # far beyond what the kernel holds
                assert await telnyx.post(envelope(str(number), note="x" * 200_000)) == 200
                assert (await hear(quick))["id"] == str(number)
            await eventually(lambda: statistics(process)["counters"].get("clients_slow"))
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await hear(slow)
            reason = closed.value.reason
            assert reason is not None
            assert reason.code == 4008
            assert "since" in str(reason.reason)
        await telnyx.post(envelope("after"))
        assert (await hear(quick))["id"] == "after"


async def test_a_client_that_is_slow_but_reads_gets_everything_from_the_journal(serving: Serving) -> None:
    async with serving(PATCHBAY_EVENTS__KEPT="600", PATCHBAY_EVENTS__KEPT_MAX_BYTES="100000") as process:
        async with client(process) as slow:
            await hear(slow)
            telnyx = Telnyx(process)
            for number in range(100):
                assert await telnyx.post(envelope(str(number), note="x" * 200_000)) == 200
            assert [(await hear(slow))["id"] for _ in range(100)] == [str(number) for number in range(100)]
            await telnyx.post(envelope("after"))
            assert (await hear(slow))["id"] == "after"


async def test_programs_get_pages(serving: Serving) -> None:
    async with serving() as process:
        telnyx = Telnyx(process)
        for number in range(5):
            await telnyx.post(envelope(str(number), f"v3:{number % 2}"))

        async def get(query: str) -> tuple[list[str], dict[str, Any]]:
            found = orjson.loads((await telnyx.get(f"/api/events{query}")).partition(b"\r\n\r\n")[2])
            return [event["id"] for event in found["events"]], found

        ids, latest = await get("?limit=2")
        assert (ids, latest["more"]) == (["3", "4"], True)
        ids, everything = await get("?since=0")
        assert (ids, everything["recovered"], everything["more"]) == (list("01234"), False, False)
        first = everything["events"][0]["offset"]
        ids, page = await get(f"?since={first}&call=v3:0&limit=1")
        assert (ids, page["recovered"]) == (["2"], True)
        assert (await get(f"?since={page['next']}&call=v3:0"))[0] == ["4"]
        assert (await get(f"?since={everything['next']}"))[0] == []
        assert (await get("?type=call.h*"))[0] == []
        ahead = (await get(f"?since={10**18 - 1}"))[1]  # of another journal: it goes on with this one
        assert (ahead["events"], ahead["recovered"], ahead["next"]) == ([], False, everything["next"])
        for query in ("call=", "callId[]=&call=v3:0", "CallSid=v3:0", "stream_id=s"):
            assert (await Telnyx(process).get(f"/api/events?{query}")).startswith(b"HTTP/1.1 400 ")


async def test_statistics_go_out(serving: Serving) -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        await eventually(lambda: statistics(process)["gauges"]["clients"] == 1)
        assert statistics(process)["from"] == "call_events.0"
        assert statistics(process)["gauges"]["journal_available"] == 1


async def test_it_drains(serving: Serving) -> None:
    async with serving() as process, client(process) as websocket:
        await hear(websocket)
        handed = next(iter(process.gateway.connections.values()))
        process.context.draining.set()
        with pytest.raises(ConnectionClosed):
            await websocket.get_message()
        assert handed.parked == b""


async def test_a_restored_backup_is_told(serving: Serving, tmp_path: Path) -> None:
    """Whoever was there before may miss something, whatever offset it has; whoever comes now does not."""
    async with serving() as process:
        await Telnyx(process).post(envelope("1"))
    backup = (tmp_path / NAME).read_bytes()
    async with serving() as process, client(process, "/call-events?since=0") as websocket:
        await Telnyx(process).post(envelope("2"))
        epoch = (await hear(websocket))["epoch"]
        await hear(websocket)
        offsets = [(await hear(websocket))["offset"] for _ in range(2)]
    (tmp_path / NAME).write_bytes(backup)
    async with serving() as process:
        await Telnyx(process).post(envelope("3"))
        welcome: dict[str, Any] = {}
        for since in (offsets[0], offsets[1], offsets[1] + 1):
            async with client(process, f"/call-events?since={since}") as websocket:
                welcome = await hear(websocket)
                assert welcome["recovered"] is False
                assert welcome["epoch"] != epoch
                await hear(websocket)
                assert (await hear(websocket))["id"] == "3"
            answer = await Telnyx(process).get(f"/api/events?since={since}")
            assert b'"recovered":false' in answer
        last = welcome["offset"]
        assert last > offsets[1]
        async with client(process, f"/call-events?since={last}") as websocket:
            assert (await hear(websocket))["recovered"] is True
