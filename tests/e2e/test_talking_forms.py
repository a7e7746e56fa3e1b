"""What is said in every form that talkers have: to the byte and in order; and what is lost of it is told."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from patchbay.audio.g711 import encode_float32
from tests.e2e.calls import SPEECH, call, numbered, recording, until
from tests.e2e.clients import Client, listener
from tests.e2e.system import eventually
from tests.e2e.test_talking import floats, say
from tests.e2e.v1_client import v1_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.call import SimulatedCall
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
CLIP = recording(frames=50, start=SPEECH)
WHOLE = CLIP.payload
FLOATS = b"".join(floats(CLIP, tick) for tick in range(50))
SENTENCE = numbered(7, 300).payload  # 6 s


@pytest.fixture
async def both(patchbay: System) -> AsyncIterator[tuple[SimulatedCall, Client]]:
    """A call, and a browser that talks into it."""
    async with call(patchbay) as running, listener(patchbay, running.identity.call_control_id) as browser:
        await browser.until_start()
        yield running, browser


def rtp(body: bytes, number: int, *, payload_type: int = 0, first: int = 0x80, before: bytes = b"") -> bytes:
    return struct.pack(">BBHII", first, payload_type, 65_530 + number & 0xFFFF, 160 * number, 0xDECAF) + before + body


def text(payload: bytes) -> str:
    return orjson.dumps({"event": "media", "media": {"payload": b64encode(payload).decode()}}).decode()


async def heard(running: SimulatedCall, size: int) -> bytes:
    """All that Telnyx has got, once that is as much."""
    await until(running, lambda: len(running.far_end.talk) >= size)
    assert {len(talk.payload) for talk in running.far_end.received} == {160}
    return running.far_end.talk


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("size", [100, 763, 1000])
async def test_pieces_at_the_pace_of_speech(both: tuple[SimulatedCall, Client], size: int, stops: bool) -> None:
    """Nothing is put in between; the last is filled up when the talk has ended, said or not."""
    running, browser = both
    began = trio.current_time()
    for at in range(0, 7000, size):
        await trio.sleep_until(began + at / 8000)
        await say(browser, WHOLE[at : min(at + size, 7000)])
    if stops:
        await browser.send({"event": "stop"})
    assert await heard(running, 7040) == WHOLE[:7000] + b"\xff" * 40
    assert not browser.of("error")


SHAPES = {
    "128 samples": [rtp(WHOLE[at : at + 128], at // 128) for at in range(0, 6400, 128)],
    "256 samples": [rtp(WHOLE[at : at + 256], at // 256) for at in range(0, 6400, 256)],
    "padding": [rtp(WHOLE[at : at + 160] + b"\0\0\0\4", at // 160, first=0xA0) for at in range(0, 6400, 160)],
    "an extension": [
        rtp(WHOLE[at : at + 160], at // 160, first=0x90, before=b"\xbe\xde\0\1\x10\xff\0\0")
        for at in range(0, 6400, 160)
    ],
    "two sources": [rtp(WHOLE[at : at + 160], at // 160, first=0x82, before=bytes(8)) for at in range(0, 6400, 160)],
}


@pytest.mark.parametrize("packets", SHAPES.values(), ids=SHAPES)
async def test_packets_of_any_shape(both: tuple[SimulatedCall, Client], packets: list[bytes]) -> None:
    """Lose their headers; what is no audio among them is dropped, and said."""
    running, browser = both
    await browser.send_together(
        text(each)
        for number, packet in enumerate(packets)
        for each in ([packet, rtp(b"\1\x0a\0\xa0", number, payload_type=101)] if number % 10 == 5 else [packet])
    )
    assert await heard(running, 6400) == WHOLE[:6400]
    await browser.until(lambda: browser.of("error"))
    assert {error["payload"]["code"] for error in browser.of("error")} == {200013}


async def test_binary_that_is_no_float32(both: tuple[SimulatedCall, Client]) -> None:
    """Is not played; what follows in the right form is."""
    running, browser = both
    for at in range(0, 8000, 763):
        await browser.send(WHOLE[at : at + 763])
    await browser.send(b"\xff" * 160)
    await browser.send(FLOATS[:6400])
    assert await heard(running, 1600) == encode_float32(FLOATS[:6400], "PCMU")
    assert [error["payload"]["code"] for error in browser.of("error")] == [200014]


async def heard_too(running: SimulatedCall, browser: Client, before: int) -> bool:
    """Whether what a browser says is played."""
    await say(browser, b"\1" * 160)
    return len(running.far_end.talk) > before


@pytest.mark.parametrize("form", ["one message", "300 messages", "floats"])
async def test_a_sentence_at_once(patchbay: System, both: tuple[SimulatedCall, Client], form: str) -> None:
    """Is played from its beginning to its end, and nobody else is heard in the middle of it."""
    running, browser = both
    expected = encode_float32(FLOATS * 6, "PCMU") if form == "floats" else SENTENCE
    async with listener(patchbay, running.identity.call_control_id) as other:
        if form == "one message":
            await say(browser, SENTENCE)
        elif form == "floats":
            await browser.send(FLOATS * 6)
        else:
            await browser.send_together(text(SENTENCE[at : at + 160]) for at in range(0, len(SENTENCE), 160))
        await browser.send({"event": "stop"})
        await until(running, lambda: len(running.far_end.talk) > 16_000)
        await say(other, b"\1" * 160)
        await other.until(lambda: other.of("error"))
        assert other.of("error")[0]["payload"]["code"] == 200005
        assert await heard(running, len(expected)) == expected
        await eventually(lambda: heard_too(running, other, len(expected)))
    assert not browser.of("error")


@pytest.mark.parametrize("protocol", ["legacy", "v1"])
async def test_more_than_can_wait(patchbay: System, both: tuple[SimulatedCall, Client], protocol: str) -> None:
    """The talker is told how much is dropped. What waits can be cleared, and then new talk is heard at once."""
    running, browser = both
    if protocol == "legacy":
        for _ in range(7):
            await say(browser, SENTENCE)
        await browser.until(lambda: dropped_ms([each["payload"] for each in browser.of("error")]) > 11_000)
        told = dropped_ms([each["payload"] for each in browser.of("error")])
        await browser.send({"event": "clear"})
        await say(browser, b"\1" * 160)
    else:
        async with v1_client(patchbay) as page:
            started = await page.start_talk(running.identity.call_control_id)
            for number in range(2000):
                await page.talk(started, number, SENTENCE[:160])
            await page.until(lambda: dropped_ms(page.of("error")) > 5_000)
            told = dropped_ms(page.of("error")) + 2000
            await page.say("talk.clear", call=started["call"])
            await page.talk(started, 2001, b"\1" * 160)
            await until(running, lambda: running.counters["clears"] > 0 and b"\1" * 160 in running.far_end.talk)
    await until(running, lambda: running.counters["clears"] > 0 and b"\1" * 160 in running.far_end.talk)
    assert told <= 12_000
    assert running.far_end.queued_s() < 0.2


def dropped_ms(errors: list[dict[str, int]]) -> int:
    assert {error["code"] for error in errors} <= {200010}
    return sum(error["dropped_ms"] for error in errors)


async def test_marks_come_back_to_who_asked(patchbay: System, both: tuple[SimulatedCall, Client]) -> None:
    """When all that was said before has been played; others hear nothing of it, and may not ask."""
    running, browser = both
    async with listener(patchbay, running.identity.call_control_id) as other:
        await other.until_start()
        await say(browser, SENTENCE[:1600])
        await browser.send({"event": "mark", "mark": {"name": "half"}})
        await say(browser, SENTENCE[1600:3200])
        await browser.send({"event": "mark", "mark": {"name": "all"}})
        await other.send({"event": "mark", "mark": {"name": "half"}})
        await other.send({"event": "clear"})
        await browser.until(lambda: len(browser.of("mark")) == 2)
        assert [mark["mark"]["name"] for mark in browser.of("mark")] == ["half", "all"]
        events = [orjson.loads(message)["event"] for message in running.far_end.messages]
        assert events == ["media"] * 10 + ["mark"] + ["media"] * 10 + ["mark"]
        await other.until(lambda: other.of("error"))
        assert {error["payload"]["code"] for error in other.of("error")} == {200005}
        assert not other.of("mark")


async def test_signs_of_life(both: tuple[SimulatedCall, Client]) -> None:
    """Pings are answered, and nothing that only keeps a connection open is an error."""
    _, browser = both
    for message in ("ping", '{"type":"ping"}', '{"event":"keepalive"}', '{"event":"connected"}', '{"event":"start"}'):
        await browser.send(message)
    await browser.send({"event": "ping", "id": 7})
    await browser.until(lambda: len(browser.of("pong")) == 3)
    assert browser.of("pong")[-1] == {"event": "pong", "id": 7}
    assert not browser.of("error")
