"""Who is let in: every endpoint with every kind of token, seen on the wire while a call is live."""

from __future__ import annotations

import re
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import pytest
import trio

from bench.hostile.wire import UPGRADE
from simulator.call import place
from simulator.identity import new_identity
from simulator.options import CallOptions
from tests.e2e.calls import media, recording
from tests.e2e.clients import client
from tests.e2e.guarded import (
    MY_CALL,
    OTHER_CALL,
    RIGHTS,
    STREAM_TOKEN,
    ask,
    guarded_system,
    token,
    wrong_tokens,
)
from tests.e2e.http_client import exchange, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow

MINE, OTHERS = quote(MY_CALL, safe=""), quote(OTHER_CALL, safe="")
SOCKETS = {
    "/audio-stream": "listen",
    "/api/audio-stream": "listen",
    "/frontend-audio": "listen",
    "/call-events": "events",
}
PAGES = ("/", "/console.js", "/metrics", "/api/calls", "/calls", "/api/actors", "/nothing-here", "/%6detrics")
PCMU = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
START = {"event": "start", "stream_id": "S", "start": {"call_control_id": MY_CALL, "media_format": PCMU}}
OTHER_START = {"event": "start", "stream_id": "T", "start": {"call_control_id": OTHER_CALL, "media_format": PCMU}}


@pytest.fixture(scope="module")
def guarded() -> Iterator[System]:
    """One system with authentication for the tests of this file."""
    with guarded_system(AUTH__ALLOWED_ORIGINS="https://app.example.com,https://other.example.com") as system:
        yield system


def with_token(path: str, given: str | None, **query: str) -> str:
    pairs = {**query, **({} if given is None else {"token": given})}
    return f"{path}?{'&'.join(f'{key}={value}' for key, value in pairs.items())}"


def telnyx(guarded: System, **how: Any) -> Any:
    return client(
        guarded,
        how.pop("path", "/audio-stream"),
        headers=how.pop("headers", {"X-Telnyx-Streaming-Auth-Token": STREAM_TOKEN}),
    )


async def play(guarded: System, started: trio.Event) -> None:
    """Both calls, with somebody speaking in them, for as long as it may."""
    frames = recording(frames=50, start=20).frames
    async with telnyx(guarded) as mine, telnyx(guarded) as others:
        await mine.send(START)
        await others.send(OTHER_START)
        chunk = 0
        while True:
            for stream in (mine, others):
                await stream.send(media(chunk, frames[chunk % len(frames)], stream_id="S"))
            chunk += 1
            started.set()
            await trio.sleep(0.02)


async def test_wrong_tokens_open_nothing(guarded: System) -> None:
    """401 for each of them everywhere, and one line of text is all that comes."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            started = trio.Event()
            nursery.start_soon(play, guarded, started)
            await started.wait()
            for kind, given in wrong_tokens().items():
                for path in SOCKETS:
                    status, body = await ask(guarded, with_token(path, given, call_control_id=MINE), upgrade=True)
                    assert (status, body.count(b"\n")) == (401, 1), (kind, path, body)
                for path in PAGES:
                    status, body = await ask(guarded, with_token(path, given))
                    assert (status, body.count(b"\n")) == (401, 1), (kind, path, body)
            nursery.cancel_scope.cancel()


async def test_good_tokens_that_are_not_for_this(guarded: System) -> None:
    """403: another call, one call of two that are named, no call at all, or a right that is missing."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            started = trio.Event()
            nursery.start_soon(play, guarded, started)
            await started.wait()
            for path, right in SOCKETS.items():
                others = [other for other in RIGHTS if other != right]
                for wanted, given in (
                    (f"call_control_id={OTHERS}", token()),
                    (f"callId={OTHERS}", token()),
                    (f"call_control_id={MINE}&call_id={OTHERS}", token()),
                    (f"call_control_id={MINE}", token(calls=())),
                    ("track=both", token(calls=())),
                    (f"call_control_id={MINE}", token(can=others)),
                    (f"call_control_id={MINE}", token(can=(), calls="*")),
                ):
                    status, body = await ask(guarded, f"{path}?{wanted}&token={given}", upgrade=True)
                    assert (status, body.count(b"\n")) == (403, 1), (path, wanted, body)
            for path in PAGES:
                status, body = await ask(guarded, with_token(path, token(calls="*", can=("listen", "talk", "events"))))
                assert (status, body.count(b"\n")) == (403, 1), (path, body)
            nursery.cancel_scope.cancel()


async def test_right_tokens(guarded: System) -> None:
    """In each of the ways to bring one; for all calls or this one."""
    for path, right in SOCKETS.items():
        for given in (
            token(can=(right,)),
            token(can=(right,), calls="*"),
            token(can=(right,), calls=(OTHER_CALL, MY_CALL)),
        ):
            for query, headers in (
                (f"?call_control_id={MINE}&token={given}", ""),
                (f"?call_control_id={MINE}", f"Authorization: Bearer {given}\r\n"),
                (f"?call_control_id={MINE}", f"authorization: bearer {given}\r\n"),
                (f"?call_control_id={MINE}", f"Sec-WebSocket-Protocol: patchbay.token.{given}\r\n"),
                (f"?call_control_id={MINE}", f"Sec-WebSocket-Protocol: patchbay, patchbay.token.{given}\r\n"),
                ("", f"Authorization: Bearer {given}\r\n"),
            ):
                assert (await ask(guarded, path + query, upgrade=True, headers=headers))[0] == 101, (
                    path,
                    query,
                    headers,
                )
    admin = token(can=("admin",), calls=())
    for path in PAGES:
        status, _ = await ask(guarded, path, headers=f"Authorization: Bearer {admin}\r\n")
        assert status == (404 if path == "/nothing-here" else 200), path


async def test_what_is_open(guarded: System) -> None:
    """Health and readiness to everybody; the webhook's signature is checked elsewhere."""
    for path in ("/healthz", "/readyz", "/api/healthz"):
        assert (await ask(guarded, path))[0] == 200
    status, _ = await fetch(guarded.port, "/api/calls/telnyx/webhook", method="POST", body=b"{}")
    assert status in (400, 401)


async def test_a_browser_gets_its_subprotocol_back(guarded: System) -> None:
    """Or it would close at once; the plain name where it offers that too."""
    given = token()
    for offered, answered in (
        (f"patchbay.token.{given}", f"patchbay.token.{given}"),
        (f"patchbay, patchbay.token.{given}", "patchbay"),
    ):
        head = f"GET /call-events?call_control_id={MINE} HTTP/1.1\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", guarded.port) as stream:
            lines = f"Sec-WebSocket-Protocol: {offered}\r\n"
            await stream.send_all((head + UPGRADE + lines + "\r\n").encode())
            answer = b""
            with trio.fail_after(60):
                while b"\r\n\r\n" not in answer:
                    answer += await stream.receive_some()
        assert f"\r\nsec-websocket-protocol: {answered}\r\n".lower().encode() in answer.lower()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://app.example.com", 101),
        ("https://APP.example.com", 101),
        ("https://app.example.com.evil.net", 403),
        ("http://app.example.com", 403),
        ("null", 403),
    ],
)
async def test_origins(guarded: System, origin: str | None, status: int) -> None:
    """Only pages of the list may use a token that they have; programs have no Origin."""
    lines = "" if origin is None else f"Origin: {origin}\r\n"
    path = f"/audio-stream?call_control_id={MINE}&token={token()}"
    assert (await ask(guarded, path, upgrade=True, headers=lines))[0] == status


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/audio-stream?role=telnyx", "", 401),
        ("/audio-stream?role=telnyx&token=wrong", "", 401),
        ("/audio-stream", "User-Agent: telnyx\r\n", 401),
        ("/audio-stream", "X-Telnyx-Signature: x\r\n", 401),
        ("/audio-stream", "X-Telnyx-Streaming-Auth-Token: wrong\r\n", 401),
        ("/audio-stream", f"X-Telnyx-Streaming-Auth-Token: {STREAM_TOKEN}x\r\n", 401),
        ("/audio-stream", f"X-Telnyx-Streaming-Auth-Token: {STREAM_TOKEN[:-1]}\r\n", 401),
        ("/audio-stream", f"X-Telnyx-Streaming-Auth-Token: {STREAM_TOKEN}\r\n", 101),
        (f"/audio-stream?role=telnyx&token={STREAM_TOKEN}", "", 101),
        (f"/audio-stream?token={STREAM_TOKEN}", "User-Agent: Telnyx/1\r\n", 101),
        (f"/audio-stream?token={STREAM_TOKEN}", "", 401),  # a browser by all signs, and this is no token of one
    ],
)
async def test_streams_of_telnyx(guarded: System, path: str, headers: str, status: int) -> None:
    """The stream token by header or query; to claim to be Telnyx is not enough."""
    assert (await ask(guarded, path, upgrade=True, headers=headers))[0] == status


async def test_a_stream_token_for_one_call(guarded: System) -> None:
    """A token with the right `stream` carries its calls and no other, and a frontend's token carries none."""
    for given, status in ((token(can=("listen", "admin")), 403), (token(can=("stream",), ttl_s=-60), 401)):
        lines = f"X-Telnyx-Streaming-Auth-Token: {given}\r\n"
        assert (await ask(guarded, "/audio-stream", upgrade=True, headers=lines))[0] == status
    headers = {"X-Telnyx-Streaming-Auth-Token": token(can=("stream",), calls=(OTHER_CALL,))}
    async with telnyx(guarded, headers=headers) as stream:
        await stream.send(START)
        assert (await stream.until_closed()).code == 1008
    assert (
        await ask(guarded, "/audio-stream", upgrade=True, headers=f"Authorization: Bearer {token(can=('stream',))}\r\n")
    )[0] == 403


async def test_a_client_that_names_no_call(guarded: System) -> None:
    """Hears the calls of its token, all of them as JSON, and nothing else."""
    frames = recording(frames=5, start=20).frames
    async with (
        client(guarded, f"/audio-stream?token={token()}") as bound,
        client(guarded, f"/audio-stream?format=json&token={token(calls='*')}") as free,
        client(guarded, f"/audio-stream?stream_id=T&token={token()}") as by_stream,
        telnyx(guarded) as mine,
        telnyx(guarded) as others,
    ):
        for listener in (bound, free, by_stream):
            await listener.until(partial(listener.of, "connected"))
        for start, stream, frame in ((OTHER_START, others, frames[0]), (START, mine, frames[1])):
            await stream.send(start)
            await stream.send(media(1, frame))
        await free.until(lambda: len(free.json_audio) == 2)
        await bound.until(lambda: bound.audio)
        assert bound.audio == [frames[1]]
        assert [start["start"]["call_control_id"] for start in bound.of("start")] == [MY_CALL]
        assert by_stream.of("start") == []
        assert by_stream.audio == []


async def test_talk_needs_the_right(guarded: System) -> None:
    """Without it, nothing reaches the call, and an error says why."""
    talk = '{"event":"media","media":{"payload":"f39/f39/f38="}}'
    async with telnyx(guarded) as call:
        await call.send(START)
        async with client(guarded, f"/audio-stream?token={token(can=('listen',))}") as mute:
            await mute.until(lambda: mute.of("start"))
            await mute.send(talk)
            await mute.send(b"\0" * 640)
            await mute.until(lambda: mute.of("error"))
            assert mute.of("error")[0]["payload"]["code"] == 200007
        async with client(guarded, f"/audio-stream?token={token(can=('listen', 'talk'))}") as talker:
            await talker.until(lambda: talker.of("start"))
            for _ in range(20):
                await talker.send(b"\0" * 640)
            await call.until(lambda: call.of("media"))
            assert talker.of("error") == []


async def test_an_administrator_takes_the_floor(guarded: System) -> None:
    """From a talker without `admin`, who is told."""
    loud = orjson.dumps({"event": "media", "media": {"payload": "AAAA" * 40}}).decode()
    async with (
        telnyx(guarded) as call,
        client(guarded, f"/audio-stream?token={token(can=('listen', 'talk'))}") as talker,
        client(guarded, f"/audio-stream?token={token(sub='boss')}") as boss,
    ):
        await call.send(START)
        for listener in (talker, boss):
            await listener.until(partial(listener.of, "start"))
        await talker.send(loud)
        await call.until(lambda: call.of("media"))
        with trio.fail_after(60):
            while not talker.of("error"):
                await boss.send(loud)
                await talker.send(loud)
                await trio.sleep(0.02)
        assert talker.of("error")[0]["payload"]["title"] == "floor_taken"
        assert boss.of("error") == []


async def test_an_expiring_token(guarded: System) -> None:
    """Ends its connection with 4502 (after the leeway), unless a newer one is shown; one that grants less is
    refused."""
    with guarded_system(AUTH__LEEWAY_S="0") as system:
        await _expire(system)


async def _expire(system: System) -> None:
    async with client(system, f"/audio-stream?token={token(ttl_s=3)}") as renewing:
        async with client(system, f"/audio-stream?token={token(ttl_s=2)}") as ending:
            for newer in (
                token(sub="thief"),
                token(can=("talk",)),
                token(calls=(OTHER_CALL,)),
                token(ttl_s=-5),
                "rubbish",
            ):
                await renewing.send({"event": "auth", "token": newer})
            await renewing.send('{"event":"auth"}')
            await renewing.until(lambda: len(renewing.of("error")) == 6)
            assert {error["payload"]["code"] for error in renewing.of("error")} == {200011}
            await renewing.send({"event": "auth", "token": token(can=("listen",))})
            await renewing.until(lambda: renewing.of("auth"))
            assert renewing.of("auth")[0]["exp"] > time.time() + 500
            assert (await ending.until_closed()).code == 4502
        await trio.sleep(3)
        await renewing.send(b"\0" * 640)
        await renewing.until(lambda: len(renewing.of("error")) == 7)
        assert renewing.of("error")[-1]["payload"]["code"] == 200007  # the newer token has no `talk`


async def test_each_request_of_a_kept_connection_is_looked_at(guarded: System) -> None:
    """A proxy sends requests of many clients over one connection: a token is good for the request that it came with."""
    good = f"GET /api/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(can=('admin',))}\r\n\r\n"
    bad = "GET /api/calls HTTP/1.1\r\nHost: x\r\n\r\n"
    health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await exchange(guarded.port, (health + good + health + good + bad).encode())
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) == [b"200"] * 4 + [b"401"]


async def test_the_page_remembers_its_token(guarded: System) -> None:
    """A page opened with `?token=` gets a cookie that opens the rest of it: pages and data, but no WebSocket."""
    given = token(can=("admin", "listen"))
    answer = await exchange(
        guarded.port, f"GET /?token={given} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    cookie = next(line for line in answer.decode().split("\r\n") if line.lower().startswith("set-cookie:"))
    assert f"patchbay_token={given};" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    lines = f"Cookie: theme=dark; patchbay_token={given}\r\n"
    for path in ("/", "/console.js", "/api/calls"):
        assert (await ask(guarded, path, headers=lines))[0] == 200
    assert (await ask(guarded, "/audio-stream", upgrade=True, headers=lines))[0] == 401


async def test_who_opens_the_page_without_a_token_finds_a_field_for_one(guarded: System) -> None:
    """With the status of the refusal; only there, only for browsers, and the token is not in it."""
    for given, status in ((None, 401), ("rubbish", 401), (token(can=("listen",)), 403)):
        answered, body = await ask(guarded, with_token("/", given), headers="Accept: text/html\r\n")
        assert answered == status
        assert b'name="token" type="password"' in body
        assert given is None or given.encode() not in body
    status, body = await ask(guarded, "/api/calls", headers="Accept: text/html\r\n")
    assert (status, body.count(b"\n")) == (401, 1)


async def test_actors_are_restarted_by_administrators_alone(guarded: System) -> None:
    """A token, or the page's cookie with the page's header; another page has the cookie, but not the header."""
    path = "/api/actors/call_events/roll"
    about = "Content-Type: application/json\r\n"
    ours = f"{about}X-Patchbay-Request: console\r\n"
    listener = token(calls="*", can=("listen", "talk", "events"))
    administrator = token(calls=(), can=("admin",))
    cookie = f"Cookie: patchbay_token={administrator}\r\n"
    for headers, expected in (
        (ours, 401),
        (f"{ours}Authorization: Bearer {listener}\r\n", 403),
        (f"{about}{cookie}", 403),
        (f"{ours}{cookie}Sec-Fetch-Site: cross-site\r\n", 403),
        (f"{ours}{cookie}Sec-Fetch-Site: same-origin\r\nOrigin: https://app.example.com\r\n", 200),
        (f"{ours}Authorization: Bearer {administrator}\r\n", 200),
    ):
        assert (await fetch(guarded.port, path, method="POST", headers=headers, body=b"{}"))[0] == expected, headers


async def test_a_call_of_the_simulator(guarded: System) -> None:
    """With the stream token in the URL, as Telnyx does it where it can send no header; a listener with a right
    token."""
    clip = recording(frames=10, start=20)
    identity = new_identity(Random(1), from_number="+1", to_number="+2")
    path = f"/audio-stream?token={token(calls=(identity.call_control_id,))}"
    options = CallOptions(
        url=guarded.url(f"/audio-stream?role=telnyx&token={STREAM_TOKEN}"), identity=identity, tracks={"inbound": clip}
    )
    async with client(guarded, path) as listener:
        await listener.until(lambda: listener.of("connected"))
        async with place(options):
            await listener.until(lambda: listener.of("stop"))
        assert listener.audio == list(clip.frames)
