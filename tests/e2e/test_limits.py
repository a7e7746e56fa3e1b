"""Limits: what is one too many gets a clear answer, is counted, and disturbs nobody else."""

from __future__ import annotations

import resource
import socket
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio
import trio_websocket

from tests.e2e.calls import media, recording
from tests.e2e.clients import client
from tests.e2e.guarded import MY_CALL, STREAM_TOKEN, ask, descriptors, guarded_system, token
from tests.e2e.system import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
START = {
    "event": "start",
    "stream_id": "S",
    "start": {"call_control_id": MY_CALL, "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}},
}
TELNYX = {"X-Telnyx-Streaming-Auth-Token": STREAM_TOKEN}
SETTINGS = {
    "GATEWAY__CONNECTIONS_PER_ADDRESS": "3",
    "GATEWAY__CONNECTIONS_PER_TOKEN": "4",
    "GATEWAY__MAX_STREAMS": "2",
    "GATEWAY__MAX_HEADS": "10",
    "GATEWAY__HANDSHAKES_PER_S": "0.1",
    "GATEWAY__HANDSHAKES_BURST": "6",
    "FANOUT__LISTENERS_PER_CALL": "2",
    "FANOUT__MESSAGES_PER_S": "20",
    "FANOUT__MESSAGES_BURST": "100",
    "FANOUT__TOKEN_MESSAGES_PER_S": "0.5",
    "FANOUT__TOKEN_MESSAGES_BURST": "130",
    "FANOUT__SUBSCRIPTIONS_PER_TOKEN": "5",
    "GATEWAY__EVENT_CLIENTS_PER_TOKEN": "3",
    "TALK__BURST_MS": "1000",
}
_addresses = iter(range(1, 250))


@pytest.fixture(scope="module")
def limited() -> Iterator[System]:
    """A system whose limits are soon reached."""
    with guarded_system(**SETTINGS) as system:
        yield system


def new_address() -> str:
    return f"203.0.113.{next(_addresses)}"


async def metric(system: System, name: str) -> float:
    """A metric's value, all processes together."""
    status, text = await ask(
        system, "/metrics", headers=f"Authorization: Bearer {token(sub='probe', can=('admin',))}\r\n"
    )
    assert status == 200
    lines = [line for line in text.decode().splitlines() if line.startswith(f"patchbay_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def until_counted(system: System, name: str) -> None:
    async def counted() -> bool:
        return await metric(system, name) > 0

    await eventually(counted)


async def test_connections_of_one_address(limited: System) -> None:
    """429 for one more of the same address, as a trusted proxy names it; others come in, and so does the next one
    after."""
    address, path = new_address(), "/call-events?token="
    mine = {"X-Forwarded-For": f"198.51.100.7, {address}"}
    lines = f"X-Forwarded-For: 198.51.100.8, {address}\r\n"
    async with AsyncExitStack() as stack:
        first = [
            await stack.enter_async_context(client(limited, path + token(sub=f"a{n}"), headers=mine)) for n in range(3)
        ]
        assert (await ask(limited, path + token(sub="a"), upgrade=True, headers=lines))[0] == 429
        other = f"X-Forwarded-For: {address}, {new_address()}\r\n"
        assert (await ask(limited, path + token(sub="a"), upgrade=True, headers=other))[0] == 101
        await first[0].websocket.aclose()

        async def room() -> bool:
            status, _ = await ask(limited, path + token(sub="a"), upgrade=True, headers=lines)
            return status == 101

        await eventually(room)
    await until_counted(limited, "gateway_too_many_by_client_total")


async def test_connections_of_one_token(limited: System) -> None:
    """429 for one more of the same `sub`."""
    query = f"?token={token(sub='crowd')}"
    async with AsyncExitStack() as stack:
        for path in ("/audio-stream", *["/call-events"] * 3):
            await stack.enter_async_context(client(limited, path + query))
        assert (await ask(limited, f"/call-events?token={token(sub='crowd')}", upgrade=True))[0] == 429
        assert (await ask(limited, f"/call-events?token={token(sub='else')}", upgrade=True))[0] == 101


async def test_requests_of_one_address(limited: System) -> None:
    """429 beyond the burst, whatever is asked for; another address is not concerned."""
    lines = f"X-Forwarded-For: {new_address()}\r\n"
    statuses = [(await ask(limited, "/healthz", headers=lines))[0] for _ in range(8)]
    assert statuses == [200] * 6 + [429] * 2
    assert (await ask(limited, "/healthz", headers=f"X-Forwarded-For: {new_address()}\r\n"))[0] == 200
    assert (await ask(limited, "/healthz"))[0] == 200
    await until_counted(limited, "gateway_refused_429_total")


async def test_media_streams(limited: System) -> None:
    """503 for one more."""
    lines = f"X-Telnyx-Streaming-Auth-Token: {STREAM_TOKEN}\r\n"
    async with client(limited, headers=TELNYX), client(limited, headers=TELNYX):
        assert (await ask(limited, "/audio-stream", upgrade=True, headers=lines))[0] == 503
        assert (await ask(limited, f"/audio-stream?token={token(sub='l')}", upgrade=True))[0] == 101


async def test_slots_of_the_carrier(limited: System) -> None:
    """Whoever has a token for streams can't take all of them: Telnyx gets in, and no other one more."""
    stream = token(sub="app", can=("stream",))
    headers = {"X-Telnyx-Streaming-Auth-Token": stream}
    lines = f"X-Telnyx-Streaming-Auth-Token: {token(sub='other', can=('stream',))}\r\n"
    async with client(limited, headers=headers):
        status, answer = await ask(limited, "/audio-stream", upgrade=True, headers=lines)
        assert status == 503
        assert b"without Telnyx's token" in answer
        async with client(limited, headers=TELNYX):
            pass
    await until_counted(limited, "gateway_too_many_media_streams_without_telnyxs_token_total")
    assert '"sub":"other"' in limited.log()


async def test_listeners_of_one_call(limited: System) -> None:
    """429 for one more."""
    path = f"/audio-stream?call_control_id={quote(MY_CALL)}&token="
    async with client(limited, path + token(sub="x")) as one, client(limited, path + token(sub="y")) as two:
        for listener in (one, two):
            await listener.until(partial(listener.of, "connected"))
        assert (await ask(limited, path + token(sub="z"), upgrade=True))[0] == 429
    await until_counted(limited, "fanout_too_many_listeners_total")


async def test_heads_that_are_never_complete(limited: System) -> None:
    """When too many are at the door, the one that is there the longest goes, and who sends a head at once is served."""
    with ExitStack() as stack:
        for _ in range(30):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", limited.port)))
            sock.sendall(b"GET /healthz HTT")
        assert (await ask(limited, "/healthz"))[0] == 200
    await until_counted(limited, "gateway_too_many_total")


async def test_messages(limited: System) -> None:
    """Too many close the connection with 4506; the listener beside it hears every frame."""
    frames = recording(frames=50, start=20).frames
    async with (
        client(limited, f"/audio-stream?token={token(sub='calm')}") as listener,
        client(limited, headers=TELNYX) as telnyx,
        client(limited, f"/audio-stream?token={token(sub='flood')}") as flooding,
    ):
        await listener.until(lambda: listener.of("connected"))
        await telnyx.send(START)
        await listener.until(lambda: listener.of("start"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_flood, flooding, '{"event":"hello"}')
            for chunk, frame in enumerate(frames):
                await telnyx.send(media(chunk, frame))
            assert (await flooding.until_closed()).code == 4506
            await until_counted(limited, "fanout_closed_flood_total")
            nursery.cancel_scope.cancel()
        await listener.until(lambda: len(listener.audio) == len(frames))
        assert listener.audio == list(frames)


async def test_messages_of_one_token(limited: System) -> None:
    """More connections are not more messages, nor is coming back; another token's client is not concerned."""
    paths = [f"/audio-stream?token={token(sub='many', calls=(f'c{number}',))}" for number in range(3)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(limited, path)) for path in paths]
        for each in clients:
            for _ in range(64):
                with suppress(trio_websocket.ConnectionClosed):
                    await each.send('{"event":"hello"}')

        async def one_is_closed() -> Client | None:
            return next((each for each in clients if each.ended), None)

        found = await eventually(one_is_closed)
        assert found is not None
        closed = await found.until_closed()
        assert closed.code == 4506
        assert "sub" in str(closed.reason)
    other_path = f"/audio-stream?token={token(sub='few', calls=('c',))}"
    async with client(limited, paths[0]) as again, client(limited, other_path) as other:
        for each in (again, other):
            for _ in range(64):
                with suppress(trio_websocket.ConnectionClosed):
                    await each.send('{"event":"hello"}')
        assert (await again.until_closed()).code == 4506
        await other.send('{"event":"ping"}')
        await other.until(lambda: other.of("pong"))
    await until_counted(limited, "fanout_closed_token_flood_total")


async def test_subscriptions_of_one_token(limited: System) -> None:
    """429 for a listener that would bring more than all of a token may name."""
    calls = "".join(f"&call_control_id=c{number}" for number in range(3))
    path = f"/audio-stream?token={token(sub='much', calls='*')}{calls}"
    async with client(limited, path) as listener:
        await listener.until(lambda: listener.of("connected"))
        assert (await ask(limited, path, upgrade=True))[0] == 429
    await until_counted(limited, "fanout_too_many_subscriptions_total")


async def test_event_clients_of_one_token(limited: System) -> None:
    """429 for one more, and its other connections are not concerned."""
    path = f"/call-events?token={token(sub='events')}"
    async with client(limited, path), client(limited, path), client(limited, path):
        status, answer = await ask(limited, path, upgrade=True)
        assert status == 429
        assert b"event clients with tokens of events" in answer
        assert (await ask(limited, f"/audio-stream?token={token(sub='events')}", upgrade=True))[0] == 101
    await until_counted(limited, "gateway_too_many_event_clients_by_token_total")


async def _flood(flooding: Client, message: str) -> None:
    with suppress(trio_websocket.ConnectionClosed):
        while True:
            await flooding.send(message)


async def test_talk_faster_than_real_time(limited: System) -> None:
    """What is beyond the burst is refused with an error; it never reaches the call."""
    second = bytes([0, 0, 0, 63]) * 8000  # Float32
    async with client(limited, headers=TELNYX) as telnyx:
        await telnyx.send(START)
        async with client(limited, f"/audio-stream?token={token(sub='fast')}") as talker:
            await talker.until(lambda: talker.of("start"))
            for _ in range(3):
                await talker.send(second)
            await talker.until(lambda: talker.of("error"))
            assert talker.of("error")[0]["payload"]["code"] == 200010
            await until_counted(limited, "fanout_talk_too_fast_total")
            await telnyx.until(lambda: len(telnyx.of("media")) == 50)
            await trio.sleep(0.3)
            assert len(telnyx.of("media")) == 50


async def test_the_longest_life_of_a_connection() -> None:
    """Is ended with 4009, which says: come back."""
    with guarded_system(FANOUT__LIFETIME_S="1") as system:
        async with client(system, f"/audio-stream?token={token()}") as listener:
            assert (await listener.until_closed()).code == 4009


async def test_no_descriptors_left(limited: System) -> None:
    """Accepting pauses; the call that is there goes on, and when there is room again, so does everything else."""
    gateway = (await limited.actor("gateway"))["pid"]
    limits = resource.prlimit(gateway, resource.RLIMIT_NOFILE)
    frames = recording(frames=50, start=20).frames
    async with (
        client(limited, f"/audio-stream?token={token(sub='there')}") as listener,
        client(limited, headers=TELNYX) as telnyx,
    ):
        await listener.until(lambda: listener.of("connected"))
        await telnyx.send(START)
        with ExitStack() as stack:
            open_now = descriptors(gateway)
            resource.prlimit(gateway, resource.RLIMIT_NOFILE, (open_now + 3, limits[1]))
            stack.callback(resource.prlimit, gateway, resource.RLIMIT_NOFILE, limits)
            for _ in range(20):
                stack.enter_context(socket.create_connection(("127.0.0.1", limited.port)))
            for chunk, frame in enumerate(frames):
                await telnyx.send(media(chunk, frame))
            await listener.until(lambda: len(listener.audio) == len(frames))
        assert listener.audio == list(frames)
        assert (await ask(limited, "/healthz"))[0] == 200
    assert "not accepting for a moment" in limited.log()
    assert (await limited.actor("gateway"))["pid"] == gateway
