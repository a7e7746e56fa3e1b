"""Another WebSocket implementation at every end: the `websockets` package, with what its defaults bring.

It offers compression, fragments messages, sends pings of its own and checks every frame it gets.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from simulator.codecs import PCMU
from tests.e2e.calls import SPEECH, call, media, new_call_id, recording, until_said
from tests.e2e.clients import client, listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
TIMEOUT_S = 30.0
FRAMES = 20


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run blocking code beside trio."""
    with trio.fail_after(2 * TIMEOUT_S):
        return await trio.to_thread.run_sync(function, *arguments)


def path_of(call_id: str, extra: str = "") -> str:
    return f"/audio-stream?call_control_id={quote(call_id, safe='')}{extra}"


def until_stop(socket: ClientConnection) -> list[str | bytes]:
    """Everything up to Telnyx's stop."""
    messages: list[str | bytes] = []
    while not (messages and isinstance(messages[-1], str) and orjson.loads(messages[-1])["event"] == "stop"):
        messages.append(socket.recv(timeout=TIMEOUT_S))
    return messages


async def test_a_browser(patchbay: System) -> None:
    """Hears a call, byte for byte; its pings are answered, its close is too."""
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=20)

    def listen(here: trio.Event) -> list[str | bytes]:
        with connect(patchbay.url(path_of(call_id)), ping_interval=0.1) as socket:
            assert socket.protocol.extensions == []  # compression is offered and not accepted
            first = socket.recv(timeout=TIMEOUT_S)
            trio.from_thread.run_sync(here.set)
            messages = until_stop(socket)
            assert socket.ping().wait(TIMEOUT_S)
        assert socket.close_code == 1000
        return [first, *messages]

    messages: list[str | bytes] = []
    async with trio.open_nursery() as nursery:
        here = trio.Event()

        async def browse() -> None:
            messages.extend(await in_thread(listen, here))

        nursery.start_soon(browse)
        await here.wait()
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await running.wait_until(lambda: running.outcome is not None)
    assert [message for message in messages if isinstance(message, bytes)] == list(clip.frames)


async def test_telnyx(patchbay: System) -> None:
    """Streams with it; a frame in fragments, and one over the length that is read in one go, keep their turn."""
    call_id, clip = new_call_id(), recording(frames=4, start=20)
    long = recording(frames=250, start=20).payload  # 5 s in one frame: Telnyx promises no length
    start = {
        "event": "start",
        "stream_id": "S",
        "start": {"call_control_id": call_id, "media_format": PCMU.media_format},
    }

    def stream() -> None:
        with connect(patchbay.url("/audio-stream"), user_agent_header="Telnyx") as socket:
            socket.send('{"event":"connected","version":"1.0.0"}')
            socket.send(orjson.dumps(start).decode())
            socket.send(media(1, clip.frame(0)))
            text = media(2, clip.frame(1))
            socket.send([text[:10], text[10:100], "", text[100:]])
            socket.send(media(3, clip.frame(2)))
            socket.send(media(4, long))
            socket.send(media(5, clip.frame(3)))
            socket.ping().wait(TIMEOUT_S)
            socket.send(orjson.dumps({"event": "stop", "stop": {"call_control_id": call_id}}).decode())

    async with listener(patchbay, call_id) as browser:
        await in_thread(stream)
        await browser.until_stop()
        assert b"".join(browser.audio) == clip.frame(0) + clip.frame(1) + clip.frame(2) + long + clip.frame(3)


async def test_talk_in_fragments(patchbay: System) -> None:
    """Text and binary, in pieces as small as may be, between whole ones: all arrives, in order."""
    clip = recording(frames=3, start=SPEECH)

    def talk(call_id: str) -> None:
        with connect(patchbay.url(path_of(call_id))) as socket:
            while orjson.loads(socket.recv(timeout=TIMEOUT_S))["event"] != "start":
                pass
            for tick in range(3):
                text = orjson.dumps(
                    {"event": "media", "media": {"payload": b64encode(clip.frame(tick)).decode()}}
                ).decode()
                socket.send(text if tick != 1 else [text[at : at + 7] for at in range(0, len(text), 7)])
            trio.from_thread.run(until_said, running, 3)

    async with call(patchbay) as running:
        await in_thread(talk, running.identity.call_control_id)
        assert running.far_end.talk == clip.payload


@pytest.mark.parametrize("role", ["", "&role=telnyx"])
async def test_a_message_that_is_too_long(patchbay: System, role: str) -> None:
    """1009."""

    def send() -> int:
        with connect(patchbay.url(path_of(new_call_id(), role))) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                socket.send("a" * 2 * 1024 * 1024)
                while True:
                    socket.recv(timeout=TIMEOUT_S)
            return closed.value.rcvd.code if closed.value.rcvd else 0

    assert await in_thread(send) == 1009


@pytest.mark.parametrize("role", ["", "&role=telnyx"])
async def test_text_that_is_not_utf_8(patchbay: System, role: str) -> None:
    """1007, as RFC 6455 says."""

    def send() -> int:
        with connect(patchbay.url(path_of(new_call_id(), role))) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                socket.send(b"\xff\xfe\xfd", text=True)
                while True:
                    socket.recv(timeout=TIMEOUT_S)
            return closed.value.rcvd.code if closed.value.rcvd else 0

    assert await in_thread(send) == 1007


async def test_a_frame_without_a_mask(patchbay: System) -> None:
    """1002: RFC 6455 §5.1 has a server close on it."""
    async with client(patchbay) as browser:
        await browser.until(lambda: browser.messages)
        await browser.send_bytes(b"\x82\x04abcd")
        assert (await browser.until_closed()).code == 1002


async def test_rejections_are_http(patchbay: System) -> None:
    """A client library shows status and reason."""

    def refused(path: str) -> tuple[int, bytes]:
        with pytest.raises(InvalidStatus) as caught, connect(patchbay.url(path)):
            pass
        return caught.value.response.status_code, bytes(caught.value.response.body or b"")

    assert (await in_thread(refused, "/nothing"))[0] == 404
    status, body = await in_thread(refused, "/audio-stream?track=up")
    assert status == 400
    assert b"track" in body


async def test_events(patchbay: System) -> None:
    """`/call-events` with it."""

    def first_two() -> list[str | bytes]:
        with connect(patchbay.url("/ws/call-events")) as socket:
            welcome = socket.recv(timeout=TIMEOUT_S)
            body = b'{"data":{"event_type":"call.bridged","id":"bridged-1","payload":{}}}'
            assert trio.from_thread.run(patchbay.post, "/api/calls/telnyx/webhook", body)[0] == 200
            return [welcome, socket.recv(timeout=TIMEOUT_S)]

    welcome, event = await in_thread(first_two)
    assert orjson.loads(welcome)["type"] == "welcome"
    assert orjson.loads(event)["type"] == "call.bridged"
