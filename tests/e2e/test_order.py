"""What a network does to a stream, and what is left of it for a listener; and peers that make no sense."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest

from simulator.codecs import PCMU
from simulator.faults import FaultPlan, Faults
from tests.e2e.calls import media, new_call_id, recording
from tests.e2e.clients import client, listener
from tests.e2e.system import eventually

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tests.e2e.clients import Client
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FRAMES = 100
CLIP = recording(frames=FRAMES, start=20)
PATIENCE_S = 5.0  # for 80 ms, on a machine with better things to do


def telnyx(system: System) -> AbstractAsyncContextManager[Client]:
    """A connection on which a test itself speaks as Telnyx."""
    return client(system, "/audio-stream?role=telnyx")


async def begin(peer: Client, call_id: str) -> None:
    """Say what comes first on a stream."""
    await peer.send({"event": "connected", "version": "1.0.0"})
    start = {"call_control_id": call_id, "media_format": PCMU.media_format}
    await peer.send({"event": "start", "sequence_number": "1", "stream_id": "S-1", "start": start})


def disturbed(faults: Faults, seed: int) -> list[int]:
    """The order in which frames 1 to FRAMES come out of a bad network."""
    plan = FaultPlan[int](faults, Random(seed))
    chunks = []
    for tick in range(1, FRAMES + 1):
        plan.offer(tick, tick)
        chunks += plan.take(tick)
    return chunks + plan.flush()


async def hear(system: System, chunks: list[int]) -> list[bytes]:
    """Send frames in one piece; returns what a listener hears of them."""
    call_id = new_call_id()
    async with listener(system, call_id) as browser, telnyx(system) as peer:
        await begin(peer, call_id)
        await peer.send_together(media(chunk, CLIP.frames[chunk - 1]) for chunk in chunks)
        await peer.send({"event": "stop", "stop": {"call_control_id": call_id}})
        await browser.until_stop()
        return browser.audio


@pytest.mark.parametrize("seed", range(10))
async def test_shuffled_within_the_window(patchbay: System, seed: int) -> None:
    """All frames arrive, in order."""
    chunks = disturbed(Faults(shuffle=4), seed)
    assert chunks != sorted(chunks)
    assert await hear(patchbay, chunks) == list(CLIP.frames)


@pytest.mark.parametrize("seed", range(10))
async def test_all_faults_together(patchbay: System, seed: int) -> None:
    """Lost, twice and shuffled: what was sent arrives once and in order."""
    chunks = disturbed(Faults(shuffle=3, lose_pct=5, duplicate_pct=10), seed)
    assert await hear(patchbay, chunks) == [CLIP.frames[chunk - 1] for chunk in sorted(set(chunks))]


async def test_a_lost_frame(patchbay: System) -> None:
    """Holds the next ones up for the window's time, not until there are more; it is counted; too late, it is
    dropped."""
    call_id = new_call_id()
    async with listener(patchbay, call_id) as browser, telnyx(patchbay) as peer:
        await begin(peer, call_id)
        for chunk in (1, 2, 3):
            await peer.send(media(chunk, CLIP.frame(chunk)))
        await browser.until(lambda: len(browser.audio) == 3)
        sent_at = time.monotonic()
        await peer.send(media(5, CLIP.frame(5)))
        await browser.until(lambda: len(browser.audio) == 4)
        assert time.monotonic() - sent_at < PATIENCE_S
        await peer.send(media(4, CLIP.frame(4)))
        await peer.send(media(6, CLIP.frame(6)))
        await browser.until(lambda: len(browser.audio) == 5)
        assert browser.audio == [CLIP.frame(chunk) for chunk in (1, 2, 3, 5, 6)]
        told = await eventually(lambda: _counted(patchbay, call_id))
        assert (told["gaps"], told["late"], told["duplicates"]) == (1, 1, 0)


async def _counted(system: System, call_id: str) -> dict[str, int]:
    told = (await system.calls())[call_id]
    return told if told["late"] else {}


async def test_a_full_window(patchbay: System) -> None:
    """With four frames held, a missing one is given up whatever the time; the fifth waits for nothing."""
    call_id = new_call_id()
    chunks = (1, 2, 3, 5, 6, 7, 8, 9, 10)
    async with listener(patchbay, call_id) as browser, telnyx(patchbay) as peer:
        await begin(peer, call_id)
        for chunk in chunks:
            await peer.send(media(chunk, CLIP.frame(chunk)))
        await browser.until(lambda: len(browser.audio) == len(chunks))
        assert browser.audio == [CLIP.frame(chunk) for chunk in chunks]


async def test_duplicates(patchbay: System) -> None:
    """Are dropped and counted, also long afterwards."""
    call_id = new_call_id()
    async with listener(patchbay, call_id) as browser, telnyx(patchbay) as peer:
        await begin(peer, call_id)
        for chunk in (1, 1, 2, 2, 1, 3, *range(4, 20), 3):
            await peer.send(media(chunk, CLIP.frame(chunk)))
        await peer.send({"event": "stop", "stop": {"call_control_id": call_id}})
        await browser.until_stop()
        assert browser.audio == [CLIP.frame(chunk) for chunk in range(1, 20)]


async def test_the_shortest_calls(patchbay: System) -> None:
    """Begun when a listener has just come, and over before anything else can happen: all of each is heard."""
    for _ in range(20):
        call_id = new_call_id()
        start = {"call_control_id": call_id, "media_format": PCMU.media_format}
        said = [orjson.dumps({"event": "start", "sequence_number": "1", "stream_id": "S-1", "start": start}).decode()]
        said += [media(chunk, CLIP.frame(chunk)) for chunk in range(1, 4)]
        said += [orjson.dumps({"event": "stop", "stop": {"call_control_id": call_id}}).decode()]
        async with telnyx(patchbay) as peer, listener(patchbay, call_id) as browser:
            await peer.send_together(said)
            await browser.until_stop()
            assert browser.audio == [CLIP.frame(chunk) for chunk in range(1, 4)]


MALFORMED: list[str | bytes] = [
    "",
    "{",
    "null",
    "[]",
    '"media"',
    "{}",
    '{"event":5}',
    '{"event":"media"}',
    '{"event":"media","media":[]}',
    '{"event":"media","media":{"payload":"not base64!"}}',
    '{"event":"media","media":{"payload":"AAAA","chunk":"-1"}}',
    '{"event":"media","media":{"payload":"AAAA","chunk":"1e400"}}',
    '{"event":"media","media":{"payload":"AAAA","chunk":"99999999999999999999"}}',
    '{"event":"media","media":{"payload":"AAAA","track":"sideways"}}',
    '{"event":"start","start":{}}',
    '{"event":"start","start":{"call_control_id":""}}',
    '{"event":"mark"}',
    '{"event":"dtmf","dtmf":{}}',
    "[" * 5000,
    '{"event":"\\ud800"}',
    "\x00\x01\x02",
    "é" * 1000,
    b"\x00" * 160,
]
HARMLESS = [
    '{"event":"unheard-of","future":{"a":[1,2,3]}}',
    '{"event":"connected"}',
    '{"event":"media","media":{"payload":""}}',
    '{"event":"error"}',
    '{"event":"dtmf","dtmf":{"digit":"5"},"occurred_at":7}',
]


async def test_malformed_frames(patchbay: System) -> None:
    """Are counted and answered by nothing; the call goes on."""
    call_id = new_call_id()
    async with listener(patchbay, call_id) as browser, telnyx(patchbay) as peer:
        await begin(peer, call_id)
        for chunk, rubbish in enumerate(MALFORMED, start=1):
            await peer.send(rubbish)
            await peer.send(media(chunk, CLIP.frame(chunk)))
        for rubbish in HARMLESS:
            await peer.send(rubbish)
        last = len(MALFORMED) + 1
        await peer.send(media(last, CLIP.frame(last)))
        await browser.until(lambda: CLIP.frame(last) in browser.audio)
        assert browser.audio == [CLIP.frame(chunk) for chunk in range(1, last + 1)]
        told = await eventually(lambda: _malformed(patchbay, call_id))
        assert told == len(MALFORMED)
        assert peer.messages == []
        assert not peer.ended


async def _malformed(system: System, call_id: str) -> int:
    count: int = (await system.calls())[call_id]["malformed"]
    return count if count >= len(MALFORMED) else 0


@pytest.mark.parametrize("rubbish", ["rubbish", b"\x00" * 160, '{"event":"media"}'])
async def test_a_peer_that_sends_only_rubbish(patchbay: System, rubbish: str | bytes) -> None:
    """Is closed with 1008 and a reason; others are not."""
    async with telnyx(patchbay) as peer, listener(patchbay) as browser:
        for _ in range(100):
            await peer.send(rubbish)
        closed = await peer.until_closed()
        assert closed.code == 1008
        assert "unreadable" in str(closed.reason)
        assert not browser.ended
