"""One bad input costs at most its message: seen from outside, through all forms that a listener may have."""

from __future__ import annotations

from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from tests.e2e.calls import new_call_id, recording
from tests.e2e.clients import client, listener
from tests.e2e.http_client import exchange, fetch, status_of
from tests.e2e.system import eventually
from tests.e2e.v1_client import v1_client
from tests.fakes.websockets import ServerFrames, masked, upgrade_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
WEBHOOK = "/api/calls/telnyx/webhook"
CLIP = recording(frames=40, start=200)


@asynccontextmanager
async def telnyx(system: System) -> AsyncIterator[trio.SocketStream]:
    """A media stream on which each byte is the test's."""
    async with await trio.open_tcp_stream("127.0.0.1", system.port) as stream:
        await stream.send_all(upgrade_head("/audio-stream?role=telnyx"))
        assert status_of(await ServerFrames(stream).answer()) == 101
        yield stream


def start(call_id: str, name: bytes) -> bytes:
    body = b'{"call_control_id":"%b","from":%b,"media_format":{"encoding":"PCMU","sample_rate":8000,"channels":0}}'
    return b'{"event":"start","sequence_number":"","stream_id":"S","start":%b}' % (body % (call_id.encode(), name))


def media(chunk: int, more: bytes) -> bytes:
    payload = b64encode(CLIP.frames[chunk - 1])
    body = b'{"track":"inbound","chunk":"%d",%b"payload":"%b"}' % (chunk, more, payload)
    return b'{"event":"media","sequence_number":"","stream_id":"S","media":%b}' % body


@pytest.mark.parametrize("name", [b'"M\xfcller"', b'"\\ud83d"', b"NaN"], ids=["Latin-1", "half an emoji", "NaN"])
async def test_a_call_is_heard_whatever_nobody_needs_says(patchbay: System, name: bytes) -> None:
    """In each form, and what goes with it is JSON that can be read."""
    call_id = new_call_id()
    async with (
        listener(patchbay, call_id) as binary,
        listener(patchbay, call_id, format="json") as texts,
        v1_client(patchbay) as newer,
        telnyx(patchbay) as stream,
    ):
        await newer.subscribe(call_id, "inbound")
        await stream.send_all(masked(start(call_id, name)))
        for chunk in range(1, 31):
            more = b'"timestamp":20.5,' if chunk % 2 else b'"x":%b,' % name
            await stream.send_all(masked(media(chunk, more)))
        await binary.until(lambda: CLIP.frames[29] in binary.audio)
        assert binary.audio == list(CLIP.frames[:30])
        await texts.until(lambda: len(texts.of("media")) == 30)
        assert texts.of("start")[0]["start"]["call_control_id"] == call_id
        await newer.until(lambda: len(newer.track(0)) == 30)
        assert newer.of("stream")[0]["start"]["call_control_id"] == call_id

        async def counted() -> bool:
            return bool((await patchbay.calls())[call_id]["mended"] == 31)

        assert await eventually(counted)


async def test_a_call_ends_by_a_webhook_that_is_read_in_part(patchbay: System) -> None:
    """Its bytes stay as they were in the journal; clients get JSON."""
    call_id = new_call_id().encode()
    async with client(patchbay, f"/call-events?callControlId={call_id.decode()}") as page:
        for number, kind in enumerate((b"answered", b"hangup")):
            payload = b'{"call_control_id":"%b","from":"M\xfcller \\ud83d"}' % call_id
            body = b'\xef\xbb\xbf{"data":{"event_type":"call.%b","id":"%b %d","occurred_at":"9999-12-31T23:59:59-14:00","payload":%b}}'
            assert (await patchbay.post(WEBHOOK, body % (kind, call_id, number, payload)))[0] == 200
        await page.until(lambda: len(page.events) >= 3)
        assert [event["type"] for event in page.events] == ["welcome", "call.answered", "call.hangup"]
        assert page.events[2]["payload"]["from"] == "M\ufffdller \ufffd"
        assert page.events[2]["occurred_at"] < "9999"
    async with client(patchbay, "/call-events?snapshot=1&since=0") as late:
        await late.until(lambda: len(late.events) >= 2)
        assert late.events[1]["type"] == "snapshot"
        assert call_id.decode() not in [call["call_control_id"] for call in late.events[1]["calls"]]


@pytest.mark.parametrize("path", ["/audio-stream", "/audio-stream?role=telnyx", "/frontend-audio", "/call-events"])
async def test_pages_of_others_open_no_socket(patchbay: System, path: str) -> None:
    """Those of this machine do."""
    for origin, status in (("https://evil.example", 403), ("null", 403), ("http://localhost.evil.example", 403)):
        answer = await exchange(patchbay.port, upgrade_head(path, f"Origin: {origin}"))
        assert status_of(answer) == status
        assert b"PATCHBAY_AUTH__ALLOWED_ORIGINS" in answer
    async with await trio.open_tcp_stream("127.0.0.1", patchbay.port) as stream:
        await stream.send_all(upgrade_head(path, "Origin: http://localhost:3000"))
        assert status_of(await ServerFrames(stream).answer()) == 101


async def test_pages_of_others_ask_for_nothing_on_a_connection_that_is_there(patchbay: System) -> None:
    """A browser sends the requests of several pages over one; each is looked at. Webhooks could be made up so, too."""
    post = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 2\r\n\r\n{{}}"
    get = "GET /api/calls HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n"
    for second in (post, get):
        answer = await exchange(patchbay.port, f"GET /api/calls HTTP/1.1\r\nHost: x\r\n\r\n{second}".encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 403 ") == 1


async def test_paths_and_queries_are_exact(patchbay: System) -> None:
    """And the answer says what is right."""
    for path in ("//audio-stream", "/api//call-events", "/audio-stream//", "/Call-Events", "/api%2faudio-stream"):
        assert status_of(await exchange(patchbay.port, upgrade_head(path))) == 404
        assert (await fetch(patchbay.port, path))[0] == 404
    old = upgrade_head().replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = await exchange(patchbay.port, old)
    assert status_of(answer) == 426
    assert b"proxy_http_version" in answer
    for path in ("/audio-stream", "/frontend-audio", "/call-events"):
        for query in ("call_control_id=", "callId[]=", "CallSid=v3:a"):
            answer = await exchange(patchbay.port, upgrade_head(f"{path}?{query}"))
            assert status_of(answer) == 400
            assert b"call_control_id" in answer
    for path in ("/api/events", "/api/calls"):
        assert (await fetch(patchbay.port, f"{path}?call="))[0] == 400


async def test_forms_and_the_older_api_are_told_what_to_set(patchbay: System) -> None:
    """In the answer, and in the log."""
    status, words = await patchbay.post(WEBHOOK, b"CallSid=a&CallStatus=completed", "application/x-www-form-urlencoded")
    assert (status, b"TeXML" in words) == (415, True)
    status, words = await patchbay.post(WEBHOOK, orjson.dumps({"event_type": "call_hangup", "payload": {}}))
    assert (status, b"API v2" in words) == (400, True)

    async def logged() -> bool:
        return "TeXML" in patchbay.log() and "API v2" in patchbay.log()

    assert await eventually(logged)
