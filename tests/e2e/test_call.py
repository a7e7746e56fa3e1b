"""A call, end to end: from the simulated Telnyx to browsers and back, through all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from simulator.codecs import PCMA
from tests.e2e.calls import call, new_call_id, recording
from tests.e2e.clients import client
from tests.e2e.system import running_system

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FRAMES = 150


@pytest.fixture(scope="module")
async def _nothing() -> None:
    """Keeps pytest-trio's fixtures function-scoped."""


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with running_system() as running:
        yield running


async def test_the_recording_arrives_byte_for_byte(system: System) -> None:
    """At ten listeners at once: binary and JSON, all frames, in order."""
    call_id = new_call_id()
    clip = recording(frames=FRAMES)
    sent = [clip.frame(tick) for tick in range(FRAMES)]
    path = f"/audio-stream?call_control_id={quote(call_id, safe='')}"
    async with trio.open_nursery() as nursery:

        async def listen(extra: str, ready: trio.Event, heard: list[bytes]) -> None:
            async with client(system, path + extra) as listener:
                await listener.until(lambda: listener.of("connected"))
                ready.set()
                await listener.until(lambda: listener.of("stop"))
                if extra:
                    import base64

                    heard += [base64.b64decode(message["media"]["payload"]) for message in listener.of("media")]
                else:
                    heard += listener.audio

        results: list[list[bytes]] = [[] for _ in range(10)]
        events = [trio.Event() for _ in results]
        for number, heard in enumerate(results):
            nursery.start_soon(listen, "&format=json" if number % 2 else "", events[number], heard)
        for event in events:
            await event.wait()
        async with call(system, call_id, tracks={"inbound": clip}) as running:
            await running.wait_until(lambda: running.outcome is not None)
    assert all(heard == sent for heard in results)
