"""What a browser hears of a call: the existing frontend's protocol, to the letter."""

from __future__ import annotations

import audioop
import itertools
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio

from actors.wire.g711 import alaw_to_ulaw
from simulator.codecs import G722, PCMA, PCMU
from tests.e2e.calls import call, media, new_call_id, recording, until
from tests.e2e.clients import Client, client, listener

if TYPE_CHECKING:
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
WELCOME = (
    '{"event":"connected","message":"Connected to audio stream",'
    '"config":{"codec":"PCMU","sampleRate":8000,"channels":1}}'
)
FRAMES = 50


async def test_the_whole_recording(patchbay: System) -> None:
    """Every frame, byte for byte and in order, at ten listeners at once: binary and JSON."""
    call_id, clip = new_call_id(), recording()
    heard: list[list[bytes]] = []

    async def listen(format_: str, task_status: trio.TaskStatus[None]) -> None:
        async with listener(patchbay, call_id, format=format_) as browser:
            task_status.started()
            await browser.until(lambda: browser.of("stop"), timeout_s=60)
            heard.append(browser.json_audio if format_ == "json" else browser.audio)
            assert not (browser.audio if format_ == "json" else browser.of("media"))

    async with trio.open_nursery() as nursery:
        for format_ in ("binary", "json") * 5:
            await nursery.start(listen, format_)
        # Faster than real time, since a frame has nothing to do with the clock but when it is lost
        async with call(patchbay, call_id, tracks={"inbound": clip}, speed=4.0) as running:
            await until(running, lambda: running.outcome is not None)
    assert [len(frames) for frames in heard] == [len(clip.frames)] * 10
    assert all(frames == list(clip.frames) for frames in heard)


async def test_the_welcome(quiet: System) -> None:
    """Is the first message, and exactly the one that the frontend knows."""
    for path in ("/audio-stream", "/frontend-audio", "/audio-stream?call_control_id=v3%3Anobody"):
        async with client(quiet, path) as browser:
            await browser.until(lambda: browser.messages)
            assert browser.messages[0] == WELCOME


async def test_the_welcome_tells_the_calls_format(quiet: System) -> None:
    """When it is known: a late listener of one call."""
    async with call(quiet, codec=PCMA) as running:
        call_id = running.identity.call_control_id
        await quiet.until_live(call_id)
        async with listener(quiet, call_id) as browser:
            assert browser.events[0]["config"] == {"codec": "PCMA", "sampleRate": 8000, "channels": 1}


async def test_the_order_of_a_call(patchbay: System) -> None:
    """Welcome, Telnyx's start verbatim, audio, Telnyx's stop verbatim."""
    call_id, clip = new_call_id(), recording(frames=FRAMES)
    async with listener(patchbay, call_id) as browser:
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await until(running, lambda: running.outcome is not None)
        await browser.until(lambda: browser.of("stop"))
        welcome, start, *audio, stop = browser.messages
        assert welcome == WELCOME
        assert audio == list(clip.frames)
        assert orjson.loads(start)["start"]["media_format"] == PCMU.media_format
        assert orjson.loads(start)["start"]["call_control_id"] == call_id
        assert orjson.loads(start)["stream_id"] == running.identity.stream_id
        assert orjson.loads(stop)["stop"]["call_control_id"] == call_id


async def test_start_stop_and_errors_are_verbatim(patchbay: System) -> None:
    """Not a byte is changed, whatever else is in them; both shapes of an error."""
    call_id = new_call_id()
    start = (
        '{ "stream_id":"S-1", "event":"start", "sequence_number":"1", "start":{"call_control_id":%s,'
        ' "media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}, "future":[1,{"ü":null}]} }'
    ) % orjson.dumps(call_id).decode()
    new_error = '{"event":"error", "payload":{"code":100003,"title":"malformed_frame","detail":"é"},"stream_id":"S-1"}'
    old_error = '{"stream_id":"S-1","event":"error","sequence_number":"6","error":{"title":"rate_limit_reached","code":"100005","detail":"Too many requests"}}'
    stop = '{"event":"stop",  "sequence_number":"5","stop":{"call_control_id":"%s"},"stream_id":"S-1"}' % call_id
    async with listener(patchbay, call_id) as browser:
        async with client(patchbay, "/audio-stream?role=telnyx") as telnyx:
            for message in (start, new_error, old_error, stop):
                await telnyx.send(message)
            await browser.until(lambda: browser.of("stop"))
        assert browser.texts[1:] == [start, new_error, old_error, stop]


async def test_a_late_listener(patchbay: System) -> None:
    """Has the start frame before any audio, then the last moments at once, then goes on without a gap."""
    clip = recording(frames=2 * FRAMES)
    async with listener(patchbay) as first, call(patchbay, tracks={"inbound": clip}) as running:
        call_id = running.identity.call_control_id
        await first.until(lambda: len(first.audio) >= FRAMES)
        async with listener(patchbay, call_id) as late:
            await late.until(lambda: late.of("stop"))
            kinds = [type(message) for message in late.messages]
            assert late.events[1]["event"] == "start"
            assert kinds.index(bytes) == 2
            heard = list(clip.frames[-len(late.audio) :])
            assert late.audio == heard
            assert FRAMES <= len(heard) < 2 * FRAMES + 1


async def test_a_listener_of_an_unknown_call(patchbay: System) -> None:
    """Waits, and hears it from its very first frame on."""
    call_id, clip = new_call_id(), recording(frames=FRAMES, start=20)
    async with listener(patchbay, call_id) as browser:
        await patchbay.until_live(await _another_call(patchbay))
        assert browser.messages == [WELCOME]
        async with call(patchbay, call_id, tracks={"inbound": clip}) as running:
            await until(running, lambda: running.outcome is not None)
        await browser.until(lambda: browser.of("stop"))
        assert browser.audio == list(clip.frames)


async def _another_call(patchbay: System) -> str:
    async with call(patchbay, tracks={"inbound": recording(frames=5)}) as other:
        await patchbay.until_live(other.identity.call_control_id)
        return other.identity.call_control_id
