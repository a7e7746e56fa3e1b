"""What a browser says: in each of the ways it arrives at the simulated Telnyx; and what it is told when it does not."""

from __future__ import annotations

import struct
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from simulator.codecs import PCMA, PCMU
from tests.e2e.audio import samples, snr_db
from tests.e2e.calls import call, new_call_id, recording, until
from tests.e2e.clients import Client, listener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulator.call import SimulatedCall
    from simulator.clips import Clip
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FRAMES = 60
FRAME_S = 0.020
PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}
Say = "Callable[[Client, Clip, int], Awaitable[None]]"


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


async def talk(browser: Client, clip: Clip, way: Callable[[Client, Clip, int], Awaitable[None]]) -> None:
    """Say a clip at the pace of speech."""
    began = trio.current_time()
    for tick in range(len(clip.frames)):
        await trio.sleep_until(began + tick * FRAME_S)
        await way(browser, clip, tick)


def media_payloads(running: SimulatedCall) -> list[bytes]:
    return [heard.payload for heard in running.far_end.received]


@pytest.mark.parametrize("way", [say_rtp, say_bare])
@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=["PCMU", "PCMA"])
async def test_text(patchbay: System, codec: Codec, way: Callable[[Client, Clip, int], Awaitable[None]]) -> None:
    """Arrives byte for byte in whole 20 ms frames; the header of an RTP packet is taken off."""
    clip = recording(codec, FRAMES, start=10)
    async with call(patchbay, codec=codec) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until(lambda: browser.of("start"))
            await talk(browser, clip, way)
            await until(running, lambda: len(running.far_end.received) >= FRAMES)
        assert media_payloads(running) == list(clip.frames)
        assert running.counters["errors"] == 0
        assert not browser.of("error")


async def test_the_form_of_what_telnyx_gets(patchbay: System) -> None:
    """Text frames of exactly this form, nothing else: no greeting, no stream id."""
    clip = recording(frames=2, start=10)
    async with call(patchbay) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until(lambda: browser.of("start"))
            await talk(browser, clip, say_rtp)
            await until(running, lambda: len(running.far_end.received) == 2)
        wanted = [{"event": "media", "media": {"payload": b64encode(frame).decode()}} for frame in clip.frames]
        assert [orjson.loads(message) for message in running.far_end.messages[:2]] == wanted


@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=["PCMU", "PCMA"])
async def test_float32(patchbay: System, codec: Codec) -> None:
    """Is encoded as real G.711 in the call's codec: over 35 dB, and FFmpeg's decoder agrees."""
    clip = recording(codec, FRAMES, start=10)
    async with call(patchbay, codec=codec) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until(lambda: browser.of("start"))
            await talk(browser, clip, say_floats)
            await until(running, lambda: len(running.far_end.received) >= FRAMES)
        assert {len(payload) for payload in media_payloads(running)} == {160}
        assert snr_db(clip.codec.decode(clip.payload), codec.decode(running.far_end.talk)) > 35


async def test_float32_that_was_never_g711(patchbay: System) -> None:
    """A tone with all amplitudes: G.711's own 35 dB and no less."""
    tone = array("f", [0.8 * math.sin(2 * math.pi * 440.7 * n / 8000) for n in range(160 * FRAMES)])
    async with call(patchbay) as running:
        async with listener(patchbay, running.identity.call_control_id) as browser:
            await browser.until(lambda: browser.of("start"))
            for at in range(0, len(tone), 160):
                await browser.send(tone[at : at + 160].tobytes())
                await trio.sleep(FRAME_S)
            await until(running, lambda: len(running.far_end.received) >= FRAMES)
        pcm = array("h", [round(value * 32768) for value in tone]).tobytes()
        assert snr_db(pcm, PCMU.decode(running.far_end.talk)) > 35
