"""The rule that a stream is only taken for a call that a signed webhook has announced: kept over restarts."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from tests.e2e.clients import client
from tests.e2e.event_wire import KEY, PUBLIC_KEY
from tests.e2e.guarded import STREAM_TOKEN, guarded_system, token
from tests.e2e.http_client import fetch
from tests.e2e.system import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
TELNYX = {"X-Telnyx-Streaming-Auth-Token": STREAM_TOKEN}


@pytest.fixture(scope="module")
def strict() -> Iterator[System]:
    """A system that has the rule."""
    with guarded_system(INGEST__ANNOUNCED_WITHIN_S="60", TELNYX__PUBLIC_KEY=PUBLIC_KEY) as system:
        yield system


def stream(system: System) -> AbstractAsyncContextManager[Client]:
    return client(system, "/audio-stream", headers=TELNYX)


async def begin(telnyx: Client, call: str) -> None:
    about = {"call_control_id": call, "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}}
    await telnyx.send(orjson.dumps({"event": "start", "stream_id": f"s-{call}", "start": about}).decode())


async def announce(system: System, call: str, event_type: str = "call.initiated", age_s: float = 0.0) -> int:
    """Post a signed webhook about a call, of something that happened a while ago."""
    when = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat().replace("+00:00", "Z")
    data = {
        "event_type": event_type,
        "id": f"{event_type} {call}",
        "occurred_at": when,
        "payload": {"call_control_id": call},
    }
    body, timestamp = orjson.dumps({"data": data}), str(int(time.time()))
    signature = base64.b64encode(KEY.sign(timestamp.encode() + b"|" + body)).decode()
    headers = (
        f"Content-Type: application/json\r\nTelnyx-Timestamp: {timestamp}\r\nTelnyx-Signature-Ed25519: {signature}\r\n"
    )
    return (await fetch(system.port, "/api/calls/telnyx/webhook", method="POST", headers=headers, body=body))[0]


async def until_live(system: System, call: str) -> None:
    admin = f"Authorization: Bearer {token(sub='probe', calls='*', can=('admin',))}\r\n"

    async def live() -> bool:
        told = orjson.loads((await fetch(system.port, "/api/calls", headers=admin))[1])
        return any(known["call_control_id"] == call for known in told["calls"])

    await eventually(live)


async def refused(telnyx: Client) -> bool:
    closed = await telnyx.until_closed()
    return closed.code == 1008 and "webhook" in (closed.reason or "")


async def test_not_announced(strict: System) -> None:
    """Nobody has said that there is such a call; or long ago; or it is over; or nobody signed."""
    await announce(strict, "v3:long-ago", age_s=3600)
    await announce(strict, "v3:over")
    await announce(strict, "v3:over", "call.hangup")
    body = b'{"data":{"event_type":"call.initiated","payload":{"call_control_id":"v3:unsigned"}}}'
    headers = "Content-Type: application/json\r\n"
    assert (await fetch(strict.port, "/calls/telnyx/webhook", method="POST", headers=headers, body=body))[0] == 401
    async with trio.open_nursery() as nursery:

        async def attempt(call: str) -> None:
            async with stream(strict) as telnyx:
                await begin(telnyx, call)
                assert await refused(telnyx), call

        for call in ("v3:unknown", "v3:long-ago", "v3:over", "v3:unsigned"):
            nursery.start_soon(attempt, call)


async def test_announced_before_or_a_little_later(strict: System) -> None:
    """Both ways are taken: webhook and stream do not come by the same."""
    assert await announce(strict, "v3:before") == 200
    async with stream(strict) as telnyx, stream(strict) as early:
        await begin(telnyx, "v3:before")
        await begin(early, "v3:after")
        await until_live(strict, "v3:before")
        assert await announce(strict, "v3:after") == 200
        await until_live(strict, "v3:after")


async def test_who_waits_while_ingest_is_replaced(strict: System) -> None:
    """Goes on to wait with the next process: begun when the webhook comes, refused when none does."""
    async with stream(strict) as telnyx, stream(strict) as never:
        await begin(telnyx, "v3:waits")
        await begin(never, "v3:waits-for-ever")
        await trio.sleep(0.5)  # nothing tells that it has arrived
        await strict.command("restart", "ingest")
        assert await announce(strict, "v3:waits") == 200
        await until_live(strict, "v3:waits")
        assert await refused(never)


@pytest.mark.parametrize("actor", ["call_events", "ingest"])
async def test_known_after_a_restart(strict: System, actor: str) -> None:
    """The journal knows the calls; and a call that has had a stream may have it again however late."""
    new, old = f"v3:new-{actor}", f"v3:old-{actor}"
    assert await announce(strict, new) == 200
    assert await announce(strict, old, age_s=50) == 200
    async with stream(strict) as telnyx:
        await begin(telnyx, old)
        await until_live(strict, old)
        await strict.command("restart", actor)
        async with stream(strict) as first, stream(strict) as again:
            await begin(first, new)
            await begin(again, old)
            await until_live(strict, new)
            assert (await telnyx.until_closed()).code == 1000  # superseded by the one that came again
