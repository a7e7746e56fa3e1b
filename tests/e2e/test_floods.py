"""Peers that say as much as they may, as fast as they can, beside a call that has nothing to do with them: it loses
nothing."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from bench.hostile.wire import BINARY, CONTINUATION, PING, TEXT, frame, raw
from tests.e2e.calls import call, new_call_id, recording, until
from tests.e2e.clients import listener
from tests.e2e.system import running_system

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FRAMES = 150
TELNYX, LISTENER = "/audio-stream?role=telnyx", "/audio-stream?call_control_id=v3:flooded"
START = orjson.dumps(
    {
        "event": "start",
        "stream_id": "S",
        "start": {"call_control_id": "v3:flooded", "media_format": {"encoding": "PCMU", "sample_rate": 8000}},
    }
)
V1 = "Sec-WebSocket-Protocol: patchbay.v1\r\n"
SUBSCRIBE = b'{"type":"subscribe","call_control_id":"v3:flooded","tracks":["inbound"]}'
IN_TURN = [
    frame(TEXT, SUBSCRIBE) + frame(TEXT, b'{"type":"unsubscribe","call":%d}' % number) for number in range(1, 991)
]
# By what they are: path, more headers, how many connections, and what each says.
FLOODS: dict[str, tuple[str, str, int, bytes]] = {
    "marks": (TELNYX, "", 2, frame(TEXT, START) + frame(TEXT, b'{"event":"mark","mark":{"name":"m"}}') * 19_000),
    "keys": (TELNYX, "", 2, frame(TEXT, START) + frame(TEXT, b'{"event":"dtmf","dtmf":{"digit":"1"}}') * 19_000),
    "nothing": (TELNYX, "", 2, frame(TEXT, START) + frame(TEXT, b'{"event":"x"}') * 19_000),
    "start frames": (TELNYX, "", 2, frame(TEXT, START) * 5000),
    "long start frames": (TELNYX, "", 5, frame(TEXT, START[:-2] + b',"x":"%b"}}' % (b"x" * 900_000))),
    "pings": (LISTENER, V1, 40, frame(TEXT, b'{"type":"ping"}') * 2000),
    "frames of the WebSocket": (LISTENER, "", 20, (frame(PING, b"?") + frame(BINARY, b"1234")) * 1000),
    "fragments": (LISTENER, V1, 20, (frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b")) * 1000),
    "subscribing in turn": (LISTENER, V1, 10, b"".join(IN_TURN)),
}


@pytest.fixture(scope="module")
def flooded() -> Iterator[System]:
    """On a machine that is busy with the flood's other end, a listener may be late: that is no loss."""
    with running_system(FANOUT__QUEUE_MS="20000") as system:
        yield system


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_call_beside_a_flood_loses_nothing(kind: str, flooded: System) -> None:
    """And no process ends."""
    path, headers, count, data = FLOODS[kind]
    before = {actor["name"]: actor["pid"] for actor in await flooded.actors()}
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=100)
    arrivals: list[float] = []
    with trio.fail_after(180):
        async with listener(flooded, call_id) as heard, trio.open_nursery() as floods:
            async with call(flooded, call_id, tracks={"inbound": clip}) as running:
                await heard.until(lambda: len(heard.audio) > 20)
                for _ in range(count):
                    floods.start_soon(_flood, flooded, path, headers, data)
                floods.start_soon(_note_arrivals, heard, arrivals)
                await until(running, lambda: running.outcome is not None)
                await heard.until(lambda: heard.of("stop"))
            floods.cancel_scope.cancel()
    assert heard.audio == list(clip.frames)
    assert max(later - earlier for earlier, later in pairwise(arrivals)) < 2.0
    assert {actor["name"]: actor["pid"] for actor in await flooded.actors()} == before
    assert "Traceback" not in flooded.log()


async def _note_arrivals(heard: Client, arrivals: list[float]) -> None:
    count = 0
    while True:
        await trio.sleep(0.005)
        if len(heard.audio) != count:
            count = len(heard.audio)
            arrivals.append(trio.current_time())


async def _flood(system: System, path: str, headers: str, data: bytes) -> None:
    with suppress(trio.BrokenResourceError, OSError):
        async with raw(system.port, path, headers) as peer, trio.open_nursery() as nursery:
            nursery.start_soon(peer.to_the_end)
            await peer.say(data)
