"""Webhooks in, events out: `POST /api/calls/telnyx/webhook` and `/call-events`, and what ingest tells of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest
import trio

from tests.e2e.calls import call, new_call_id, recording, until_over
from tests.e2e.clients import client
from tests.e2e.http_client import exchange, fetch, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
WEBHOOK = "/api/calls/telnyx/webhook"
BODY_MAX_BYTES = 256 * 1024


@pytest.fixture
async def browser(patchbay: System) -> AsyncIterator[Client]:
    async with client(patchbay, "/call-events") as connected:
        await connected.until(lambda: connected.messages)
        yield connected


def envelope(event_type: str = "call.answered", **payload: Any) -> dict[str, Any]:
    """A webhook as Telnyx posts it."""
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": str(uuid4()),
        "occurred_at": "2026-02-02T22:25:27.521992Z",
        "payload": {"call_control_id": new_call_id(), **payload},
    }
    return {"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.com/webhook"}}


async def post(system: System, envelope: dict[str, Any]) -> int:
    return (await system.post(WEBHOOK, orjson.dumps(envelope)))[0]


async def event_of(browser: Client, envelope: dict[str, Any]) -> dict[str, Any]:
    """Wait for what a webhook has become."""
    wanted = envelope["data"]["id"]
    await browser.until(lambda: any(event.get("id") == wanted for event in browser.events))
    return next(event for event in browser.events if event.get("id") == wanted)


async def test_the_welcome(browser: Client) -> None:
    """Is exactly the one that the frontend knows."""
    assert browser.messages[0] == '{"type":"welcome","message":"Connected to call events WebSocket"}'


async def test_a_webhook_becomes_an_event(patchbay: System, browser: Client) -> None:
    """With exactly these fields; the payload is Telnyx's."""
    posted = envelope(direction="incoming", nested={"a": [1, 2.5, None, "é"]}, **{"from": "+33100000001"})
    assert await post(patchbay, posted) == 200
    event = await event_of(browser, posted)
    data = posted["data"]
    offset, epoch = event.pop("offset"), event.pop("epoch")
    assert event == {
        "type": "call.answered",
        "id": data["id"],
        "occurred_at": data["occurred_at"],
        "occurredAt": data["occurred_at"],
        "payload": data["payload"],
    }
    assert isinstance(offset, int)
    assert 0 < offset < 2**53
    assert epoch


async def test_all_paths_of_the_webhook(patchbay: System, browser: Client) -> None:
    """With `/api`, without, and with a slash at the end."""
    for path in ("/api/calls/telnyx/webhook", "/calls/telnyx/webhook", "/api/calls/telnyx/webhook/"):
        posted = envelope()
        assert (await patchbay.post(path, orjson.dumps(posted)))[0] == 200
        await event_of(browser, posted)


async def test_a_webhook_that_comes_twice(patchbay: System, browser: Client) -> None:
    """Is answered 200 both times and is one event."""
    posted, last = envelope(), envelope("call.hangup")
    for _ in range(3):
        assert await post(patchbay, posted) == 200
    assert await post(patchbay, last) == 200
    await event_of(browser, last)
    assert len([event for event in browser.events if event.get("id") == posted["data"]["id"]]) == 1


async def test_the_order_of_events(patchbay: System, browser: Client) -> None:
    """Offsets grow by one; every client gets all, in the same order."""
    posted = [envelope(number=number) for number in range(20)]
    async with client(patchbay, "/call-events") as other:
        await other.until(lambda: other.messages)
        for each in posted:
            assert await post(patchbay, each) == 200
        for reader in (browser, other):
            await event_of(reader, posted[-1])
        ids = [each["data"]["id"] for each in posted]
        seen = [[event for event in reader.events if event.get("id") in ids] for reader in (browser, other)]
        assert seen[0] == seen[1]
        assert [event["id"] for event in seen[0]] == ids
        offsets = [event["offset"] for event in seen[0]]
        assert offsets == sorted(set(offsets))


async def test_get_is_refused(patchbay: System) -> None:
    """405, whatever is in the query."""
    for method in ("GET", "PUT", "DELETE"):
        assert (await fetch(patchbay.port, f"{WEBHOOK}?data=%7B%7D", method=method))[0] == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":{"event_type":""}}',
        b'{"data":{"event_type":"call.answered","payload":[]}}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
async def test_what_is_no_webhook(patchbay: System, body: bytes) -> None:
    """400, which Telnyx does not post again."""
    assert (await patchbay.post(WEBHOOK, body))[0] == 400


async def test_a_body_that_is_too_long(patchbay: System) -> None:
    """413, by its announced length and by what comes; up to the limit it is taken."""
    small = orjson.dumps(envelope(filler=""))
    fits = orjson.dumps(envelope(filler="a" * (BODY_MAX_BYTES - len(small))))
    assert len(fits) == BODY_MAX_BYTES
    assert (await patchbay.post(WEBHOOK, fits))[0] == 200
    assert (await patchbay.post(WEBHOOK, fits + b" "))[0] == 413
    chunked = b"%x\r\n" % (BODY_MAX_BYTES + 1) + fits + b" \r\n0\r\n\r\n"
    headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()
    assert status_of(await exchange(patchbay.port, head + chunked)) == 413


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_what_is_not_json(patchbay: System, content_type: str) -> None:
    """415: TeXML's callbacks, say."""
    assert (await patchbay.post(WEBHOOK, orjson.dumps(envelope()), content_type))[0] == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/cloudevents+json"]
)
async def test_what_is_json(patchbay: System, content_type: str) -> None:
    """200."""
    assert (await patchbay.post(WEBHOOK, orjson.dumps(envelope()), content_type))[0] == 200


async def test_the_events_of_a_call(patchbay: System, browser: Client) -> None:
    """What the simulated Telnyx posts, and what its stream told: started, dtmf, stopped; each with the call's id."""
    webhook_url = patchbay.http_url(WEBHOOK)
    async with call(patchbay, tracks={"inbound": recording(frames=50)}, webhook_url=webhook_url) as running:
        call_id = running.identity.call_control_id
        await running.send_dtmf("5")
        await until_over(running)
    mine = {"call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup"}
    mine |= {"stream.started", "stream.dtmf", "stream.stopped"}
    await browser.until(lambda: {event["type"] for event in _of(browser, call_id)} == mine)
    by_type = {event["type"]: event for event in _of(browser, call_id)}
    assert len(_of(browser, call_id)) == len(mine)
    assert by_type["stream.dtmf"]["payload"]["digit"] == "5"
    assert by_type["stream.started"]["payload"]["stream_id"] == running.identity.stream_id
    assert by_type["stream.stopped"]["payload"]["frames"] == 50
    assert running.webhooks.failures == []


def _of(browser: Client, call_id: str) -> list[dict[str, Any]]:
    return [event for event in browser.events if event.get("payload", {}).get("call_control_id") == call_id]


async def test_a_stream_that_is_lost(patchbay: System, browser: Client) -> None:
    """Its connection breaks without a stop frame: `stream.failed`."""
    async with call(patchbay, reconnect=False) as running:
        call_id = running.identity.call_control_id
        await patchbay.until_live(call_id)
        running.drop()
        await browser.until(lambda: any(event["type"] == "stream.failed" for event in _of(browser, call_id)))


async def test_a_client_that_names_its_call(patchbay: System) -> None:
    """Gets the events of that call only."""
    mine, other = envelope(), envelope()
    call_id = mine["data"]["payload"]["call_control_id"]
    async with client(patchbay, f"/call-events?call_control_id={quote(call_id, safe='')}") as browser:
        await browser.until(lambda: browser.messages)
        for posted in (other, mine):
            assert await post(patchbay, posted) == 200
        await event_of(browser, mine)
        assert len(browser.messages) == 2


async def test_coming_back_with_since(patchbay: System, browser: Client) -> None:
    """What was missed comes first, each once, and the welcome says that it is all of it."""
    posted = [envelope(number=number) for number in range(5)]
    for each in posted:
        assert await post(patchbay, each) == 200
    offset = (await event_of(browser, posted[1]))["offset"]
    async with client(patchbay, f"/call-events?since={offset}") as back:
        await event_of(back, posted[4])
        assert back.events[0]["type"] == "welcome"
        assert back.events[0]["recovered"] is True
        ids = [each["data"]["id"] for each in posted]
        assert [event["id"] for event in back.events if event.get("id") in ids] == ids[2:]


async def test_many_at_once(patchbay: System, browser: Client) -> None:
    """A hundred posts on as many connections: each is answered 200 and is an event."""
    posted = [envelope(number=number) for number in range(100)]
    statuses: list[int] = []

    async def deliver(each: dict[str, Any]) -> None:
        statuses.append(await post(patchbay, each))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for each in posted:
                nursery.start_soon(deliver, each)
    assert statuses == [200] * len(posted)
    ids = {each["data"]["id"] for each in posted}
    await browser.until(lambda: ids <= {event.get("id") for event in browser.events})
