"""What a browser says: in each of the ways it arrives at the simulated Telnyx; and what it is told when it does not."""

from __future__ import annotations

import math
import struct
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from simulator.codecs import PCMA, PCMU
from tests.e2e.audio import samples, snr_db
from tests.e2e.calls import SPEECH, call, new_call_id, recording, until_said
from tests.e2e.clients import Client, listener
from tests.e2e.system import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulator.call import SimulatedCall
    from simulator.clips import Clip
    from simulator.codecs import Codec
    from tests.e2e.system import System

    Way = Callable[[Client, Clip, int], Awaitable[None]]

pytestmark = pytest.mark.slow
FRAMES = 60
FRAME_S = 0.020
PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}


async def say_rtp(browser: Client, clip: Clip, tick: int) -> None:
    """As the existing frontend does: a whole RTP packet in base64."""
    header = struct.pack(">BBHII", 0x80, PAYLOAD_TYPES[clip.codec.name], 4000 + tick, 160 * tick, 0xDECAF)
    await say(browser, header + clip.frame(tick))


async def say_bare(browser: Client, clip: Clip, tick: int) -> None:
    """The codec's bytes alone, in base64."""
    await say(browser, clip.frame(tick))


async def say_floats(browser: Client, clip: Clip, tick: int) -> None:
    """Float32 samples, binary."""
    await browser.send(floats(clip, tick))


async def say(browser: Client, payload: bytes) -> None:
    await browser.send({"event": "media", "media": {"payload": b64encode(payload).decode()}})


def floats(clip: Clip, tick: int) -> bytes:
    values = array("f", [sample / 32768 for sample in samples(clip.codec.decode(clip.frame(tick)))])
    return values.tobytes()


async def talk(browser: Client, clip: Clip, way: Way) -> None:
    """Say a clip at the pace of speech."""
    began = trio.current_time()
    for tick in range(len(clip.frames)):
        await trio.sleep_until(began + tick * FRAME_S)
        await way(browser, clip, tick)


def media_payloads(running: SimulatedCall) -> list[bytes]:
    return [heard.payload for heard in running.far_end.received]


@pytest.mark.parametrize("way", [say_rtp, say_bare])
@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=["PCMU", "PCMA"])
async def test_text(patchbay: System, codec: Codec, way: Way) -> None:
    """Arrives byte for byte in whole 20 ms frames; the header of an RTP packet is taken off."""
    clip = recording(codec, FRAMES, start=SPEECH)
    async with call(patchbay, codec=codec) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until_start()
            await talk(browser, clip, way)
            await until_said(running, FRAMES)
        assert media_payloads(running) == list(clip.frames)
        assert running.counters["errors"] == 0
        assert not browser.of("error")


async def test_the_form_of_what_telnyx_gets(patchbay: System) -> None:
    """Text frames of exactly this form, nothing else: no greeting, no stream id."""
    clip = recording(frames=2, start=SPEECH)
    async with call(patchbay) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until_start()
            await talk(browser, clip, say_rtp)
            await until_said(running, 2)
        wanted = [{"event": "media", "media": {"payload": b64encode(frame).decode()}} for frame in clip.frames]
        assert [orjson.loads(message) for message in running.far_end.messages[:2]] == wanted


@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=["PCMU", "PCMA"])
async def test_float32(patchbay: System, codec: Codec) -> None:
    """Is encoded as real G.711 in the call's codec: over 35 dB, and FFmpeg's decoder agrees."""
    clip = recording(codec, FRAMES, start=SPEECH)
    async with call(patchbay, codec=codec) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until_start()
            await talk(browser, clip, say_floats)
            await until_said(running, FRAMES)
        assert {len(payload) for payload in media_payloads(running)} == {160}
        assert snr_db(clip.codec.decode(clip.payload), codec.decode(running.far_end.talk)) > 35


async def test_float32_that_was_never_g711(patchbay: System) -> None:
    """A tone with all amplitudes: G.711's own 35 dB and no less."""
    tone = array("f", [0.8 * math.sin(2 * math.pi * 440.7 * n / 8000) for n in range(160 * FRAMES)])
    async with call(patchbay) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until_start()
            for at in range(0, len(tone), 160):
                await browser.send(tone[at : at + 160].tobytes())
                await trio.sleep(FRAME_S)
            await until_said(running, FRAMES)
        pcm = array("h", [round(value * 32768) for value in tone]).tobytes()
        assert snr_db(pcm, PCMU.decode(running.far_end.talk)) > 35


async def test_the_existing_frontend(quiet: System) -> None:
    """Two sockets without any id, one to listen and one to talk, and one call: it is that one."""
    clip = recording(frames=FRAMES, start=SPEECH)
    async with listener(quiet) as ear, listener(quiet) as mouth:
        async with call(quiet, tracks={"inbound": clip.looped()}) as running:  # it lasts until all is said
            await mouth.until_start()
            await talk(mouth, clip, say_rtp)
            await until_said(running, FRAMES)
            await ear.until(lambda: len(ear.audio) >= FRAMES)
        assert media_payloads(running) == list(clip.frames)
        await ear.until_stop()
        assert ear.audio[:FRAMES] == list(clip.frames)
        assert ear.audio == running.frames_sent["inbound"]
        assert not mouth.of("error")


async def test_no_live_call(quiet: System) -> None:
    """The talker is told, in Telnyx's form of an error; likewise when the call that it names is not live."""
    for call_id in (None, new_call_id()):
        async with listener(quiet, call_id) as browser:
            await say(browser, bytes(160))
            await browser.until(lambda: browser.of("error"))
            assert browser.of("error")[0] == {
                "event": "error",
                "payload": {"code": 200001, "title": "no_live_call", "detail": "There is no live call to talk to."},
            }


async def test_several_live_calls(quiet: System) -> None:
    """Nothing is sent to any; the error names the parameter that would help."""
    async with call(quiet) as one, call(quiet) as other, listener(quiet, format="json") as browser:
        await browser.until_start(2)
        for way in (say_rtp, say_bare, say_floats):
            await way(browser, recording(start=SPEECH, frames=1), 0)
        await browser.until(lambda: browser.of("error"))
        error = browser.of("error")[0]["payload"]
        assert (error["code"], error["title"]) == (200002, "several_live_calls")
        assert "call_control_id" in error["detail"]
        # What a talker who names a call says comes through, and nothing before it did
        for running in (one, other):
            async with listener(quiet, running.identity.call_control_id) as named:
                await named.until_start()
                await say(named, b"\x01" * 160)
                await until_said(running, 1)
            assert media_payloads(running) == [b"\x01" * 160]


async def test_malformed_talk(patchbay: System) -> None:
    """Is answered with an error, and the next frame is taken."""
    async with call(patchbay) as running, listener(patchbay, running.identity.call_control_id) as browser:
        await browser.until_start()
        for rubbish in ("{", "[]", '{"event":"media"}', '{"event":"media","media":{"payload":"*"}}', '{"event":7}'):
            await browser.send(rubbish)
        await browser.until(lambda: browser.of("error"))
        assert browser.of("error")[0]["payload"]["code"] == 200003
        await browser.send({"event": "unheard-of", "future": True})
        await say(browser, b"\x01" * 160)
        await until_said(running, 1)
        assert media_payloads(running) == [b"\x01" * 160]
        assert len(browser.of("error")) == 1  # one a second at most


async def test_a_second_talker(patchbay: System) -> None:
    """One has the floor at a time: the second is told, and has it when the first has left."""
    speech = recording(frames=FRAMES, start=SPEECH)
    async with call(patchbay) as running:
        call_id = running.identity.call_control_id
        async with listener(patchbay, call_id) as second:
            async with listener(patchbay, call_id) as first:
                for browser in (first, second):
                    await browser.until_start()
                await say_bare(first, speech, 0)
                await until_said(running, 1)
                await say_bare(second, speech, 1)
                await second.until(lambda: second.of("error"))
                assert second.of("error")[0]["payload"]["code"] == 200005
                assert not first.of("error")
            await eventually(lambda: _gets_through(second, running, speech))
        assert media_payloads(running)[0] == speech.frame(0)
        assert set(media_payloads(running)[1:]) == {speech.frame(2)}


async def _gets_through(browser: Client, running: SimulatedCall, speech: Clip) -> bool:
    await say_bare(browser, speech, 2)
    return len(running.far_end.received) > 1


async def test_pieces_that_are_no_frames(patchbay: System) -> None:
    """Telnyx takes 20 ms at least: pieces are joined, the last is filled up with silence, none is lost."""
    speech = recording(frames=4, start=SPEECH).payload
    async with call(patchbay) as running, listener(patchbay, running.identity.call_control_id) as browser:
        await browser.until_start()
        for at in range(0, 600, 50):
            await say(browser, speech[at : at + 50])
        await until_said(running, 4)
        assert running.far_end.talk == speech[:600] + b"\xff" * 40
        assert running.counters["errors"] == 0
